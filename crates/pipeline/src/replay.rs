//! The replay job: dead letters through the whole current pipeline once more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rowmill_ingest::Chunk;
use rowmill_model::columns::table;
use rowmill_model::{Finding, MutationBatch, Reason};
use rowmill_quality::Seen;
use rowmill_rowkey::{Hour, Timestamp};
use rowmill_store::{Clock, Store, StoreExt as _, Throttle};

use crate::aggregate::narrow_timeline;
use crate::control::Control;
use crate::digest::RowHash;
use crate::error::Error;
use crate::file_ledger::{FileLedger, FileStatus};
use crate::ingest::DUPLICATE_WINDOW;
use crate::ledger::Ledger;
use crate::letter::{DeadLetter, LetterReason};
use crate::letter_reader::LetterReader;
use crate::letters::{LetterFilter, LetterSlices};
use crate::marks::Marker;
use crate::process::Processed;
use crate::refused::{self, Refused};
use crate::resolved::{Resolution, resolve};
use crate::run_state;
use crate::runs::{Run, RunKind, RunStatus};
use crate::stages::Stages;
use crate::unreadable::Unreadable;

/// How many letters are tried together.
const BATCH_LETTERS: u32 = 500;

/// How to replay.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// What the run is called in the rows it writes.
    pub run: String,
    /// When it began.
    pub now: Timestamp,
    /// Which letters.
    pub filter: LetterFilter,
    /// So many at most.
    pub limit: Option<u64>,
    /// So many a second at most.
    pub rate: Option<f64>,
    /// Say what would become of them, and write nothing.
    pub dry_run: bool,
    /// What tells when it ended.
    pub clock: Arc<dyn Clock>,
}

/// What became of the letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// What became of their records.
    pub ledger: Ledger,
    /// Letters that were tried.
    pub tried: u64,
    /// Those that are letters no more.
    pub passed: u64,
    /// By the reason that had kept a letter out, such as `one_of level`: how many were tried, and how many pass now. Only the first
    /// reason of each counts.
    pub by_reason: BTreeMap<String, (u64, u64)>,
    /// Rows that hold no letter. They stay.
    pub unreadable: Unreadable,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Tries dead letters again: those that pass now are written as events and are letters no more; of the others the attempt is counted.
pub async fn replay(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &ReplayOptions,
    control: &Control,
) -> Result<ReplayReport, Error> {
    let mut job = Replay::new(stages, store, options);
    if !options.dry_run {
        narrow_timeline(stages, &**store).await?;
    }
    job.record_run(RunStatus::Unfinished).await?;
    let status = match job.run(control).await {
        Ok(status) => status,
        Err(error) => {
            // A failure that keeps this from being recorded is the one that ended it, most likely.
            job.record_run(RunStatus::Failed).await.ok();
            return Err(error);
        }
    };
    job.record_run(status).await?;
    let mut report = job.report;
    report.interrupted = status == RunStatus::Interrupted;
    report.ledger = job.passed.ledger;
    report.ledger.check()?;
    Ok(report)
}

struct Replay<'a> {
    stages: &'a Arc<Stages>,
    store: &'a Arc<dyn Store>,
    /// Where one row is written for each letter.
    dead_letters: Arc<dyn Store>,
    options: &'a ReplayOptions,
    marker: Marker,
    batch_letters: usize,
    reader: LetterReader<'a>,
    seen: Seen,
    report: ReplayReport,
    /// The sources that have letters in the latest batch, or that may have more.
    ledgers: BTreeMap<String, FileLedger>,
    /// The source of the latest letter: letters come by source, so only this one may have more.
    latest: Option<String>,
    /// The record of the run, with the sum of all sources before.
    passed: Run,
}

/// A letter and what became of it.
struct Tried {
    letter: DeadLetter,
    outcome: Outcome,
}

enum Outcome {
    /// Its records pass; there may be more than one in it.
    Passes(Box<Processed>, Chunk),
    /// The findings, and the user whose record it is, if that is known.
    Fails(Vec<Finding>, Option<String>),
}

/// The events of letters that pass, as rows.
#[derive(Default)]
struct Events {
    facts: Arc<MutationBatch>,
    timeline: Arc<MutationBatch>,
    hours: BTreeSet<Hour>,
    /// Of each row: the letter, and the event within it.
    owners: Vec<(usize, usize)>,
}

impl<'a> Replay<'a> {
    fn new(stages: &'a Arc<Stages>, store: &'a Arc<dyn Store>, options: &'a ReplayOptions) -> Self {
        let dead_letters: Arc<dyn Store> = match options.rate {
            Some(rate) => Arc::new(Throttle::new(Arc::clone(store), rate)),
            None => Arc::clone(store),
        };
        // What is tried together is written together: no more than a second's worth.
        let most = options.rate.map_or(f64::INFINITY, |rate| rate.max(1.0));
        let batch_letters = (1..=BATCH_LETTERS)
            .rev()
            .find(|count| f64::from(*count) <= most);
        Self {
            stages,
            store,
            dead_letters,
            options,
            marker: Marker::new(Arc::clone(store), options.run.as_str()),
            batch_letters: batch_letters.unwrap_or(1) as usize,
            reader: LetterReader::new(stages),
            seen: Seen::new(DUPLICATE_WINDOW),
            report: ReplayReport::default(),
            ledgers: BTreeMap::new(),
            latest: None,
            passed: Run::begun(
                &options.run,
                RunKind::Replay,
                options.now,
                &stages.pipeline.fingerprint,
            ),
        }
    }

    async fn run(&mut self, control: &Control) -> Result<RunStatus, Error> {
        let mut slices = LetterSlices::new(&self.options.filter)?;
        let limit = self.options.limit.unwrap_or(u64::MAX);
        let mut status = RunStatus::Done;
        'slices: while self.report.tried < limit
            && let Some(letters) = slices.next(&**self.store, &mut |_| {}).await?
        {
            let mut letters = letters.into_iter().peekable();
            while letters.peek().is_some() && self.report.tried < limit {
                if control.is_stopped() {
                    status = RunStatus::Interrupted;
                    break 'slices;
                }
                let most = usize::try_from(limit - self.report.tried).unwrap_or(usize::MAX);
                let batch = letters.by_ref().take(most.min(self.batch_letters));
                let batch: Vec<_> = batch.collect();
                control.advance(0, batch.len() as u64);
                self.take(batch).await?;
                self.record_sources().await?;
            }
            if control.is_stopped() {
                status = RunStatus::Interrupted;
                break;
            }
        }
        self.report.unreadable = slices.into_unreadable();
        Ok(status)
    }

    async fn take(&mut self, letters: Vec<DeadLetter>) -> Result<(), Error> {
        let mut tried = Vec::with_capacity(letters.len());
        for letter in letters {
            let outcome = self.attempt(&letter);
            tried.push(Tried { letter, outcome });
        }
        let events = self.events(&tried);
        let refused = self.write(&events).await?;
        let mut written: Vec<BTreeMap<usize, RowHash>> = vec![BTreeMap::new(); tried.len()];
        for (row, (owner, index)) in events.owners.iter().enumerate() {
            if let Some(refusal) = refused.get(&row) {
                let finding = Finding::reject(Reason::Store, "", refusal.error.to_string());
                tried[*owner].outcome = Outcome::Fails(vec![finding], None);
            } else {
                let hash = RowHash::of(events.facts.get(row));
                written[*owner].insert(*index, hash);
            }
        }
        for (tried, written) in tried.iter().zip(&written) {
            self.count(tried, written);
        }
        self.close(&tried).await
    }

    /// Sends a letter's raw bytes through the pipeline.
    fn attempt(&mut self, letter: &DeadLetter) -> Outcome {
        let ReplayOptions { run, now, .. } = self.options;
        match self.reader.read(letter, run, *now) {
            Err(message) => {
                let finding = Finding::reject(Reason::Unreadable, "", message);
                Outcome::Fails(vec![finding], None)
            }
            Ok((processed, chunk)) if processed.rejected.is_empty() => {
                Outcome::Passes(Box::new(processed), chunk)
            }
            Ok((mut processed, _)) => {
                let rejected = processed.rejected.swap_remove(0);
                // Of several records it may be another's.
                let is_only = processed.rejected.is_empty() && processed.events.is_empty();
                Outcome::Fails(rejected.findings, rejected.user_id.filter(|_| is_only))
            }
        }
    }

    /// The events of letters that pass, each once.
    fn events(&mut self, tried: &[Tried]) -> Events {
        let mut events = Events::default();
        let (mut facts, mut timeline) = (MutationBatch::new(), MutationBatch::new());
        for (owner, tried) in tried.iter().enumerate() {
            let Outcome::Passes(processed, _) = &tried.outcome else {
                continue;
            };
            for (index, event) in processed.events.iter().enumerate() {
                if self.seen.insert(event.identity) {
                    facts.push(processed.facts.get(index));
                    timeline.push(processed.timeline.get(index));
                    events.hours.insert(event.hour);
                    events.owners.push((owner, index));
                }
            }
        }
        (events.facts, events.timeline) = (Arc::new(facts), Arc::new(timeline));
        events
    }

    /// Writes events, with their hours marked before and after, and gives those that the store refuses, by their row.
    async fn write(&self, events: &Events) -> Result<Refused, Error> {
        if self.options.dry_run {
            return Ok(Refused::new());
        }
        let store = &**self.store;
        self.marker.mark(&events.hours).await?;
        let facts = store.apply(table::FACT, Arc::clone(&events.facts)).await?;
        let timeline = Arc::clone(&events.timeline);
        let timeline = store.apply(table::TIMELINE, timeline).await?;
        let refused = refused::rows(facts, timeline)?;
        refused::take_back(
            self.stages,
            store,
            &events.facts,
            &events.timeline,
            &refused,
        )
        .await?;
        self.marker.mark(&events.hours).await?;
        Ok(refused)
    }

    /// Counts what became of a letter, of whose events `written` were written.
    fn count(&mut self, tried: &Tried, written: &BTreeMap<usize, RowHash>) {
        let letter = &tried.letter;
        let was = letter.reasons.iter().find(|reason| reason.is_rejecting());
        let was = was.map_or_else(|| letter.stage.clone(), LetterReason::name);
        let of_reason = self.report.by_reason.entry(was).or_default();
        self.report.tried += 1;
        of_reason.0 += 1;
        if matches!(tried.outcome, Outcome::Passes(..)) {
            self.report.passed += 1;
            of_reason.1 += 1;
        }
        let ReplayOptions { run, now, .. } = self.options;
        let config_hash = &self.stages.pipeline.fingerprint;
        let new = || FileLedger::new(RunKind::Replay, &letter.source, run, *now, config_hash);
        let ledger = self
            .ledgers
            .entry(letter.source.clone())
            .or_insert_with(new);
        self.latest = Some(letter.source.clone());
        match &tried.outcome {
            Outcome::Fails(findings, _) => {
                ledger.ledger.read(letter.position.length);
                ledger.ledger.reject(findings, letter.position.length);
            }
            Outcome::Passes(processed, chunk) => {
                ledger.ledger.merge(&processed.ledger);
                for (index, event) in processed.events.iter().enumerate() {
                    let length = chunk.record(event.record).position.length;
                    match written.get(&index) {
                        Some(_) => ledger.ledger.write(length),
                        None => ledger.ledger.repeat(length),
                    }
                }
                written.values().for_each(|hash| ledger.facts.add(*hash));
            }
        }
    }

    /// Removes the letters that pass, and counts the attempt of the others.
    async fn close(&mut self, tried: &[Tried]) -> Result<(), Error> {
        if self.options.dry_run {
            return Ok(());
        }
        let resolution = |letter: &DeadLetter| Resolution {
            run: letter.run.clone(),
            by: self.options.run.clone(),
            how: "replayed".to_owned(),
        };
        let (mut resolved, mut attempts) = (Vec::new(), MutationBatch::new());
        let config_hash = &self.stages.pipeline.fingerprint;
        for Tried { letter, outcome } in tried {
            match outcome {
                Outcome::Passes(..) => resolved.push((letter.key.as_bytes(), resolution(letter))),
                Outcome::Fails(findings, user_id) => {
                    let user_id = user_id.as_deref();
                    letter.write_attempt(config_hash, user_id, findings, &mut attempts);
                }
            }
        }
        let each = resolved.iter().map(|(key, resolution)| (*key, resolution));
        resolve(&**self.store, &*self.dead_letters, each).await?;
        self.dead_letters
            .apply_all(table::DEAD_LETTERS, attempts)
            .await?;
        Ok(())
    }

    /// Fails if the store has forgotten that the run began.
    async fn check_record(&self) -> Result<(), Error> {
        if self.options.dry_run {
            return Ok(());
        }
        run_state::check(&**self.store, &self.options.run).await
    }

    /// Writes the ledgers of the latest batch's sources, and adds those up that have no more letters.
    async fn record_sources(&mut self) -> Result<(), Error> {
        self.check_record().await?;
        let latest = self.latest.as_deref();
        for (source, ledger) in &mut self.ledgers {
            if latest != Some(source) {
                ledger.status = FileStatus::Done;
            }
        }
        self.write_ledgers(MutationBatch::new()).await?;
        for (source, ledger) in std::mem::take(&mut self.ledgers) {
            if self.latest.as_ref() == Some(&source) {
                self.ledgers.insert(source, ledger);
            } else {
                self.passed.add(&ledger);
            }
        }
        Ok(())
    }

    /// Writes the record of the run, and once it has ended, the ledger of its last source.
    async fn record_run(&mut self, status: RunStatus) -> Result<(), Error> {
        if !matches!(status, RunStatus::Unfinished | RunStatus::Failed) {
            self.check_record().await?;
        }
        if status != RunStatus::Unfinished {
            for ledger in self.ledgers.values_mut() {
                if status != RunStatus::Failed {
                    ledger.status = FileStatus::Done;
                }
                self.passed.add(ledger);
            }
            self.passed.end(status, self.options.clock.now());
        }
        let mut batch = MutationBatch::new();
        self.passed.write(&mut batch)?;
        self.write_ledgers(batch).await
    }

    /// Writes the ledgers of the sources at work beside what is in `batch`.
    async fn write_ledgers(&self, mut batch: MutationBatch) -> Result<(), Error> {
        if self.options.dry_run {
            return Ok(());
        }
        for ledger in self.ledgers.values() {
            ledger.write(&mut batch);
        }
        self.store.apply_all(table::STATE, batch).await?;
        Ok(())
    }
}
