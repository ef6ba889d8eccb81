//! Hashes of row keys, any number of them: in partitions, each of which fits into memory when its turn comes.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::Error;
use crate::spool::{Room, Spool};

/// Into so many parts, by their first byte: a thousand million hashes are 62 MB each.
pub(super) const PARTITIONS: usize = 256;

/// A partition's hashes go to its spool when there are so many. Those of all partitions take a megabyte.
const GATHERED_MAX: usize = 256;

const HASH_BYTES: usize = size_of::<u128>();

/// The hash of a row key. Two of 2^64 keys have the same with a chance of one in two.
pub(super) fn hash_of(key: &[u8]) -> u128 {
    xxh3_128(key)
}

/// Hashes of keys, of which memory holds as many as there is room for.
#[derive(Debug)]
pub(super) struct KeyHashes {
    partitions: Vec<Mutex<Spool>>,
}

impl KeyHashes {
    pub(super) fn new(room: &Room) -> Self {
        let spool = || Mutex::new(Spool::new(room));
        Self {
            partitions: std::iter::repeat_with(spool).take(PARTITIONS).collect(),
        }
    }

    /// What gathers some of them, beside others that do.
    pub(super) fn gather(&self) -> Gathered<'_> {
        Gathered {
            all: self,
            open: vec![Vec::new(); PARTITIONS],
        }
    }

    /// Calls `each` with the hashes of a partition, some at a time.
    fn each(
        &self,
        partition: usize,
        mut each: impl FnMut(&[[u8; HASH_BYTES]]),
    ) -> Result<(), Error> {
        let spool = &self.partitions[partition];
        let spool = spool.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = 0;
        while let Some(chunk) = spool.chunk(at)? {
            each(chunk.as_chunks().0);
            at += 1;
        }
        Ok(())
    }

    /// Those of a partition that are not among `others`.
    pub(super) fn without(&self, others: &Self, partition: usize) -> Result<Vec<u128>, Error> {
        let mut known: HashSet<u128> = HashSet::new();
        others.each(partition, |hashes| {
            known.extend(hashes.iter().copied().map(u128::from_be_bytes));
        })?;
        let mut missing = Vec::new();
        self.each(partition, |hashes| {
            let hashes = hashes.iter().copied().map(u128::from_be_bytes);
            missing.extend(hashes.filter(|hash| !known.contains(hash)));
        })?;
        Ok(missing)
    }
}

/// Gathers hashes.
pub(super) struct Gathered<'a> {
    all: &'a KeyHashes,
    open: Vec<Vec<u8>>,
}

impl Gathered<'_> {
    /// Adds a key's.
    pub(super) fn add(&mut self, key: &[u8]) -> Result<(), Error> {
        let hash = hash_of(key).to_be_bytes();
        let partition = usize::from(hash[0]);
        let open = &mut self.open[partition];
        open.extend_from_slice(&hash);
        if open.len() >= GATHERED_MAX * HASH_BYTES {
            self.put(partition)?;
        }
        Ok(())
    }

    /// Hands over the rest.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        (0..PARTITIONS).try_for_each(|partition| self.put(partition))
    }

    fn put(&mut self, partition: usize) -> Result<(), Error> {
        let open = &mut self.open[partition];
        if open.is_empty() {
            return Ok(());
        }
        let spool = &self.all.partitions[partition];
        let mut spool = spool.lock().unwrap_or_else(PoisonError::into_inner);
        spool.push(Bytes::copy_from_slice(open))?;
        open.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyHashes, PARTITIONS, hash_of};
    use crate::spool::Room;

    fn hashes(room: &Room, keys: impl Iterator<Item = u32>) -> KeyHashes {
        let hashes = KeyHashes::new(room);
        let mut gathered = hashes.gather();
        keys.for_each(|key| gathered.add(&key.to_be_bytes()).unwrap());
        gathered.finish().unwrap();
        hashes
    }

    /// More than memory holds, and than a partition hands over at once.
    #[test]
    fn what_is_missing_is_found() {
        let room = Room::new(100_000);
        let facts = hashes(&room, (0..100_000).filter(|key| key % 1_000 != 7));
        let rows = hashes(&room, 0..100_000);
        let missing = (0..PARTITIONS).map(|it| rows.without(&facts, it).unwrap());
        let mut missing: Vec<u128> = missing.flatten().collect();
        missing.sort_unstable();
        let expected = (0..100_u32).map(|it| hash_of(&(it * 1_000 + 7).to_be_bytes()));
        let mut expected: Vec<u128> = expected.collect();
        expected.sort_unstable();
        assert_eq!(missing, expected);
        let none = (0..PARTITIONS).all(|it| facts.without(&rows, it).unwrap().is_empty());
        assert!(none);
    }
}
