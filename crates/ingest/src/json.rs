//! JSON: the elements of an array, or documents one after the other, pretty-printed or not.
//!
//! The scanner only knows brackets, strings and white space. A string ends at its quote, or at the end of its line:
//! JSON allows no line break in a string, so one there is an unclosed string.

use crate::chunk::Defect;
use crate::splitter::{Lines, Span, Splitter};

/// Splits where the brackets of a document, or of an array's element, close.
#[derive(Debug)]
pub(crate) struct DocumentSplitter {
    lines: Lines,
    /// Bytes of the current line that were passed: the indentation of a record that starts here.
    indent: usize,
    place: Place,
    scan: Scan,
    /// How much of the buffer was looked at already; less than that only between records.
    seen: usize,
    /// Whether the record at hand was too long and its rest is being skipped.
    skipping: bool,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The first document, which may be an array of records.
    Start,
    /// A document.
    Documents,
    /// An element of the array; whether one must come, because a comma did.
    Elements { after_comma: bool },
    /// A comma or the array's end.
    AfterElement,
    /// Nothing but white space.
    AfterArray,
}

/// Where in a record the scanner is.
#[derive(Debug, Clone, Copy, Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
    started: bool,
}

/// Where a record ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Before this byte.
    Closed(usize),
    /// It is an object, and at this byte its array closes.
    Unclosed(usize),
}

impl Scan {
    /// Looks at one byte. `Some(true)`: it is the record's last. `Some(false)`: the record ended before it.
    fn step(&mut self, byte: u8, in_array: bool) -> Option<bool> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' | b'\n' => {
                    self.in_string = false;
                    return (self.depth == 0).then_some(byte == b'"');
                }
                _ => {}
            }
            return None;
        }
        match byte {
            b'"' if self.depth == 0 && self.started => return Some(false),
            b'"' => self.in_string = true,
            b'{' | b'[' if self.depth == 0 && self.started => return Some(false),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth == 0 => return Some(byte == b'}' && !self.started),
            b'}' | b']' => {
                self.depth -= 1;
                return (self.depth == 0).then_some(true);
            }
            b',' if self.depth == 0 && in_array => return Some(false),
            _ if self.depth == 0 && byte.is_ascii_whitespace() => return Some(false),
            _ => {}
        }
        self.started = true;
        None
    }
}

impl DocumentSplitter {
    pub(crate) fn new() -> Self {
        Self {
            lines: Lines::new(),
            indent: 0,
            place: Place::Start,
            scan: Scan::default(),
            seen: 0,
            skipping: false,
        }
    }

    fn in_array(&self) -> bool {
        matches!(self.place, Place::Elements { .. } | Place::AfterElement)
    }

    /// Passes what stands between two records, from `at`. Gives the start of the next record, or none if there is none yet.
    fn next_start(&mut self, bytes: &[u8], mut at: usize) -> Result<usize, usize> {
        while let Some(&byte) = bytes.get(at) {
            match (self.place, byte) {
                (_, b' ' | b'\t' | b'\r' | b'\n') => {}
                (Place::Start, b'[') => self.place = Place::Elements { after_comma: false },
                (Place::Elements { after_comma: false }, b']') => self.place = Place::AfterArray,
                (Place::AfterElement, b']') => self.place = Place::AfterArray,
                (Place::AfterElement, b',') => self.place = Place::Elements { after_comma: true },
                _ => return Ok(at),
            }
            self.pass(&bytes[at..=at]);
            at += 1;
        }
        Err(at)
    }

    /// Where the record that starts at `start` ends; none if more bytes are needed.
    fn record_end(&mut self, bytes: &[u8], start: usize) -> Option<End> {
        let mut at = self.seen.max(start);
        let in_array = self.in_array();
        while at < bytes.len() {
            if self.scan.in_string && !self.scan.escaped {
                // Only these three end or change a string.
                at = memchr::memchr3(b'"', b'\\', b'\n', &bytes[at..])
                    .map_or(bytes.len(), |found| at + found);
                if at == bytes.len() {
                    break;
                }
            }
            match self.scan.step(bytes[at], in_array) {
                None => at += 1,
                Some(_) if in_array && bytes[start] == b'{' && bytes[at] == b']' => {
                    return Some(End::Unclosed(at));
                }
                // A record is never empty, whatever ends it.
                Some(includes) => {
                    return Some(End::Closed(if includes || at == start {
                        at + 1
                    } else {
                        at
                    }));
                }
            }
        }
        self.seen = bytes.len();
        None
    }

    /// Adds the record and goes to the place after it.
    fn push(
        &mut self,
        bytes: &[u8],
        start: usize,
        end: usize,
        defect: Option<Defect>,
        spans: &mut Vec<Span>,
    ) {
        let stray = match self.place {
            Place::AfterElement | Place::AfterArray => true,
            Place::Elements { .. } => matches!(bytes[start], b',' | b']' | b'}'),
            Place::Start | Place::Documents => false,
        };
        if !std::mem::take(&mut self.skipping) {
            let defect = defect.or(stray.then_some(Defect::Stray));
            spans.push(Span {
                start,
                end,
                line: self.lines.current(),
                defect,
            });
        }
        self.pass(&bytes[start..end]);
        self.place = match self.place {
            Place::Start | Place::Documents => Place::Documents,
            Place::Elements { .. } if stray && bytes[start] == b']' => Place::AfterArray,
            Place::Elements { .. } if stray => Place::Elements { after_comma: false },
            Place::Elements { .. } | Place::AfterElement => Place::AfterElement,
            Place::AfterArray => Place::AfterArray,
        };
        self.scan = Scan::default();
        self.seen = end;
    }

    /// Splits an unclosed record before each later line that starts as it does, and reads every piece on its own.
    ///
    /// Each piece is scanned once, so this takes time in proportion to `bytes`. Unless these are the `last`, the final
    /// piece is left for when more is known.
    fn recover(&mut self, bytes: &[u8], start: usize, last: bool, spans: &mut Vec<Span>) -> usize {
        let mut edges = look_alikes(bytes, start, self.indent);
        edges.push(bytes.len());
        let mut piece = start;
        for (index, &edge) in edges.iter().enumerate() {
            if !last && index > 0 && index + 1 == edges.len() {
                break;
            }
            self.split_piece(&bytes[..edge], piece, spans);
            piece = edge;
        }
        self.scan = Scan::default();
        piece
    }

    fn split_piece(&mut self, bytes: &[u8], mut at: usize, spans: &mut Vec<Span>) {
        if self.in_array() {
            self.place = Place::Elements { after_comma: true };
        }
        while let Ok(start) = self.next_start(bytes, at) {
            self.scan = Scan::default();
            self.seen = start;
            match self.record_end(bytes, start) {
                Some(End::Closed(end)) => {
                    self.push(bytes, start, end, None, spans);
                    at = end;
                }
                Some(End::Unclosed(_)) | None => {
                    let end = start + bytes[start..].trim_ascii_end().len();
                    self.push(bytes, start, end, Some(Defect::Unclosed), spans);
                    self.pass(&bytes[end..]);
                    return;
                }
            }
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.lines.pass(bytes);
        self.indent = match memchr::memrchr(b'\n', bytes) {
            Some(at) => bytes.len() - at - 1,
            None => self.indent + bytes.len(),
        };
    }
}

/// The starts of the lines after `start` that have an opening brace behind `indent` spaces.
fn look_alikes(bytes: &[u8], start: usize, indent: usize) -> Vec<usize> {
    let begins_alike = |line: usize| {
        let text = &bytes[line..];
        let spaces = text
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        spaces == indent && text.get(spaces) == Some(&b'{')
    };
    memchr::memchr_iter(b'\n', &bytes[start..])
        .map(|at| start + at + 1)
        .filter(|line| begins_alike(*line))
        .collect()
}

impl Splitter for DocumentSplitter {
    fn split(&mut self, bytes: &[u8], last: bool, spans: &mut Vec<Span>) -> usize {
        let mut at = 0;
        loop {
            // While a record is open, `seen` lies beyond its start, which is where the buffer starts.
            let open = self.scan.started || self.skipping;
            let start = if open {
                at
            } else {
                match self.next_start(bytes, at) {
                    Ok(start) => start,
                    Err(end) => {
                        self.seen = 0;
                        if last
                            && matches!(self.place, Place::Elements { .. } | Place::AfterElement)
                        {
                            let line = self.lines.current();
                            let defect = Some(Defect::UnclosedArray);
                            spans.push(Span {
                                start: end,
                                end,
                                line,
                                defect,
                            });
                            self.place = Place::AfterArray;
                        }
                        return end;
                    }
                }
            };
            match self.record_end(bytes, start) {
                Some(End::Closed(end)) => {
                    self.push(bytes, start, end, None, spans);
                    at = end;
                }
                Some(End::Unclosed(end)) if self.skipping => {
                    self.push(bytes, start, end, None, spans);
                    at = end;
                }
                Some(End::Unclosed(end)) => at = self.recover(&bytes[..end], start, true, spans),
                None if self.skipping => {
                    self.pass(&bytes[start..]);
                    self.seen = 0;
                    return bytes.len();
                }
                None if last && self.scan.depth == 0 && !self.scan.in_string => {
                    self.push(bytes, start, bytes.len(), None, spans);
                    at = bytes.len();
                }
                None if last => {
                    at = self.recover(bytes, start, true, spans);
                    // The array is not closed either, but that is the same defect.
                    self.place = if self.in_array() {
                        Place::AfterArray
                    } else {
                        self.place
                    };
                }
                None => {
                    self.seen = bytes.len() - start;
                    return start;
                }
            }
        }
    }

    fn give_up(&mut self, bytes: &[u8], bytes_max: usize, spans: &mut Vec<Span>) -> usize {
        if look_alikes(bytes, 0, self.indent).is_empty() {
            let defect = Some(Defect::TooLong { bytes_max });
            spans.push(Span {
                start: 0,
                end: bytes.len(),
                line: self.lines.current(),
                defect,
            });
            self.pass(bytes);
            self.skipping = true;
            self.seen = 0;
            return bytes.len();
        }
        let used = self.recover(bytes, 0, false, spans);
        self.seen = 0;
        used
    }
}
