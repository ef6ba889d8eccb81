//! The jobs of rowmill: ingest, aggregate, query, export, composed of the stages over any store.
//!
//! ```
//! use std::sync::Arc;
//! use rowmill_model::Pipeline;
//! use rowmill_pipeline::{AggregateOptions, Control, IngestOptions, Inputs, Scope, Stages, StoreUri, aggregate, ingest, open_store};
//! use rowmill_rowkey::Timestamp;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let file = folder.path().join("plays.csv");
//! std::fs::write(&file, "user,time,length\n7,2018-11-15T14:00:00Z,2.5\n,2018-11-15T14:01:00Z,3\n")?;
//! let pipeline = Pipeline::parse(
//!     r#"
//!     [pipeline]
//!     name = "plays"
//!     [event]
//!     user_id = "user"
//!     timestamp = "time"
//!     [fields.length]
//!     type = "float"
//!     [measures.length]
//!     stats = ["sum"]
//!     "#,
//! )?;
//! let stages = Arc::new(Stages::new(pipeline)?);
//! let opened = open_store(&StoreUri::Memory).await?.prepare().await?;
//! let inputs = Inputs::find(&[file.display().to_string()], None)?.prepare(&stages)?;
//! let options = IngestOptions::new("run 1", Timestamp::from_micros(0)?);
//! let report = ingest(&stages, &opened.store, inputs, &options, &Control::default()).await?;
//! assert_eq!((report.ledger.read, report.ledger.written, report.ledger.rejected()), (2, 1, 1));
//! let done = aggregate(&stages, &opened.store, &AggregateOptions::new("aggregate 1", Scope::Pending, Timestamp::from_micros(0)?), &Control::default()).await?;
//! assert_eq!(done.hours, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Only this crate knows both stages and stores. A job takes an `Arc<dyn Store>`, the compiled [`Stages`] and a [`Control`]
//! through which its caller watches and stops it; it prints nothing and asks nothing of its surroundings.

mod aggregate;
mod batch;
mod columns;
mod content;
mod control;
mod count;
mod dates;
mod delete;
mod digest;
mod error;
mod explain;
mod export;
mod file_ledger;
mod generate;
mod ingest;
mod input;
mod ledger;
mod letter;
mod letter_reader;
mod letters;
mod logged;
mod marks;
mod open_file;
mod open_ledgers;
mod parts;
mod past_ledgers;
mod plan;
mod process;
mod purge;
mod query;
mod read;
mod rebuild;
mod refused;
mod replay;
mod resolved;
mod rfc3339;
mod run_files;
mod run_state;
mod runs;
mod sequencer;
mod shard;
mod sheet;
mod slices;
mod source;
mod spool;
mod stages;
#[cfg(test)]
mod stepped;
mod stores;
mod tables;
mod unreadable;
mod verify;
mod watchdog;
mod witnesses;
mod writer;

pub use aggregate::{AggregateOptions, AggregateReport, Scope, aggregate, plan_aggregate};
pub use columns::{TypedColumn, typed_columns};
pub use control::Control;
pub use count::count_rows;
pub use dates::DateRange;
pub use delete::{DeleteOptions, DeleteReport, delete_users};
pub use digest::{Digest, RowHash, Sum};
pub use error::Error;
pub use explain::{ExplainQuery, Explanation, SourceShare, explain};
pub use export::{ExportFormat, ExportReport, ExportTable, export};
pub use file_ledger::{FileLedger, FileStatus, NotUtf8, Stamp, Tail};
pub use generate::{GenerateOptions, Generator};
pub use ingest::{DUPLICATE_WINDOW, IngestOptions, IngestReport, Stopped, check, ingest};
pub use input::{Input, Inputs, PreparedInputs, Search};
pub use ledger::{Bytes, Ledger, Violation};
pub use letter::{DeadLetter, LetterReason};
pub use letters::{
    LetterFilter, LetterStats, Letters, letter, letter_reasons, letter_stats, letters,
    letters_without_raw,
};
pub use logged::{Logged, QUERY_ROWS_MAX, ScanLog};
pub use plan::Standing;
pub use process::{Accepted, ChunkSource, Processed, Rejected, process_chunk};
pub use purge::{export_letters, purge_letters};
pub use query::{
    Nothing, StatsQuery, TopQuery, UserQuery, check_dimension, nothing_of, nothing_of_user, stats,
    top, user_events,
};
pub use rebuild::{RebuildOptions, RebuildReport, rebuild_timeline};
pub use replay::{ReplayOptions, ReplayReport, replay};
pub use rowmill_embedded::{BackupReport, CheckReport, Damage};
pub use rowmill_objects::Endpoint as StorageEndpoint;
pub use runs::{FileLedgers, Run, RunKind, RunStatus, file_ledgers, run, runs};
pub use shard::Shard;
pub use sheet::{Sheet, SheetRow};
pub use stages::Stages;
pub use stores::{
    BigtableUri, OpenStore, Purpose, StoreUri, back_up_store, check_store, open_store,
    open_store_for,
};
pub use tables::{
    TableChange, apply_changes, create_missing_tables, narrower_rules, plan_tables, wanted_tables,
};
pub use unreadable::{Unreadable, UnreadableRow};
pub use verify::{
    Depth, Difference, Verdict, Verified, VerifyAggregatesOptions, VerifyAggregatesReport,
    VerifyOptions, VerifyReport, verify, verify_aggregates,
};
pub use watchdog::{Stall, watch};
