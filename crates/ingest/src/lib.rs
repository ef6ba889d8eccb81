//! Bytes to positioned records: CSV, JSONL and JSON. One bad record never stops a file.
//!
//! ```
//! use rowmill_ingest::{Chunks, Format, Options};
//!
//! let input: &[u8] = b"{\"a\": 1}\n{\"a\": tru\n\n{\"a\": 3}";
//! let mut lines = vec![];
//! for chunk in Chunks::new(input, Options::new(Format::Jsonl)) {
//!     let chunk = chunk?;
//!     lines.extend(chunk.records().map(|record| (record.position.line, record.raw.len())));
//! }
//! assert_eq!(lines, [(1, 8), (2, 9), (4, 8)]);
//! # Ok::<(), rowmill_ingest::Error>(())
//! ```
//!
//! A file is read in chunks that end between two records, so that any number of threads can parse them and memory does
//! not grow with the file. Where a record ends is decided by a [`Splitter`]: a pure state machine over bytes, one for
//! each format, which knows just enough of the format for that and leaves judging the record to whoever parses it.
//!
//! | format | a record is | a record that cannot be read ends |
//! |---|---|---|
//! | JSONL | a line that is not blank | with its line |
//! | CSV | a row that is not blank, quoted line breaks included | with its row; an unclosed quote with its line |
//! | JSON | an element of the array, or a document | where its brackets close; if they do not, before the next line that starts like it |
//!
//! A record that is longer than [`Options::record_bytes_max`] is cut there, and ends where one that cannot be read does.
//!
//! Files compressed with gzip or zstd are told by their content, see [`Compression`].
//!
//! Reading on after an unclosed bracket or quote means guessing where the next record starts. It is done only once the
//! file's end or [`Options::record_bytes_max`] shows that it is needed, and never loses a byte: what is between two
//! records belongs to the rejected one. It takes linear time whatever the file holds, which [`Chunks::work`] counts.

mod buffer;
mod chunk;
mod compression;
mod csv;
mod error;
mod format;
mod json;
mod lines;
mod read_ahead;
mod reader;
mod recycled;
mod splitter;

pub use chunk::{Chunk, Defect, Position, Record};
pub use compression::Compression;
pub use csv::{CsvRow, CsvRows};
pub use error::Error;
pub use format::{Format, SNIFF_BYTES};
pub use read_ahead::ReadAhead;
pub use reader::{Chunks, Options};
pub use splitter::{Span, Splitter};
