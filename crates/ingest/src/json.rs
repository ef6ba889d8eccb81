//! JSON: the elements of an array, or documents one after the other, pretty-printed or not.
//!
//! The scanner only knows brackets, strings and white space. A string ends at its quote, or at the end of its line:
//! JSON allows no line break in a string, so one there is an unclosed string.

use std::ops::ControlFlow;

use crate::chunk::Defect;
use crate::splitter::{Lines, Span, Splitter};

/// The deepest indentation at which lines are told to be alike while the rest of an overlong record is skipped.
const INDENT_MAX: usize = 1_000;

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
    /// Of a record that was too long, while its rest is being skipped: the spaces before it on its line.
    skipping: Option<usize>,
    record_bytes_max: usize,
    work: u64,
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
    /// The record's first byte, once it was looked at.
    first: Option<u8>,
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
            b'"' if self.depth == 0 && self.is_started() => return Some(false),
            b'"' => self.in_string = true,
            b'{' | b'[' if self.depth == 0 && self.is_started() => return Some(false),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth == 0 => return Some(byte == b'}' && !self.is_started()),
            b'}' | b']' => {
                self.depth -= 1;
                return (self.depth == 0).then_some(true);
            }
            b',' if self.depth == 0 && in_array => return Some(false),
            _ if self.depth == 0 && byte.is_ascii_whitespace() => return Some(false),
            _ => {}
        }
        self.first = self.first.or(Some(byte));
        None
    }

    fn is_started(self) -> bool {
        self.first.is_some()
    }
}

impl DocumentSplitter {
    pub(crate) fn new(record_bytes_max: usize) -> Self {
        Self {
            lines: Lines::new(),
            indent: 0,
            place: Place::Start,
            scan: Scan::default(),
            seen: 0,
            skipping: None,
            record_bytes_max,
            work: 0,
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
        let from = self.seen.max(start);
        let (end, seen) = self.find_end(bytes, start, from);
        self.seen = seen;
        self.work += (seen - from) as u64;
        end
    }

    /// The record's end, and up to where it was looked for.
    fn find_end(&mut self, bytes: &[u8], start: usize, mut at: usize) -> (Option<End>, usize) {
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
                Some(_) if in_array && self.scan.first == Some(b'{') && bytes[at] == b']' => {
                    return (Some(End::Unclosed(at)), at);
                }
                Some(includes) => {
                    // A record is never empty, whatever ends it; what is left of an overlong one may be.
                    let is_empty = at == start && self.skipping.is_none();
                    let end = at + usize::from(includes || is_empty);
                    return (Some(End::Closed(end)), at);
                }
            }
        }
        (None, bytes.len())
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
        let is_rest = self.skipping.take().is_some();
        let stray = match self.place {
            Place::AfterElement | Place::AfterArray => true,
            Place::Elements { .. } => !is_rest && matches!(bytes[start], b',' | b']' | b'}'),
            Place::Start | Place::Documents => false,
        };
        if !is_rest {
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
    /// Each piece is scanned once, so this takes time in proportion to `bytes`.
    fn recover(&mut self, bytes: &[u8], start: usize, spans: &mut Vec<Span>) -> usize {
        let mut edges = self.look_alikes(bytes, start);
        edges.push(bytes.len());
        self.split_before(bytes, start, &edges, spans)
    }

    /// Reads the pieces that end before `edges`. Gives the last edge, from where reading goes on.
    fn split_before(
        &mut self,
        bytes: &[u8],
        start: usize,
        edges: &[usize],
        spans: &mut Vec<Span>,
    ) -> usize {
        let mut piece = start;
        for &edge in edges {
            self.split_piece(&bytes[..edge], piece, spans);
            piece = edge;
        }
        self.scan = Scan::default();
        self.seen = piece;
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
        self.work += bytes.len() as u64;
        self.indent = match memchr::memrchr(b'\n', bytes) {
            Some(at) => bytes.len() - at - 1,
            None => self.indent + bytes.len(),
        };
    }

    /// The starts of the lines after `start` that have an opening brace behind as many spaces as the current record.
    fn look_alikes(&mut self, bytes: &[u8], start: usize) -> Vec<usize> {
        self.work += (bytes.len() - start) as u64;
        let begins_alike = |line: usize| {
            let text = &bytes[line..];
            let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t');
            let spaces = text.iter().take_while(is_space).count();
            spaces == self.indent && text.get(spaces) == Some(&b'{')
        };
        memchr::memchr_iter(b'\n', &bytes[start..])
            .map(|at| start + at + 1)
            .filter(|line| begins_alike(*line))
            .collect()
    }

    /// The bytes ended between two records: at the end of the file, an array that is still open is a defect of its own.
    fn end_between(&mut self, end: usize, last: bool, spans: &mut Vec<Span>) -> usize {
        self.seen = 0;
        if last && self.in_array() {
            spans.push(Span {
                start: end,
                end,
                line: self.lines.current(),
                defect: Some(Defect::UnclosedArray),
            });
            self.place = Place::AfterArray;
        }
        end
    }

    /// Uses the record that starts at `start`: gives where reading goes on, or breaks with how much was used if more bytes are needed.
    fn next_record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        spans: &mut Vec<Span>,
    ) -> ControlFlow<usize, usize> {
        if let Some(indent) = self.skipping {
            return self.rest_of_record(bytes, start, last, indent, spans);
        }
        let end_max = start.saturating_add(self.record_bytes_max);
        let is_cut = bytes.len() > end_max;
        let window = if is_cut { &bytes[..end_max] } else { bytes };
        match self.record_end(window, start) {
            Some(End::Unclosed(end)) => {
                ControlFlow::Continue(self.recover(&bytes[..end], start, spans))
            }
            Some(End::Closed(end)) => {
                self.push(bytes, start, end, None, spans);
                ControlFlow::Continue(end)
            }
            None if is_cut => ControlFlow::Continue(self.overlong_record(window, start, spans)),
            None if last => ControlFlow::Continue(self.last_record(bytes, start, spans)),
            None => {
                self.seen = bytes.len() - start;
                ControlFlow::Break(start)
            }
        }
    }

    /// A record that is longer than allowed. It was not closed if a later line starts as it does; otherwise it is cut.
    fn overlong_record(&mut self, window: &[u8], start: usize, spans: &mut Vec<Span>) -> usize {
        let edges = self.look_alikes(window, start);
        if !edges.is_empty() {
            return self.split_before(window, start, &edges, spans);
        }
        let bytes_max = self.record_bytes_max;
        spans.push(Span {
            start,
            end: window.len(),
            line: self.lines.current(),
            defect: Some(Defect::TooLong { bytes_max }),
        });
        self.skipping = Some(self.indent);
        self.pass(&window[start..]);
        window.len()
    }

    /// Skips what is left of an overlong record: to its end, or to the next line that starts as it does, because it may not be closed.
    fn rest_of_record(
        &mut self,
        bytes: &[u8],
        start: usize,
        last: bool,
        indent: usize,
        spans: &mut Vec<Span>,
    ) -> ControlFlow<usize, usize> {
        let mut line = start;
        loop {
            let (line_break, next) = self.line_break(bytes, line);
            line = next;
            if let Some(End::Closed(end) | End::Unclosed(end)) =
                self.record_end(&bytes[..line], start)
            {
                self.push(bytes, start, end, None, spans);
                return ControlFlow::Continue(end);
            }
            // A line of which too little has come is left for when there is more, with the line break before it.
            let used = match line_break.map(|at| (at, starts_alike(&bytes[line..], indent))) {
                Some((_, Some(false))) => continue,
                None if line < bytes.len() => continue,
                Some((_, Some(true))) => {
                    return ControlFlow::Continue(self.end_before(bytes, start, line, spans));
                }
                Some((at, None)) if !last => at,
                _ => bytes.len(),
            };
            self.pass(&bytes[start..used]);
            self.seen = line.saturating_sub(used);
            return ControlFlow::Break(used);
        }
    }

    /// The next line break, and up to where it was looked for: no further than a record is long, or it would be done again for the next one.
    fn line_break(&mut self, bytes: &[u8], from: usize) -> (Option<usize>, usize) {
        let piece = from.saturating_add(self.record_bytes_max.max(1));
        let piece = piece.min(bytes.len());
        let line_break = memchr::memchr(b'\n', &bytes[from..piece]).map(|at| from + at);
        let to = line_break.map_or(piece, |at| at + 1);
        self.work += (to - from) as u64;
        (line_break, to)
    }

    /// Ends the rest of an overlong record before a line that starts as it does.
    fn end_before(
        &mut self,
        bytes: &[u8],
        start: usize,
        line: usize,
        spans: &mut Vec<Span>,
    ) -> usize {
        self.push(bytes, start, line, None, spans);
        if self.in_array() {
            self.place = Place::Elements { after_comma: true };
        }
        line
    }

    /// A record that the end of the file ends.
    fn last_record(&mut self, bytes: &[u8], start: usize, spans: &mut Vec<Span>) -> usize {
        if self.scan.depth == 0 && !self.scan.in_string {
            self.push(bytes, start, bytes.len(), None, spans);
            return bytes.len();
        }
        let used = self.recover(bytes, start, spans);
        if self.in_array() {
            // The array is not closed either, but that is the same defect.
            self.place = Place::AfterArray;
        }
        used
    }
}

/// Whether a line has an opening brace behind `indent` spaces; none if too little of it is there.
fn starts_alike(line: &[u8], indent: usize) -> Option<bool> {
    if indent > INDENT_MAX {
        return Some(false);
    }
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let spaces = line.iter().take(indent + 1).take_while(is_space).count();
    match line.get(spaces) {
        None if spaces <= indent => None,
        byte => Some(spaces == indent && byte == Some(&b'{')),
    }
}

impl Splitter for DocumentSplitter {
    fn split(&mut self, bytes: &[u8], last: bool, spans: &mut Vec<Span>) -> usize {
        let mut at = 0;
        loop {
            // While a record is open, `seen` lies beyond its start, which is where the buffer starts.
            let is_open = self.scan.is_started() || self.skipping.is_some();
            if !is_open {
                match self.next_start(bytes, at) {
                    Ok(start) => at = start,
                    Err(end) => return self.end_between(end, last, spans),
                }
            }
            match self.next_record(bytes, at, last, spans) {
                ControlFlow::Continue(next) => at = next,
                ControlFlow::Break(used) => return used,
            }
        }
    }

    fn work(&self) -> u64 {
        self.work
    }
}
