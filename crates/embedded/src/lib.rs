//! A persistent store of rows in a folder, on the LSM engine [fjall](https://docs.rs/fjall).
//!
//! ```
//! use rowmill_embedded::EmbeddedStore;
//! use rowmill_store::{Admin, TableSchema};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let folder = tempfile::tempdir().unwrap();
//! let store = EmbeddedStore::open_or_create(folder.path())?;
//! store.create_table(&TableSchema::new("plays", ["event"])).await?;
//! assert!(EmbeddedStore::open(folder.path()).unwrap_err().to_string().contains("another process"));
//! # Ok::<(), rowmill_store::Error>(())
//! # }).unwrap();
//! ```
//!
//! What [`apply`](rowmill_store::Store::apply) acknowledged is on disk: large batches are sorted and written as finished
//! tables of the LSM tree, which are synced before they are registered; small ones go through the journal, which is synced.
//!
//! Writes are blind. A row mutation becomes one entry of the tree, its operations as they are, under the row's key and a
//! *shape*: a hash of which cells the mutation decides, not of their values. A mutation of the same shape decides the same
//! cells, so it may replace the entry, and writing the same event again leaves one entry. Mutations of other shapes stand
//! beside it and are merged when the row is read, in the order they were applied. The alternatives were an entry for each
//! cell, twenty times as many, and reading each row before writing it.

mod backup;
mod catalog;
mod check;
mod cursor;
mod entry;
mod error;
mod folder;
mod health;
mod make;
mod mirror;
mod open;
mod open_files;
mod scan;
mod split;
mod store;
mod table;

pub use backup::BackupReport;
pub use check::{CheckReport, Damage};
pub use store::EmbeddedStore;
