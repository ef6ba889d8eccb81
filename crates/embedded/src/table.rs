//! One table: its tree, and writing batches to it.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use fjall::{Database, Keyspace, PersistMode};
use rowmill_model::{Mutation, MutationBatch};
use rowmill_store::{Error, Result, TableSchema, validate};

use crate::entry::{Entries, Shapes};
use crate::error;
use crate::folder::{Held, Written};
use crate::health::Health;
use crate::scan::emptied_by;

/// From so many rows or bytes on, a batch is sorted and written as finished tables of the tree instead of through the journal.
pub(crate) const BULK_ROWS: usize = 4_096;
const BULK_BYTES: usize = 8 << 20;

/// From so many sorted runs on, the engine takes no writes through the journal until it has merged some.
const RUNS_BEFORE_HALT: usize = 30;

pub(crate) struct Table {
    schema: RwLock<Arc<TableSchema>>,
    pub(crate) keyspace: Keyspace,
    pub(crate) bulk_rows: usize,
    /// How many sorted runs there may be: merging opens all of them at once.
    runs_max: usize,
    /// Held while writing: entries of one table are written in the order of their sequence numbers.
    writing: Mutex<()>,
}

impl Table {
    pub(crate) fn new(
        schema: TableSchema,
        keyspace: Keyspace,
        bulk_rows: usize,
        runs_max: usize,
    ) -> Self {
        Self {
            schema: RwLock::new(Arc::new(schema)),
            keyspace,
            bulk_rows,
            runs_max,
            writing: Mutex::default(),
        }
    }

    /// The table as it is now.
    pub(crate) fn schema(&self) -> Arc<TableSchema> {
        let schema = self.schema.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&schema)
    }

    pub(crate) fn set_schema(&self, schema: TableSchema) {
        *self.schema.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(schema);
    }

    /// Lets nobody write for as long as the guard is there.
    pub(crate) fn pause(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the valid rows of a batch, numbered from what `reserve` gives for their count.
    pub(crate) fn apply(
        &self,
        database: &Database,
        folder: &Held,
        health: &Health,
        batch: &MutationBatch,
        reserve: impl FnOnce(u64) -> u64,
    ) -> Result<Vec<Result<()>>> {
        let schema = self.schema();
        let outcomes: Vec<Result<()>> = batch
            .iter()
            .map(|mutation| validate(&schema, mutation))
            .collect();
        let valid: Vec<usize> = (0..batch.len())
            .filter(|index| outcomes[*index].is_ok())
            .collect();
        if valid.is_empty() {
            return Ok(outcomes);
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let first = reserve(batch.len() as u64);
        let before = folder.before(database);
        let written = if valid.len() < self.bulk_rows && batch.bytes() < BULK_BYTES {
            self.wait_for_merging(health, self.runs_max.min(RUNS_BEFORE_HALT))?;
            let emptied = self.emptied(batch, &valid)?;
            self.write_journal(database, batch, &valid, &emptied, first)
        } else {
            self.wait_for_merging(health, self.runs_max)?;
            self.write_sorted(batch, &valid, first)
        };
        let written = written.map_err(|error| error::write(&schema.name, error))?;
        let noted = folder.acknowledge(self.keyspace.id(), before, written);
        noted.map_err(Error::with_unknown_effect)?;
        Ok(outcomes)
    }

    /// Waits until there are fewer than `runs` sorted runs, or the engine has stopped, which its own waiting does not notice.
    fn wait_for_merging(&self, health: &Health, runs: usize) -> Result<()> {
        const LOOKS_BEFORE_ASKING: u32 = 100;
        for look in 1_u32.. {
            if self.keyspace.l0_table_count() < runs {
                break;
            }
            health.check()?;
            std::thread::sleep(Duration::from_millis(10));
            if look % LOOKS_BEFORE_ASKING == 0 {
                self.ask_for_merging()
                    .map_err(|error| error::engine("merging sorted runs", error))?;
            }
        }
        Ok(())
    }

    /// Makes the engine look for runs to merge, as it does after each run that was written. It may have found something more urgent then.
    fn ask_for_merging(&self) -> fjall::Result<()> {
        self.keyspace.start_ingestion()?.finish()
    }

    /// The entries that go instead of deletions, of rows of which these leave nothing.
    fn emptied(
        &self,
        batch: &MutationBatch,
        rows: &[usize],
    ) -> Result<BTreeMap<usize, Vec<Bytes>>> {
        let deletes = |index: &usize| {
            let mut mutations = batch.get(*index).mutations();
            mutations.all(|it| !matches!(it, Mutation::Set { .. }))
        };
        let (deletions, others): (Vec<usize>, Vec<usize>) = rows.iter().copied().partition(deletes);
        let mut emptied = BTreeMap::new();
        if deletions.is_empty() {
            return Ok(emptied);
        }
        let others: HashSet<&[u8]> = others.iter().map(|it| batch.get(*it).key()).collect();
        for index in deletions {
            let mutation = batch.get(index);
            // What the same batch sets is not there yet.
            if !others.contains(mutation.key())
                && let Some(keys) = emptied_by(&self.keyspace, mutation)?
            {
                emptied.insert(index, keys);
            }
        }
        Ok(emptied)
    }

    fn write_journal(
        &self,
        database: &Database,
        batch: &MutationBatch,
        rows: &[usize],
        emptied: &BTreeMap<usize, Vec<Bytes>>,
        first: u64,
    ) -> fjall::Result<Written> {
        let mut shapes = Shapes::default();
        let mut writes = database.batch().durability(Some(PersistMode::SyncData));
        for &index in rows {
            if let Some(keys) = emptied.get(&index) {
                for key in keys {
                    writes.remove(&self.keyspace, &key[..]);
                }
                continue;
            }
            let entries = Entries::new(batch.get(index));
            let shape = shapes.of(batch.get(index));
            for number in entries.numbers() {
                let mut key = Vec::new();
                entries.push_key(&mut key, number, shape);
                let value = entries.value(number, first + index as u64);
                writes.insert(&self.keyspace, key, value);
            }
        }
        let written = if writes.is_empty() {
            Written::Nothing
        } else {
            Written::Journal
        };
        writes.commit()?;
        Ok(written)
    }

    fn write_sorted(
        &self,
        batch: &MutationBatch,
        rows: &[usize],
        first: u64,
    ) -> fjall::Result<Written> {
        // The keys stand in one buffer, and what is sorted are their places in it.
        let mut shapes = Shapes::default();
        let mut keys = Vec::with_capacity(rows.len() * 96);
        let mut places: Vec<(Range<usize>, u32, u16)> = Vec::with_capacity(rows.len());
        for &index in rows {
            let entries = Entries::new(batch.get(index));
            let shape = shapes.of(batch.get(index));
            let index = u32::try_from(index).expect("fewer rows than bytes");
            for number in entries.numbers() {
                let start = keys.len();
                entries.push_key(&mut keys, number, shape);
                places.push((start..keys.len(), index, number));
            }
        }
        places.sort_unstable_by(|(a, i, _), (b, j, _)| {
            keys[a.clone()].cmp(&keys[b.clone()]).then(i.cmp(j))
        });
        let mut ingestion = self.keyspace.start_ingestion()?;
        let mut places = places
            .into_iter()
            .map(|(at, index, number)| (&keys[at], index, number))
            .peekable();
        while let Some((key, index, number)) = places.next() {
            // Of two mutations that decide the same, the later one stands.
            if places.peek().is_none_or(|(next, ..)| *next != key) {
                let entries = Entries::new(batch.get(index as usize));
                ingestion.write(key, entries.value(number, first + u64::from(index)))?;
            }
        }
        ingestion.finish()?;
        Ok(Written::Tables)
    }
}
