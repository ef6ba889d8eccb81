//! Reading every part of a store, to say what of it is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;

use bytes::Bytes;
use fjall::{AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions};
use rowmill_model::RowMutation;
use rowmill_store::{Error, ErrorKind, Result};
use xxhash_rust::xxh3::xxh3_128;

use crate::entry::{self, Place};
use crate::folder::{self, COPIED_WHILE_OPEN, KEYSPACES, RECORD, Record, TABLES, TableFile};
use crate::open::open_mirror;
use crate::store::EmbeddedStore;

/// What was looked at, and how much of it is damaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Table files that were read from end to end.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries that were decoded, those in the journals included.
    pub entries: u64,
    /// How much damage was found.
    pub damaged: u64,
}

/// A part of a store that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The table that it belongs to, if it is known.
    pub table: Option<String>,
    /// The file within the store's folder, if it is known.
    pub file: Option<String>,
    /// Where in the file.
    pub offset: Option<u64>,
    /// The key of the entry.
    pub key: Option<Vec<u8>>,
    /// What is wrong.
    pub what: String,
}

impl EmbeddedStore {
    /// Reads every block of every table file and every entry of the store in `folder`, and changes nothing.
    ///
    /// Goes on after damage, which it gives to `each`, until there is nothing more or it is to stop.
    pub fn check(
        folder: impl AsRef<Path>,
        is_stopped: &dyn Fn() -> bool,
        each: &mut dyn FnMut(Damage),
    ) -> Result<CheckReport> {
        let folder = folder.as_ref();
        let record = match Record::read(folder) {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                each(Damage {
                    table: None,
                    file: Some(RECORD.to_owned()),
                    offset: None,
                    key: None,
                    what: error.to_string(),
                });
                return Ok(CheckReport {
                    damaged: 1,
                    ..CheckReport::default()
                });
            }
            record => record?,
        };
        let _lock = folder::lock_shared(folder)?;
        let is_copy_of_open = record.is_copy_of_open(folder);
        let mut check = Check {
            folder,
            names: names(&record),
            damaged_keyspaces: BTreeSet::new(),
            report: CheckReport::default(),
            is_stopped,
            each,
        };
        for keyspace in record.keyspaces.keys() {
            check.files(*keyspace)?;
        }
        check.entries()?;
        if is_copy_of_open {
            check.damage(None, Some(RECORD.to_owned()), None, COPIED_WHILE_OPEN);
        }
        Ok(check.report)
    }
}

/// The names of the tables, by keyspace.
fn names(record: &Record) -> BTreeMap<u64, String> {
    let keyspaces = record.keyspaces.iter();
    keyspaces
        .map(|(id, known)| {
            let name = known.name.strip_prefix("table.").unwrap_or(&known.name);
            let name = if name.is_empty() {
                "the engine's own"
            } else {
                name
            };
            (*id, name.to_owned())
        })
        .collect()
}

struct Check<'a> {
    folder: &'a Path,
    names: BTreeMap<u64, String>,
    damaged_keyspaces: BTreeSet<u64>,
    report: CheckReport,
    is_stopped: &'a dyn Fn() -> bool,
    each: &'a mut dyn FnMut(Damage),
}

impl Check<'_> {
    fn damage(
        &mut self,
        keyspace: Option<u64>,
        file: Option<String>,
        offset: Option<u64>,
        what: &str,
    ) {
        self.report.damaged += 1;
        self.damaged_keyspaces.extend(keyspace);
        (self.each)(Damage {
            table: keyspace.and_then(|id| self.names.get(&id).cloned()),
            file,
            offset,
            key: None,
            what: what.to_owned(),
        });
    }

    /// Compares every table file of a keyspace with its checksum.
    fn files(&mut self, keyspace: u64) -> Result<()> {
        let tree = match folder::read_tree(self.folder, keyspace) {
            Ok(tree) => tree,
            Err(error) => return self.found(Some(keyspace), error),
        };
        for table in &tree.tables {
            if (self.is_stopped)() {
                return Err(stopped());
            }
            self.file(keyspace, *table)?;
        }
        Ok(())
    }

    fn file(&mut self, keyspace: u64, table: TableFile) -> Result<()> {
        let name = format!("{KEYSPACES}/{keyspace}/{TABLES}/{}", table.id);
        let path = self.folder.join(&name);
        let file = match folder::open_to_read(self.folder, &path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.damage(Some(keyspace), Some(name), None, "the file is missing");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let checksum = folder::checksum(&file);
        let checksum = checksum.map_err(|error| folder::io_error("reading", &path, &error));
        self.report.files += 1;
        self.report.bytes += file.metadata().map_or(0, |metadata| metadata.len());
        let is_sound = match checksum {
            Ok(checksum) => checksum == table.checksum,
            Err(error) => {
                self.damage(Some(keyspace), Some(name), None, &error.to_string());
                return Ok(());
            }
        };
        if is_sound {
            return Ok(());
        }
        let bytes = std::fs::read(&path);
        let bytes = bytes.map_err(|error| folder::io_error("reading", &path, &error))?;
        let places = damaged_blocks(&bytes);
        if places.is_empty() {
            let what = "the file does not match its checksum";
            self.damage(Some(keyspace), Some(name), None, what);
            return Ok(());
        }
        for place in places {
            let what = "a block does not match its checksum";
            self.damage(Some(keyspace), Some(name.clone()), Some(place), what);
        }
        Ok(())
    }

    /// An error is damage, unless it is of another kind.
    fn found(&mut self, keyspace: Option<u64>, error: Error) -> Result<()> {
        if error.kind() != ErrorKind::Corrupt {
            return Err(error);
        }
        self.damage(keyspace, None, None, &error.to_string());
        Ok(())
    }

    /// Decodes every entry, as far as the store can be opened.
    fn entries(&mut self) -> Result<()> {
        let opened =
            folder::inspect(self.folder).and_then(|parts| open_mirror(self.folder, &parts));
        let (database, _mirror) = match opened {
            Ok(opened) => opened,
            // What was found already says more.
            Err(error) if error.kind() == ErrorKind::Corrupt && self.report.damaged > 0 => {
                return Ok(());
            }
            Err(error) => return self.found(None, error),
        };
        if let Err(error) = crate::catalog::Catalog::open(&database).and_then(|it| it.tables()) {
            self.found(None, error)?;
        }
        for keyspace in keyspaces(&database)? {
            if self.damaged_keyspaces.contains(&keyspace.id()) {
                self.sound_tables(&keyspace);
            } else {
                self.keyspace(&keyspace);
            }
            if (self.is_stopped)() {
                return Err(stopped());
            }
        }
        Ok(())
    }

    /// Decodes what is in the keyspace, in tables and in the journal.
    fn keyspace(&mut self, keyspace: &Keyspace) {
        let is_table = keyspace.name().starts_with("table.");
        for guard in keyspace.iter() {
            if (self.is_stopped)() {
                return;
            }
            match guard.into_inner() {
                Ok((key, value)) => self.entry(keyspace.id(), is_table, &key, &value.into()),
                Err(error) => {
                    let error = crate::error::engine("reading an entry", error);
                    self.damage(Some(keyspace.id()), None, None, &error.to_string());
                    return;
                }
            }
        }
    }

    /// Decodes the table files of a damaged keyspace one by one, each as far as it goes.
    fn sound_tables(&mut self, keyspace: &Keyspace) {
        let is_table = keyspace.name().starts_with("table.");
        for table in keyspace.tree.current_version().iter_tables() {
            for entry in table.iter().map_while(std::result::Result::ok) {
                if (self.is_stopped)() {
                    return;
                }
                let (key, value) = (&entry.key.user_key, entry.value.clone());
                if !entry.is_tombstone() {
                    self.entry(keyspace.id(), is_table, key, &value.into());
                }
            }
        }
    }

    fn entry(&mut self, keyspace: u64, is_table: bool, key: &[u8], value: &Bytes) {
        self.report.entries += 1;
        if !is_table || is_sound(key, value) {
            return;
        }
        self.report.damaged += 1;
        (self.each)(Damage {
            table: self.names.get(&keyspace).cloned(),
            file: None,
            offset: None,
            key: Some(key.to_vec()),
            what: "the entry cannot be decoded".to_owned(),
        });
    }
}

/// The error of work that was to stop.
pub(crate) fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "stopped before its end")
}

/// True if an entry holds a mutation, or a piece of one.
fn is_sound(key: &[u8], value: &Bytes) -> bool {
    let (Some(place), Some((_, ops))) = (Place::of(key), entry::split_value(value)) else {
        return false;
    };
    let row_key = entry::unescape(&key[..place.row_bytes]);
    place.number > 0
        || entry::pieces(&ops).is_some()
        || RowMutation::from_bytes(&row_key, &ops).is_ok()
}

fn keyspaces(database: &Database) -> Result<Vec<Keyspace>> {
    let names = database.list_keyspace_names().into_iter();
    let keyspaces = names.map(|name| {
        let opened = database.keyspace(&name, KeyspaceCreateOptions::default);
        opened.map_err(|error| crate::error::engine("opening a table", error))
    });
    keyspaces.collect()
}

/// The sections of a table file that consist of blocks.
const BLOCK_SECTIONS: [&[u8]; 6] = [b"data", b"index", b"tli", b"filter", b"filter_tli", b"meta"];

const BLOCK_MAGIC: &[u8] = b"LSM\x03";
/// Magic, kind, checksum, length, unpacked length; then a checksum of these.
const BLOCK_HEADER_BYTES: usize = 4 + 1 + 16 + 4 + 4;
const HEADER_CHECKSUM_BYTES: usize = 4;

/// Where the blocks of a table file begin that do not match their checksums.
fn damaged_blocks(file: &[u8]) -> Vec<u64> {
    let sections = match sfa::Reader::from_reader(&mut Cursor::new(file)) {
        Ok(reader) => {
            let sections = reader.toc().iter();
            let sections = sections.filter(|it| BLOCK_SECTIONS.contains(&it.name()));
            sections
                .map(|it| (it.pos(), it.pos().saturating_add(it.len())))
                .collect()
        }
        Err(_) => vec![(0, file.len() as u64)],
    };
    let mut damaged = Vec::new();
    for (start, end) in sections {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(file.len());
        let mut at = place(start);
        let end = place(end);
        while at < end {
            match block_end(&file[at..end]) {
                Some((length, true)) => at += length,
                block => {
                    damaged.push(at as u64);
                    let from = at + block.map_or(BLOCK_MAGIC.len(), |(length, _)| length);
                    at = next_block(&file[..end], from);
                }
            }
        }
    }
    damaged
}

/// How long the block is that begins here, and whether it matches its checksum; none if its header does not.
fn block_end(bytes: &[u8]) -> Option<(usize, bool)> {
    let header = bytes.get(..BLOCK_HEADER_BYTES)?;
    let start = BLOCK_HEADER_BYTES + HEADER_CHECKSUM_BYTES;
    let header_checksum = bytes.get(BLOCK_HEADER_BYTES..start)?;
    let is_header = header.starts_with(BLOCK_MAGIC)
        && xxh3_128(header).to_le_bytes()[..HEADER_CHECKSUM_BYTES] == *header_checksum;
    if !is_header {
        return None;
    }
    let checksum = u128::from_le_bytes(header[5..21].try_into().ok()?);
    let length = u32::from_le_bytes(header[21..25].try_into().ok()?) as usize;
    let end = start + length;
    let is_sound = bytes
        .get(start..end)
        .is_some_and(|data| xxh3_128(data) == checksum);
    Some((end.min(bytes.len()), is_sound))
}

/// The next place at or after `from` that may be the beginning of a block.
fn next_block(file: &[u8], from: usize) -> usize {
    let rest = file.get(from..).unwrap_or_default();
    let found = rest
        .windows(BLOCK_MAGIC.len())
        .position(|it| it == BLOCK_MAGIC);
    found.map_or(file.len(), |found| from + found)
}
