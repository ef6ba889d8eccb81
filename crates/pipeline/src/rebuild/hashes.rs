//! Hashes of row keys, any number of them.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_128;

use crate::error::Error;
use crate::spool::{Partitions, Room};

const HASH_BYTES: usize = size_of::<u128>();

/// The hash of a row key. Two of 2^64 keys have the same with a chance of one in two.
pub(super) fn hash_of(key: &[u8]) -> u128 {
    xxh3_128(key)
}

/// Hashes of keys, of which memory holds as many as there is room for.
#[derive(Debug)]
pub(super) struct KeyHashes(Partitions<HASH_BYTES>);

impl KeyHashes {
    pub(super) fn new(room: &Room) -> Self {
        Self(Partitions::new(room))
    }

    /// What gathers some of them, beside others that do.
    pub(super) fn gather(&self) -> Gathered<'_> {
        Gathered(self.0.gather())
    }

    /// Those of a partition that are not among `others`.
    pub(super) fn without(&self, others: &Self, partition: usize) -> Result<Vec<u128>, Error> {
        let mut known: HashSet<u128> = HashSet::new();
        others.0.each(partition, |hashes| {
            known.extend(hashes.iter().copied().map(u128::from_be_bytes));
        })?;
        let mut missing = Vec::new();
        self.0.each(partition, |hashes| {
            let hashes = hashes.iter().copied().map(u128::from_be_bytes);
            missing.extend(hashes.filter(|hash| !known.contains(hash)));
        })?;
        Ok(missing)
    }
}

/// Gathers hashes.
pub(super) struct Gathered<'a>(crate::spool::Gathered<'a, HASH_BYTES>);

impl Gathered<'_> {
    /// Adds a key's.
    pub(super) fn add(&mut self, key: &[u8]) -> Result<(), Error> {
        self.0.add(hash_of(key).to_be_bytes())
    }

    /// Hands over the rest.
    pub(super) fn finish(self) -> Result<(), Error> {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyHashes, hash_of};
    use crate::spool::{PARTITIONS, Room};

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
