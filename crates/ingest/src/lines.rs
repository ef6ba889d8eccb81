//! JSONL: a record is a line that is not blank.

use crate::chunk::Defect;
use crate::splitter::{Span, Splitter, is_blank};

/// Splits at `\n`. A `\r` before it is not part of the record.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    line_bytes_max: usize,
    line: u64,
    /// How much of the buffer was looked at already.
    seen: usize,
    /// Whether the rest of an overlong line is being skipped.
    skipping: bool,
    work: u64,
}

impl LineSplitter {
    pub(crate) fn new(line_bytes_max: usize) -> Self {
        Self {
            line_bytes_max,
            line: 1,
            seen: 0,
            skipping: false,
            work: 0,
        }
    }

    /// Adds a line, or the beginning of one that is too long.
    fn push(&mut self, bytes: &[u8], start: usize, end: usize, spans: &mut Vec<Span>) {
        if std::mem::take(&mut self.skipping) {
            return;
        }
        let line = &bytes[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let bytes_max = self.line_bytes_max;
        let defect = (line.len() > bytes_max).then_some(Defect::TooLong { bytes_max });
        if defect.is_some() || !is_blank(line) {
            spans.push(Span {
                start,
                end: start + line.len().min(bytes_max),
                line: self.line,
                defect,
            });
        }
    }

    /// Uses what no line break ends: at the end of the file, and where it is too long with any ending.
    fn push_rest(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        spans: &mut Vec<Span>,
    ) -> usize {
        let rest = bytes.len() - start;
        let is_too_long = rest > self.line_bytes_max.saturating_add(1);
        let is_skipped = self.skipping;
        if rest > 0 && !is_skipped && (last || is_too_long) {
            self.push(bytes, start, bytes.len(), spans);
        }
        self.skipping = is_skipped || is_too_long;
        if self.skipping || last {
            bytes.len()
        } else {
            start
        }
    }
}

impl Splitter for LineSplitter {
    fn split(&mut self, bytes: &[u8], last: bool, spans: &mut Vec<Span>) -> usize {
        let from = self.seen;
        let mut start = 0;
        for found in memchr::memchr_iter(b'\n', &bytes[from..]) {
            self.push(bytes, start, from + found, spans);
            self.line += 1;
            start = from + found + 1;
        }
        self.work += (bytes.len() - from) as u64;
        let used = self.push_rest(bytes, start, last, spans);
        self.seen = bytes.len() - used;
        used
    }

    fn work(&self) -> u64 {
        self.work
    }
}
