//! Duplicates within a run: which identities were seen, in bounded memory.

use std::hash::{BuildHasherDefault, Hasher};

use std::collections::HashSet;
use xxhash_rust::xxh3::Xxh3;

/// What makes two records the same event, as 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(u128);

impl Identity {
    /// The identity of an event whose own id says what it is: its user and that id, whatever time it carries.
    pub fn natural(user_id: &str, event_id: &str) -> Self {
        let mut hash = Xxh3::new();
        hash.update(&(user_id.len() as u64).to_be_bytes());
        hash.update(user_id.as_bytes());
        hash.update(event_id.as_bytes());
        Self(hash.digest128())
    }

    /// The identity of an event whose id is a hash: a hash of its row key.
    pub fn of_hash(key_hash: u128) -> Self {
        Self(key_hash)
    }
}

/// The identities a run has seen.
///
/// Exact for the last `window` distinct identities at least, and twice as many at most. When that is full the older half
/// is forgotten; an identity that comes back after that is new again. Nothing is stored twice even then, because the
/// event is written to the row that it already has; only the ledger calls it written instead of duplicate.
#[derive(Debug)]
pub struct Seen {
    window: usize,
    recent: Set,
    older: Set,
}

type Set = HashSet<Identity, BuildHasherDefault<Truncate>>;

impl Seen {
    /// Nothing seen yet, remembering at least `window` identities.
    ///
    /// # Panics
    /// If `window` is zero.
    pub fn new(window: usize) -> Self {
        assert!(window > 0, "a window of zero identities remembers nothing");
        Self {
            window,
            recent: Set::default(),
            older: Set::default(),
        }
    }

    /// Remembers `identity`; false if it was seen before.
    pub fn insert(&mut self, identity: Identity) -> bool {
        if self.older.contains(&identity) || !self.recent.insert(identity) {
            return false;
        }
        if self.recent.len() == self.window {
            self.older = std::mem::take(&mut self.recent);
        }
        true
    }

    /// How many identities are remembered.
    pub fn len(&self) -> usize {
        self.recent.len() + self.older.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An identity is a hash already: its low bits are as good as any.
#[derive(Debug, Default)]
struct Truncate(u64);

impl Hasher for Truncate {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let first = bytes.first_chunk().copied().unwrap_or_default();
        self.0 = u64::from_ne_bytes(first);
    }

    fn write_u128(&mut self, number: u128) {
        let bytes = number.to_ne_bytes();
        self.write(&bytes);
    }
}
