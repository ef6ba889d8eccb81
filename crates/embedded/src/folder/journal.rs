//! Walking over a journal of the engine: how far its batches go, and which of each keyspace is the last.
//!
//! ```text
//! 1 | items:u32 | sequence:u64                                                                    a batch begins
//! 2 | kind:u8 | compression:u8 | keyspace:u64 | key:u16 | value:u32 | stored:u32 | key | value    an item
//! 4 | keyspace:u64                                                                                a keyspace is cleared
//! 3 | checksum:u64 | "FJL\x03"                                                                    the batch ends
//! ```
//!
//! Numbers are little-endian. A journal is as long as it may become from the start; after its last batch come zeros. The engine
//! reads up to the first thing that is no batch and cuts the rest off, so what a journal should reach is written down elsewhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};

use xxhash_rust::xxh3::Xxh3;

/// What the whole batches of a journal amount to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Where the last one ends.
    pub(crate) bytes: u64,
    /// The number of the last one of each keyspace.
    pub(crate) reached: BTreeMap<u64, u64>,
    /// Whether the batch after it is there from end to end, but not as it was written.
    pub(crate) is_damaged: bool,
}

/// Walks over the batches of a journal, up to the first place that holds none.
pub(crate) fn walk(mut file: &File) -> io::Result<Walk> {
    file.seek(SeekFrom::Start(0))?;
    let length = file.metadata()?.len();
    let mut reader = Reader {
        inner: BufReader::with_capacity(1 << 18, file),
        place: 0,
        length,
        hash: Xxh3::new(),
    };
    let mut walk = Walk::default();
    while let Some(batch) = reader.batch()? {
        if !batch.is_sound {
            walk.is_damaged = true;
            break;
        }
        for keyspace in batch.keyspaces {
            let reached = walk.reached.entry(keyspace).or_default();
            *reached = (*reached).max(batch.sequence);
        }
        walk.bytes = reader.place;
    }
    Ok(walk)
}

struct Batch {
    sequence: u64,
    keyspaces: Vec<u64>,
    is_sound: bool,
}

struct Reader<'a> {
    inner: BufReader<&'a File>,
    place: u64,
    length: u64,
    /// Of everything that was read since it was last reset.
    hash: Xxh3,
}

impl Reader<'_> {
    /// The next whole batch; none where there is none.
    fn batch(&mut self) -> io::Result<Option<Batch>> {
        if self.field::<1>()? != Some([1]) {
            return Ok(None);
        }
        let (Some(items), Some(sequence)) = (self.field()?, self.field()?) else {
            return Ok(None);
        };
        let mut keyspaces = Vec::new();
        self.hash.reset();
        for _ in 0..u32::from_le_bytes(items) {
            match self.item()? {
                Some(keyspace) if keyspaces.last() == Some(&keyspace) => {}
                Some(keyspace) => keyspaces.push(keyspace),
                None => return Ok(None),
            }
        }
        let hash = self.hash.digest();
        let tail = (self.field::<1>()?, self.field::<8>()?, self.field::<4>()?);
        Ok(match tail {
            (Some([3]), Some(checksum), Some(magic)) if magic == *super::ENGINE_FORMAT => {
                Some(Batch {
                    sequence: u64::from_le_bytes(sequence),
                    keyspaces,
                    is_sound: u64::from_le_bytes(checksum) == hash,
                })
            }
            _ => None,
        })
    }

    /// The keyspace of the next item, which is passed over.
    fn item(&mut self) -> io::Result<Option<u64>> {
        match self.field()? {
            Some([4]) => Ok(self.field()?.map(u64::from_le_bytes)),
            Some([2]) => {
                let fields = (
                    self.field::<2>()?,
                    self.field()?,
                    self.field()?,
                    self.field::<4>()?,
                    self.field()?,
                );
                let (_, Some(keyspace), Some(key), _, Some(stored)) = fields else {
                    return Ok(None);
                };
                let bytes =
                    u64::from(u16::from_le_bytes(key)) + u64::from(u32::from_le_bytes(stored));
                let skipped = self.skip(bytes)?;
                Ok(skipped.then(|| u64::from_le_bytes(keyspace)))
            }
            _ => Ok(None),
        }
    }

    fn field<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        if self.length - self.place < N as u64 {
            self.place = self.length;
            return Ok(None);
        }
        let mut field = [0; N];
        self.inner.read_exact(&mut field)?;
        self.hash.update(&field);
        self.place += N as u64;
        Ok(Some(field))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<bool> {
        if self.length - self.place < bytes {
            self.place = self.length;
            return Ok(false);
        }
        let mut left = bytes;
        while left > 0 {
            let piece = self.inner.fill_buf()?;
            let read = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if read == 0 {
                return Ok(false);
            }
            self.hash.update(&piece[..read]);
            self.inner.consume(read);
            left -= read as u64;
        }
        self.place += bytes;
        Ok(true)
    }
}
