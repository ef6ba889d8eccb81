//! Partials: the groups of one period in the order of their keys, in chunks of bounded size.
//!
//! A partial is what an hour, a day, a week or a shard leaves behind for those that roll it up: read from one end to the other, never
//! looked into. Where one chunk ends and the next begins follows from the groups alone, so the same groups are the same bytes.
//!
//! ```text
//! chunk   format:u8 fingerprint:u64be group*
//! group   len:varint key len:varint state
//! key     dimension:u16be value
//! ```

use bytes::Bytes;

use crate::bucket::StateError;
use crate::bytes::{Reader, push_varint};

/// The version of a chunk's bytes.
const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 9;

/// A chunk ends with the group that makes it as large as this.
pub const CHUNK_BYTES: usize = 256 << 10;

/// What a chunk begins with.
pub(crate) fn head(fingerprint: u64) -> [u8; HEAD_BYTES] {
    let mut head = [FORMAT; HEAD_BYTES];
    head[1..].copy_from_slice(&fingerprint.to_be_bytes());
    head
}

/// Writes a partial.
#[derive(Debug)]
pub struct PartialWriter {
    fingerprint: u64,
    open: Vec<u8>,
    /// Chunks that are complete.
    done: Vec<Bytes>,
}

impl PartialWriter {
    /// An empty partial of a plan with this fingerprint.
    pub(crate) fn new(fingerprint: u64) -> Self {
        Self {
            fingerprint,
            open: Vec::new(),
            done: Vec::new(),
        }
    }

    /// Adds a group, whose key must be above all before.
    pub fn push(&mut self, key: &[u8], state: &[u8]) {
        if self.open.is_empty() {
            self.open.extend_from_slice(&head(self.fingerprint));
        }
        for part in [key, state] {
            push_varint(&mut self.open, part.len() as u64);
            self.open.extend_from_slice(part);
        }
        if self.open.len() >= CHUNK_BYTES {
            self.close();
        }
    }

    /// True if there are chunks to be handed out.
    pub(crate) fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// Hands out the chunks that are complete.
    pub fn take_done(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.done)
    }

    /// Hands out the rest.
    pub fn finish(mut self) -> Vec<Bytes> {
        self.close();
        self.done
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            // A copy, because what grew by doubling keeps up to twice its length.
            self.done.push(Bytes::copy_from_slice(&self.open));
            self.open.clear();
        }
    }
}

/// Reads the groups of one chunk.
#[derive(Debug, Clone)]
pub(crate) struct ChunkReader {
    chunk: Bytes,
    at: usize,
}

/// Where a group's key and state lie in its chunk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GroupAt {
    key: (usize, usize),
    state: (usize, usize),
}

impl ChunkReader {
    pub(crate) fn new(chunk: Bytes, fingerprint: u64) -> Result<Self, StateError> {
        if !chunk.starts_with(&head(fingerprint)) {
            return Err(StateError::OtherPlan);
        }
        Ok(Self {
            chunk,
            at: HEAD_BYTES,
        })
    }

    /// The key of the first group.
    pub(crate) fn first_key(&self) -> Result<&[u8], StateError> {
        let first = self.clone().next()?.ok_or(StateError::Malformed)?;
        Ok(self.key(first))
    }

    /// The next group; none at the chunk's end.
    pub(crate) fn next(&mut self) -> Result<Option<GroupAt>, StateError> {
        if self.at == self.chunk.len() {
            return Ok(None);
        }
        let key = self.part().ok_or(StateError::Malformed)?;
        let state = self.part().ok_or(StateError::Malformed)?;
        Ok(Some(GroupAt { key, state }))
    }

    pub(crate) fn key(&self, at: GroupAt) -> &[u8] {
        &self.chunk[at.key.0..at.key.1]
    }

    pub(crate) fn state(&self, at: GroupAt) -> &[u8] {
        &self.chunk[at.state.0..at.state.1]
    }

    fn part(&mut self) -> Option<(usize, usize)> {
        let mut reader = Reader(&self.chunk[self.at..]);
        let length = reader.count()?;
        let start = self.chunk.len() - reader.0.len();
        reader.take(length)?;
        self.at = start + length;
        Some((start, self.at))
    }
}
