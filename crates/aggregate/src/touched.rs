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

/// Collects the groups that changed.
#[derive(Debug, Clone, Default)]
pub struct TouchedKeys {
    keys: Vec<Box<[u8]>>,
    bytes: usize,
}

impl TouchedKeys {
    /// Looks at a group of a merge of two partials, the old one and the new one.
    pub fn compare(&mut self, merge: &Merge) {
        let mut states = merge.states();
        let (first, second) = (states.next(), states.next());
        if first.map(|(_, state)| state) != second.map(|(_, state)| state) {
            self.bytes += merge.key().len() + size_of::<Box<[u8]>>();
            self.keys.push(merge.key().into());
        }
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Those of both.
    pub fn join(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.keys.extend(other.keys);
    }

    /// The groups in order, each once.
    pub fn finish(mut self) -> Touched {
        self.keys.sort_unstable();
        self.keys.dedup();
        Touched::Keys(self.keys.into())
    }
}
