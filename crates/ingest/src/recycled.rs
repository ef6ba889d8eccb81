//! Memory of chunks that are done with, for the next ones.
//!
//! Chunks are made by one thread and freed by others, and an allocator may take its time to give such memory back: with chunks of one long
//! record each, that was hundreds of megabytes.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// So much memory is kept; what comes back beyond it is freed.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// Empty byte vectors whose memory can be used again. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recycled(Arc<Mutex<Vec<Vec<u8>>>>);

impl Recycled {
    /// An empty vector: one that came back, if there is one.
    pub(crate) fn vector(&self) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pop().unwrap_or_default()
    }

    /// Bytes whose memory comes back here.
    pub(crate) fn bytes(&self, bytes: Vec<u8>) -> Bytes {
        Bytes {
            bytes,
            home: Some(self.clone()),
        }
    }

    fn keep(&self, mut vector: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept_bytes: usize = kept.iter().map(Vec::capacity).sum();
        if kept_bytes + vector.capacity() <= KEPT_BYTES_MAX {
            vector.clear();
            kept.push(vector);
        }
    }
}

/// The bytes of a chunk.
#[derive(Default)]
pub(crate) struct Bytes {
    bytes: Vec<u8>,
    home: Option<Recycled>,
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            home.keep(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Bytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, home: None }
    }
}

impl Clone for Bytes {
    fn clone(&self) -> Self {
        self.bytes.clone().into()
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Bytes {}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::{KEPT_BYTES_MAX, Recycled};

    #[test]
    fn memory_comes_back_up_to_a_bound() {
        let recycled = Recycled::default();
        let bytes = recycled.bytes(vec![7; 1_000]);
        let at = bytes.as_ptr();
        drop(bytes);
        let again = recycled.vector();
        assert!(again.is_empty() && again.as_ptr() == at);
        drop(recycled.bytes(Vec::with_capacity(KEPT_BYTES_MAX + 1)));
        assert_eq!(recycled.vector().capacity(), 0);
    }
}
