//! Which format a file has: its extension says so, and a look inside where that does not settle it.

use crate::json::DocumentSplitter;
use crate::splitter::Splitter as _;

/// How many bytes of a file [`Format::detect`] wants to see.
pub const SNIFF_BYTES: usize = 64 * 1024;

pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// A format of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Rows of fields, RFC 4180 and its relatives.
    Csv,
    /// A JSON document on each line.
    Jsonl,
    /// A JSON array, one document, or documents one after the other.
    Json,
}

impl Format {
    /// The format's name, as flags spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
        }
    }

    /// The format of that name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Csv, Self::Jsonl, Self::Json];
        all.into_iter().find(|format| format.name() == name)
    }

    /// The format of a file with that extension that begins with `head`.
    ///
    /// Many `.json` files hold a document on each line; they are read as JSONL, where a broken line costs one record.
    pub fn detect(extension: Option<&str>, head: &[u8]) -> Self {
        let text = head.strip_prefix(BOM).unwrap_or(head).trim_ascii_start();
        let extension = extension.map(str::to_ascii_lowercase);
        match (extension.as_deref(), text.first()) {
            (Some("csv" | "tsv"), _) => Self::Csv,
            (Some("jsonl" | "ndjson"), _) => Self::Jsonl,
            (_, Some(b'[')) => Self::Json,
            (_, Some(b'{')) if first_line_is_a_document(text) => Self::Jsonl,
            (_, Some(b'{')) => Self::Json,
            (Some("json"), _) => Self::Jsonl,
            _ => Self::Csv,
        }
    }
}

fn first_line_is_a_document(text: &[u8]) -> bool {
    let Some(line) = text
        .split(|byte| *byte == b'\n')
        .next()
        .filter(|line| line.len() < text.len())
    else {
        return false;
    };
    let mut spans = Vec::new();
    DocumentSplitter::new(line.len()).split(line, true, &mut spans);
    matches!(spans.as_slice(), [span] if span.defect.is_none())
}

/// How many bytes of a byte order mark `head` starts with.
pub(crate) fn bom_bytes(head: &[u8]) -> usize {
    if head.starts_with(BOM) { BOM.len() } else { 0 }
}
