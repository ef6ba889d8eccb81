//! Chunks that wait to be read again: in memory as long as there is room, in the job's spill file beyond.

mod partitions;
mod spill;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::error::Error;
pub(crate) use partitions::{Gathered, PARTITIONS, Partitions};
use spill::{Extent, SpillFile};

/// How much memory is left for chunks that wait, and the file for those beyond it; shared by all who put some there.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    left: AtomicUsize,
    spill: SpillFile,
}

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Shared {
            left: AtomicUsize::new(bytes),
            spill: SpillFile::default(),
        }))
    }

    fn take(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        let left = &self.0.left;
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.left.fetch_add(bytes, Ordering::SeqCst);
    }
}

/// Chunks in the order in which they were put there.
pub(crate) struct Spool {
    chunks: Vec<Place>,
    hash: Xxh3,
    room: Room,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.chunks).finish()
    }
}

#[derive(Debug)]
enum Place {
    Memory(Bytes),
    Spilled(Extent),
}

impl Spool {
    pub(crate) fn new(room: &Room) -> Self {
        Self {
            chunks: Vec::new(),
            hash: Xxh3::new(),
            room: room.clone(),
        }
    }

    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        self.hash.update(&chunk);
        self.chunks.push(if self.room.take(chunk.len()) {
            Place::Memory(chunk)
        } else {
            Place::Spilled(self.room.0.spill.write(&chunk)?)
        });
        Ok(())
    }

    pub(crate) fn extend(&mut self, chunks: Vec<Bytes>) -> Result<(), Error> {
        chunks.into_iter().try_for_each(|chunk| self.push(chunk))
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// A hash of everything in it.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.digest()
    }

    /// The chunk at `index`; none beyond the last one.
    pub(crate) fn chunk(&self, index: usize) -> Result<Option<Bytes>, Error> {
        match self.chunks.get(index) {
            None => Ok(None),
            Some(Place::Memory(chunk)) => Ok(Some(chunk.clone())),
            Some(Place::Spilled(extent)) => self.room.0.spill.read(*extent).map(Some),
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        for place in &self.chunks {
            match place {
                Place::Memory(chunk) => self.room.give_back(chunk.len()),
                Place::Spilled(extent) => self.room.0.spill.give_back(*extent),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Room, Spool};

    #[test]
    fn chunks_come_back_from_memory_and_from_the_file() {
        let room = Room::new(4);
        let mut spool = Spool::new(&room);
        for chunk in ["abc", "defg", "h", "ij"] {
            spool.push(chunk.into()).unwrap();
        }
        let back: Vec<_> = (0..spool.len())
            .map(|at| spool.chunk(at).unwrap().unwrap())
            .collect();
        assert_eq!(back, ["abc", "defg", "h", "ij"]);
        assert_eq!(spool.chunk(4).unwrap(), None);
        drop(spool);
        assert!(room.take(4) && !room.take(1));
    }

    /// More spools than a process may have files.
    #[test]
    fn spools_share_one_file() {
        let room = Room::new(0);
        let spools = || {
            let spool = |number: usize| {
                let mut spool = Spool::new(&room);
                spool.push(format!("spool {number:06}").into()).unwrap();
                spool
            };
            (0..5_000).map(spool).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            for (number, spool) in spools().iter().enumerate() {
                let chunk = spool.chunk(0).unwrap().unwrap();
                assert_eq!(chunk, format!("spool {number:06}"));
            }
        }
    }
}
