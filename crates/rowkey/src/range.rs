//! A contiguous range of row keys.

/// The keys from `start`, included, to `end`, excluded; to the end of the table without one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRange {
    /// The first key that may be in the range.
    pub start: Vec<u8>,
    /// The first key after the range.
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key there is.
    pub fn all() -> Self {
        Self::default()
    }

    /// The keys that start with `prefix`.
    pub fn prefix(prefix: Vec<u8>) -> Self {
        let end = successor(&prefix);
        Self { start: prefix, end }
    }

    /// The one key `key`.
    pub fn single(key: Vec<u8>) -> Self {
        let mut end = key.clone();
        end.push(0);
        Self {
            start: key,
            end: Some(end),
        }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_slice() && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// Whether no key can lie in the range.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// The first key after all keys that start with `prefix`; none if only `0xFF` bytes or nothing is in it.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
