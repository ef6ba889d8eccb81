//! Reads a file in chunks of whole records.

use std::io::Read;

use xxhash_rust::xxh3::Xxh3;

use crate::buffer::Buffer;
use crate::chunk::{Chunk, Defect};
use crate::csv::{CsvRows, RowSplitter};
use crate::error::Error;
use crate::format::{BOM, Format, bom_bytes};
use crate::json::DocumentSplitter;
use crate::lines::LineSplitter;
use crate::splitter::{Span, Splitter};

/// How to read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What its records look like.
    pub format: Format,
    /// What stands between two fields of CSV.
    pub delimiter: u8,
    /// About how large a chunk is.
    pub chunk_bytes: usize,
    /// The longest record that is kept whole.
    pub record_bytes_max: usize,
}

impl Options {
    /// Chunks of 256 KiB, records of 8 MiB at most, commas between fields.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            delimiter: b',',
            chunk_bytes: 256 << 10,
            record_bytes_max: 8 << 20,
        }
    }

    fn splitter(&self) -> Box<dyn Splitter> {
        let bytes_max = self.record_bytes_max;
        match self.format {
            Format::Csv => Box::new(RowSplitter::new(self.delimiter, bytes_max)),
            Format::Jsonl => Box::new(LineSplitter::new(bytes_max)),
            Format::Json => Box::new(DocumentSplitter::new(bytes_max)),
        }
    }
}

/// The chunks of a file. Holds one chunk and one record at most, however long the file.
#[derive(Debug)]
pub struct Chunks<R> {
    input: R,
    options: Options,
    splitter: Box<dyn Splitter>,
    /// Bytes read and not yet in a chunk.
    buffer: Buffer,
    /// Where the buffer starts in the file.
    offset: u64,
    next_number: u64,
    at_start: bool,
    at_end: bool,
    /// Of all bytes before the buffer.
    hash: Content,
    /// Why the input could not be read on.
    failure: Option<Error>,
    /// A chunk that was read for its header.
    ready: Option<Chunk>,
}

/// The running hash of a file's content.
#[derive(Clone, Default)]
struct Content(Box<Xxh3>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0.digest128())
    }
}

impl<R: Read> Chunks<R> {
    /// Reads `input` from its beginning.
    pub fn new(input: R, options: Options) -> Self {
        Self {
            input,
            options,
            splitter: options.splitter(),
            buffer: Buffer::default(),
            offset: 0,
            next_number: 1,
            at_start: true,
            at_end: false,
            hash: Content::default(),
            failure: None,
            ready: None,
        }
    }

    /// How many bytes of the file were passed: all of it, once there is no chunk more.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// XXH3-128 of the bytes that were passed.
    pub fn content_hash(&self) -> u128 {
        self.hash.0.digest128()
    }

    /// Takes the first row of a CSV file as its header, before any chunk was taken; none if the file has no rows.
    pub fn take_header(&mut self) -> Result<Option<Vec<String>>, Error> {
        let Some(mut chunk) = self.read_chunk()? else {
            return Ok(None);
        };
        let mut first = Chunk {
            spans: chunk.spans[..1].to_vec(),
            ..chunk.clone()
        };
        first.bytes.truncate(first.spans[0].end);
        if let Some(defect) = first.spans[0].defect {
            return Err(Error::Header(format!("it {defect}")));
        }
        let rows = CsvRows::parse(&first, self.options.delimiter);
        let header = rows
            .iter()
            .next()
            .flatten()
            .map(|row| row.fields().map(str::to_owned).collect());
        chunk.spans.remove(0);
        chunk.open_from = chunk.open_from.and_then(|from| from.checked_sub(1));
        self.next_number -= 1;
        self.ready = Some(chunk);
        header
            .map(Some)
            .ok_or_else(|| Error::Header("it is not valid UTF-8".into()))
    }

    /// How many bytes were looked at or moved to find the records, each as often as it was. It stays in proportion to [`Self::offset`],
    /// whatever the file holds.
    pub fn work(&self) -> u64 {
        self.splitter.work() + self.buffer.moved
    }

    fn read_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        let mut wanted = self.options.chunk_bytes;
        loop {
            if self.at_end && self.buffer.bytes().is_empty() {
                return self.failure.take().map_or(Ok(None), Err);
            }
            self.fill(wanted);
            let mut spans = Vec::new();
            let bytes = self.buffer.bytes();
            let used = self.splitter.split(bytes, self.at_end, &mut spans);
            if used == 0 && !self.at_end {
                wanted = bytes.len() + self.options.chunk_bytes;
                continue;
            }
            let chunk = self.take(used, spans);
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }

    /// Reads until the buffer holds `wanted` bytes or the file ends. A failure ends the file, and is told after what came before it.
    fn fill(&mut self, wanted: usize) {
        // A byte order mark is told only when all of it is there.
        let wanted = if self.at_start {
            wanted.max(BOM.len())
        } else {
            wanted
        };
        let missing = wanted.saturating_sub(self.buffer.bytes().len());
        match self.buffer.fill(&mut self.input, missing) {
            Ok(read) => self.at_end |= read < missing,
            Err(source) => {
                let offset = self.offset + self.buffer.bytes().len() as u64;
                self.failure = Some(Error::Read { offset, source });
                self.at_end = true;
            }
        }
        if std::mem::take(&mut self.at_start) {
            let bom = bom_bytes(self.buffer.bytes());
            self.hash.0.update(&self.buffer.take(bom));
            self.offset = bom as u64;
        }
    }

    fn take(&mut self, used: usize, mut spans: Vec<Span>) -> Chunk {
        let bytes = self.buffer.take(used);
        self.hash.0.update(&bytes);
        let is_last = self.at_end && self.buffer.bytes().is_empty();
        let open_from = self.open_from(&bytes, &spans).filter(|_| is_last);
        if let (Some(_), Some(from)) = (&self.failure, open_from) {
            for open in &mut spans[from..] {
                open.defect = Some(Defect::Cut);
            }
        }
        let chunk = Chunk {
            bytes,
            spans,
            offset: self.offset,
            first_number: self.next_number,
            content_hash: self.content_hash(),
            open_from,
        };
        self.offset += used as u64;
        self.next_number += chunk.spans.len() as u64;
        chunk
    }

    /// The first of the records that would be others if more came after `bytes`: of lines and rows the last one, if no line break
    /// follows it; of rows all from the first quote on that is not closed, because where they end is a guess.
    fn open_from(&self, bytes: &[u8], spans: &[Span]) -> Option<usize> {
        let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let last = spans.len().checked_sub(1)?;
        let ends_in_it = match self.options.format {
            Format::Csv | Format::Jsonl => !bytes[spans[last].end..].iter().any(is_break),
            Format::Json => matches!(
                spans[last].defect,
                Some(Defect::Unclosed | Defect::UnclosedArray)
            ),
        };
        // Of a quote that is not closed within the longest record it is known already.
        let is_near = |span: &Span| bytes.len() - span.start <= self.options.record_bytes_max;
        let is_unclosed = |span: &Span| span.defect == Some(Defect::UnclosedQuote) && is_near(span);
        let unclosed = spans.iter().position(is_unclosed);
        unclosed.or(ends_in_it.then_some(last))
    }
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = Result<Chunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(chunk) = self.ready.take().filter(|chunk| !chunk.is_empty()) {
            return Some(Ok(chunk));
        }
        self.read_chunk().transpose()
    }
}
