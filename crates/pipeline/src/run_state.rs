//! The beginning and the end of a run in `pipeline_state`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_model::MutationBatch;
use rowmill_model::columns::table;
use rowmill_rowkey::{DeadLetterKey, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::error::Error;
use crate::file_ledger::{FileLedger, FileStatus};
use crate::past_ledgers::{ledgers_in, move_old};
use crate::plan::{Role, Task};
use crate::resolved::{Resolution, resolve};
use crate::run_files::{Growing, RunFiles};
use crate::runs::{Run, RunKind, RunStatus, find_run, status_of};

/// Bytes of ledgers that are written together.
const BATCH_BYTES: usize = 1 << 20;

/// Writes what a run is about to do, before it does anything: whoever takes it up finds its inputs, and under which name it goes on.
/// The run comes first, and names all of its inputs. Gives the runs that are worked on.
pub(crate) async fn begin(
    store: &Arc<dyn Store>,
    tasks: &[Task],
    config_hash: &str,
) -> Result<BTreeSet<String>, Error> {
    let written = || tasks.iter().filter(|task| task.role == Role::Write);
    // What another run's ledger counts goes first: as long as this run is not begun, that ledger is what the next one goes by.
    let is_own = |task: &&Task| task.reread.as_deref() == Some(task.run());
    let reread = || written().filter(|task| task.reread.is_some());
    for task in reread().filter(|task| !is_own(task)) {
        forget_tail(store, task).await?;
    }
    for task in written().filter(|task| task.is_crowded) {
        move_old(&**store, &task.prepared.name).await?;
    }
    let runs = begin_runs(store, written(), config_hash).await?;
    let mut batch = MutationBatch::new();
    for task in written() {
        task.ledger().write(&mut batch);
        flush(store, &mut batch, BATCH_BYTES).await?;
    }
    flush(store, &mut batch, 0).await?;
    for task in reread().filter(is_own) {
        forget_tail(store, task).await?;
    }
    Ok(runs)
}

async fn begin_runs(
    store: &Arc<dyn Store>,
    tasks: impl Iterator<Item = &Task>,
    config_hash: &str,
) -> Result<BTreeSet<String>, Error> {
    let mut runs: BTreeMap<String, Growing> = BTreeMap::new();
    let mut batch = MutationBatch::new();
    for task in tasks {
        if !runs.contains_key(task.run()) {
            let run = begun(store, task, config_hash).await?;
            let growing = Growing::new(&**store, run).await?;
            runs.insert(task.run().to_owned(), growing);
        }
        if let Some(run) = runs.get_mut(task.run()) {
            run.add(&task.prepared.name, &mut batch)?;
        }
        flush(store, &mut batch, BATCH_BYTES).await?;
    }
    let names = runs.keys().cloned().collect();
    let mut records = MutationBatch::new();
    for run in runs.into_values() {
        run.finish(&mut batch)?.write(&mut records)?;
    }
    store.apply_all(table::STATE, batch).await?;
    store.apply_all(table::STATE, records).await?;
    Ok(names)
}

/// The record of a task's run, as one that has not ended.
async fn begun(store: &Arc<dyn Store>, task: &Task, config_hash: &str) -> Result<Run, Error> {
    let found = find_run(&**store, task.run()).await?;
    let mut run = found.unwrap_or_else(|| {
        let started = task.ledger().started;
        Run::begun(task.run(), RunKind::Ingest, started, config_hash)
    });
    (run.status, run.exit_code, run.finished) = (RunStatus::Unfinished, None, None);
    Ok(run)
}

/// Writes a batch that has more than so many bytes, and empties it.
async fn flush(
    store: &Arc<dyn Store>,
    batch: &mut MutationBatch,
    bytes: usize,
) -> Result<(), Error> {
    if batch.bytes() > bytes {
        store.apply_all(table::STATE, std::mem::take(batch)).await?;
    }
    Ok(())
}

/// Removes the dead letters of records that were not whole and are read again. Where they belong to another run, whose ledger counts
/// them, it is noted what became of them.
async fn forget_tail(store: &Arc<dyn Store>, task: &Task) -> Result<(), Error> {
    let ledger = task.ledger();
    let Some(run) = task.reread.as_deref() else {
        return Ok(());
    };
    let place = DeadLetterKey::from_place(&ledger.file, ledger.position)
        .map_err(|error| Error::Query(error.to_string()))?;
    let rows = store.scan(table::DEAD_LETTERS, Scan::range(place));
    let keys: Vec<_> = rows.map_ok(|row| row.key().to_vec()).try_collect().await?;
    if run == ledger.run {
        let mut batch = MutationBatch::new();
        for key in &keys {
            let mut row = batch.row(key);
            row.delete_row();
            row.finish();
        }
        return Ok(store.apply_all(table::DEAD_LETTERS, batch).await?);
    }
    let resolution = Resolution {
        run: run.to_owned(),
        by: ledger.run.clone(),
        how: "read again".to_owned(),
    };
    let resolved = keys.iter().map(|key| (key.as_slice(), &resolution));
    resolve(&**store, &**store, resolved).await
}

/// Fails if the store has forgotten a run that is being worked on.
pub(crate) async fn check(store: &dyn Store, run: &str) -> Result<(), Error> {
    match find_run(store, run).await? {
        Some(_) => Ok(()),
        None => Err(Error::forgot(format!("the record of run {run}"))),
    }
}

/// How a job ended, for the records of its runs.
#[derive(Debug)]
pub(crate) struct End<'a> {
    /// The runs that were worked on.
    pub(crate) worked: &'a BTreeSet<String>,
    /// Runs of which only the end is recorded, if it was not.
    pub(crate) left: &'a BTreeSet<String>,
    /// How many inputs came to their end, by run.
    pub(crate) ended: &'a BTreeMap<String, u64>,
    pub(crate) status: RunStatus,
    pub(crate) now: Timestamp,
}

impl End<'_> {
    /// Sums up the runs, and records how they ended. Fails if the store has forgotten a run that was worked on, or ledgers of it.
    pub(crate) async fn record(&self, store: &Arc<dyn Store>) -> Result<(), Error> {
        for name in self.worked.union(self.left) {
            let is_worked = self.worked.contains(name);
            let Some(run) = find_run(&**store, name).await? else {
                if is_worked {
                    return Err(Error::forgot(format!("the record of run {name}")));
                }
                continue;
            };
            let is_recorded = matches!(run.status, RunStatus::Done | RunStatus::Damaged);
            if is_worked || !is_recorded {
                self.record_run(store, run, is_worked).await?;
            }
        }
        Ok(())
    }

    async fn record_run(
        &self,
        store: &Arc<dyn Store>,
        mut run: Run,
        is_worked: bool,
    ) -> Result<(), Error> {
        let found = sum_up(store, &mut run).await?;
        if found.ended < self.ended.get(&run.run).copied().unwrap_or(0) {
            return Err(Error::forgot(format!("ledgers of run {}", run.run)));
        }
        if !is_worked && found.status == RunStatus::Unfinished {
            return Ok(());
        }
        let status = if is_worked {
            joined(found.status, self.status)
        } else {
            found.status
        };
        run.end(status, self.now);
        let mut batch = MutationBatch::new();
        run.write(&mut batch)?;
        Ok(store.apply_all(table::STATE, batch).await?)
    }
}

/// What the ledgers of a run say together.
struct Found {
    status: RunStatus,
    /// How many inputs came to their end.
    ended: u64,
}

/// Sums up a run from the ledgers of its inputs, some at a time.
async fn sum_up(store: &Arc<dyn Store>, run: &mut Run) -> Result<Found, Error> {
    let record = run.clone();
    let mut pages = RunFiles::of(&record);
    let (mut status, mut ended) = (RunStatus::Done, 0);
    run.sum_up(std::iter::empty());
    while let Some(names) = pages.next(&**store).await? {
        let ledgers = ledgers_in(&**store, &record.run, &names).await?;
        status = status_of(status, &ledgers);
        let is_ended = |ledger: &&FileLedger| ledger.status != FileStatus::Unfinished;
        ended += ledgers.iter().filter(is_ended).count() as u64;
        ledgers.iter().for_each(|ledger| run.merge(ledger));
    }
    Ok(Found { status, ended })
}

/// How a run ended that was worked on by a job that ended as `job`: what is left of it may be less, because the job read other inputs,
/// or more.
fn joined(left: RunStatus, job: RunStatus) -> RunStatus {
    match (left, job) {
        (RunStatus::Unfinished, RunStatus::Done | RunStatus::Damaged) => RunStatus::Unfinished,
        (RunStatus::Unfinished, job) => job,
        (_, RunStatus::TooManyRejects | RunStatus::Failed) => job,
        (left, _) => left,
    }
}
