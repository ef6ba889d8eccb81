//! Entries of one size, any number of them: in partitions by their first byte, each of which fits into memory when its turn comes.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::{Room, Spool};
use crate::error::Error;

/// The number of partitions. Of a thousand million entries of 16 bytes, each is 62 MB.
pub(crate) const PARTITIONS: usize = 256;

/// A partition's entries go to its spool when they are so many bytes. Those of all partitions take a megabyte.
const GATHERED_BYTES: usize = 4 << 10;

/// Entries of `N` bytes, of which memory holds as many as there is room for. Within a partition they are in the order in which they came.
#[derive(Debug)]
pub(crate) struct Partitions<const N: usize>(Vec<Mutex<Spool>>);

impl<const N: usize> Partitions<N> {
    pub(crate) fn new(room: &Room) -> Self {
        let spool = || Mutex::new(Spool::new(room));
        Self(std::iter::repeat_with(spool).take(PARTITIONS).collect())
    }

    /// A gatherer; several may work side by side.
    pub(crate) fn gather(&self) -> Gathered<'_, N> {
        Gathered {
            all: self,
            open: vec![Vec::new(); PARTITIONS],
        }
    }

    /// Calls `each` with the entries of a partition, some at a time.
    pub(crate) fn each(
        &self,
        partition: usize,
        mut each: impl FnMut(&[[u8; N]]),
    ) -> Result<(), Error> {
        let spool = self.0[partition]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut at = 0;
        while let Some(chunk) = spool.chunk(at)? {
            each(chunk.as_chunks().0);
            at += 1;
        }
        Ok(())
    }
}

/// Gathers entries.
pub(crate) struct Gathered<'a, const N: usize> {
    all: &'a Partitions<N>,
    open: Vec<Vec<u8>>,
}

impl<const N: usize> Gathered<'_, N> {
    pub(crate) fn add(&mut self, entry: [u8; N]) -> Result<(), Error> {
        let partition = usize::from(entry[0]);
        let open = &mut self.open[partition];
        open.extend_from_slice(&entry);
        if open.len() >= GATHERED_BYTES {
            self.put(partition)?;
        }
        Ok(())
    }

    /// Hands over the rest.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        (0..PARTITIONS).try_for_each(|partition| self.put(partition))
    }

    fn put(&mut self, partition: usize) -> Result<(), Error> {
        let open = &mut self.open[partition];
        if open.is_empty() {
            return Ok(());
        }
        let mut spool = self.all.0[partition]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        spool.push(Bytes::copy_from_slice(open))?;
        open.clear();
        Ok(())
    }
}
