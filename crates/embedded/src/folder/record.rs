//! The record of a store: which keyspaces and journals it has, and how far they were when it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use rowmill_store::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{RECORD, absent, damaged, io_error, write_atomic};

/// The version of the folder's layout.
const FORMAT: u32 = 1;

/// The contents of `rowmill.json`.
///
/// Of a store that was closed it says exactly what there is. Of one that is open, or was left by a process that died, it says
/// what there was when it was opened; the progress says what came since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    format: u32,
    pub(crate) state: State,
    pub(crate) keyspaces: BTreeMap<u64, KeyspaceRecord>,
    /// Keyspaces that are being dropped: they may be there, in part or not at all.
    pub(crate) dropped: BTreeSet<u64>,
    pub(crate) journals: BTreeMap<u64, JournalRecord>,
    /// The folder that was opened. A copy of an open store has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) opened: Option<FolderId>,
    /// A hash of the rest.
    checksum: String,
}

/// A folder, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FolderId {
    device: (u32, u32),
    inode: u64,
    /// Its time of creation in seconds and nanoseconds, because inodes are used again; zeros where the file system has none.
    made: (i64, u32),
}

impl FolderId {
    /// The identity of a folder; none where the system gives none.
    #[cfg(target_os = "linux")]
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
        let flags = StatxFlags::INO | StatxFlags::BTIME;
        let found = statx(CWD, folder, AtFlags::empty(), flags).ok()?;
        Some(Self {
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            made: (found.stx_btime.tv_sec, found.stx_btime.tv_nsec),
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of(_folder: &Path) -> Option<Self> {
        None
    }
}

/// Whether somebody is, or was, at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Open for writing; or left so.
    Open,
    /// Closed as it should be.
    Closed,
}

/// A keyspace of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyspaceRecord {
    /// The engine's name of it.
    pub(crate) name: String,
    /// The number of its manifest, which grows with each change.
    pub(crate) version: u64,
    /// The checksum of that manifest.
    pub(crate) checksum: String,
    /// Table files that the manifest does not name, left by an interrupted merge.
    pub(crate) leftovers: BTreeSet<u64>,
}

/// A journal: what it holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JournalRecord {
    /// Where its last batch ends.
    pub(crate) bytes: u64,
    /// A hash of that much of it.
    pub(crate) checksum: String,
    /// The number of the last batch of each keyspace.
    pub(crate) reached: BTreeMap<u64, u64>,
}

#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

impl Record {
    pub(crate) fn new(state: State) -> Self {
        Self {
            format: FORMAT,
            state,
            keyspaces: BTreeMap::new(),
            dropped: BTreeSet::new(),
            journals: BTreeMap::new(),
            opened: None,
            checksum: String::new(),
        }
    }

    /// The record of the store in `folder`; an error that says so if the folder is no store.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(RECORD);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if absent(&error) => return Err(no_store(folder)),
            Err(error) => return Err(io_error("reading", &path, &error)),
        };
        let unreadable = || damaged(folder, &format!("its `{RECORD}` cannot be read"));
        let AnyFormat { format } = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
        if format != FORMAT {
            let message = format!(
                "the store in {} has the format {format}, and this version of rowmill reads format {FORMAT}",
                folder.display()
            );
            return Err(Error::new(ErrorKind::Corrupt, message)
                .with_hint("use the version of rowmill that made it"));
        }
        let record: Self = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
        if record.checksum != record.hash() {
            return Err(unreadable());
        }
        Ok(record)
    }

    /// True if `folder`, in which the record was found, is a copy of a store that was open.
    pub(crate) fn is_copy_of_open(&self, folder: &Path) -> bool {
        self.state == State::Open && self.opened.is_some() && self.opened != FolderId::of(folder)
    }

    /// Puts the record in its place, where it is on disk when this returns.
    pub(crate) fn write(mut self, folder: &Path) -> io::Result<()> {
        self.checksum = self.hash();
        let mut text = serde_json::to_vec_pretty(&self).expect("a record is JSON");
        text.push(b'\n');
        write_atomic(folder, RECORD, &text)
    }

    fn hash(&self) -> String {
        let unsigned = Self {
            checksum: String::new(),
            ..self.clone()
        };
        let text = serde_json::to_vec(&unsigned).expect("a record is JSON");
        format!("{:016x}", xxh3_64(&text))
    }
}

/// Whether anything of the engine is in a folder, so that it may be half a store.
fn looks_like_one(folder: &Path) -> bool {
    let names = [super::ENGINE_VERSION, super::KEYSPACES, super::PROGRESS];
    names
        .iter()
        .filter(|name| folder.join(name).exists())
        .count()
        > 1
}

fn no_store(folder: &Path) -> Error {
    let place = folder.display();
    let (message, hint) = match folder.symlink_metadata() {
        Err(error) if absent(&error) => (
            format!("there is no folder {place}"),
            "`rowmill ingest` makes a store; look at --store for a typing error",
        ),
        _ if looks_like_one(folder) => (
            format!("the folder {place} is no whole store: it has no `{RECORD}`"),
            "copy the whole store again, restore it from a backup, or name another folder",
        ),
        _ => (
            format!("the folder {place} is no store: it has no `{RECORD}`"),
            "`rowmill ingest` makes a store in a new or empty folder; look at --store for a typing error",
        ),
    };
    Error::new(ErrorKind::NotFound, message).with_hint(hint)
}
