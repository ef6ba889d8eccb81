//! Rebuilding the timeline from the facts: after a change of what aggregates need, or where it was damaged.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row, StoredEvent};
use rowmill_rowkey::{KeyRange, TimelineKey, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::aggregate::{Horizon, row_error, start_anew};
use crate::control::Control;
use crate::error::Error;
use crate::parts::each_part;
use crate::runs::has_unfinished_run;
use crate::stages::Stages;

/// What rebuilding the timeline did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// Facts that were read, each of which has its row of the timeline now.
    pub facts: u64,
    /// Rows of the timeline that were removed, because their fact is not there.
    pub orphans: u64,
    /// Such rows that stay: a run that has not ended may be about to write their facts.
    pub orphans_left: u64,
}

/// How many rows are written, or looked up, together.
const BATCH_ROWS: usize = 5_000;

/// Writes the timeline anew from the facts, and removes all aggregates, which are to be made anew then; but not those of which the
/// timeline no longer keeps all events at `now`.
pub async fn rebuild_timeline(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    now: Timestamp,
    control: &Control,
) -> Result<RebuildReport, Error> {
    let facts = each_part(store, table::FACT, |range| {
        let (stages, store) = (Arc::clone(stages), Arc::clone(store));
        let control = control.clone();
        async move { write_timeline(&stages, &store, range, &control).await }
    });
    let facts = facts.await?.into_iter().sum();
    let orphans = each_part(store, table::TIMELINE, |range| {
        let (store, control) = (Arc::clone(store), control.clone());
        async move { remove_orphans(&store, range, &control).await }
    });
    let (mut removed, mut left) = (0, 0);
    for (of_part, left_of_part) in orphans.await? {
        removed += of_part;
        left += left_of_part;
    }
    start_anew(stages, store, Horizon::new(stages, now)).await?;
    Ok(RebuildReport {
        facts,
        orphans: removed,
        orphans_left: left,
    })
}

async fn write_timeline(
    stages: &Stages,
    store: &Arc<dyn Store>,
    range: KeyRange,
    control: &Control,
) -> Result<u64, Error> {
    let facts = store.scan(table::FACT, Scan::range(range).with_latest_only());
    let mut batches = facts.try_chunks(BATCH_ROWS);
    let (mut count, mut key) = (0, Vec::new());
    while let Some(facts) = batches.try_next().await.map_err(|failed| failed.1)? {
        control.check()?;
        let mut batch = MutationBatch::new();
        for fact in &facts {
            let stored = StoredEvent::read(fact, &stages.pipeline).map_err(row_error)?;
            key.clear();
            TimelineKey::encode_fact_into(stored.event.timestamp.hour(), fact.key(), &mut key);
            stored
                .event
                .rewrite_timeline(&key, &stages.timeline_columns, &mut batch);
        }
        store.apply_all(table::TIMELINE, batch).await?;
        count += facts.len() as u64;
        control.advance(0, facts.len() as u64);
    }
    Ok(count)
}

/// Removes the rows of the timeline whose facts are not there, and says how many it removed, and left.
async fn remove_orphans(
    store: &Arc<dyn Store>,
    range: KeyRange,
    control: &Control,
) -> Result<(u64, u64), Error> {
    let rows = store.scan(table::TIMELINE, Scan::range(range).with_keys_only());
    let mut batches = rows.try_chunks(BATCH_ROWS);
    let (mut removed, mut left) = (0, 0);
    while let Some(rows) = batches.try_next().await.map_err(|failed| failed.1)? {
        control.check()?;
        let suspects = without_fact(store, rows.iter().map(Row::key)).await?;
        if suspects.is_empty() {
            continue;
        }
        // A row that was read is of a run that had begun. If it has ended, its facts are there, and are found now.
        if has_unfinished_run(&**store).await? {
            left += suspects.len() as u64;
            continue;
        }
        let orphans = without_fact(store, suspects.iter().map(Vec::as_slice)).await?;
        let rows = orphans.iter().cloned().map(KeyRange::single).collect();
        let rows = store.rows(table::TIMELINE, Scan::ranges(rows)).await?;
        let mut batch = MutationBatch::new();
        for row in &rows {
            let mut removal = batch.row(row.key());
            removal.delete_row();
            removal.finish();
        }
        store.apply_all(table::TIMELINE, batch).await?;
        if has_unfinished_run(&**store).await? {
            // It may have begun just now, and be about to write their facts.
            let mut batch = MutationBatch::new();
            rows.iter().for_each(|row| put_back(row, &mut batch));
            store.apply_all(table::TIMELINE, batch).await?;
            left += rows.len() as u64;
        } else {
            removed += rows.len() as u64;
        }
    }
    Ok((removed, left))
}

fn put_back(row: &Row, batch: &mut MutationBatch) {
    let mut writer = batch.row(row.key());
    for cell in row.cells() {
        writer.set(
            cell.family,
            cell.qualifier,
            cell.timestamp_micros,
            cell.value,
        );
    }
    writer.finish();
}

/// Those of some keys of the timeline whose facts are not there.
async fn without_fact<'a>(
    store: &Arc<dyn Store>,
    keys: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Vec<u8>>, Error> {
    let with_fact = |key: &'a [u8]| Ok((TimelineKey::fact_bytes(key)?, key));
    let keys: Vec<(&[u8], &[u8])> = keys
        .map(with_fact)
        .collect::<Result<_, rowmill_rowkey::Error>>()
        .map_err(row_error)?;
    let facts = keys.iter().map(|(fact, _)| KeyRange::single(fact.to_vec()));
    let scan = Scan::ranges(facts.collect()).with_families([family::QUALITY]);
    let found = store.rows(table::FACT, scan.with_latest_only()).await?;
    let found: BTreeSet<&[u8]> = found.iter().map(Row::key).collect();
    let missing = keys.iter().filter(|(fact, _)| !found.contains(fact));
    Ok(missing.map(|(_, key)| key.to_vec()).collect())
}
