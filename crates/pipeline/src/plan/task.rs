//! What is to be done with one input.
//!
//! There may be a million of them, of which few are read at a time: a ledger is made of a task only when it is needed.

use std::sync::Arc;

use rowmill_rowkey::Timestamp;

use crate::file_ledger::FileLedger;
use crate::input::Prepared;
use crate::runs::RunKind;

/// What is to be done with one input.
pub(crate) struct Task {
    pub(crate) prepared: Prepared,
    pub(crate) start: Start,
    pub(crate) role: Role,
    /// The record at the checkpoint may be a dead letter of the run that is named, of the time when it was not whole.
    pub(crate) reread: Option<Arc<str>>,
    /// Whether no run has read the input.
    pub(super) is_unknown: bool,
    /// Whether the input's row of the state holds more ledgers than it should.
    pub(crate) is_crowded: bool,
}

/// Where an input begins in the run that it belongs to.
pub(crate) enum Start {
    /// At its beginning, under a ledger of this number among the input's.
    Beginning { run: Arc<NewRun>, number: u64 },
    /// At a checkpoint.
    Checkpoint(Box<FileLedger>),
    /// It is done: the run has read it as far as this position.
    Done { run: Arc<NewRun>, position: u64 },
}

/// Whether an input is written, or only remembered to tell duplicates in those that are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Records from the checkpoint on are written; those before it are remembered.
    Write,
    /// All of it is remembered.
    Remember,
}

/// A run that inputs belong to.
#[derive(Debug, Clone)]
pub(crate) struct NewRun {
    pub(crate) run: Arc<str>,
    pub(crate) started: Timestamp,
    pub(crate) config_hash: Arc<str>,
    pub(crate) duplicate_window: Option<u64>,
}

impl NewRun {
    /// That of a ledger.
    pub(super) fn of(ledger: &FileLedger) -> Self {
        Self {
            run: ledger.run.as_str().into(),
            started: ledger.started,
            config_hash: ledger.config_hash.as_str().into(),
            duplicate_window: ledger.duplicate_window,
        }
    }
}

impl Task {
    /// Of an input that is written from its beginning.
    pub(super) fn new(prepared: Prepared, run: &Arc<NewRun>, number: u64) -> Self {
        let run = Arc::clone(run);
        Self::of(prepared, Role::Write, Start::Beginning { run, number })
    }

    /// Of an input that is written from its ledger's checkpoint on.
    pub(super) fn at(prepared: Prepared, ledger: FileLedger) -> Self {
        Self::of(prepared, Role::Write, Start::Checkpoint(Box::new(ledger)))
    }

    /// Of an input that is done.
    pub(super) fn remembered(prepared: Prepared, run: Arc<NewRun>, position: u64) -> Self {
        Self::of(prepared, Role::Remember, Start::Done { run, position })
    }

    fn of(prepared: Prepared, role: Role, start: Start) -> Self {
        Self {
            prepared,
            start,
            role,
            reread: None,
            is_unknown: false,
            is_crowded: false,
        }
    }

    /// The run that it belongs to.
    pub(crate) fn run(&self) -> &str {
        match &self.start {
            Start::Beginning { run, .. } | Start::Done { run, .. } => &run.run,
            Start::Checkpoint(ledger) => &ledger.run,
        }
    }

    /// What became of the input so far in the run it belongs to. Of one that is done, only as much as is needed to read it again.
    pub(crate) fn ledger(&self) -> FileLedger {
        let (run, number, position) = match &self.start {
            Start::Checkpoint(ledger) => return (**ledger).clone(),
            Start::Beginning { run, number } => (run, *number, 0),
            Start::Done { run, position } => (run, 0, *position),
        };
        FileLedger {
            format: self.prepared.options.format.name().to_owned(),
            stamp: self.prepared.stamp.clone(),
            number,
            position,
            duplicate_window: run.duplicate_window,
            ..FileLedger::new(
                RunKind::Ingest,
                &self.prepared.name,
                &run.run,
                run.started,
                &run.config_hash,
            )
        }
    }
}
