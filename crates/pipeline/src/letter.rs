//! Dead letters: a rejected record as a row, and back.

use std::fmt;

use bytes::Bytes;
use rowmill_ingest::{Defect, Format, Position, Record};
use rowmill_model::columns::{family, letter};
use rowmill_model::{Finding, MutationBatch, Reason, Row, Severity};
use rowmill_rowkey::{DeadLetterKey, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::digest::RowHash;
use crate::error::Error;
use crate::ledger::rejecting;
use crate::process::ChunkSource;
use crate::unreadable::shown_key;

/// A rejected record as it stands in `dead_letters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its row key, which commands name it by.
    pub key: String,
    /// The file or queue it came from.
    pub source: String,
    /// Where it stands there.
    pub position: Position,
    /// Its original bytes; empty if the letters were listed without them.
    pub raw: Bytes,
    /// Whether these are only the record's beginning.
    pub cut: bool,
    /// Everything found wrong with it the last time it was tried.
    pub reasons: Vec<LetterReason>,
    /// The stage that rejected it.
    pub stage: String,
    /// Fingerprint of the pipeline file that rejected it.
    pub config_hash: String,
    /// The run that rejected it.
    pub run: String,
    /// When it was first rejected.
    pub first_seen: Timestamp,
    /// How often it was tried.
    pub attempts: u64,
    /// The format of its source.
    pub format: Format,
    /// The header of its source, if that is CSV and the pipeline file did not name the columns.
    pub columns: Option<Vec<String>>,
    /// The user whose record it is, as the pipeline file of `config_hash` reads it; none if that is not known.
    pub user_id: Option<String>,
}

/// One thing wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterReason {
    /// The kind of thing.
    pub reason: String,
    /// The field it was found in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The rule over several fields that is not met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The value it was found in; cut if long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What was found and what is allowed.
    pub message: String,
    /// `reject` or `warn`.
    pub severity: String,
}

impl From<&Finding> for LetterReason {
    fn from(finding: &Finding) -> Self {
        let subject = (!finding.subject.is_empty()).then(|| finding.subject.to_string());
        let is_rule = finding.reason == Reason::Rule;
        let (rule, field) = if is_rule {
            (subject, None)
        } else {
            (None, subject)
        };
        Self {
            reason: finding.reason.name().to_owned(),
            field,
            rule,
            value: finding.value.clone(),
            message: finding.message.clone(),
            severity: finding.severity.name().to_owned(),
        }
    }
}

impl LetterReason {
    /// Whether it is what kept the record out, and not only worth a warning.
    pub fn is_rejecting(&self) -> bool {
        self.severity == Severity::Reject.name()
    }

    /// The reason and what it concerns: `one_of level`.
    pub fn name(&self) -> String {
        let subject = self.field.as_deref().or(self.rule.as_deref());
        subject.map_or_else(
            || self.reason.clone(),
            |subject| format!("{} {subject}", self.reason),
        )
    }
}

/// The key of a record's dead letter.
pub(crate) fn key<'a>(source: &'a str, record: &Record<'_>) -> DeadLetterKey<'a> {
    DeadLetterKey {
        source: source.into(),
        offset: record.position.offset,
        content: xxh3_128(record.raw),
    }
}

/// What a ledger knows a letter by: its key, which holds a hash of its raw bytes. Its other cells change when it is tried again.
pub(crate) fn hash(key: u128) -> RowHash {
    RowHash { key, cells: key }
}

/// Writes the dead letter of a record that is rejected for the first time.
///
/// The cells carry their attempt as timestamp, so that writing them again hides no later attempt; when the record was first seen
/// carries a timestamp that falls as time goes on, so that writing it again hides no earlier time.
pub(crate) fn write(
    source: &ChunkSource<'_>,
    config_hash: &str,
    record: &Record<'_>,
    user_id: Option<&str>,
    findings: &[Finding],
    batch: &mut MutationBatch,
) {
    let position = record.position;
    let key = key(source.name, record).encode();
    let mut row = batch.row(&key.expect("an input's name is short enough for a key"));
    let mut set = |name: &str, value: &[u8]| {
        row.set(family::LETTER, name.as_bytes(), cell_micros(1), value);
    };
    set(letter::ATTEMPTS, &1_u64.to_be_bytes());
    if let Some(header) = source.header {
        set(letter::COLUMNS, header.as_bytes());
    }
    set(letter::CONFIG_HASH, config_hash.as_bytes());
    set(
        letter::CUT,
        &[u8::from(record.defect.is_some_and(Defect::is_cut))],
    );
    row.set(
        family::LETTER,
        letter::FIRST_SEEN.as_bytes(),
        Timestamp::MAX.cell_micros() - source.now.cell_micros(),
        &source.now.micros().to_be_bytes(),
    );
    let mut set = |name: &str, value: &[u8]| {
        row.set(family::LETTER, name.as_bytes(), cell_micros(1), value);
    };
    set(letter::FORMAT, source.format.name().as_bytes());
    set(letter::LENGTH, &position.length.to_be_bytes());
    set(letter::LINE, &position.line.to_be_bytes());
    set(letter::OFFSET, &position.offset.to_be_bytes());
    set(letter::RAW, record.raw);
    set(letter::REASONS, reasons(findings).as_bytes());
    set(letter::RECORD, &position.number.to_be_bytes());
    set(letter::RUN, source.run.as_bytes());
    set(letter::SOURCE, source.name.as_bytes());
    set(letter::STAGE, rejecting(findings).reason.stage().as_bytes());
    if let Some(user_id) = user_id.filter(|user_id| user_id.len() <= USER_ID_BYTES_MAX) {
        set(letter::USER_ID, user_id.as_bytes());
    }
    row.finish();
}

/// A longer user id is not kept beside the raw bytes: it is no part of a row key, so nobody can ask for it.
const USER_ID_BYTES_MAX: usize = 4_096;

/// The timestamp of the cells of an attempt.
fn cell_micros(attempt: u64) -> i64 {
    i64::try_from(attempt.saturating_mul(1_000)).unwrap_or(i64::MAX - i64::MAX % 1_000)
}

fn reasons(findings: &[Finding]) -> String {
    let reasons: Vec<_> = findings.iter().map(LetterReason::from).collect();
    serde_json::to_string(&reasons).expect("reasons are JSON")
}

impl DeadLetter {
    /// The letter of a row. Fails if a cell is missing or cannot be read, or if the row's key is not that of its source and offset.
    pub fn read(row: &Row) -> Result<Self, Error> {
        Self::read_cells(row, true).map_err(|problem| {
            let key = shown_key(row.key());
            Error::Row(format!("dead letter {key:?}: {problem}"))
        })
    }

    /// The letter of a row, or the row's problem as a fragment. Its raw bytes are taken only if they are asked for.
    pub(crate) fn read_cells(row: &Row, with_raw: bool) -> Result<Self, String> {
        let key = DeadLetterKey::decode(row.key()).map_err(|error| error.to_string())?;
        let cells = Cells(row);
        let number = |name: &str| cells.number(name).map(u64::from_be_bytes);
        let first_seen = i64::from_be_bytes(cells.number(letter::FIRST_SEEN)?);
        let format = cells.text(letter::FORMAT)?;
        let raw = if with_raw {
            let raw = row.value_bytes(family::LETTER, letter::RAW.as_bytes());
            raw.ok_or_else(|| missing(letter::RAW))?
        } else {
            Bytes::new()
        };
        let read = Self {
            source: cells.text(letter::SOURCE)?,
            position: Position {
                number: number(letter::RECORD)?,
                line: number(letter::LINE)?,
                offset: number(letter::OFFSET)?,
                length: number(letter::LENGTH)?,
            },
            raw,
            cut: cells.optional(letter::CUT) == Some(&[1]),
            reasons: cells.json(letter::REASONS)?,
            stage: cells.text(letter::STAGE)?,
            config_hash: cells.text(letter::CONFIG_HASH)?,
            run: cells.text(letter::RUN)?,
            first_seen: Timestamp::from_micros(first_seen)
                .map_err(|error| problem(letter::FIRST_SEEN, &error))?,
            attempts: number(letter::ATTEMPTS)?,
            format: Format::named(&format)
                .ok_or_else(|| problem(letter::FORMAT, &format!("`{format}` is no format")))?,
            columns: cells.optional_json(letter::COLUMNS)?,
            user_id: cells.optional_text(letter::USER_ID)?,
            key: text("key", row.key())?,
        };
        // Jobs rely on letters of one source coming one after the other, which the keys say.
        if (&*key.source, key.offset) != (read.source.as_str(), read.position.offset) {
            let place = format!("{}, byte {}", read.source, read.position.offset);
            return Err(format!("its key is not that of its place, {place}"));
        }
        Ok(read)
    }

    /// Writes another attempt that failed.
    pub(crate) fn write_attempt(
        &self,
        config_hash: &str,
        user_id: Option<&str>,
        findings: &[Finding],
        batch: &mut MutationBatch,
    ) {
        let attempt = self.attempts + 1;
        let mut row = batch.row(self.key.as_bytes());
        let mut cells = row.cells(family::LETTER, cell_micros(attempt));
        cells.set(letter::ATTEMPTS.as_bytes(), &attempt.to_be_bytes());
        cells.set(letter::CONFIG_HASH.as_bytes(), config_hash.as_bytes());
        cells.set(letter::REASONS.as_bytes(), reasons(findings).as_bytes());
        let stage = rejecting(findings).reason.stage();
        cells.set(letter::STAGE.as_bytes(), stage.as_bytes());
        // An empty one hides that of an earlier attempt, which another pipeline file may have read.
        let user_id = user_id.filter(|user_id| user_id.len() <= USER_ID_BYTES_MAX);
        let user_id = user_id.unwrap_or_default();
        cells.set(letter::USER_ID.as_bytes(), user_id.as_bytes());
        row.finish();
    }

    /// Where it stands: `file:line`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.source, self.position.line)
    }
}

/// The cells of a letter's row. Problems are fragments.
struct Cells<'a>(&'a Row);

impl Cells<'_> {
    fn optional(&self, name: &str) -> Option<&[u8]> {
        self.0.value(family::LETTER, name.as_bytes())
    }

    fn optional_text(&self, name: &str) -> Result<Option<String>, String> {
        let bytes = self.optional(name).filter(|bytes| !bytes.is_empty());
        bytes.map(|bytes| text(name, bytes)).transpose()
    }

    fn optional_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        let json = |json| serde_json::from_slice(json).map_err(|error| problem(name, &error));
        self.optional(name).map(json).transpose()
    }

    fn bytes(&self, name: &str) -> Result<&[u8], String> {
        self.optional(name).ok_or_else(|| missing(name))
    }

    fn text(&self, name: &str) -> Result<String, String> {
        text(name, self.bytes(name)?)
    }

    fn number(&self, name: &str) -> Result<[u8; 8], String> {
        let bytes = self.bytes(name)?;
        let length = bytes.len();
        let number = bytes.try_into();
        number.map_err(|_| problem(name, &format!("{length} bytes are no number of 8 bytes")))
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        self.optional_json(name)?.ok_or_else(|| missing(name))
    }
}

fn text(name: &str, bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| problem(name, &error))?;
    Ok(text.to_owned())
}

fn missing(name: &str) -> String {
    problem(name, &"it is missing")
}

fn problem(name: &str, problem: &dyn fmt::Display) -> String {
    format!("{name}: {problem}")
}
