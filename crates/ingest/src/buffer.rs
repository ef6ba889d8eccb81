//! Bytes that were read and are not yet in a chunk.

use std::io::{self, Read};

use crate::recycled::{Bytes, Recycled};

/// A queue of bytes that is one slice. Taking some from its front moves the smaller part, so that it costs no more than what is taken.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// The bytes, behind those that were taken.
    bytes: Vec<u8>,
    taken: usize,
    recycled: Recycled,
    /// How many bytes were moved so far.
    pub(crate) moved: u64,
}

impl Buffer {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Appends `missing` bytes of `input`, or fewer if it ends. Says how many there were.
    pub(crate) fn fill(&mut self, input: &mut impl Read, missing: usize) -> io::Result<usize> {
        if missing == 0 {
            return Ok(0);
        }
        self.close_gap();
        // `read_to_end` looks for the end of the input in one byte more.
        self.bytes.reserve(missing + 1);
        input.take(missing as u64).read_to_end(&mut self.bytes)
    }

    /// Removes the first `count` bytes and gives them.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        let rest = self.bytes().len() - count;
        let mut other = self.recycled.vector();
        // Room was made for a whole chunk, and a small file is a small one: many may wait to be written.
        let is_full = self.bytes.capacity() <= 2 * count;
        if self.taken == 0 && rest <= count && is_full {
            other.extend_from_slice(&self.bytes[count..]);
            self.moved += rest as u64;
            self.bytes.truncate(count);
            std::mem::swap(&mut self.bytes, &mut other);
        } else {
            other.reserve_exact(count);
            other.extend_from_slice(&self.bytes()[..count]);
            self.moved += count as u64;
            self.taken += count;
        }
        self.recycled.bytes(other)
    }

    /// Moves the bytes to the front, once at least as many were taken.
    fn close_gap(&mut self) {
        let kept = self.bytes().len();
        if self.taken >= kept {
            self.moved += kept as u64;
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }
}
