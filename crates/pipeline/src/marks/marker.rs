//! The marks of one process that writes events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{AGGREGATE_EPOCH_KEY, Hour, KeyRange, PendingKey};
use rowmill_store::{Scan, Store, StoreExt as _};
use tokio::sync::Mutex;

use super::{BATCH_BYTES, Epoch, flush};
use crate::error::Error;

/// Marks the hours of events that a process writes: before, so that events of a process that dies are aggregated all the same, and again
/// after, because whoever aggregated meanwhile did not see all of them.
///
/// A mark is read, and so may be cleared, only by aggregations whose epoch begins after it was made. While the epoch is the one that was
/// read before the mark was made, no aggregation that read the mark has begun to read events: so the mark stands for events that are
/// written until then, and is not made again. In a new epoch the hour gets a mark of a new name.
#[derive(Debug)]
pub(crate) struct Marker {
    store: Arc<dyn Store>,
    process: Arc<str>,
    made: Mutex<Made>,
}

/// What was marked.
#[derive(Debug, Default)]
struct Made {
    epoch: Option<Epoch>,
    /// What the marks of this epoch are named by: it grows with each epoch that is seen.
    generation: u64,
    /// The generation of the latest mark of each hour.
    hours: BTreeMap<Hour, u64>,
    /// An hour that was marked in this epoch: its mark must be there as long as the epoch is.
    witness: Option<Hour>,
}

/// An hour that nobody clears bears the marks of so many epochs. Shards merge an hour only while the marks that they read are there, so
/// the last ones must stay for a while.
const GENERATIONS_KEPT: u64 = 16;

impl Marker {
    /// A marker of the process of this name, which no other process may have.
    pub(crate) fn new(store: Arc<dyn Store>, process: impl Into<Arc<str>>) -> Self {
        Self {
            store,
            process: process.into(),
            made: Mutex::default(),
        }
    }

    /// Makes sure that hours are marked for whatever was or will be written of them until the next call.
    pub(crate) async fn mark(&self, hours: &BTreeSet<Hour>) -> Result<(), Error> {
        if hours.is_empty() {
            return Ok(());
        }
        // One after the other: so that no mark is made in an epoch that another call knows to be over.
        let mut made = self.made.lock().await;
        self.look(&mut made).await?;
        let generation = made.generation;
        let is_marked = |hour: &Hour| made.hours.get(hour) == Some(&generation);
        let missing: Vec<Hour> = hours.iter().filter(|it| !is_marked(it)).copied().collect();
        let mut batch = MutationBatch::new();
        for hour in &missing {
            self.write(*hour, made.hours.get(hour).copied(), generation, &mut batch);
            flush(&*self.store, &mut batch, BATCH_BYTES).await?;
        }
        flush(&*self.store, &mut batch, 0).await?;
        made.witness = missing.first().copied().or(made.witness);
        made.hours
            .extend(missing.iter().map(|hour| (*hour, generation)));
        Ok(())
    }

    /// Looks up the epoch, and fails if the store has forgotten it, or a mark that nobody can have cleared.
    async fn look(&self, made: &mut Made) -> Result<(), Error> {
        let (mut epoch, has_witness) = self.read(made).await?;
        if !has_witness && made.epoch.as_ref() == Some(&epoch) {
            // It may have been cleared after the epoch was read.
            epoch = Epoch::read(&*self.store).await?;
            if made.epoch.as_ref() == Some(&epoch) {
                return Err(Error::forgot("the marks of hours that await aggregation"));
            }
        }
        if made.epoch.as_ref() == Some(&epoch) {
            return Ok(());
        }
        if let Some(earlier) = &made.epoch {
            epoch.check_after(earlier)?;
        }
        made.generation = epoch.number().max(made.generation + 1);
        made.epoch = Some(epoch);
        made.witness = None;
        Ok(())
    }

    /// The epoch, and whether the witness bears its mark.
    async fn read(&self, made: &Made) -> Result<(Epoch, bool), Error> {
        let witness = made.witness.map(|hour| PendingKey(hour).encode());
        let keys = witness
            .iter()
            .cloned()
            .chain([AGGREGATE_EPOCH_KEY.to_vec()]);
        let ranges = keys.map(KeyRange::single).collect();
        let scan = Scan::ranges(ranges).with_latest_only();
        let rows = self.store.rows(table::STATE, scan).await?;
        let row = |key: &[u8]| rows.iter().find(|row| row.key() == key);
        let epoch = row(AGGREGATE_EPOCH_KEY).map(Epoch::of_row);
        let name = self.name(made.generation);
        let bears = |row: &Row| row.value(family::STATE, name.as_bytes()).is_some();
        let has_witness = witness.is_none_or(|key| row(&key).is_some_and(bears));
        Ok((epoch.unwrap_or_default(), has_witness))
    }

    /// Marks an hour, and removes its marks of long past generations, if `last` says that there are some.
    fn write(&self, hour: Hour, last: Option<u64>, generation: u64, batch: &mut MutationBatch) {
        let mut row = batch.row(&PendingKey(hour).encode());
        if let Some(last) = last {
            let first = (last + 1).saturating_sub(GENERATIONS_KEPT);
            let end = (generation + 1).saturating_sub(GENERATIONS_KEPT);
            for old in first..end.min(last + 1) {
                row.delete_column(family::STATE, self.name(old).as_bytes());
            }
        }
        let name = self.name(generation);
        row.set(family::STATE, name.as_bytes(), 0, b"");
        row.finish();
    }

    fn name(&self, generation: u64) -> String {
        format!("{} {generation}", self.process)
    }
}
