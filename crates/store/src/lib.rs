//! The store of rows behind rowmill: its traits, an in-memory one, and the suite that every store passes.
//!
//! ```
//! use rowmill_model::MutationBatch;
//! use rowmill_store::{Admin, MemoryStore, Scan, Store, StoreExt, TableSchema};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let store = MemoryStore::new();
//! store.create_table(&TableSchema::new("plays", ["event"])).await?;
//! let mut batch = MutationBatch::new();
//! let mut row = batch.row(b"user#7");
//! row.set("event", b"song", 1_000, b"Sehr kosmisch");
//! row.finish();
//! store.apply_all("plays", batch).await?;
//! let rows = store.rows("plays", Scan::prefix(b"user#")).await?;
//! assert_eq!(rows[0].value("event", b"song"), Some(&b"Sehr kosmisch"[..]));
//! # Ok::<(), rowmill_store::Error>(())
//! # }).unwrap();
//! ```
//!
//! A store is batch-shaped and object-safe: callers hold an `Arc<dyn Store>` and give it whole batches, because a network
//! call for each row is what makes pipelines slow. There is one outcome for each row, in order. Required methods have no
//! default bodies, so that a wrapper that forgets one does not compile; what can be made of them stands in [`StoreExt`].
//!
//! The semantics are Bigtable's: cells with versions in families, whole rows atomic, keys and qualifiers as bytes, cell
//! timestamps in whole milliseconds. [`View`] is the one place that says which cells of a row a scan shows.
//!
//! What a store should do beside storing is a wrapper that any of them can wear: [`Retry`], [`Timeout`], [`Metered`], [`Throttle`],
//! and [`Faulty`], which fails on purpose. Each passes the suite itself.
//!
//! Features: `conformance` adds the suite, see the `conformance` module; `testing` adds time that passes when it is told to.

mod admin;
mod backoff;
mod chaos;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod faulty;
pub mod limits;
mod memory;
mod metered;
mod retry;
mod row_cells;
mod scan;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod throttle;
mod timeout;
mod timer;
mod validate;
mod view;

pub use admin::{Admin, AdminExt, TableSchema};
pub use backoff::Backoff;
pub use chaos::Chaos;
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{Effect, Error, ErrorKind, Result};
pub use faulty::{Faulty, Kill};
pub use memory::MemoryStore;
pub use metered::{Counts, Meter, Metered};
pub use retry::{Retry, RetryBudget};
pub use row_cells::RowCells;
pub use scan::{Scan, TimeRange};
pub use store::{Capability, Store, StoreExt, WriteShape};
pub use throttle::Throttle;
pub use timeout::Timeout;
pub use timer::{Random, SystemRandom, SystemTimer, Timer, Wait, moment_after};
pub use validate::{check_mutation, validate};
pub use view::View;
