//! JSONL: a record is a line that is not blank.

use crate::chunk::Defect;
use crate::splitter::{Span, Splitter, is_blank};

/// Splits at `\n`. A `\r` before it is not part of the record.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    line: u64,
    /// Whether the rest of an overlong line is being skipped.
    skipping: bool,
}

impl LineSplitter {
    pub(crate) fn new() -> Self {
        Self {
            line: 1,
            skipping: false,
        }
    }

    fn push(&mut self, bytes: &[u8], start: usize, end: usize, spans: &mut Vec<Span>) {
        let end = if bytes[start..end].ends_with(b"\r") {
            end - 1
        } else {
            end
        };
        if std::mem::take(&mut self.skipping) {
            return;
        }
        if !is_blank(&bytes[start..end]) {
            spans.push(Span {
                start,
                end,
                line: self.line,
                defect: None,
            });
        }
    }
}

impl Splitter for LineSplitter {
    fn split(&mut self, bytes: &[u8], last: bool, spans: &mut Vec<Span>) -> usize {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.push(bytes, start, end, spans);
            self.line += 1;
            start = end + 1;
        }
        if self.skipping {
            return bytes.len();
        }
        if last && start < bytes.len() {
            self.push(bytes, start, bytes.len(), spans);
            return bytes.len();
        }
        start
    }

    fn give_up(&mut self, bytes: &[u8], bytes_max: usize, spans: &mut Vec<Span>) -> usize {
        let end = bytes.len();
        let defect = Some(Defect::TooLong { bytes_max });
        spans.push(Span {
            start: 0,
            end,
            line: self.line,
            defect,
        });
        self.skipping = true;
        end
    }
}
