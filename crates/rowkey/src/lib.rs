//! Row keys of the rowmill tables: typed parts to bytes and back, and the prefixes and ranges that select them.
//!
//! A Bigtable row has one index, its key, so the layout of the key *is* the design of a table:
//!
//! | key | layout | a scan reads |
//! |---|---|---|
//! | [`FactKey`] | `{user_id}#{timestamp_reversed}#{event_id}` | one user's events, newest first |
//! | [`AggregateKey`] | `{dimension}#{dimension_value}#{date}` | one value's days, in order |
//! | [`TimelineKey`] | `{bucket}#{hour}#{fact key}` | one hour's events, a bucket at a time |
//! | [`DeadLetterKey`] | `{source}#{offset}#{content}` | one file's rejected records, in file order |
//! | [`PendingKey`], [`RunKey`] | `pending#{hour}`, `run#{run_id}` | hours that await aggregation; past runs |
//! | [`FileKey`], [`ResolvedKey`] | `file#{source}`, `resolved#{dead letter key}` | what became of inputs, and of dead letters |
//!
//! ```
//! use rowmill_rowkey::{FactKey, Timestamp};
//!
//! let key = FactKey::new("user#7", Timestamp::from_micros(1_541_105_830_796_000)?, "829.0");
//! let bytes = key.encode()?;
//! assert_eq!(bytes, b"user%237#09221830931023979807#829.0");
//! assert_eq!(FactKey::decode(&bytes)?, key);
//! assert!(FactKey::user("user#7")?.contains(&bytes));
//! assert!(!FactKey::user("user")?.contains(&bytes));
//! # Ok::<(), rowmill_rowkey::Error>(())
//! ```
//!
//! Parts are joined by `#`. Inside a part `#`, `%` and ASCII control bytes are percent-encoded; all other UTF-8 stands as
//! it is, so keys stay readable in `cbt read`. Keys are therefore injective, and the prefix `user#` meets no other user.
//! Length-prefixed parts would be as exact, but would sort by length first and could not be typed by hand.

mod aggregate;
mod error;
mod fact;
mod hash;
mod part;
mod range;
mod state;
mod time;
mod timeline;

pub use aggregate::{
    AggregateKey, DimensionValue, PARTIAL_DIMENSION, SESSIONS_DIMENSION, TOP_DIMENSION,
    TOTAL_DIMENSION, TOTAL_VALUE,
};
pub use error::{Error, ErrorKind, Part};
pub use fact::{FactKey, ReversedTimestamp};
pub use part::{KEY_BYTES_MAX, PART_BYTES_MAX};
pub use range::KeyRange;
pub use state::{
    AGGREGATE_EPOCH_KEY, AGGREGATE_PLAN_KEY, DeadLetterKey, DeletedKey, FileKey, PastLedgerKey,
    PendingKey, ResolvedKey, RunFilesKey, RunKey, ShardKey,
};
pub use time::{Date, Hour, Timestamp};
pub use timeline::{TIMELINE_BUCKETS, TimelineKey};
