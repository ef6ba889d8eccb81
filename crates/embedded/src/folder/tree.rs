//! A keyspace's tree on disk: its current manifest, and the table files that it names.

use std::io::Cursor;
use std::path::Path;

use rowmill_store::Result;
use xxhash_rust::xxh3::xxh3_128;

use super::{CURRENT, KEYSPACES, damaged, read_whole};

/// What the current manifest of a tree says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    /// The number of the manifest.
    pub(crate) version: u64,
    /// The checksum of the manifest.
    pub(crate) checksum: u128,
    /// The table files, in the order of the levels.
    pub(crate) tables: Vec<TableFile>,
}

/// A table file that a manifest names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableFile {
    pub(crate) id: u64,
    /// The checksum of the whole file.
    pub(crate) checksum: u128,
}

/// `current`: the manifest's number and checksum, and the kind of the checksum.
const CURRENT_BYTES: usize = 8 + 16 + 1;

/// Reads the tree of a keyspace, and checks the manifest against its checksum.
pub(crate) fn read_tree(folder: &Path, keyspace: u64) -> Result<Tree> {
    let name = format!("{KEYSPACES}/{keyspace}/{CURRENT}");
    let current = read_whole(folder, &name)?;
    let unreadable = |name: &str| damaged(folder, &format!("its `{name}` cannot be read"));
    let current: &[u8; CURRENT_BYTES] = current
        .as_slice()
        .try_into()
        .map_err(|_| unreadable(&name))?;
    let mut fields = Fields(current);
    let version = fields.u64().ok_or_else(|| unreadable(&name))?;
    let checksum = fields.u128().ok_or_else(|| unreadable(&name))?;
    if fields.u8() != Some(0) {
        return Err(unreadable(&name));
    }
    let name = format!("{KEYSPACES}/{keyspace}/v{version}");
    let manifest = read_whole(folder, &name)?;
    if xxh3_128(&manifest) != checksum {
        return Err(unreadable(&name));
    }
    let tables = tables(&manifest).ok_or_else(|| unreadable(&name))?;
    Ok(Tree {
        version,
        checksum,
        tables,
    })
}

/// The table files that a manifest names: for each level its runs, and for each run its tables.
fn tables(manifest: &[u8]) -> Option<Vec<TableFile>> {
    let reader = sfa::Reader::from_reader(&mut Cursor::new(manifest)).ok()?;
    let section = reader.toc().section(b"tables")?;
    let start = usize::try_from(section.pos()).ok()?;
    let end = start.checked_add(usize::try_from(section.len()).ok()?)?;
    let mut fields = Fields(manifest.get(start..end)?);
    let mut tables = Vec::new();
    for _ in 0..fields.u8()? {
        for _ in 0..fields.u8()? {
            for _ in 0..fields.u32()? {
                let id = fields.u64()?;
                let _kind = fields.u8()?;
                let checksum = fields.u128()?;
                let _sequence = fields.u64()?;
                tables.push(TableFile { id, checksum });
            }
        }
    }
    Some(tables)
}

/// Little-endian numbers, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }
}
