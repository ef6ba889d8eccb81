//! What became of one input in one run, as it is kept in `pipeline_state`: its ledger, and how far it got.

use rowmill_model::MutationBatch;
use rowmill_model::columns::family;
use rowmill_rowkey::{FileKey, PastLedgerKey, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::digest::{Digest, Sum};
use crate::ledger::Ledger;
use crate::rfc3339;
use crate::runs::RunKind;

/// How far an input got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStatus {
    /// It was begun, and there is more to read.
    Unfinished,
    /// It could not be read on; what was good is kept.
    Broken,
    /// All of it was read.
    Done,
}

impl FileStatus {
    /// The word that tables show.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Broken => "broken",
            Self::Done => "done",
        }
    }
}

const SHORT_ENOUGH: &str = "the names of inputs and runs are short enough for a key";

/// What became of one input in one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLedger {
    /// What the run does.
    pub kind: RunKind,
    /// The input's name.
    pub file: String,
    /// The run.
    pub run: String,
    /// Its number among the ledgers of the input's ingests, from 0: which of two is the later one, whatever clocks say.
    #[serde(default)]
    pub number: u64,
    /// When the run began, which is what its rows say.
    #[serde(with = "rfc3339")]
    pub started: Timestamp,
    /// Fingerprint of the pipeline file.
    pub config_hash: String,
    /// The number of latest identities that the run remembers to tell duplicates, if it is not [`crate::DUPLICATE_WINDOW`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_window: Option<u64>,
    /// How far it got.
    pub status: FileStatus,
    /// Why it could not be read on, or seems to be cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Which of its records are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_utf8: Option<NotUtf8>,
    /// What its records look like: `csv`, `jsonl` or `json`.
    pub format: String,
    /// What tells without reading it that the input is as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
    /// Where the run began in the input, in bytes of its content: beyond the start if it had grown.
    pub from: u64,
    /// The checkpoint: everything before it is written.
    pub position: u64,
    /// XXH3-128 of the content before the checkpoint.
    pub content_hash: Sum,
    /// The last records, if they may go on when the input grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
    /// The records between `from` and `position`.
    pub ledger: Ledger,
    /// The fact rows that were written.
    pub facts: Digest,
    /// The dead letters that were written.
    pub letters: Digest,
}

/// What tells that an input is as it was: its size and when it was changed, or what an object store says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The size of the file, as it is stored.
    pub bytes: u64,
    /// When it was changed, in nanoseconds since 1970, or an object's version.
    pub version: String,
}

/// The records that the content ends in, and that would be others if it went on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The first byte.
    pub offset: u64,
    /// How many records it was taken for.
    pub records: u64,
    /// Their length.
    pub length: u64,
    /// Whether the input broke off there, so that they were rejected.
    pub cut: bool,
    /// Hashes of the keys that their dead letters have if they are such.
    pub letters: Vec<Sum>,
}

/// Records that are not valid UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotUtf8 {
    /// The line of the first.
    pub line: u64,
    /// How many there are.
    pub records: u64,
}

/// What a batch adds to an input's ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    pub(crate) position: u64,
    pub(crate) content_hash: u128,
    pub(crate) tail: Option<Tail>,
    pub(crate) end: Option<FileStatus>,
    pub(crate) problem: Option<String>,
    pub(crate) not_utf8: Option<NotUtf8>,
    pub(crate) ledger: Ledger,
    pub(crate) facts: Digest,
    pub(crate) letters: Digest,
}

impl FileLedger {
    /// A ledger without an entry.
    pub(crate) fn new(
        kind: RunKind,
        file: &str,
        run: &str,
        started: Timestamp,
        config_hash: &str,
    ) -> Self {
        Self {
            kind,
            file: file.to_owned(),
            run: run.to_owned(),
            number: 0,
            started,
            config_hash: config_hash.to_owned(),
            duplicate_window: None,
            status: FileStatus::Unfinished,
            problem: None,
            not_utf8: None,
            format: String::new(),
            stamp: None,
            from: 0,
            position: 0,
            content_hash: Sum(xxh3_128(b"")),
            tail: None,
            ledger: Ledger::default(),
            facts: Digest::default(),
            letters: Digest::default(),
        }
    }

    /// Whether nothing was read yet.
    pub(crate) fn is_at_its_beginning(&self) -> bool {
        let nothing = Digest::default();
        self.position == 0
            && self.ledger == Ledger::default()
            && (self.facts, self.letters) == (nothing, nothing)
            && self.tail.is_none()
            && self.damage().is_none()
    }

    /// Writes the ledger: into the input's row, in the column of its run; that of a replay into a row of its own.
    pub(crate) fn write(&self, batch: &mut MutationBatch) {
        if self.kind == RunKind::Replay {
            return self.write_past(batch);
        }
        let key = FileKey(self.file.as_str().into()).encode();
        self.write_to(&key.expect(SHORT_ENOUGH), batch);
    }

    /// Writes the ledger into a row of its own.
    pub(crate) fn write_past(&self, batch: &mut MutationBatch) {
        let (source, run) = (self.file.as_str().into(), self.run.as_str().into());
        let key = PastLedgerKey { source, run }.encode();
        self.write_to(&key.expect(SHORT_ENOUGH), batch);
    }

    fn write_to(&self, key: &[u8], batch: &mut MutationBatch) {
        let json = serde_json::to_vec(self).expect("a ledger is JSON");
        let mut row = batch.row(key);
        row.set(
            family::STATE,
            self.run.as_bytes(),
            self.started.cell_micros(),
            &json,
        );
        row.finish();
    }

    /// Moves the checkpoint on.
    pub(crate) fn advance(&mut self, progress: Progress) {
        self.position = progress.position;
        self.content_hash = Sum(progress.content_hash);
        self.tail = progress.tail;
        self.problem = progress.problem.or(self.problem.take());
        self.not_utf8 = joined(self.not_utf8, progress.not_utf8);
        self.status = progress.end.unwrap_or(self.status);
        self.ledger.merge(&progress.ledger);
        self.facts.merge(&progress.facts);
        self.letters.merge(&progress.letters);
    }

    /// What is wrong with the input as a whole, as a fragment.
    pub fn damage(&self) -> Option<String> {
        let not_utf8 = self.not_utf8.map(|NotUtf8 { line, records }| {
            let what = if records == 1 {
                "1 record is"
            } else {
                "records are"
            };
            let count = if records == 1 {
                String::new()
            } else {
                format!("{records} ")
            };
            format!("{count}{what} not valid UTF-8, first on line {line}")
        });
        let parts: Vec<_> = self.problem.clone().into_iter().chain(not_utf8).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Both together: those of `a` come first.
pub(crate) fn joined(a: Option<NotUtf8>, b: Option<NotUtf8>) -> Option<NotUtf8> {
    let more = b.map_or(0, |b| b.records);
    match a {
        Some(a) => Some(NotUtf8 {
            records: a.records + more,
            ..a
        }),
        None => b,
    }
}
