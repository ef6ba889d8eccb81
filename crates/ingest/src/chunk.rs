//! A piece of a file that holds whole records, and the records in it.

use std::fmt;

use crate::recycled::Bytes;
use crate::splitter::Span;

/// Where a record stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its number, from 1. A CSV header is no record.
    pub number: u64,
    /// The line it starts on, from 1.
    pub line: u64,
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes, without the line break that ends it; of a record that is too long, what was kept.
    pub length: u64,
}

/// Why a record cannot be read, found while looking for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Defect {
    /// It is longer than allowed; its raw bytes are its beginning.
    TooLong {
        /// The most that is allowed, in bytes.
        bytes_max: usize,
    },
    /// A quoted CSV field is not closed.
    UnclosedQuote,
    /// A bracket or string of a JSON document is not closed.
    Unclosed,
    /// The JSON array is not closed: the file may be cut off.
    UnclosedArray,
    /// Something that is no element stands between two elements of a JSON array, or after it.
    Stray,
    /// The file could not be read on in the middle of it.
    Cut,
}

impl Defect {
    /// Whether the record's raw bytes are only its beginning.
    pub fn is_cut(self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::Cut)
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes_max } => write!(f, "is longer than {bytes_max} bytes"),
            Self::UnclosedQuote => f.write_str("has a quoted field that is not closed"),
            Self::Unclosed => f.write_str("has a bracket or string that is not closed"),
            Self::UnclosedArray => f.write_str("the array is not closed; the file may be cut off"),
            Self::Stray => f.write_str("is no element of the array"),
            Self::Cut => f.write_str("is cut off: the file cannot be read on here"),
        }
    }
}

/// One record: its place, its original bytes, and why it cannot be read if that is known already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it stands.
    pub position: Position,
    /// Its bytes, as they are in the file.
    pub raw: &'a [u8],
    /// Why it cannot be read.
    pub defect: Option<Defect>,
}

/// A piece of a file that holds whole records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) spans: Vec<Span>,
    /// Of the first byte, in the file.
    pub(crate) offset: u64,
    /// Of the first record.
    pub(crate) first_number: u64,
    pub(crate) content_hash: u128,
    /// The first of the records that may go on beyond the end of the file.
    pub(crate) open_from: Option<usize>,
}

impl Chunk {
    /// The records, in order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// If there is none.
    pub fn record(&self, index: usize) -> Record<'_> {
        let span = &self.spans[index];
        Record {
            position: Position {
                number: self.first_number + index as u64,
                line: span.line,
                offset: self.offset + span.start as u64,
                length: (span.end - span.start) as u64,
            },
            raw: &self.bytes[span.start..span.end],
            defect: span.defect,
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How many bytes of the file the chunk covers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Where the chunk ends in the file.
    pub fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// XXH3-128 of the file's bytes up to the chunk's end.
    pub fn content_hash(&self) -> u128 {
        self.content_hash
    }

    /// The records at the end of the file that would be others if the file went on: the last one, if no line break closes it, and
    /// everything behind a quote that is not closed.
    pub fn open_records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        let from = self.open_from.unwrap_or(self.len());
        (from..self.len()).map(|index| self.record(index))
    }

    /// The records that start before `offset`, whole, and the others.
    pub fn split_at(mut self, offset: u64) -> (Self, Self) {
        if offset <= self.offset {
            return (Self::default(), self);
        }
        let at = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
        let records = self.spans.partition_point(|span| span.start < at);
        let last_end = self.spans[..records].last().map_or(0, |span| span.end);
        let at = at.min(self.bytes.len()).max(last_end);
        let mut rest = Self {
            bytes: self.bytes.split_off(at).into(),
            spans: self.spans.split_off(records),
            offset: self.offset + at as u64,
            first_number: self.first_number + records as u64,
            open_from: self.open_from.map(|from| from.saturating_sub(records)),
            ..self
        };
        for span in &mut rest.spans {
            span.start -= at;
            span.end -= at;
        }
        self.open_from = self.open_from.filter(|from| *from < records);
        (self, rest)
    }

    /// The same records as they stand in a larger file, of which the chunk's file is the part that starts at `position`.
    pub fn moved_to(mut self, position: Position) -> Self {
        self.offset += position.offset;
        self.first_number += position.number - 1;
        for span in &mut self.spans {
            span.line += position.line - 1;
        }
        self
    }
}
