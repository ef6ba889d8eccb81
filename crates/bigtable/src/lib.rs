//! A client for Google Cloud Bigtable, and rowmill's store on it.
//!
//! ```no_run
//! use futures::TryStreamExt as _;
//! use rowmill_bigtable::{Client, ReadRows, RowMutation};
//!
//! # async fn example() -> Result<(), rowmill_bigtable::Error> {
//! let client = Client::builder("my-project", "my-instance").connect().await?;
//! let play = RowMutation::new("user-7#1").set_cell("event", "song", 1_541_022_000_000_000, "Sehr kosmisch");
//! client.mutate_row("plays", play).await?;
//!
//! let mut rows = client.read_rows(ReadRows::new("plays").prefix("user-7#"));
//! while let Some(row) = rows.try_next().await? {
//!     println!("{:?}: {} cells", row.key, row.cells.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What it takes care of, so that its callers need not:
//!
//! - **Reads resume.** A connection that is lost in the middle of a scan is another attempt for what has not come yet; rows come
//!   once, in order, whole, or not at all.
//! - **Bulk writes retry by row.** An outcome for each row; only what failed and may succeed is sent again; what is in flight
//!   is bounded; when the service asks for a slower rate it gets it.
//! - **Reads that wait hold nothing that others need.** Any number may be open and read in any order; each holds a bounded buffer.
//! - **One deadline** over all attempts, the waiting between them, and the body of the response. See [`RetryPolicy`]; a call may have
//!   its own by [`Client::with_timeout`] and [`Client::with_policy`].
//! - **Connections are kept**: pinged while idle, replaced and warmed before the server closes them.
//! - **Errors help**: the code, what was called on which table and row, whether a write may have taken effect, and what would
//!   mend it.
//!
//! Decisions: requests of bulk writes are encoded by hand straight from rowmill's compact batches, because a structure for each
//! cell costs more than sending it; everything else uses the generated messages, which are at hand as [`proto`]. Clock and
//! chance are arguments ([`Timer`], [`Random`]), so that tests of retries take no time.
//!
//! Features: `testing` adds the `testing` module: a scripted server, a proxy that cuts connections, and the emulator.

mod assembler;
mod builder;
mod bulk;
mod causes;
mod client;
mod codec;
mod credentials;
mod entries;
mod environment;
mod error;
mod failure;
pub mod filter;
mod flow;
mod limits;
mod policies;
mod pool;
mod read;
mod resume;
mod retry;
mod row;
mod row_mutation;
mod store;
mod table_admin;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
mod unary;
mod warm;

pub use builder::ClientBuilder;
pub use client::{Checked, Client};
pub use error::{Code, Error, Result};
pub use google_cloud_auth::credentials::Credentials;
pub use googleapis_tonic_google_bigtable_v2::google::bigtable::v2 as proto;
pub use limits::BulkLimits;
pub use read::{ReadRows, RowStream};
pub use retry::RetryPolicy;
pub use row::{Cell, Row};
pub use row_mutation::{RowMutation, SERVER_TIME};
pub use rowmill_model::{GcRule, MutationBatch};
pub use rowmill_rowkey::KeyRange;
pub use rowmill_store::{
    Backoff, Effect, Random, SystemRandom, SystemTimer, TableSchema, Timer, Wait,
};
pub use store::BigtableStore;
pub use table_admin::TableAdmin;
