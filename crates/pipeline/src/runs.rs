//! The records of runs and of their inputs, which outlive them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use rowmill_model::columns::{family, state, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{FileKey, KeyRange, RunKey, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::Error;
use crate::file_ledger::{FileLedger, FileStatus};
use crate::ledger::Ledger;
use crate::past_ledgers::add_moved;
use crate::rfc3339;
use crate::run_files::PAGE_NAMES;
use crate::unreadable::Unreadable;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Reads inputs.
    Ingest,
    /// Tries dead letters again.
    Replay,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// It has not ended, or was killed.
    Unfinished,
    /// It was stopped, and can be taken up again.
    Interrupted,
    /// Something failed; it can be taken up again.
    Failed,
    /// More records were rejected than allowed, so it stopped.
    TooManyRejects,
    /// All was read, but some inputs are damaged.
    Damaged,
    /// All was read.
    Done,
}

impl RunStatus {
    /// The word that tables show.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::TooManyRejects => "too many rejects",
            Self::Damaged => "damaged",
            Self::Done => "done",
        }
    }

    /// The exit code of a command that ended so; none while it has not ended.
    pub fn exit_code(self) -> Option<u8> {
        match self {
            Self::Unfinished => None,
            Self::Done => Some(0),
            Self::Failed | Self::Damaged => Some(1),
            Self::TooManyRejects => Some(3),
            Self::Interrupted => Some(130),
        }
    }
}

/// The record of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What it is called in the rows it wrote.
    pub run: String,
    /// What it does.
    pub kind: RunKind,
    /// When it began.
    #[serde(with = "rfc3339")]
    pub started: Timestamp,
    /// When it ended, the last time.
    #[serde(default, with = "rfc3339::option")]
    pub finished: Option<Timestamp>,
    /// How it ended.
    pub status: RunStatus,
    /// The exit code that goes with it.
    #[serde(default)]
    pub exit_code: Option<u8>,
    /// Fingerprint of the pipeline file.
    pub config_hash: String,
    /// Its inputs, the first of them.
    pub files: Vec<String>,
    /// How many more it has.
    #[serde(default, skip_serializing_if = "is_none")]
    pub more_files: u64,
    /// What became of every record: the sum of its inputs' ledgers.
    pub ledger: Ledger,
    /// The fact rows that were written.
    pub facts: Digest,
    /// The dead letters that were written.
    pub letters: Digest,
}

impl Run {
    /// A run that begins.
    pub(crate) fn begun(run: &str, kind: RunKind, started: Timestamp, config_hash: &str) -> Self {
        Self {
            run: run.to_owned(),
            kind,
            started,
            finished: None,
            status: RunStatus::Unfinished,
            exit_code: None,
            config_hash: config_hash.to_owned(),
            files: Vec::new(),
            more_files: 0,
            ledger: Ledger::default(),
            facts: Digest::default(),
            letters: Digest::default(),
        }
    }

    /// How many inputs it has.
    pub fn file_count(&self) -> u64 {
        self.files.len() as u64 + self.more_files
    }

    /// Sets how it ended.
    pub(crate) fn end(&mut self, status: RunStatus, now: Timestamp) {
        self.status = status;
        self.exit_code = status.exit_code();
        self.finished = Some(now);
    }

    /// Sums up its inputs.
    pub(crate) fn sum_up<'a>(&mut self, files: impl Iterator<Item = &'a FileLedger>) {
        (self.ledger, self.facts, self.letters) = Default::default();
        for file in files {
            self.merge(file);
        }
    }

    /// Adds an input of a replay that is not among its inputs yet. Names for which the record has no room are only counted: nobody takes a
    /// replay up.
    pub(crate) fn add(&mut self, file: &FileLedger) {
        if self.files.len() < PAGE_NAMES {
            self.files.push(file.file.clone());
        } else {
            self.more_files += 1;
        }
        self.merge(file);
    }

    /// Adds what became of one of its inputs.
    pub(crate) fn merge(&mut self, file: &FileLedger) {
        self.ledger.merge(&file.ledger);
        self.facts.merge(&file.facts);
        self.letters.merge(&file.letters);
    }

    /// Writes the record.
    pub(crate) fn write(&self, batch: &mut MutationBatch) -> Result<(), Error> {
        let key = RunKey(self.run.as_str().into()).encode();
        let key = key.map_err(|error| Error::Query(error.to_string()))?;
        let json = serde_json::to_vec(self).expect("a run is JSON");
        let mut row = batch.row(&key);
        let time = self.started.cell_micros();
        row.set(family::STATE, state::LEDGER.as_bytes(), time, &json);
        row.finish();
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// All runs, the latest first.
pub async fn runs(store: &dyn Store) -> Result<Vec<Run>, Error> {
    let mut unreadable = Unreadable::default();
    let found = readable_runs(store, &mut unreadable).await?;
    unreadable.check()?;
    Ok(found)
}

/// The runs whose records can be read, the latest first.
pub(crate) async fn readable_runs(
    store: &dyn Store,
    unreadable: &mut Unreadable,
) -> Result<Vec<Run>, Error> {
    let mut found = Vec::new();
    let mut rows = store.scan(table::STATE, Scan::range(RunKey::all()).with_latest_only());
    while let Some(row) = rows.try_next().await? {
        if let Some(json) = row.value(family::STATE, state::LEDGER.as_bytes()) {
            match serde_json::from_slice::<Run>(json) {
                Ok(run) => found.push(run),
                Err(error) => unreadable.add(table::STATE, row.key(), error),
            }
        }
    }
    found.sort_by(|a, b| (b.started, &b.run).cmp(&(a.started, &a.run)));
    Ok(found)
}

/// Whether a run began and has not ended: it works, or was killed.
pub(crate) async fn has_unfinished_run(store: &dyn Store) -> Result<bool, Error> {
    let runs = runs(store).await?;
    Ok(runs.iter().any(|run| run.status == RunStatus::Unfinished))
}

/// One run.
pub async fn run(store: &dyn Store, run: &str) -> Result<Run, Error> {
    find_run(store, run)
        .await?
        .ok_or_else(|| Error::Query(format!("there is no run `{run}`; see `rowmill runs list`")))
}

pub(crate) async fn find_run(store: &dyn Store, run: &str) -> Result<Option<Run>, Error> {
    let key = RunKey(run.into()).encode();
    let key = key.map_err(|error| Error::Query(error.to_string()))?;
    let Some(row) = store.row(table::STATE, &key).await? else {
        return Ok(None);
    };
    let json = row.value(family::STATE, state::LEDGER.as_bytes());
    json.map(|json| parse(&row, json)).transpose()
}

/// The ledgers of inputs, by name, each with those of its runs, the earliest first.
pub type FileLedgers = BTreeMap<String, Vec<FileLedger>>;

/// The ledgers of every input there ever was.
pub async fn file_ledgers(store: &dyn Store) -> Result<FileLedgers, Error> {
    let mut unreadable = Unreadable::default();
    let files = readable_file_ledgers(store, &mut unreadable).await?;
    unreadable.check()?;
    Ok(files)
}

/// The ledgers that can be read.
pub(crate) async fn readable_file_ledgers(
    store: &dyn Store,
    unreadable: &mut Unreadable,
) -> Result<FileLedgers, Error> {
    let mut files = read_readable(store, Scan::range(FileKey::all()), unreadable).await?;
    add_moved(store, &mut files, unreadable).await?;
    Ok(files)
}

/// The latest ledgers of the inputs `names`; old ones may be in rows of their own.
pub(crate) async fn ledgers_of(store: &dyn Store, names: &[String]) -> Result<FileLedgers, Error> {
    let key = |name: &String| {
        let key = FileKey(name.as_str().into()).encode();
        key.map(KeyRange::single)
    };
    let ranges = names.iter().map(key).collect::<Result<Vec<_>, _>>();
    let ranges = ranges.map_err(|error| Error::Query(error.to_string()))?;
    read_files(store, Scan::ranges(ranges)).await
}

/// The latest run that ingested an input, of its ledgers in their order.
pub(crate) fn latest_ingest(ledgers: &[FileLedger]) -> Option<&FileLedger> {
    let mut ingests = ledgers.iter().filter(|run| run.kind == RunKind::Ingest);
    ingests.next_back()
}

async fn read_files(store: &dyn Store, scan: Scan) -> Result<FileLedgers, Error> {
    let mut unreadable = Unreadable::default();
    let files = read_readable(store, scan, &mut unreadable).await?;
    unreadable.check()?;
    Ok(files)
}

async fn read_readable(
    store: &dyn Store,
    scan: Scan,
    unreadable: &mut Unreadable,
) -> Result<FileLedgers, Error> {
    let mut files = FileLedgers::new();
    let mut rows = store.scan(table::STATE, scan.with_latest_only());
    while let Some(row) = rows.try_next().await? {
        let mut ledgers = Vec::new();
        for cell in row.cells() {
            match serde_json::from_slice::<FileLedger>(cell.value) {
                Ok(ledger) => ledgers.push(ledger),
                Err(error) => unreadable.add(table::STATE, row.key(), error),
            }
        }
        ledgers.sort_by(in_order);
        if let Some(first) = ledgers.first() {
            files.insert(first.file.clone(), ledgers);
        }
    }
    Ok(files)
}

/// The order of an input's ledgers: by their number, because clocks may be set back. Those of replays have none, and come first.
pub(crate) fn in_order(a: &FileLedger, b: &FileLedger) -> Ordering {
    (a.number, a.started, &a.run).cmp(&(b.number, b.started, &b.run))
}

pub(crate) fn parse<T: serde::de::DeserializeOwned>(row: &Row, json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| {
        let key = String::from_utf8_lossy(row.key());
        Error::Row(format!("{key}: {error}"))
    })
}

/// The worst of `status` and what became of inputs.
pub(crate) fn status_of(mut status: RunStatus, files: &[FileLedger]) -> RunStatus {
    if status == RunStatus::Unfinished {
        return status;
    }
    for file in files {
        match file.status {
            FileStatus::Unfinished => return RunStatus::Unfinished,
            FileStatus::Broken => status = RunStatus::Damaged,
            FileStatus::Done if file.damage().is_some() => status = RunStatus::Damaged,
            FileStatus::Done => {}
        }
    }
    status
}
