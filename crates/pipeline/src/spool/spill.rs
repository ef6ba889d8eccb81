//! The spill file: what a job keeps on disk while it works, in one file whose space is used again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use crate::error::Error;

/// One temporary file for all that a job spills, made when something is. Reads and writes are positional, so that anybody may do either
/// at any time. The system removes it when the process ends, however that ends.
#[derive(Debug, Default)]
pub(super) struct SpillFile {
    file: OnceLock<File>,
    space: Mutex<Space>,
}

/// Where in the spill file something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    start: u64,
    length: usize,
}

impl SpillFile {
    /// Writes `chunk` where there is room.
    pub(super) fn write(&self, chunk: &[u8]) -> Result<Extent, Error> {
        let failed = |problem| failed("writing", problem);
        let file = self.file().map_err(failed)?;
        let extent = self.space().take(chunk.len());
        file.write_all_at(chunk, extent.start).map_err(|problem| {
            self.give_back(extent);
            failed(problem)
        })?;
        Ok(extent)
    }

    /// Reads what was written.
    pub(super) fn read(&self, extent: Extent) -> Result<Bytes, Error> {
        let read = || {
            let mut chunk = vec![0; extent.length];
            self.file()?.read_exact_at(&mut chunk, extent.start)?;
            Ok(chunk.into())
        };
        read().map_err(|problem| failed("reading", problem))
    }

    /// Lets others write there.
    pub(super) fn give_back(&self, extent: Extent) {
        self.space().give_back(extent);
    }

    fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        // Of two that make one at once, one is dropped, and so removed.
        let made = tempfile::tempfile()?;
        Ok(self.file.get_or_init(|| made))
    }

    fn space(&self) -> std::sync::MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(doing: &'static str, problem: io::Error) -> Error {
    Error::Spill {
        doing,
        folder: tempfile::env::temp_dir(),
        source: problem,
    }
}

/// Which parts of the file are free.
#[derive(Debug, Default)]
struct Space {
    end: u64,
    /// Free parts before the end, by where they start; no two of them touch.
    free: BTreeMap<u64, u64>,
}

impl Space {
    /// Takes room for so many bytes: the smallest free part that is large enough, or else beyond the end.
    fn take(&mut self, length: usize) -> Extent {
        let wanted = length as u64;
        let fits = self.free.iter().filter(|(_, free)| **free >= wanted);
        let Some((&start, &free)) = fits.min_by_key(|(_, free)| **free) else {
            let start = self.end;
            self.end += wanted;
            return Extent { start, length };
        };
        self.free.remove(&start);
        if free > wanted {
            self.free.insert(start + wanted, free - wanted);
        }
        Extent { start, length }
    }

    fn give_back(&mut self, extent: Extent) {
        let (mut start, mut end) = (extent.start, extent.start + extent.length as u64);
        if let Some((&before, &length)) = self.free.range(..start).next_back()
            && before + length == start
        {
            self.free.remove(&before);
            start = before;
        }
        if let Some(length) = self.free.remove(&end) {
            end += length;
        }
        if end == self.end {
            self.end = start;
        } else {
            self.free.insert(start, end - start);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Extent, Space, SpillFile};

    proptest! {
        /// What is written comes back as it was, whatever is given back meanwhile, and the file is no longer than what it ever held.
        #[test]
        fn space_is_used_again(lengths in prop::collection::vec((1_usize..500, any::<bool>()), 1..60)) {
            let file = SpillFile::default();
            let mut kept: Vec<(Extent, Vec<u8>)> = Vec::new();
            let (mut held, mut most, mut longest) = (0_u64, 0_u64, 0_u64);
            for (number, (length, is_kept)) in lengths.into_iter().enumerate() {
                if !is_kept && !kept.is_empty() {
                    let (extent, _) = kept.swap_remove(number % kept.len());
                    file.give_back(extent);
                    held -= extent.length as u64;
                    continue;
                }
                let chunk = vec![u8::try_from(number).unwrap(); length];
                kept.push((file.write(&chunk).unwrap(), chunk));
                held += length as u64;
                most = most.max(held);
                longest = longest.max(file.space().end);
                for (extent, chunk) in &kept {
                    prop_assert_eq!(&file.read(*extent).unwrap()[..], &chunk[..]);
                }
            }
            // Parts that are too small are left over, but no more than what others of the same kind leave: the file stays of that order.
            prop_assert!(longest <= 3 * most + 500);
            kept.into_iter().for_each(|(extent, _)| file.give_back(extent));
            prop_assert_eq!(file.space().end, 0);
            prop_assert!(file.space().free.is_empty());
        }
    }

    #[test]
    fn chunks_of_one_length_leave_no_gaps() {
        let mut space = Space::default();
        let first: Vec<Extent> = (0..10).map(|_| space.take(7)).collect();
        first.iter().step_by(2).for_each(|it| space.give_back(*it));
        for _ in 0..5 {
            space.take(7);
        }
        assert_eq!((space.end, space.free.len()), (70, 0));
    }
}
