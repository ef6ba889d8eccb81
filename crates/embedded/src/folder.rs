//! A store as a folder: the files it consists of, and whether each of them is there and whole.
//!
//! ```text
//! rowmill.json      the record: which keyspaces and journals there are; the mark of a whole store, written last
//! rowmill.progress  what was acknowledged since the store was opened
//! rowmill.lock      held by whoever has the store open: alone to write, with others to read
//! version, lock, *.jnl, keyspaces/N/{current, vN, tables/N}   the engine's
//! ```
//!
//! The engine makes some of what is missing anew and removes what it does not know. So everything is looked at before the
//! engine is: an incomplete store is an error here, and nothing has been touched yet.

mod files;
mod held;
mod inspect;
mod journal;
mod progress;
mod record;
mod tree;

pub(crate) use files::{
    absent, checksum, copy_prefix, create_private, hash_prefix, io_error, lock_exclusive,
    lock_shared, make_private_dir, open_to_read, read_whole, sync_dir, write_atomic,
};
pub(crate) use held::{Held, Written, journal_records, record_of, restrict_all};
pub(crate) use inspect::{Evicted, Inspection, inspect, table_files};
pub(crate) use progress::Progress;
pub(crate) use record::{Record, State};
pub(crate) use tree::{TableFile, Tree, read_tree};

/// The record's file, and the mark of a whole store.
pub(crate) const RECORD: &str = "rowmill.json";
/// The file of what was acknowledged.
pub(crate) const PROGRESS: &str = "rowmill.progress";
/// The file that is locked.
pub(crate) const LOCK: &str = "rowmill.lock";
/// The engine's files and folders.
pub(crate) const ENGINE_VERSION: &str = "version";
pub(crate) const ENGINE_LOCK: &str = "lock";
pub(crate) const KEYSPACES: &str = "keyspaces";
pub(crate) const TABLES: &str = "tables";
pub(crate) const CURRENT: &str = "current";

/// The keyspace in which the engine keeps the names of the others.
pub(crate) const META_KEYSPACE: u64 = 0;

/// What the engine's `version` holds: the format that this crate was written for.
pub(crate) const ENGINE_FORMAT: &[u8] = b"FJL\x03";

/// The warning about a copy of a store that was open: its parts may be of several times, and nothing in it tells.
pub(crate) const COPIED_WHILE_OPEN: &str = "this store was copied while it was open for writing, or after the process that wrote to it had died; it may lack what was written meanwhile: \
     `rowmill verify` says whether all is there";

const RESTORE: &str =
    "restore it from a backup; `rowmill store check` lists everything that is damaged";

/// A store with a part that is missing or damaged.
pub(crate) fn damaged(folder: &std::path::Path, what: &str) -> rowmill_store::Error {
    let message = format!("the store in {} is damaged: {what}", folder.display());
    rowmill_store::Error::new(rowmill_store::ErrorKind::Corrupt, message).with_hint(RESTORE)
}

/// A store that holds something which the engine would remove, or stumble over, and which is none of its parts.
pub(crate) fn foreign(folder: &std::path::Path, name: &str) -> rowmill_store::Error {
    let message = format!(
        "the store in {} holds `{name}`, which is no part of it",
        folder.display()
    );
    rowmill_store::Error::new(rowmill_store::ErrorKind::Corrupt, message)
        .with_hint("move it away, and run the command again")
}
