//! The beginning and the end of a run in `pipeline_state`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_model::MutationBatch;
use rowmill_model::columns::table;
use rowmill_rowkey::{DeadLetterKey, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::error::Error;
use crate::file_ledger::FileLedger;
use crate::plan::Begun;
use crate::resolved::{Resolution, resolve};
use crate::runs::{Run, RunKind, RunStatus, find_run, ledgers_of, status_of};

/// Writes what a run is about to do, before it does anything: whoever takes it up finds its inputs, and under which name it goes on.
/// The run comes first, and names all of its inputs.
pub(crate) async fn begin(
    store: &Arc<dyn Store>,
    begun: &[Begun],
    config_hash: &str,
) -> Result<(), Error> {
    for Begun { ledger, reread } in begun {
        // What another run's ledger counts goes first: as long as this run is not begun, that ledger is what the next one goes by.
        if let Some(run) = reread.as_ref().filter(|run| **run != ledger.run) {
            forget_tail(store, ledger, run).await?;
        }
    }
    let mut runs: BTreeMap<&str, Run> = BTreeMap::new();
    for FileLedger {
        run, file, started, ..
    } in begun.iter().map(|begun| &begun.ledger)
    {
        let known = match runs.entry(run) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let found = find_run(&**store, run).await?;
                let begun = || Run::begun(run, RunKind::Ingest, *started, config_hash);
                vacant.insert(found.unwrap_or_else(begun))
            }
        };
        (known.status, known.exit_code, known.finished) = (RunStatus::Unfinished, None, None);
        if !known.files.contains(file) {
            known.files.push(file.clone());
        }
    }
    let mut batch = MutationBatch::new();
    for run in runs.values() {
        run.write(&mut batch)?;
    }
    store.apply_all(table::STATE, batch).await?;
    let mut batch = MutationBatch::new();
    begun
        .iter()
        .for_each(|begun| begun.ledger.write(&mut batch));
    store.apply_all(table::STATE, batch).await?;
    for Begun { ledger, reread } in begun {
        if let Some(run) = reread.as_ref().filter(|run| **run == ledger.run) {
            forget_tail(store, ledger, run).await?;
        }
    }
    Ok(())
}

/// Removes the dead letters of records that were not whole and are read again. Where it belongs to another run, whose ledger counts
/// it, it is said what became of it.
async fn forget_tail(store: &Arc<dyn Store>, ledger: &FileLedger, run: &str) -> Result<(), Error> {
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

/// Sums up the runs that were worked on, and records how they ended. Of the runs in `left` only the end is recorded, if it was not.
pub(crate) async fn end(
    store: &Arc<dyn Store>,
    worked: &BTreeSet<String>,
    left: &BTreeSet<String>,
    status: RunStatus,
    now: Timestamp,
) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    for name in worked.union(left) {
        let Some(mut run) = find_run(&**store, name).await? else {
            continue;
        };
        let is_worked = worked.contains(name);
        if !is_worked && matches!(run.status, RunStatus::Done | RunStatus::Damaged) {
            continue;
        }
        let ledgers = ledgers_of(&**store, &run.files).await?;
        let of_run = || {
            let all = ledgers.values().flatten();
            all.filter(|ledger| ledger.run == *name)
        };
        let found = status_of(of_run());
        if !is_worked && found == RunStatus::Unfinished {
            continue;
        }
        run.sum_up(of_run());
        run.end(
            if is_worked {
                joined(found, status)
            } else {
                found
            },
            now,
        );
        run.write(&mut batch)?;
    }
    store.apply_all(table::STATE, batch).await?;
    Ok(())
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
