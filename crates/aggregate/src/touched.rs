//! Which groups of a period changed.

use std::sync::Arc;

use crate::merge::Merge;

/// Which groups of a period are to be worked out anew.
#[derive(Debug, Clone)]
pub enum Touched {
    /// All of them.
    All,
    /// Those of these keys, in their order.
    Keys(Arc<[Box<[u8]>]>),
}

impl Touched {
    /// Whether it is the group of this key.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.binary_search_by(|it| (**it).cmp(key)).is_ok(),
        }
    }
}

/// Collects the groups that changed; from some number on, all of them are taken to have.
#[derive(Debug, Clone, Default)]
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
            bytes_max,
            ..Self::default()
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
        Touched::Keys(self.keys.into())
    }
}
