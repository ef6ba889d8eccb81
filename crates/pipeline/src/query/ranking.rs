//! The best of many values, in order, in memory that does not grow with how many are asked for.
//!
//! Places wait in memory. When they take too much, they are sorted, and those that are no longer among the best are dropped; what still
//! takes too much goes to a temporary file as a sorted run. In the end the runs are merged.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};

use rowmill_aggregate::BoardEntry;

/// A value with the figure that says where it stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) figure: f64,
    pub(super) entry: BoardEntry,
}

impl Place {
    /// The better one is less, so that it comes first.
    fn order(&self, other: &Self) -> Ordering {
        order(
            (self.figure, &self.entry.value),
            (other.figure, &other.entry.value),
        )
    }

    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        let figures = self.entry.figures.iter();
        let figures = figures.map(|figure| size_of::<Cow<'_, str>>() + figure.len());
        size_of::<Self>() + self.entry.value.len() + figures.sum::<usize>()
    }
}

fn order(left: (f64, &str), right: (f64, &str)) -> Ordering {
    let by_figure = right.0.total_cmp(&left.0);
    by_figure.then_with(|| left.1.cmp(right.1))
}

/// Collects the best places.
#[derive(Debug)]
pub(super) struct Ranking {
    limit: usize,
    memory_bytes: usize,
    waiting: Vec<Place>,
    bytes: usize,
    /// The last place of as many as are asked for: what comes after it is not among them.
    last: Option<(f64, String)>,
    runs: Runs,
}

impl Ranking {
    /// A ranking of `limit` places, of which those in memory take `memory_bytes`.
    pub(super) fn new(limit: usize, memory_bytes: usize) -> Self {
        Self {
            limit,
            memory_bytes,
            waiting: Vec::new(),
            bytes: 0,
            last: None,
            runs: Runs::default(),
        }
    }

    /// Whether a value with this figure may be among the best.
    pub(super) fn admits(&self, figure: f64, value: &str) -> bool {
        let is_before = |last: &(f64, String)| order((figure, value), (last.0, &last.1)).is_lt();
        self.last.as_ref().is_none_or(is_before)
    }

    pub(super) fn add(&mut self, place: Place) -> io::Result<()> {
        // Sorting for each place would cost too much where few are asked for.
        const WAITING_MIN: usize = 1_024;
        self.bytes += place.bytes();
        self.waiting.push(place);
        let most = self.limit.saturating_mul(2).max(WAITING_MIN);
        if self.waiting.len() >= most || self.bytes >= self.memory_bytes {
            self.settle();
            if self.bytes > self.memory_bytes / 2 {
                self.runs.add(&self.waiting)?;
                self.waiting.clear();
                self.bytes = 0;
            }
        }
        Ok(())
    }

    /// Sorts what waits, and drops what is not among the best of it.
    fn settle(&mut self) {
        self.waiting.sort_by(Place::order);
        self.waiting.truncate(self.limit);
        self.bytes = self.waiting.iter().map(Place::bytes).sum();
        if let Some(last) = self.waiting.get(self.limit.wrapping_sub(1))
            && self.admits(last.figure, &last.entry.value)
        {
            self.last = Some((last.figure, last.entry.value.clone()));
        }
    }

    /// The best places, best first.
    pub(super) fn finish(mut self) -> io::Result<Ranked> {
        self.settle();
        let mut ranked = Ranked {
            left: self.limit,
            waiting: self.waiting.into_iter(),
            readers: self.runs.readers(),
            file: self.runs.file,
            heads: BinaryHeap::new(),
        };
        for source in 0..=ranked.readers.len() {
            ranked.refill(source)?;
        }
        Ok(ranked)
    }
}

/// Sorted runs in one temporary file.
#[derive(Debug, Default)]
struct Runs {
    file: Option<File>,
    /// Where each begins and ends.
    places: Vec<(u64, u64)>,
}

impl Runs {
    fn add(&mut self, sorted: &[Place]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        let start = file.seek(SeekFrom::End(0))?;
        let mut out = BufWriter::new(&mut *file);
        sorted.iter().try_for_each(|place| write(place, &mut out))?;
        out.flush()?;
        drop(out);
        self.places.push((start, file.stream_position()?));
        Ok(())
    }

    fn readers(&self) -> Vec<RunReader> {
        const BUFFERS_BYTES: usize = 4 << 20;
        let each = BUFFERS_BYTES / self.places.len().max(1);
        let reader = |&(start, end): &(u64, u64)| RunReader {
            next: start,
            end,
            buffer: Vec::new(),
            at: 0,
            buffer_bytes: each.clamp(4 << 10, 256 << 10),
        };
        self.places.iter().map(reader).collect()
    }
}

/// Reads a run from its beginning.
#[derive(Debug)]
struct RunReader {
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    at: usize,
    buffer_bytes: usize,
}

impl RunReader {
    fn next(&mut self, file: &mut File) -> io::Result<Option<Place>> {
        if self.at == self.buffer.len() && self.next == self.end {
            return Ok(None);
        }
        let length = u32::from_le_bytes(self.take::<4>(file)?) as usize;
        self.fill(file, length)?;
        let record = &self.buffer[self.at..self.at + length];
        let place = read(record).ok_or(io::ErrorKind::InvalidData)?;
        self.at += length;
        Ok(Some(place))
    }

    fn take<const N: usize>(&mut self, file: &mut File) -> io::Result<[u8; N]> {
        self.fill(file, N)?;
        let bytes = &self.buffer[self.at..self.at + N];
        self.at += N;
        Ok(bytes.try_into().expect("as long as it was cut"))
    }

    /// Makes sure that the buffer holds `length` more bytes.
    fn fill(&mut self, file: &mut File, length: usize) -> io::Result<()> {
        if self.buffer.len() - self.at >= length {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let wanted = length.max(self.buffer_bytes) - self.buffer.len();
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        let old = self.buffer.len();
        self.buffer.resize(old + wanted.min(left), 0);
        file.seek(SeekFrom::Start(self.next))?;
        file.read_exact(&mut self.buffer[old..])?;
        self.next += (self.buffer.len() - old) as u64;
        if self.buffer.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// A length, the figure, and the value and the figures, each after its length.
fn write(place: &Place, out: &mut dyn Write) -> io::Result<()> {
    let BoardEntry { value, figures } = &place.entry;
    let texts = || std::iter::once(value.as_str()).chain(figures.iter().map(AsRef::as_ref));
    let length = 8 + texts().map(|text| 4 + text.len()).sum::<usize>();
    out.write_all(&length_bytes(length)?)?;
    out.write_all(&place.figure.to_bits().to_le_bytes())?;
    for text in texts() {
        out.write_all(&length_bytes(text.len())?)?;
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn length_bytes(length: usize) -> io::Result<[u8; 4]> {
    let length = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(length.to_le_bytes())
}

fn read(record: &[u8]) -> Option<Place> {
    let (figure, mut rest) = record.split_first_chunk::<8>()?;
    let mut texts = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (text, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        texts.push(String::from_utf8(text.to_vec()).ok()?);
        rest = after;
    }
    let mut texts = texts.into_iter();
    let value = texts.next()?;
    Some(Place {
        figure: f64::from_bits(u64::from_le_bytes(*figure)),
        entry: BoardEntry {
            value,
            figures: texts.map(Cow::Owned).collect(),
        },
    })
}

/// The best places, best first.
#[derive(Debug)]
pub(super) struct Ranked {
    left: usize,
    waiting: std::vec::IntoIter<Place>,
    readers: Vec<RunReader>,
    file: Option<File>,
    /// The next place of each run and of what waits in memory, which is the last source.
    heads: BinaryHeap<Reverse<Head>>,
}

#[derive(Debug)]
struct Head {
    place: Place,
    source: usize,
}

impl Ranked {
    fn refill(&mut self, source: usize) -> io::Result<()> {
        let next = match (self.readers.get_mut(source), &mut self.file) {
            (Some(reader), Some(file)) => reader.next(file)?,
            _ => self.waiting.next(),
        };
        let head = next.map(|place| Reverse(Head { place, source }));
        self.heads.extend(head);
        Ok(())
    }
}

impl Iterator for Ranked {
    type Item = io::Result<BoardEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let Reverse(Head { place, source }) = self.heads.pop()?;
        if let Err(error) = self.refill(source) {
            self.left = 0;
            return Some(Err(error));
        }
        Some(Ok(place.entry))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place.order(&other.place)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rowmill_aggregate::BoardEntry;

    use super::{Place, Ranking};

    fn place(figure: i16, number: usize) -> Place {
        let entry = BoardEntry {
            value: format!("value {number}"),
            figures: vec![figure.to_string().into(), "".into()],
        };
        Place {
            figure: f64::from(figure),
            entry,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However little memory there is, the places are those of a sort of all.
        #[test]
        fn the_best_come_in_order(
            figures in prop::collection::vec(-20_i16..20, 0..3_000),
            limit in prop_oneof![1_usize..8, 1_000_usize..4_000, Just(usize::MAX)],
            memory_bytes in 200_usize..100_000,
        ) {
            let places: Vec<_> = figures.iter().enumerate().map(|(at, figure)| place(*figure, at)).collect();
            let mut ranking = Ranking::new(limit, memory_bytes);
            for place in &places {
                if ranking.admits(place.figure, &place.entry.value) {
                    ranking.add(place.clone()).unwrap();
                }
                prop_assert!(ranking.bytes <= memory_bytes);
            }
            let found: Vec<_> = ranking.finish().unwrap().map(Result::unwrap).collect();
            let mut expected = places;
            expected.sort_by(Place::order);
            let expected: Vec<_> = expected.into_iter().take(limit).map(|place| place.entry).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_cannot_be_among_the_best_is_not_kept() {
        let mut ranking = Ranking::new(5, 1 << 20);
        for number in 0..100_000 {
            let place = place(i16::try_from(number % 1_000).unwrap(), number);
            if ranking.admits(place.figure, &place.entry.value) {
                ranking.add(place).unwrap();
            }
            assert!(ranking.waiting.len() <= 1_024);
        }
        assert!(ranking.runs.file.is_none());
        assert_eq!(ranking.finish().unwrap().count(), 5);
    }
}
