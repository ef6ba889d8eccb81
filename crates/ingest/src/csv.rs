//! CSV: where rows end, and the fields of a row.
//!
//! Rows end where `csv-core`, the parser behind the `csv` crate, ends them; it also takes their fields apart.
//!
//! A quote that nothing closes rejects its line, and rows are looked for from the next line on. This takes linear time, because two scans
//! that are inside a quoted field at the same line break see the same from there on: the second one looks at its first line only, and
//! then goes on where the first one stopped.

use crate::chunk::{Chunk, Defect, Record};
use crate::splitter::{Lines, Span, Splitter};

/// Splits at the line breaks that are not inside a quoted field.
#[derive(Debug)]
pub(crate) struct RowSplitter {
    delimiter: u8,
    row_bytes_max: usize,
    lines: Lines,
    /// The scan for the end of the current row.
    scan: Scan,
    /// The scan of the latest row whose quote was not closed. It was inside a quoted field at each line break before its end.
    unclosed: Option<Scan>,
    /// Whether the rest of an overlong line is being skipped.
    skipping: bool,
    work: u64,
}

/// How far a scan came in the buffer.
#[derive(Debug, Clone, Copy)]
struct Scan {
    at: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field: its end, or the first of a doubled quote.
    QuoteInQuoted,
}

/// Where a row of the buffer ends, and where the next one starts.
#[derive(Debug, Clone, Copy)]
struct Row {
    end: usize,
    next: usize,
    defect: Option<Defect>,
}

impl Scan {
    fn from(at: usize) -> Self {
        let state = State::FieldStart;
        Self { at, state }
    }
}

impl RowSplitter {
    pub(crate) fn new(delimiter: u8, row_bytes_max: usize) -> Self {
        Self {
            delimiter,
            row_bytes_max,
            lines: Lines::new(),
            scan: Scan::from(0),
            unclosed: None,
            skipping: false,
            work: 0,
        }
    }

    /// The row that starts at `start`; none if there is none, or if more bytes are needed.
    fn next_row(&mut self, bytes: &[u8], start: usize, last: bool) -> Option<Row> {
        if start == bytes.len() {
            return None;
        }
        if self.skipping {
            return Some(self.rest_of_line(bytes, start));
        }
        // The line break after the longest row still belongs to it.
        let end_max = start.saturating_add(self.row_bytes_max);
        let window = &bytes[..bytes.len().min(end_max.saturating_add(1))];
        if let Some(end) = self.row_end(window) {
            return Some(Row {
                end,
                next: end + 1,
                defect: None,
            });
        }
        if bytes.len() > end_max {
            return Some(self.overlong_row(window, start));
        }
        last.then(|| self.last_row(bytes, start))
    }

    /// The end of the current row, from where its scan stopped.
    fn row_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let Scan { mut at, mut state } = self.scan;
        let mut begun = at;
        let end = loop {
            if state == State::Quoted {
                at = self.end_of_quoted(bytes, at);
                if let Some(unclosed) = self.unclosed_beyond(bytes, at) {
                    self.work += (at - begun) as u64;
                    Scan { at, state } = unclosed;
                    begun = at;
                    continue;
                }
            }
            let Some(&byte) = bytes.get(at) else {
                break None;
            };
            if matches!(byte, b'\n' | b'\r') && state != State::Quoted {
                break Some(at);
            }
            state = self.next_state(state, byte);
            at += 1;
        };
        self.work += (at - begun) as u64;
        self.scan = Scan { at, state };
        end
    }

    /// The next quote; or the next line break, as long as the scan of an unclosed row came further.
    fn end_of_quoted(&self, bytes: &[u8], at: usize) -> usize {
        let rest = &bytes[at..];
        let found = match self.unclosed {
            Some(unclosed) if unclosed.at > at => memchr::memchr3(b'"', b'\n', b'\r', rest),
            _ => memchr::memchr(b'"', rest),
        };
        found.map_or(bytes.len(), |found| at + found)
    }

    /// The scan of an unclosed row, if `at` is a line break that it passed.
    fn unclosed_beyond(&self, bytes: &[u8], at: usize) -> Option<Scan> {
        let is_break = matches!(bytes.get(at), Some(b'\n' | b'\r'));
        self.unclosed.filter(|scan| is_break && scan.at > at)
    }

    fn next_state(&self, state: State, byte: u8) -> State {
        match state {
            State::Quoted if byte == b'"' => State::QuoteInQuoted,
            State::Quoted => State::Quoted,
            State::QuoteInQuoted | State::FieldStart if byte == b'"' => State::Quoted,
            _ if byte == self.delimiter => State::FieldStart,
            _ => State::Unquoted,
        }
    }

    /// The first line of a row that is longer than allowed, or the beginning of that line. A row of several lines is in quotes.
    fn overlong_row(&mut self, window: &[u8], start: usize) -> Row {
        if memchr::memchr2(b'\n', b'\r', &window[start..]).is_some() {
            return self.unclosed_line(window, start);
        }
        self.skipping = true;
        let bytes_max = self.row_bytes_max;
        Row {
            end: start + bytes_max,
            next: start + bytes_max,
            defect: Some(Defect::TooLong { bytes_max }),
        }
    }

    /// The row that the end of the file ends.
    fn last_row(&mut self, bytes: &[u8], start: usize) -> Row {
        if self.scan.state == State::Quoted {
            return self.unclosed_line(bytes, start);
        }
        Row {
            end: bytes.len(),
            next: bytes.len(),
            defect: None,
        }
    }

    /// The first line of a row whose quote is not closed.
    fn unclosed_line(&mut self, bytes: &[u8], start: usize) -> Row {
        self.unclosed = Some(self.scan);
        let end =
            memchr::memchr2(b'\n', b'\r', &bytes[start..]).map_or(bytes.len(), |at| start + at);
        self.work += (end - start) as u64;
        Row {
            end,
            next: bytes.len().min(end + 1),
            defect: Some(Defect::UnclosedQuote),
        }
    }

    /// What is left of an overlong line: no record. It ends at its line break even if that is in quotes, which may never be closed.
    fn rest_of_line(&mut self, bytes: &[u8], start: usize) -> Row {
        let end = memchr::memchr2(b'\n', b'\r', &bytes[start..]);
        self.skipping = end.is_none();
        let next = end.map_or(bytes.len(), |at| start + at + 1);
        self.work += (next - start) as u64;
        Row {
            end: start,
            next,
            defect: None,
        }
    }

    /// Adds the row if there is anything in it, and goes to the next one.
    fn push(&mut self, bytes: &[u8], start: usize, row: Row, spans: &mut Vec<Span>) {
        if start < row.end {
            spans.push(Span {
                start,
                end: row.end,
                line: self.lines.current(),
                defect: row.defect,
            });
        }
        self.lines.pass(&bytes[start..row.next]);
        self.work += (row.next - start) as u64;
        self.scan = Scan::from(row.next);
    }

    /// Moves the scans to a buffer that starts at `start` of this one.
    fn rebase(&mut self, start: usize) {
        self.scan.at -= start;
        self.unclosed = self.unclosed.filter(|scan| scan.at > start);
        if let Some(unclosed) = &mut self.unclosed {
            unclosed.at -= start;
        }
    }
}

impl Splitter for RowSplitter {
    fn split(&mut self, bytes: &[u8], last: bool, spans: &mut Vec<Span>) -> usize {
        let mut start = 0;
        while let Some(row) = self.next_row(bytes, start, last) {
            self.push(bytes, start, row, spans);
            start = row.next;
        }
        self.rebase(start);
        start
    }

    fn work(&self) -> u64 {
        self.work
    }
}

/// The fields of one CSV row.
#[derive(Debug, Clone, Copy)]
pub struct CsvRow<'a> {
    text: &'a str,
    ends: &'a [usize],
    start: usize,
}

impl<'a> CsvRow<'a> {
    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The fields, unquoted.
    pub fn fields(self) -> impl Iterator<Item = &'a str> {
        self.ends.iter().scan(self.start, move |start, &end| {
            let field = &self.text[*start..end];
            *start = end;
            Some(field)
        })
    }
}

/// The rows of a chunk of CSV, taken apart: one buffer for the text of all fields.
#[derive(Debug, Default)]
pub struct CsvRows {
    text: String,
    ends: Vec<usize>,
    /// Of each record: its range of `ends`, and where its text starts; none if it is no UTF-8.
    rows: Vec<Option<(usize, usize, usize)>>,
}

impl CsvRows {
    /// Takes the rows of a chunk apart.
    pub fn parse(chunk: &Chunk, delimiter: u8) -> Self {
        let mut parser = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        let mut rows = Self {
            text: String::with_capacity(chunk.bytes()),
            ..Self::default()
        };
        let mut fields = vec![0; 256];
        let mut ends = vec![0; 64];
        for record in chunk.records() {
            rows.push(&mut parser, &record, &mut fields, &mut ends);
        }
        rows
    }

    /// The rows in the order of the chunk's records; none for a record that is no UTF-8 or has a defect.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<CsvRow<'_>>> {
        self.rows.iter().map(|row| {
            row.map(|(first, last, start)| CsvRow {
                text: &self.text,
                ends: &self.ends[first..last],
                start,
            })
        })
    }

    fn push(
        &mut self,
        parser: &mut csv_core::Reader,
        record: &Record<'_>,
        fields: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) {
        let lengths = if record.defect.is_none() {
            parse_row(parser, record.raw, fields, ends)
        } else {
            None
        };
        let text = lengths
            .and_then(|(bytes, count)| Some((std::str::from_utf8(&fields[..bytes]).ok()?, count)));
        self.rows.push(
            text.filter(|(text, count)| all_boundaries(text, &ends[..*count]))
                .map(|(text, count)| {
                    let (start, first) = (self.text.len(), self.ends.len());
                    self.text.push_str(text);
                    self.ends
                        .extend(ends[..count].iter().map(|end| start + end));
                    (first, self.ends.len(), start)
                }),
        );
    }
}

/// Whether no character lies across two fields, as in a row where one ends and the next begins inside a byte sequence.
fn all_boundaries(text: &str, ends: &[usize]) -> bool {
    ends.iter().all(|end| text.is_char_boundary(*end))
}

/// Parses one row into `fields` and `ends`, which grow as needed; gives how much of each is used.
fn parse_row(
    parser: &mut csv_core::Reader,
    raw: &[u8],
    fields: &mut Vec<u8>,
    ends: &mut Vec<usize>,
) -> Option<(usize, usize)> {
    parser.reset();
    let (mut read, mut written, mut ended) = (0, 0, 0);
    loop {
        // An empty input says that the row is over.
        let (result, bytes_in, bytes_out, count) =
            parser.read_record(&raw[read..], &mut fields[written..], &mut ends[ended..]);
        read += bytes_in;
        written += bytes_out;
        ended += count;
        match result {
            csv_core::ReadRecordResult::OutputFull => fields.resize(fields.len() * 2, 0),
            csv_core::ReadRecordResult::OutputEndsFull => ends.resize(ends.len() * 2, 0),
            csv_core::ReadRecordResult::InputEmpty => {}
            csv_core::ReadRecordResult::Record => return Some((written, ended)),
            csv_core::ReadRecordResult::End => return None,
        }
    }
}
