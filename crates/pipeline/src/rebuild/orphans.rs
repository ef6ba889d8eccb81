//! Orphans: rows of the timeline whose fact is not there.
//!
//! A fact is there if any of its cells is, of whatever family: rules of age drop families one by one, and others write facts too.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_model::columns::table;
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{KeyRange, TimelineKey};
use rowmill_store::{Scan, Store, StoreExt as _};

use super::hashes::{KeyHashes, hash_of};
use super::{Rebuild, RebuildReport};
use crate::error::Error;
use crate::parts::each_part;
use crate::runs::has_unfinished_run;
use crate::spool::PARTITIONS;

/// How many rows are looked up, and removed, together.
const BATCH_ROWS: usize = 5_000;

/// So many hashes of suspects are held at once: 64 MiB and their table.
const SUSPECTS_MAX: usize = 4 << 20;

/// From so many on, orphans that are most of the timeline are taken for facts that were lost, and nothing is removed.
const ABSURD_FROM: u64 = 100;

/// Removes the rows of the timeline whose facts are not there; `facts` are the hashes of those that facts have.
pub(super) async fn remove_orphans(
    rebuild: &Rebuild,
    facts: &KeyHashes,
) -> Result<RebuildReport, Error> {
    let keys = Arc::new(KeyHashes::new(&rebuild.room));
    let parts = each_part(&rebuild.store, table::TIMELINE, |range| {
        let (rebuild, keys) = (rebuild.clone(), Arc::clone(&keys));
        async move { rebuild.gather_part(range, &keys).await }
    });
    let rows = parts.await?.into_iter().sum();
    let mut suspects = 0;
    for partition in 0..PARTITIONS {
        rebuild.control.check()?;
        suspects += keys.without(facts, partition)?.len() as u64;
    }
    // What an unfinished run wrote stays anyway.
    if !has_unfinished_run(&*rebuild.store).await? {
        check_share(suspects, rows)?;
    }
    let (mut report, mut hashes) = (RebuildReport::default(), HashSet::new());
    for partition in 0..PARTITIONS {
        hashes.extend(keys.without(facts, partition)?);
        let is_last = partition + 1 == PARTITIONS;
        if !hashes.is_empty() && (is_last || hashes.len() >= SUSPECTS_MAX) {
            let removed = rebuild.remove_suspects(std::mem::take(&mut hashes)).await?;
            report.add(removed);
        }
    }
    Ok(report)
}

/// Refuses to remove most of the timeline: it is likelier that facts were lost than that they never were.
fn check_share(suspects: u64, rows: u64) -> Result<(), Error> {
    if suspects < ABSURD_FROM || suspects <= rows / 2 {
        return Ok(());
    }
    Err(Error::Row(format!(
        "{suspects} of {rows} rows of events_timeline have no fact: more than half, so that facts may have been lost, and none of these rows was removed; \
         ingest the files again, or drop the tables and begin anew if the facts are meant to be gone"
    )))
}

impl Rebuild {
    /// Gathers the hashes of the keys of a part of the timeline.
    async fn gather_part(&self, range: KeyRange, keys: &KeyHashes) -> Result<u64, Error> {
        let scan = Scan::range(range).with_keys_only();
        let mut rows = self.store.scan(table::TIMELINE, scan);
        let (mut gathered, mut count) = (keys.gather(), 0);
        while let Some(row) = rows.try_next().await? {
            gathered.add(row.key())?;
            count += 1;
            if count % BATCH_ROWS as u64 == 0 {
                self.control.check()?;
                self.control.advance(0, BATCH_ROWS as u64);
            }
        }
        gathered.finish()?;
        Ok(count)
    }

    /// Removes those rows whose keys have these hashes, if their facts are still not there.
    async fn remove_suspects(&self, hashes: HashSet<u128>) -> Result<RebuildReport, Error> {
        let hashes = Arc::new(hashes);
        let parts = each_part(&self.store, table::TIMELINE, |range| {
            let (rebuild, hashes) = (self.clone(), Arc::clone(&hashes));
            async move { rebuild.remove_part(range, &hashes).await }
        });
        let mut report = RebuildReport::default();
        parts.await?.into_iter().for_each(|part| report.add(part));
        Ok(report)
    }

    async fn remove_part(
        &self,
        range: KeyRange,
        hashes: &HashSet<u128>,
    ) -> Result<RebuildReport, Error> {
        let scan = Scan::range(range).with_keys_only();
        let mut rows = self.store.scan(table::TIMELINE, scan);
        let (mut report, mut suspects) = (RebuildReport::default(), Vec::new());
        while let Some(row) = rows.try_next().await? {
            if !hashes.contains(&hash_of(row.key())) {
                continue;
            }
            match TimelineKey::decode(row.key()) {
                Ok(_) => suspects.push(row.key().to_vec()),
                Err(problem) => report.unreadable.add(table::TIMELINE, row.key(), problem),
            }
            if suspects.len() == BATCH_ROWS {
                self.remove(std::mem::take(&mut suspects), &mut report)
                    .await?;
            }
        }
        self.remove(suspects, &mut report).await?;
        Ok(report)
    }

    /// Removes the rows of some keys, if their facts are still not there and no run may be about to write them.
    async fn remove(
        &self,
        suspects: Vec<Vec<u8>>,
        report: &mut RebuildReport,
    ) -> Result<(), Error> {
        self.control.check()?;
        if suspects.is_empty() {
            return Ok(());
        }
        let store = &self.store;
        // A row that was read is of a run that had begun. If it has ended, its facts are there, and are found now.
        if has_unfinished_run(&**store).await? {
            report.orphans_left += suspects.len() as u64;
            return Ok(());
        }
        let orphans = without_fact(store, suspects).await?;
        let rows = orphans.into_iter().map(KeyRange::single).collect();
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
            report.orphans_left += rows.len() as u64;
        } else {
            report.orphans += rows.len() as u64;
        }
        Ok(())
    }
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

/// Those of some keys of the timeline whose facts are not there: not a cell of them.
async fn without_fact(
    store: &Arc<dyn Store>,
    mut keys: Vec<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, Error> {
    let fact_of = |key: &[u8]| TimelineKey::fact_bytes(key).map(<[u8]>::to_vec);
    let facts = keys.iter().filter_map(|key| fact_of(key).ok());
    let scan = Scan::ranges(facts.map(KeyRange::single).collect()).with_keys_only();
    let found = store.rows(table::FACT, scan).await?;
    let found: BTreeSet<&[u8]> = found.iter().map(Row::key).collect();
    keys.retain(|key| fact_of(key).is_ok_and(|fact| !found.contains(&fact[..])));
    Ok(keys)
}
