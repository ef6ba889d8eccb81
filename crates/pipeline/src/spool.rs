//! Chunks that wait to be read again: in memory as long as there is room, in a temporary file beyond.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

/// How much memory is left for chunks that wait, shared by all who put some there.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<AtomicUsize>);

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    fn take(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        self.0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::SeqCst);
    }
}

/// Chunks in the order in which they were put there.
pub(crate) struct Spool {
    chunks: Vec<Place>,
    hash: Xxh3,
    file: Option<File>,
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
    File { start: u64, length: usize },
}

impl Spool {
    pub(crate) fn new(room: &Room) -> Self {
        Self {
            chunks: Vec::new(),
            hash: Xxh3::new(),
            file: None,
            room: room.clone(),
        }
    }

    pub(crate) fn push(&mut self, chunk: Bytes) -> std::io::Result<()> {
        self.hash.update(&chunk);
        if self.room.take(chunk.len()) {
            self.chunks.push(Place::Memory(chunk));
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        let start = file.seek(SeekFrom::End(0))?;
        file.write_all(&chunk)?;
        self.chunks.push(Place::File {
            start,
            length: chunk.len(),
        });
        Ok(())
    }

    pub(crate) fn extend(&mut self, chunks: Vec<Bytes>) -> std::io::Result<()> {
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
    pub(crate) fn chunk(&self, index: usize) -> std::io::Result<Option<Bytes>> {
        match self.chunks.get(index) {
            None => Ok(None),
            Some(Place::Memory(chunk)) => Ok(Some(chunk.clone())),
            Some(Place::File { start, length }) => {
                let mut file = self.file.as_ref().expect("a chunk of a file has one");
                file.seek(SeekFrom::Start(*start))?;
                let mut chunk = vec![0; *length];
                file.read_exact(&mut chunk)?;
                Ok(Some(chunk.into()))
            }
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        for place in &self.chunks {
            if let Place::Memory(chunk) = place {
                self.room.give_back(chunk.len());
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
}
