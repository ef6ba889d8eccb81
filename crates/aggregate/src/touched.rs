//! Which groups of a period changed.

use crate::merge::Merge;

/// Which groups of a period are to be worked out anew.
#[derive(Debug, Clone)]
pub enum Touched {
    /// All of them.
    All,
    /// Those of these keys, in their order.
    Keys(Vec<Box<[u8]>>),
}

/// Tells of groups that come in order whether they are touched.
#[derive(Debug)]
pub(crate) struct TouchedCursor {
    touched: Touched,
    at: usize,
}

impl TouchedCursor {
    pub(crate) fn new(touched: Touched) -> Self {
        Self { touched, at: 0 }
    }

    /// Whether the group of this key is touched; no later key may be before it.
    pub(crate) fn is_at(&mut self, key: &[u8]) -> bool {
        let Touched::Keys(keys) = &self.touched else {
            return true;
        };
        while keys.get(self.at).is_some_and(|it| **it < *key) {
            self.at += 1;
        }
        keys.get(self.at).is_some_and(|it| **it == *key)
    }
}

/// Collects the groups that changed; from some number on, all of them are taken to have.
#[derive(Debug, Clone)]
pub struct TouchedKeys {
    keys: Vec<Box<[u8]>>,
    bytes: usize,
    bytes_max: usize,
    are_all: bool,
}

impl TouchedKeys {
    /// None yet, and at most so many bytes of keys.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            keys: Vec::new(),
            bytes: 0,
            bytes_max,
            are_all: false,
        }
    }

    /// Looks at a group of a merge of two partials, the old one and the new one.
    pub fn compare(&mut self, merge: &Merge) {
        let mut states = merge.states();
        let (first, second) = (states.next(), states.next());
        if first.map(|(_, state)| state) != second.map(|(_, state)| state) {
            self.add(merge.key());
        }
    }

    /// Adds a group, changed or not.
    pub fn add(&mut self, key: &[u8]) {
        self.bytes += key.len() + size_of::<Box<[u8]>>();
        self.are_all |= self.bytes > self.bytes_max;
        if self.are_all {
            self.keys = Vec::new();
        } else {
            self.keys.push(key.into());
        }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds those of another.
    pub fn join(&mut self, other: &Self) {
        self.are_all |= other.are_all;
        for key in &other.keys {
            self.add(key);
        }
    }

    /// The groups in order, each once.
    pub fn finish(mut self) -> Touched {
        if self.are_all {
            return Touched::All;
        }
        self.keys.sort_unstable();
        self.keys.dedup();
        Touched::Keys(self.keys)
    }
}
