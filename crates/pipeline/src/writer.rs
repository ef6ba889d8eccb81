//! Writes batches while the next are being collected, as many at once as the store likes, and moves the checkpoints.
//!
//! A batch is *durable* once its facts, its timeline rows, its dead letters and the marks of its hours are. Batches become durable in
//! any order; a checkpoint moves only over those that are, and all before them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rowmill_model::MutationBatch;
use rowmill_model::columns::table;
use rowmill_store::{Error as StoreError, ErrorKind, Store, StoreExt as _};
use tokio::task::JoinSet;

use crate::batch::Batch;
use crate::control::Control;
use crate::error::Error;
use crate::marks::Marker;
use crate::open_ledgers::{OpenLedgers, Totals};
use crate::refused;
use crate::stages::Stages;
use crate::witnesses::StoreWatch;

/// Writes batches, some at once, while the next is being collected.
#[derive(Debug)]
pub(crate) struct Writer {
    target: Target,
    writing: JoinSet<Result<Written, Error>>,
    /// The number of the next batch.
    next: u64,
    /// Batches that are durable while one before them is not.
    waiting: BTreeMap<u64, Batch>,
    /// The first batch that is not durable.
    frontier: u64,
    ledgers: OpenLedgers,
    checkpointing: JoinSet<Result<(), Error>>,
    /// Batches that were written, emptied, for their memory.
    spare: Vec<Batch>,
    control: Control,
}

/// A batch that is durable.
#[derive(Debug)]
struct Written {
    number: u64,
    rows: u64,
    batch: Batch,
}

/// Where batches go, and what they come from.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) stages: Arc<Stages>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) marker: Arc<Marker>,
    pub(crate) config_hash: Arc<str>,
    pub(crate) accounting: bool,
    /// None where nothing is accounted for.
    pub(crate) watch: Option<Arc<StoreWatch>>,
}

impl Writer {
    /// A writer that moves the checkpoints of `ledgers`.
    pub(crate) fn new(target: Target, ledgers: OpenLedgers, control: Control) -> Self {
        Self {
            target,
            writing: JoinSet::new(),
            next: 0,
            waiting: BTreeMap::new(),
            frontier: 0,
            ledgers,
            checkpointing: JoinSet::new(),
            spare: Vec::new(),
            control,
        }
    }

    /// Starts writing a batch, once no more of them are being written than the store likes.
    pub(crate) async fn write(&mut self, batch: Batch) -> Result<(), Error> {
        let most = self
            .target
            .store
            .capability()
            .writes
            .batches_in_flight
            .max(1);
        // Those that wait for an earlier one hold memory too.
        while self.writing.len() >= most || self.writing.len() + self.waiting.len() >= 2 * most {
            self.wait_for_one().await?;
        }
        let (target, number) = (self.target.clone(), self.next);
        self.next += 1;
        let rows = batch.rows() as u64;
        self.control.sent(rows);
        self.writing.spawn(async move {
            Ok(Written {
                number,
                rows,
                batch: target.write(batch).await?,
            })
        });
        Ok(())
    }

    /// Waits until everything is durable and every checkpoint written, and gives the sum of the ledgers.
    pub(crate) async fn finish(mut self) -> Result<Totals, Error> {
        while !self.writing.is_empty() {
            self.wait_for_one().await?;
        }
        self.wait_for_checkpoint().await?;
        self.ledgers.finish()
    }

    /// An empty batch of `rows` or `bytes`, with the memory of one that was written if there is one.
    pub(crate) fn empty_batch(&mut self, rows: usize, bytes: usize) -> Batch {
        let spare = self.spare.pop();
        spare.unwrap_or_else(|| Batch::with_capacity(rows, bytes))
    }

    async fn wait_for_one(&mut self) -> Result<(), Error> {
        let Some(written) = self.writing.join_next().await else {
            return Ok(());
        };
        let written = written.expect("writing a batch does not panic")?;
        self.control.wrote(written.rows);
        self.waiting.insert(written.number, written.batch);
        while let Some(mut batch) = self.waiting.remove(&self.frontier) {
            self.frontier += 1;
            for (file, progress) in std::mem::take(&mut batch.progress).into_values() {
                self.ledgers.advance(&file, progress);
            }
            batch.clear();
            self.spare.push(batch);
        }
        self.start_checkpoint().await
    }

    /// Starts to write the checkpoints that moved, after those that are being written: so that none moves back.
    async fn start_checkpoint(&mut self) -> Result<(), Error> {
        self.wait_for_checkpoint().await?;
        let mut batch = MutationBatch::new();
        self.ledgers.write(&mut batch)?;
        if !self.target.accounting {
            return Ok(());
        }
        let store = Arc::clone(&self.target.store);
        self.checkpointing
            .spawn(async move { Ok(store.apply_all(table::STATE, batch).await?) });
        Ok(())
    }

    async fn wait_for_checkpoint(&mut self) -> Result<(), Error> {
        match self.checkpointing.join_next().await {
            Some(written) => written.expect("writing a checkpoint does not panic"),
            None => Ok(()),
        }
    }
}

impl Target {
    /// Makes a batch durable, and gives it back for its memory, with the progress that it is worth.
    ///
    /// Hours are [marked](Marker) before their events are written, and again after.
    async fn write(&self, mut batch: Batch) -> Result<Batch, Error> {
        self.marker.mark(&batch.hours).await?;
        let [facts, timeline, letters] = [
            std::mem::take(&mut batch.facts),
            std::mem::take(&mut batch.timeline),
            std::mem::take(&mut batch.letters),
        ]
        .map(Arc::new);
        let (a, b, c) = futures::join!(
            self.apply(table::FACT, &facts),
            self.apply(table::TIMELINE, &timeline),
            self.store
                .apply_all(table::DEAD_LETTERS, Arc::clone(&letters)),
        );
        c?;
        let refused = refused::rows(a?, b?)?;
        if !refused.is_empty() {
            // Letters first: a record is never nowhere.
            let instead = refused::letters(self, &mut batch, &facts, &refused);
            self.store.apply_all(table::DEAD_LETTERS, instead).await?;
            let (stages, store) = (&self.stages, &*self.store);
            refused::take_back(stages, store, &facts, &timeline, &refused).await?;
        }
        self.marker.mark(&batch.hours).await?;
        if let Some(watch) = &self.watch {
            let is_refused = |row: usize| refused.contains_key(&row);
            watch
                .look([&facts, &timeline, &letters], is_refused)
                .await?;
        }
        batch.facts = emptied(facts);
        batch.timeline = emptied(timeline);
        batch.letters = emptied(letters);
        Ok(batch)
    }

    async fn apply(
        &self,
        table: &str,
        rows: &Arc<MutationBatch>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.store.apply(table, Arc::clone(rows)).await
    }
}

/// Whether a row can never be written, whatever is done about the store or the table.
pub(crate) fn is_refused(error: &StoreError) -> bool {
    error.kind() == ErrorKind::InvalidArgument
}

/// The memory of a batch, if the store is done with it.
fn emptied(batch: Arc<MutationBatch>) -> MutationBatch {
    let mut batch = Arc::try_unwrap(batch).unwrap_or_default();
    batch.clear();
    batch
}
