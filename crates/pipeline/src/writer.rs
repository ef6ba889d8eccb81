//! Collects rows into batches and writes them while the next are being collected, as many at once as the store likes.

use std::collections::BTreeSet;
use std::sync::Arc;

use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, letter, state, table};
use rowmill_rowkey::{DeadLetterKey, Hour, PendingKey};
use rowmill_store::{Store, StoreExt as _};
use tokio::task::JoinSet;

use crate::error::Error;
use crate::process::{Letter, reasons};

/// Everything that is written together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) facts: MutationBatch,
    pub(crate) timeline: MutationBatch,
    pub(crate) letters: MutationBatch,
    pub(crate) hours: BTreeSet<Hour>,
}

impl Batch {
    /// An empty batch that will be about `rows` rows or `bytes` bytes large when it is written: it never grows by
    /// doubling, which for buffers of this size would hold three times the memory.
    pub(crate) fn with_capacity(rows: usize, bytes: usize) -> Self {
        // What one more chunk may add after the last look at the size.
        const MARGIN_BYTES: usize = 2 << 20;
        const ROW_BYTES_MIN: usize = 256;
        let (rows, facts_bytes) = (rows.min(bytes / ROW_BYTES_MIN), bytes / 5 * 4);
        let rows = rows + rows / 8;
        Self {
            facts: MutationBatch::with_capacity(rows, facts_bytes + MARGIN_BYTES),
            timeline: MutationBatch::with_capacity(rows, bytes - facts_bytes + MARGIN_BYTES),
            ..Self::default()
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.facts.len() + self.letters.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.facts.bytes() + self.timeline.bytes() + self.letters.bytes()
    }

    /// Adds a rejected record.
    pub(crate) fn push_letter(
        &mut self,
        source: &str,
        run: &str,
        config_hash: &str,
        letter: &Letter,
    ) -> Result<(), rowmill_rowkey::Error> {
        let position = letter.position;
        let key = DeadLetterKey {
            source: source.into(),
            offset: position.offset,
        }
        .encode()?;
        let mut row = self.letters.row(&key);
        // A dead letter has no event time; one fixed timestamp makes writing it again write the same cells.
        let mut set = |name: &str, value: &[u8]| row.set(family::LETTER, name.as_bytes(), 0, value);
        set(letter::ATTEMPTS, &1_i64.to_be_bytes());
        set(letter::CONFIG_HASH, config_hash.as_bytes());
        set(letter::LENGTH, &position.length.to_be_bytes());
        set(letter::LINE, &position.line.to_be_bytes());
        set(letter::OFFSET, &position.offset.to_be_bytes());
        set(letter::RAW, &letter.raw);
        set(letter::REASONS, reasons(&letter.findings).as_bytes());
        set(letter::RECORD, &position.number.to_be_bytes());
        set(letter::RUN, run.as_bytes());
        set(letter::SOURCE, source.as_bytes());
        row.finish();
        Ok(())
    }
}

/// Writes batches, some at once, while the next is being collected.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Arc<dyn Store>,
    run: String,
    writing: JoinSet<Result<Batch, Error>>,
    /// Batches that were written, emptied, for their memory.
    spare: Vec<Batch>,
}

impl Writer {
    pub(crate) fn new(store: Arc<dyn Store>, run: &str) -> Self {
        Self {
            store,
            run: run.to_owned(),
            writing: JoinSet::new(),
            spare: Vec::new(),
        }
    }

    /// Starts writing a batch, once no more of them are being written than the store likes.
    pub(crate) async fn write(&mut self, batch: Batch) -> Result<(), Error> {
        let most = self.store.capability().writes.batches_in_flight.max(1);
        while self.writing.len() >= most {
            self.wait_for_one().await?;
        }
        let (store, run) = (Arc::clone(&self.store), self.run.clone());
        self.writing
            .spawn(async move { write(&*store, &run, batch).await });
        Ok(())
    }

    /// Waits until everything is written.
    pub(crate) async fn wait(&mut self) -> Result<(), Error> {
        while !self.writing.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<(), Error> {
        if let Some(written) = self.writing.join_next().await {
            self.spare
                .push(written.expect("writing a batch does not panic")?);
        }
        Ok(())
    }

    /// An empty batch of `rows` or `bytes`, with the memory of one that was written if there is one.
    pub(crate) fn empty_batch(&mut self, rows: usize, bytes: usize) -> Batch {
        let spare = self.spare.pop();
        spare.unwrap_or_else(|| Batch::with_capacity(rows, bytes))
    }

    /// Marks hours as awaiting aggregation.
    pub(crate) async fn mark(&self, hours: &BTreeSet<Hour>) -> Result<(), Error> {
        mark(&*self.store, &self.run, hours).await
    }
}

/// The hours are marked before their events are written: a run that dies between the two leaves hours to aggregate that
/// did not change, never changed hours that nobody aggregates.
async fn write(store: &dyn Store, run: &str, batch: Batch) -> Result<Batch, Error> {
    mark(store, run, &batch.hours).await?;
    let [facts, timeline, letters] = [batch.facts, batch.timeline, batch.letters].map(Arc::new);
    let (a, b, c) = futures::join!(
        store.apply_all(table::FACT, Arc::clone(&facts)),
        store.apply_all(table::TIMELINE, Arc::clone(&timeline)),
        store.apply_all(table::DEAD_LETTERS, Arc::clone(&letters)),
    );
    a.and(b).and(c)?;
    let [facts, timeline, letters] = [facts, timeline, letters].map(emptied);
    Ok(Batch {
        facts,
        timeline,
        letters,
        hours: BTreeSet::new(),
    })
}

/// The memory of a batch, if the store is done with it.
fn emptied(batch: Arc<MutationBatch>) -> MutationBatch {
    let mut batch = Arc::try_unwrap(batch).unwrap_or_default();
    batch.clear();
    batch
}

async fn mark(store: &dyn Store, run: &str, hours: &BTreeSet<Hour>) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    for hour in hours {
        let mut row = batch.row(&PendingKey(*hour).encode());
        row.set(family::STATE, state::PENDING.as_bytes(), 0, run.as_bytes());
        row.finish();
    }
    store.apply_all(table::STATE, batch).await?;
    Ok(())
}
