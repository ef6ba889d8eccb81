//! Rebuilding the timeline from the facts: after a change of what aggregates need, or where it was damaged.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row, StoredEvent};
use rowmill_rowkey::{KeyRange, TimelineKey};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::aggregate::{row_error, start_anew};
use crate::control::Control;
use crate::error::Error;
use crate::parts::each_part;
use crate::stages::Stages;

/// What rebuilding the timeline did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// Facts that were read, each of which has its row of the timeline now.
    pub facts: u64,
    /// Rows of the timeline that were removed, because their fact is not there.
    pub orphans: u64,
}

/// How many rows are written, or looked up, together.
const BATCH_ROWS: usize = 5_000;

/// Writes the timeline anew from the facts, and removes all aggregates, which are to be made anew then.
pub async fn rebuild_timeline(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
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
    let orphans = orphans.await?.into_iter().sum();
    start_anew(stages, store).await?;
    Ok(RebuildReport { facts, orphans })
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

/// Removes the rows of the timeline whose facts are not there.
async fn remove_orphans(
    store: &Arc<dyn Store>,
    range: KeyRange,
    control: &Control,
) -> Result<u64, Error> {
    let rows = store.scan(table::TIMELINE, Scan::range(range));
    let mut batches = rows.try_chunks(BATCH_ROWS);
    let mut count = 0;
    while let Some(rows) = batches.try_next().await.map_err(|failed| failed.1)? {
        control.check()?;
        let fact = |key| TimelineKey::fact_bytes(key).map(<[u8]>::to_vec);
        let facts = rows.iter().map(|row| fact(row.key()));
        let facts: Vec<_> = facts.collect::<Result<_, _>>().map_err(row_error)?;
        let ranges = facts.iter().cloned().map(KeyRange::single).collect();
        let scan = Scan::ranges(ranges).with_families([family::QUALITY]);
        let found = store.rows(table::FACT, scan.with_latest_only()).await?;
        let found: BTreeSet<&[u8]> = found.iter().map(Row::key).collect();
        let mut batch = MutationBatch::new();
        for (row, _) in rows
            .iter()
            .zip(&facts)
            .filter(|(_, fact)| !found.contains(fact.as_slice()))
        {
            let mut orphan = batch.row(row.key());
            orphan.delete_row();
            orphan.finish();
        }
        count += batch.len() as u64;
        store.apply_all(table::TIMELINE, batch).await?;
    }
    Ok(count)
}
