//! Dead letters: a rejected record as a row, and back.

use rowmill_ingest::{Defect, Format, Position, Record};
use rowmill_model::columns::{family, letter};
use rowmill_model::{Finding, MutationBatch, Reason, Row, Severity};
use rowmill_rowkey::{DeadLetterKey, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::digest::RowHash;
use crate::error::Error;
use crate::ledger::rejecting;
use crate::process::ChunkSource;

/// A rejected record as it stands in `dead_letters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its row key, which commands name it by.
    pub key: String,
    /// The file or queue it came from.
    pub source: String,
    /// Where it stands there.
    pub position: Position,
    /// Its original bytes.
    pub raw: Vec<u8>,
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
    row.finish();
}

/// The timestamp of the cells of an attempt.
fn cell_micros(attempt: u64) -> i64 {
    i64::try_from(attempt.saturating_mul(1_000)).unwrap_or(i64::MAX - i64::MAX % 1_000)
}

fn reasons(findings: &[Finding]) -> String {
    let reasons: Vec<_> = findings.iter().map(LetterReason::from).collect();
    serde_json::to_string(&reasons).expect("reasons are JSON")
}

impl DeadLetter {
    /// The letter of a row.
    pub fn read(row: &Row) -> Result<Self, Error> {
        let cells = Cells {
            row,
            key: String::from_utf8_lossy(row.key()).into_owned(),
        };
        let text = |name: &str| cells.text(name);
        let first_seen = i64::from_be_bytes(cells.number(letter::FIRST_SEEN)?);
        let number = |name: &str| cells.number(name).map(u64::from_be_bytes);
        let header = cells.optional(letter::COLUMNS);
        Ok(Self {
            source: text(letter::SOURCE)?,
            position: Position {
                number: number(letter::RECORD)?,
                line: number(letter::LINE)?,
                offset: number(letter::OFFSET)?,
                length: number(letter::LENGTH)?,
            },
            raw: cells.bytes(letter::RAW)?.to_vec(),
            cut: cells.optional(letter::CUT) == Some(&[1]),
            reasons: cells.json(letter::REASONS, cells.bytes(letter::REASONS)?)?,
            stage: text(letter::STAGE)?,
            config_hash: text(letter::CONFIG_HASH)?,
            run: text(letter::RUN)?,
            first_seen: Timestamp::from_micros(first_seen)
                .map_err(|error| cells.error(letter::FIRST_SEEN, &error.to_string()))?,
            attempts: number(letter::ATTEMPTS)?,
            format: Format::named(&text(letter::FORMAT)?)
                .ok_or_else(|| cells.error(letter::FORMAT, "it is no format"))?,
            columns: header
                .map(|json| cells.json(letter::COLUMNS, json))
                .transpose()?,
            key: cells.key.clone(),
        })
    }

    /// Writes another attempt that failed.
    pub(crate) fn write_attempt(
        &self,
        config_hash: &str,
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
        row.finish();
    }

    /// Where it stands: `file:line`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.source, self.position.line)
    }
}

/// The cells of a letter's row.
struct Cells<'a> {
    row: &'a Row,
    key: String,
}

impl Cells<'_> {
    fn optional(&self, name: &str) -> Option<&[u8]> {
        self.row.value(family::LETTER, name.as_bytes())
    }

    fn bytes(&self, name: &str) -> Result<&[u8], Error> {
        self.optional(name)
            .ok_or_else(|| self.error(name, "it is missing"))
    }

    fn text(&self, name: &str) -> Result<String, Error> {
        let text = String::from_utf8(self.bytes(name)?.to_vec());
        text.map_err(|error| self.error(name, &error.to_string()))
    }

    fn number(&self, name: &str) -> Result<[u8; 8], Error> {
        let bytes = self.bytes(name)?.try_into();
        bytes.map_err(|_| self.error(name, "it is no number of 8 bytes"))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str, json: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(json).map_err(|error| self.error(name, &error.to_string()))
    }

    fn error(&self, name: &str, problem: &str) -> Error {
        Error::Row(format!("dead letter {:?}: {name}: {problem}", self.key))
    }
}
