//! Rebuilding the timeline from the facts: after a change of what aggregates need, or where it was damaged.
//!
//! ```text
//! write      one scan of the facts: the timeline's rows anew, and a hash of each row's key
//! compare    one scan of the timeline's keys, whose hashes are looked for among those
//! remove     only if some are missing: a second scan of the timeline's keys finds their rows, and each fact is looked for once more
//! ```
//!
//! Everything is read in order, and nothing is looked up row by row but what is about to be removed.

mod hashes;
mod orphans;

use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{FactKey, KeyRange, TimelineKey, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::aggregate::{Horizon, narrow_timeline, start_anew};
use crate::control::Control;
use crate::error::Error;
use crate::parts::each_part;
use crate::spool::Room;
use crate::stages::Stages;
use crate::unreadable::{Unreadable, read_event};
use hashes::KeyHashes;
use orphans::remove_orphans;

/// How to rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebuildOptions {
    /// Facts of which a rule of age has dropped the attributes by this time keep the row of the timeline that they have.
    pub now: Timestamp,
    /// How many bytes of memory hashes of keys may take before they go to the spill file.
    pub memory_bytes: usize,
}

impl RebuildOptions {
    /// By a process at `now`, in 128 MiB.
    pub fn new(now: Timestamp) -> Self {
        Self {
            now,
            memory_bytes: 128 << 20,
        }
    }
}

/// What rebuilding the timeline did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuildReport {
    /// Facts that were read, each of which has its row of the timeline now.
    pub facts: u64,
    /// Facts whose attributes are older than what the fact table keeps: their rows of the timeline are as they were.
    pub expired: u64,
    /// Rows of the timeline that were removed, because their fact is not there.
    pub orphans: u64,
    /// Such rows that stay: a run that has not ended may be about to write their facts.
    pub orphans_left: u64,
    /// Rows that cannot be read with the pipeline file. They are left as they are.
    pub unreadable: Unreadable,
}

/// Writes the timeline anew from the facts, and removes all aggregates, which are to be made anew then; but not those of which the
/// timeline no longer keeps all events at `options.now`.
pub async fn rebuild_timeline(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &RebuildOptions,
    control: &Control,
) -> Result<RebuildReport, Error> {
    let rebuild = Rebuild {
        stages: Arc::clone(stages),
        store: Arc::clone(store),
        now: options.now,
        room: Room::new(options.memory_bytes),
        control: control.clone(),
    };
    control.unless_stopped(rebuild.run()).await
}

/// A rebuild at work.
#[derive(Clone)]
struct Rebuild {
    stages: Arc<Stages>,
    store: Arc<dyn Store>,
    now: Timestamp,
    room: Room,
    control: Control,
}

impl Rebuild {
    async fn run(&self) -> Result<RebuildReport, Error> {
        // Whoever finds this process dead must not take the rows that it had rewritten for rows with other columns.
        narrow_timeline(&self.stages, &*self.store).await?;
        let keys = Arc::new(KeyHashes::new(&self.room));
        let parts = each_part(&self.store, table::FACT, |range| {
            let (rebuild, keys) = (self.clone(), Arc::clone(&keys));
            async move { rebuild.write_part(range, &keys).await }
        });
        let mut report = RebuildReport::default();
        parts.await?.into_iter().for_each(|part| report.add(part));
        let found = remove_orphans(self, &keys).await?;
        report.add(found);
        let horizon = Horizon::new(&self.stages, self.now);
        start_anew(&self.stages, &self.store, horizon, &self.control).await?;
        Ok(report)
    }

    /// Writes the rows of a part of the facts, and gathers the hashes of their keys.
    async fn write_part(&self, range: KeyRange, keys: &KeyHashes) -> Result<RebuildReport, Error> {
        // Each of four parts fills one: as much as makes the embedded store write a sorted run.
        const BATCH_BYTES: usize = 8 << 20;
        let mut facts = self
            .store
            .scan(table::FACT, Scan::range(range).with_latest_only());
        let (mut report, mut gathered) = (RebuildReport::default(), keys.gather());
        let (mut batch, mut key) = (MutationBatch::new(), Vec::new());
        let kept_since = self.facts_kept_since();
        while let Some(fact) = facts.try_next().await? {
            let Some(time) = time_of(&fact, &mut report) else {
                continue;
            };
            key.clear();
            TimelineKey::encode_fact_into(time.hour(), fact.key(), &mut key);
            // A fact that is there in any part has its row of the timeline for good.
            gathered.add(&key)?;
            if time < kept_since {
                report.expired += 1;
                continue;
            }
            self.write_row(&fact, &key, &mut batch, &mut report);
            if batch.bytes() >= BATCH_BYTES {
                self.put(&mut batch).await?;
            }
        }
        self.put(&mut batch).await?;
        gathered.finish()?;
        Ok(report)
    }

    fn write_row(
        &self,
        fact: &Row,
        key: &[u8],
        batch: &mut MutationBatch,
        report: &mut RebuildReport,
    ) {
        match read_event(fact, &self.stages.pipeline) {
            Ok(stored) => {
                let columns = &self.stages.timeline_columns;
                stored.event.rewrite_timeline(key, columns, batch);
                report.facts += 1;
            }
            Err(problem) => report.unreadable.add(table::FACT, fact.key(), problem),
        }
    }

    async fn put(&self, batch: &mut MutationBatch) -> Result<(), Error> {
        self.control.check()?;
        self.control.advance(0, batch.len() as u64);
        Ok(self
            .store
            .apply_all(table::TIMELINE, std::mem::take(batch))
            .await?)
    }

    /// The first time of which facts have all that rows of the timeline are made of.
    fn facts_kept_since(&self) -> Timestamp {
        let families = [family::EVENT_DATA, family::METADATA];
        let kept =
            families.map(|family| self.stages.pipeline.retention_seconds(table::FACT, family));
        let Some(seconds) = kept.into_iter().flatten().min() else {
            return Timestamp::MIN;
        };
        let micros = i64::try_from(seconds).unwrap_or(i64::MAX);
        let micros = micros.saturating_mul(1_000_000);
        let since = self.now.micros().saturating_sub(micros);
        Timestamp::from_micros(since).unwrap_or(Timestamp::MIN)
    }
}

/// The time of a fact; none, and a word about it, if its key is no fact's.
fn time_of(fact: &Row, report: &mut RebuildReport) -> Option<Timestamp> {
    match FactKey::decode(fact.key()) {
        Ok(key) => Some(key.timestamp),
        Err(problem) => {
            report.unreadable.add(table::FACT, fact.key(), problem);
            None
        }
    }
}

impl RebuildReport {
    fn add(&mut self, other: Self) {
        self.facts += other.facts;
        self.expired += other.expired;
        self.orphans += other.orphans;
        self.orphans_left += other.orphans_left;
        self.unreadable.join(other.unreadable);
    }
}
