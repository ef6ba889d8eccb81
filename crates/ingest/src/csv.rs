//! CSV: where rows end, and the fields of a row.
//!
//! Rows end where `csv-core`, the parser behind the `csv` crate, ends them; it also takes their fields apart.

use crate::chunk::{Chunk, Defect, Record};
use crate::splitter::{Lines, Span, Splitter};

/// Splits at the line breaks that are not inside a quoted field.
#[derive(Debug)]
pub(crate) struct RowSplitter {
    delimiter: u8,
    lines: Lines,
    state: State,
    /// How much of the buffer was looked at already.
    seen: usize,
    /// Whether the rest of an overlong row is being skipped.
    skipping: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field: its end, or the first of a doubled quote.
    QuoteInQuoted,
}

impl RowSplitter {
    pub(crate) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            lines: Lines::new(),
            state: State::FieldStart,
            seen: 0,
            skipping: false,
        }
    }

    /// The end of the row that starts at `start`, from where looking stopped.
    fn row_end(&mut self, bytes: &[u8], start: usize) -> Option<usize> {
        let mut at = start.max(self.seen);
        while at < bytes.len() {
            if self.state == State::Quoted {
                match memchr::memchr(b'"', &bytes[at..]) {
                    Some(quote) => at += quote,
                    None => break,
                }
            }
            let byte = bytes[at];
            if matches!(byte, b'\n' | b'\r') && self.state != State::Quoted {
                self.state = State::FieldStart;
                return Some(at);
            }
            self.state = self.next_state(byte);
            at += 1;
        }
        self.seen = bytes.len();
        None
    }

    fn next_state(&self, byte: u8) -> State {
        match self.state {
            State::Quoted if byte == b'"' => State::QuoteInQuoted,
            State::Quoted => State::Quoted,
            State::QuoteInQuoted | State::FieldStart if byte == b'"' => State::Quoted,
            _ if byte == self.delimiter => State::FieldStart,
            _ => State::Unquoted,
        }
    }

    /// The row from `start` to `end`, if there is anything in it; lines are passed up to `next`.
    fn push(
        &mut self,
        bytes: &[u8],
        row: (usize, usize, usize),
        defect: Option<Defect>,
        spans: &mut Vec<Span>,
    ) {
        let (start, end, next) = row;
        if start < end && !std::mem::take(&mut self.skipping) {
            let line = self.lines.current();
            spans.push(Span {
                start,
                end,
                line,
                defect,
            });
        }
        self.lines.pass(&bytes[start..next]);
    }
}

impl Splitter for RowSplitter {
    fn split(&mut self, bytes: &[u8], last: bool, spans: &mut Vec<Span>) -> usize {
        let mut start = 0;
        loop {
            while let Some(end) = self.row_end(bytes, start) {
                self.push(bytes, (start, end, end + 1), None, spans);
                start = end + 1;
                self.seen = start;
            }
            if !last {
                if self.skipping {
                    self.lines.pass(&bytes[start..]);
                    start = bytes.len();
                }
                self.seen = bytes.len() - start;
                return start;
            }
            if start == bytes.len() {
                return start;
            }
            if self.state != State::Quoted || self.skipping {
                self.push(bytes, (start, bytes.len(), bytes.len()), None, spans);
                return bytes.len();
            }
            start = self.abandon_line(bytes, start, spans);
        }
    }

    fn give_up(&mut self, bytes: &[u8], bytes_max: usize, spans: &mut Vec<Span>) -> usize {
        if self.state == State::Quoted && memchr::memchr2(b'\n', b'\r', bytes).is_some() {
            let used = self.abandon_line(bytes, 0, spans);
            self.seen = 0;
            return used;
        }
        self.push(
            bytes,
            (0, bytes.len(), bytes.len()),
            Some(Defect::TooLong { bytes_max }),
            spans,
        );
        self.skipping = true;
        self.seen = 0;
        bytes.len()
    }
}

impl RowSplitter {
    /// Rejects the first line of a row whose quote is not closed; reading goes on at the line after it.
    fn abandon_line(&mut self, bytes: &[u8], start: usize, spans: &mut Vec<Span>) -> usize {
        let end =
            memchr::memchr2(b'\n', b'\r', &bytes[start..]).map_or(bytes.len(), |at| start + at);
        let next = bytes.len().min(end + 1);
        self.push(
            bytes,
            (start, end, next),
            Some(Defect::UnclosedQuote),
            spans,
        );
        self.state = State::FieldStart;
        self.seen = next;
        next
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
