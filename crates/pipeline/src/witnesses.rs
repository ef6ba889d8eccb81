//! Rows that an ingest wrote, looked up again: so that a run whose store is emptied, restored or dropped meanwhile does not end as if all
//! were there.
//!
//! Of each batch some rows of each table are looked up once they are written, together with the first and the latest of the batches
//! before, and the record of the run. When the run has ended, a sample of all batches is. A row that is not there is excused if a deletion
//! of it, or what became of the dead letter, is noted, or if its age explains it: by the pipeline file's rules, or because all rows that
//! were found are younger.

mod sample;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, table};
use rowmill_rowkey::{
    DeadLetterKey, DeletedKey, FactKey, KeyRange, ResolvedKey, RunKey, TimelineKey, Timestamp,
};
use rowmill_store::{Clock, Scan, Store, StoreExt as _};
use tokio::sync::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::Error;
use crate::stages::Stages;
use sample::Sample;

/// The rows of one table that were written, and what they are looked up for.
#[derive(Debug)]
struct Witnesses {
    table: &'static str,
    /// Seconds that the table keeps a row, if its rows have the time of their event.
    kept_seconds: Option<u64>,
    sample: Sample,
    /// The earliest event of which a row was found: none that is later can be gone because of its age.
    earliest: Option<Timestamp>,
}

/// What shows that a store has what an ingest wrote to it.
#[derive(Debug)]
pub(crate) struct StoreWatch {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// The keys of the records of runs that are worked on.
    runs: Vec<(String, Vec<u8>)>,
    tables: [Mutex<Witnesses>; 3],
}

/// Of so many runs the records are looked up.
const RUNS_MAX: usize = 16;

/// Of a batch so many rows of each table are looked up.
const ROWS_OF_BATCH: usize = 8;

/// Where none of so many rows is there, not one of the table ever was: then their age does not explain it.
const ABSENT_MIN: usize = 4;

impl StoreWatch {
    /// Of the runs that are worked on.
    pub(crate) fn new(
        stages: &Stages,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        runs: &BTreeSet<String>,
    ) -> Result<Self, Error> {
        let kept = |table: &str, families: &[&str]| {
            let kept = families
                .iter()
                .map(|family| stages.pipeline.retention_seconds(table, family));
            kept.collect::<Option<Vec<_>>>()?.into_iter().max()
        };
        let of_fact = [family::EVENT_DATA, family::METADATA, family::QUALITY];
        let key = |run: &String| {
            let key = RunKey(run.as_str().into()).encode();
            let key = key.map_err(|error| Error::Query(error.to_string()))?;
            Ok((run.clone(), key))
        };
        let runs: Result<Vec<_>, Error> = runs.iter().take(RUNS_MAX).map(key).collect();
        Ok(Self {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            runs: runs?,
            tables: [
                Witnesses::new(table::FACT, kept(table::FACT, &of_fact)),
                Witnesses::new(table::TIMELINE, kept(table::TIMELINE, &[family::EVENT])),
                Witnesses::new(table::DEAD_LETTERS, None),
            ]
            .map(Mutex::new),
        })
    }

    /// Looks up some rows of a batch that was written, but for those that were refused, and some that were written before.
    pub(crate) async fn look(
        &self,
        rows: [&MutationBatch; 3],
        is_refused: impl Fn(usize) -> bool,
    ) -> Result<(), Error> {
        self.look_for_runs().await?;
        let [facts, timeline, letters] = rows;
        let written = |batch: &MutationBatch| {
            let step = batch.len().div_ceil(ROWS_OF_BATCH).max(1);
            let rows = (0..batch.len()).step_by(step);
            let rows = rows.chain(batch.len().checked_sub(1));
            keys(batch, rows.filter(|row| !is_refused(*row)))
        };
        let step = letters.len().div_ceil(ROWS_OF_BATCH).max(1);
        let of_letters = (0..letters.len()).step_by(step);
        let [of_facts, of_timeline, of_dead] = &self.tables;
        futures::try_join!(
            self.look_in(of_facts, written(facts)),
            self.look_in(of_timeline, written(timeline)),
            self.look_in(of_dead, keys(letters, of_letters)),
        )?;
        Ok(())
    }

    /// Looks up a sample of all rows that were written, after everything is recorded.
    pub(crate) async fn confirm(&self) -> Result<(), Error> {
        self.look_for_runs().await?;
        for table in &self.tables {
            let witnesses = table.lock().await;
            let all = witnesses.sample.all();
            let found = self.found(&witnesses, &all).await?;
            self.miss(&witnesses, all.iter().filter(|key| !found.contains(*key)))
                .await?;
        }
        Ok(())
    }

    async fn look_for_runs(&self) -> Result<(), Error> {
        let ranges = self
            .runs
            .iter()
            .map(|(_, key)| KeyRange::single(key.clone()));
        let scan = Scan::ranges(ranges.collect()).with_keys_only();
        let rows = self.store.rows(table::STATE, scan).await?;
        let found: BTreeSet<&[u8]> = rows.iter().map(rowmill_model::Row::key).collect();
        let missing = |run: &&(String, Vec<u8>)| !found.contains(run.1.as_slice());
        match self.runs.iter().find(missing) {
            Some((run, _)) => Err(Error::forgot(format!("the record of run {run}"))),
            None => Ok(()),
        }
    }

    async fn look_in(
        &self,
        table: &Mutex<Witnesses>,
        written: BTreeSet<Vec<u8>>,
    ) -> Result<(), Error> {
        if written.is_empty() {
            return Ok(());
        }
        let mut witnesses = table.lock().await;
        let before = witnesses.sample.first_and_latest();
        let wanted: BTreeSet<Vec<u8>> = written.union(&before).cloned().collect();
        let found = self.found(&witnesses, &wanted).await?;
        let gone = before.iter().filter(|key| !found.contains(*key));
        self.miss(&witnesses, gone).await?;
        let (there, absent): (Vec<_>, Vec<_>) =
            written.into_iter().partition(|key| found.contains(key));
        witnesses.add(there);
        let is_first = witnesses.earliest.is_none() && absent.len() >= ABSENT_MIN;
        let is_kept = |key: &&Vec<u8>| is_first || witnesses.must_be_there(key);
        self.miss(&witnesses, absent.iter().filter(is_kept)).await?;
        Ok(())
    }

    async fn found(
        &self,
        witnesses: &Witnesses,
        keys: &BTreeSet<Vec<u8>>,
    ) -> Result<BTreeSet<Vec<u8>>, Error> {
        if keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        let ranges = keys.iter().cloned().map(KeyRange::single).collect();
        let scan = Scan::ranges(ranges).with_keys_only();
        let rows = self.store.rows(witnesses.table, scan).await?;
        Ok(rows.iter().map(|row| row.key().to_vec()).collect())
    }

    /// Fails if one of these rows, which are not there, should be.
    async fn miss(
        &self,
        witnesses: &Witnesses,
        keys: impl Iterator<Item = &Vec<u8>>,
    ) -> Result<(), Error> {
        for key in keys {
            let is_expired = witnesses.is_expired(key, self.clock.now());
            if is_expired || self.is_noted(witnesses.table, key).await? {
                continue;
            }
            let shown = String::from_utf8_lossy(key);
            let what = format!("row {shown} of {}", witnesses.table);
            return Err(Error::forgot(what));
        }
        Ok(())
    }

    /// Whether it is noted that a row was removed.
    async fn is_noted(&self, name: &str, key: &[u8]) -> Result<bool, Error> {
        let note = match name {
            table::FACT => Some(deleted(key)),
            table::TIMELINE => TimelineKey::fact_bytes(key).ok().map(deleted),
            _ => {
                let letter = DeadLetterKey::decode(key).ok();
                letter.and_then(|letter| ResolvedKey(letter).encode().ok())
            }
        };
        match note {
            Some(note) => Ok(self.store.row(table::STATE, &note).await?.is_some()),
            None => Ok(false),
        }
    }
}

fn deleted(fact: &[u8]) -> Vec<u8> {
    DeletedKey(xxh3_128(fact)).encode()
}

/// The keys of some rows, but for large ones: to see that such a row is there, a store may have to read all of it.
fn keys(batch: &MutationBatch, rows: impl Iterator<Item = usize>) -> BTreeSet<Vec<u8>> {
    const LARGE_BYTES: usize = 64 << 10;
    let rows = rows.map(|row| batch.get(row));
    let rows = rows.filter(|row| row.ops().len() < LARGE_BYTES);
    rows.map(|row| row.key().to_vec()).collect()
}

impl Witnesses {
    fn new(table: &'static str, kept_seconds: Option<u64>) -> Self {
        Self {
            table,
            kept_seconds,
            sample: Sample::default(),
            earliest: None,
        }
    }

    /// Takes rows that were found.
    fn add(&mut self, keys: Vec<Vec<u8>>) {
        for key in keys {
            if let Some(time) = self.time(&key) {
                self.earliest = Some(self.earliest.map_or(time, |earliest| earliest.min(time)));
            }
            self.sample.add(key);
        }
    }

    /// Whether no rule of age can have dropped a row that was just written.
    fn must_be_there(&self, key: &[u8]) -> bool {
        match (self.time(key), self.earliest) {
            (Some(time), Some(earliest)) => time >= earliest,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// Whether the table need not keep a row any more.
    fn is_expired(&self, key: &[u8], now: Timestamp) -> bool {
        /// By so much the clocks of the process and of the store may differ.
        const SLACK_MICROS: i64 = 3_600_000_000;
        let (Some(time), Some(seconds)) = (self.time(key), self.kept_seconds) else {
            return false;
        };
        let kept_micros = i64::try_from(seconds)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        let end = time.micros().saturating_add(kept_micros);
        end < now.micros().saturating_add(SLACK_MICROS)
    }

    /// When the event of a row happened; none of a row without a time.
    fn time(&self, key: &[u8]) -> Option<Timestamp> {
        let fact = match self.table {
            table::FACT => key,
            table::TIMELINE => TimelineKey::fact_bytes(key).ok()?,
            _ => return None,
        };
        Some(FactKey::decode(fact).ok()?.timestamp)
    }
}
