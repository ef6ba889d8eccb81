//! What was acknowledged since the store was opened: how far each journal and each tree has to reach.
//!
//! Written before a write is acknowledged, with one call and without a sync, in one of two places by turns. A process that is
//! killed leaves it as it was; after a loss of power it may be older than what is there, never newer.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use rowmill_store::Result;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{PROGRESS, create_private, damaged, read_whole, write_atomic};

/// How far apart the two places are. A place holds some hundred bytes.
const PLACE_BYTES: usize = 64 << 10;
const HEADER_BYTES: usize = 16;

/// How far a store has to reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Grows with each writing.
    turn: u64,
    /// For each keyspace the number of its manifest.
    pub(crate) versions: BTreeMap<u64, u64>,
    /// For each journal, and each keyspace in it, the number of its last batch; or a lower one.
    pub(crate) journals: BTreeMap<u64, BTreeMap<u64, u64>>,
}

impl Progress {
    /// How far a store reaches that was looked at.
    pub(crate) fn new(
        versions: BTreeMap<u64, u64>,
        journals: BTreeMap<u64, BTreeMap<u64, u64>>,
    ) -> Self {
        Self {
            turn: 0,
            versions,
            journals,
        }
    }

    /// The newer of the two that can be read.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let bytes = read_whole(folder, PROGRESS)?;
        let places = [Some(&bytes[..]), bytes.get(PLACE_BYTES..)];
        let readable = places.into_iter().flatten().filter_map(decode);
        readable
            .max_by_key(|progress| progress.turn)
            .ok_or_else(|| damaged(folder, &format!("its `{PROGRESS}` cannot be read")))
    }

    /// Begins a new file, in place of the one that there is, and gives it to be written to.
    pub(crate) fn begin(&self, folder: &Path) -> io::Result<File> {
        debug_assert_eq!(self.turn, 0, "the first is in the first place");
        write_atomic(folder, PROGRESS, &self.encode())?;
        create_private(&folder.join(PROGRESS))
    }

    /// Writes over the older of the two.
    pub(crate) fn write(&mut self, file: &File) -> io::Result<()> {
        self.turn += 1;
        let bytes = self.encode();
        if bytes.len() > PLACE_BYTES {
            return Err(io::Error::other("there are too many journals"));
        }
        write_at(file, &bytes, self.turn % 2 * PLACE_BYTES as u64)
    }

    fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).expect("numbers are JSON");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
        bytes.extend_from_slice(&xxh3_64(&body).to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }
}

fn decode(bytes: &[u8]) -> Option<Progress> {
    let (hash, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let body = rest.get(..length)?;
    if xxh3_64(body) != u64::from_le_bytes(*hash) {
        return None;
    }
    serde_json::from_slice(body).ok()
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
    io::Write::write_all(&mut file, bytes)
}
