//! A bounded sample of keys that come one after the other.

use std::collections::BTreeSet;

/// How many keys are kept, beside the latest.
const KEYS_MAX: usize = 64;

/// The first key, the latest, and some in between: as many of each time.
#[derive(Debug, Default)]
pub(super) struct Sample {
    kept: Vec<Vec<u8>>,
    latest: Option<Vec<u8>>,
    /// How many there were.
    count: usize,
    /// One key of two to this power is kept.
    doublings: u32,
}

impl Sample {
    /// Takes a key; most are forgotten again.
    pub(super) fn add(&mut self, key: Vec<u8>) {
        if self.count.is_multiple_of(1 << self.doublings) {
            self.kept.push(key.clone());
        }
        self.count += 1;
        self.latest = Some(key);
        if self.kept.len() > KEYS_MAX {
            let mut place = 0;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.doublings += 1;
        }
    }

    /// The first key and the latest.
    pub(super) fn first_and_latest(&self) -> BTreeSet<Vec<u8>> {
        let ends = self.kept.first().into_iter().chain(&self.latest);
        ends.cloned().collect()
    }

    /// All that are kept.
    pub(super) fn all(&self) -> BTreeSet<Vec<u8>> {
        self.kept.iter().chain(&self.latest).cloned().collect()
    }
}
