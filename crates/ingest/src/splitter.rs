//! What finds the records of one format, and what all formats share: counting lines.

use crate::chunk::Defect;

/// A record within a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
    /// The line of the file it starts on, from 1.
    pub line: u64,
    /// Why it cannot be read.
    pub defect: Option<Defect>,
}

/// Finds records in the bytes of a file, which come piece by piece.
///
/// Implementations are pure: the same bytes give the same records however they are cut into pieces. Every byte that is
/// not white space or a separator of the format belongs to exactly one record, unless it stands beyond the longest allowed beginning of
/// a record that is too long.
pub trait Splitter: std::fmt::Debug + Send {
    /// Adds the records of `bytes` to `spans`, and says how many bytes were used; the rest comes again, with more.
    ///
    /// With `last` there is no more, and everything is used. Otherwise less is left than the longest record takes.
    fn split(&mut self, bytes: &[u8], last: bool, spans: &mut Vec<Span>) -> usize;

    /// How many bytes were looked at so far, each as often as it was. It stays in proportion to the bytes that came.
    fn work(&self) -> u64;
}

/// Lines passed so far. A line ends with `\n`, `\r\n`, or a `\r` alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines {
    number: u64,
    after_return: bool,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self {
            number: 1,
            after_return: false,
        }
    }

    /// The line of the next byte.
    pub(crate) fn current(self) -> u64 {
        self.number
    }

    /// Passes `bytes`.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        for at in memchr::memchr2_iter(b'\n', b'\r', bytes) {
            let joined = bytes[at] == b'\n'
                && if at == 0 {
                    self.after_return
                } else {
                    bytes[at - 1] == b'\r'
                };
            self.number += u64::from(!joined);
        }
        if let Some(last) = bytes.last() {
            self.after_return = *last == b'\r';
        }
    }
}

pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}
