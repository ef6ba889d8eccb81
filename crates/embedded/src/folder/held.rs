//! A store that is open for writing: what is acknowledged is noted, and at the end everything that there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fjall::Database;
use rowmill_store::Result;

use super::files::restrict;
use super::journal::walk;
use super::record::{FolderId, JournalRecord, KeyspaceRecord};
use super::{
    CURRENT, ENGINE_LOCK, ENGINE_VERSION, Inspection, KEYSPACES, LOCK, META_KEYSPACE, PROGRESS,
    Progress, RECORD, Record, State, TABLES, hash_prefix, io_error, read_tree, table_files,
};

/// The folder of a store that is open for writing.
///
/// The last of the store to be dropped, after the engine: it then writes the record of what there is.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    noted: Mutex<Noted>,
    progress: File,
    /// Held for as long as this is.
    _lock: File,
}

/// Where the engine is before a write: the newest journal, and the number that its batch will have, or a lower one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    journal: u64,
    sequence: u64,
}

/// Where a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// There was nothing to be written.
    Nothing,
    /// To the journal.
    Journal,
    /// To finished tables.
    Tables,
}

#[derive(Debug)]
struct Noted {
    progress: Progress,
    /// The newest journal.
    journal: u64,
    names: BTreeMap<u64, String>,
    dropped: BTreeSet<u64>,
    /// The journals that there were when the store was opened.
    journals: BTreeMap<u64, JournalRecord>,
}

impl Held {
    /// Marks a store, which was looked at and is whole, as open.
    pub(crate) fn begin(path: &Path, lock: File, parts: &Inspection) -> Result<Self> {
        let journals = parts.journals.iter();
        let journals: BTreeMap<_, _> = journals
            .map(|(journal, walk)| (*journal, walk.reached.clone()))
            .collect();
        let versions = parts.trees.iter();
        let versions = versions.map(|(id, tree)| (*id, tree.version)).collect();
        let progress = Progress::new(versions, journals);
        let names = parts.record.keyspaces.iter();
        let names = names.map(|(id, known)| (*id, known.name.clone())).collect();
        let file = progress.begin(path);
        let file = file.map_err(|error| io_error("writing to the store in", path, &error))?;
        let held = Self {
            path: path.to_owned(),
            noted: Mutex::new(Noted {
                journal: parts.journals.keys().max().copied().unwrap_or(0),
                progress,
                names,
                dropped: parts.record.dropped.clone(),
                journals: parts.journals.clone(),
            }),
            progress: file,
            _lock: lock,
        };
        held.write_record()?;
        Ok(held)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The engine's names of the keyspaces, by number.
    pub(crate) fn names(&self) -> BTreeMap<u64, String> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.names.clone()
    }

    /// Where the engine is, before something is written.
    pub(crate) fn before(&self, database: &Database) -> Before {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        self.follow(&mut noted);
        Before {
            journal: noted.journal,
            sequence: database.seqno(),
        }
    }

    /// Notes what was written of a keyspace since `before`.
    pub(crate) fn acknowledge(
        &self,
        keyspace: u64,
        before: Before,
        written: Written,
    ) -> Result<()> {
        let failed = |error: io::Error| io_error("writing to the store in", &self.path, &error);
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Written::Nothing => return Ok(()),
            Written::Tables => {
                let path = self.path.join(KEYSPACES).join(keyspace.to_string());
                let version = current_version(&path).map_err(failed)?;
                noted.progress.versions.insert(keyspace, version);
            }
            Written::Journal => {
                self.follow(&mut noted);
                if noted.journal != before.journal {
                    // It is in the one or the other; the next batch says more.
                    return Ok(());
                }
                let journals = &mut noted.progress.journals;
                let reached = journals.entry(before.journal).or_default();
                let last = reached.entry(keyspace).or_default();
                *last = before.sequence.max(*last);
            }
        }
        noted.progress.write(&self.progress).map_err(failed)
    }

    /// Looks whether the engine began another journal, and forgets those that it removed.
    fn follow(&self, noted: &mut Noted) {
        let path = |journal: u64| self.path.join(format!("{journal}.jnl"));
        while path(noted.journal + 1).exists() {
            noted.journal += 1;
            // The folder may be open to others, which the umask decides.
            restrict(&path(noted.journal)).ok();
        }
        if noted.progress.journals.len() > 1 {
            noted.progress.journals.retain(|id, _| path(*id).exists());
        }
    }

    /// Notes which keyspaces there are, by number and name, and which are about to go.
    pub(crate) fn keyspaces(
        &self,
        names: impl IntoIterator<Item = (u64, String)>,
        dropping: Option<u64>,
    ) -> Result<()> {
        let mut guard = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = &mut *guard;
        noted.names = names.into_iter().collect();
        noted.names.insert(META_KEYSPACE, String::new());
        noted.dropped.extend(dropping);
        let is_here = |id: &u64| self.path.join(KEYSPACES).join(id.to_string()).exists();
        noted.dropped.retain(is_here);
        noted.names.retain(|id, _| !noted.dropped.contains(id));
        drop(guard);
        self.write_record()
    }

    /// Writes the record of a store that is open.
    fn write_record(&self) -> Result<()> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = record_of(&self.path, &noted.names, &noted.dropped, State::Open)?;
        record.journals.clone_from(&noted.journals);
        record.opened = FolderId::of(&self.path);
        let written = record.write(&self.path);
        written.map_err(|error| io_error("writing to the store in", &self.path, &error))
    }
}

/// The record of what there is in a folder, without its journals.
pub(crate) fn record_of(
    path: &Path,
    names: &BTreeMap<u64, String>,
    dropped: &BTreeSet<u64>,
    state: State,
) -> Result<Record> {
    let mut record = Record::new(state);
    record.dropped.clone_from(dropped);
    for (id, name) in names {
        let tree = read_tree(path, *id)?;
        let current: BTreeSet<u64> = tree.tables.iter().map(|table| table.id).collect();
        let found = table_files(path, *id)?;
        let found = found.into_iter().filter_map(|(_, number)| number);
        let known = KeyspaceRecord {
            name: name.clone(),
            version: tree.version,
            checksum: format!("{:032x}", tree.checksum),
            leftovers: found.filter(|id| !current.contains(id)).collect(),
        };
        record.keyspaces.insert(*id, known);
    }
    Ok(record)
}

/// The journals in a folder, with what they hold.
pub(crate) fn journal_records(path: &Path) -> Result<BTreeMap<u64, JournalRecord>> {
    let failed = |error| io_error("reading", path, &error);
    let mut journals = BTreeMap::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jnl"));
        if let Some(journal) = number.and_then(|number| number.parse().ok()) {
            journals.insert(journal, journal_record(path, journal)?);
        }
    }
    Ok(journals)
}

fn journal_record(path: &Path, journal: u64) -> Result<JournalRecord> {
    let path = path.join(format!("{journal}.jnl"));
    let recorded = || -> io::Result<JournalRecord> {
        let file = File::open(&path)?;
        let walk = walk(&file)?;
        let hash = hash_prefix(&file, walk.bytes)?.unwrap_or_default();
        Ok(JournalRecord {
            bytes: walk.bytes,
            checksum: format!("{hash:016x}"),
            reached: walk.reached,
        })
    };
    recorded().map_err(|error| io_error("reading", &path, &error))
}

fn current_version(keyspace: &Path) -> io::Result<u64> {
    let bytes = std::fs::read(keyspace.join(CURRENT))?;
    let version = bytes.first_chunk().copied().map(u64::from_le_bytes);
    version.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// Makes every file of the store private, whatever the umask made of it.
pub(crate) fn restrict_all(path: &Path) -> io::Result<()> {
    let each = |folder: &Path| -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            restrict(&entry?.path())?;
        }
        Ok(())
    };
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_journal = name
            .strip_suffix(".jnl")
            .is_some_and(|it| it.parse::<u64>().is_ok());
        let is_ours = [
            RECORD,
            PROGRESS,
            LOCK,
            ENGINE_LOCK,
            ENGINE_VERSION,
            KEYSPACES,
        ];
        if is_journal || is_ours.contains(&&*name) {
            restrict(&entry.path())?;
        }
    }
    let keyspaces = path.join(KEYSPACES);
    for entry in std::fs::read_dir(&keyspaces)? {
        let keyspace = entry?.path();
        restrict(&keyspace)?;
        each(&keyspace)?;
        if keyspace.join(TABLES).is_dir() {
            each(&keyspace.join(TABLES))?;
        }
    }
    Ok(())
}

impl Drop for Held {
    /// Writes that the store was closed. If that fails it counts as left by a process that died.
    fn drop(&mut self) {
        restrict_all(&self.path).ok();
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = || -> Result<Record> {
            let mut record = record_of(&self.path, &noted.names, &noted.dropped, State::Closed)?;
            record.journals = journal_records(&self.path)?;
            Ok(record)
        };
        if let Ok(record) = closed() {
            record.write(&self.path).ok();
        }
    }
}
