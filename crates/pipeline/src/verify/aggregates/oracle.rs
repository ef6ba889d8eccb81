//! The oracle: what the facts say of every group, by the straight way, in memory that does not depend on how many there are.
//!
//! Groups that take too much go to partials, partials that are too many are merged to one of the next level, and what is to be compared is
//! a merge of what is left.

use std::sync::{Mutex, PoisonError};

use futures::TryStreamExt as _;
use rowmill_aggregate::{Merge, PartialWriter, Plan, StateError, Straight};
use rowmill_model::columns::table;
use rowmill_rowkey::KeyRange;
use rowmill_store::Scan;

use super::Proof;
use crate::aggregate::{Merging, Source, row_error};
use crate::error::Error;
use crate::spool::Spool;
use crate::unreadable::{Unreadable, read_event};

/// So many partials are merged at once: a chunk of each is in memory.
const FAN_IN: usize = 16;

/// How many parts of the facts are read at once.
const PARTS: usize = 4;

/// How two partials become one.
type Combine = fn(&Plan, &Merge, &mut PartialWriter) -> Result<(), StateError>;

/// Partials of one kind, fewer than [`FAN_IN`] of each level.
#[derive(Debug)]
pub(super) struct Levels {
    combine: Combine,
    levels: Mutex<Vec<Vec<Spool>>>,
}

impl Levels {
    pub(super) fn new(combine: Combine) -> Self {
        Self {
            combine,
            levels: Mutex::default(),
        }
    }

    /// Adds a partial, and merges those of a level once there are enough of them.
    pub(super) async fn add(&self, proof: &Proof, spool: Spool) -> Result<(), Error> {
        let (mut spool, mut level) = (spool, 0);
        while let Some(parts) = self.put(spool, level) {
            spool = self.combined(proof, &parts).await?;
            level += 1;
        }
        Ok(())
    }

    /// Puts a partial to those of its level, and takes all of these if they are enough.
    fn put(&self, spool: Spool, level: usize) -> Option<Vec<Spool>> {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if levels.len() <= level {
            levels.push(Vec::new());
        }
        let of_level = &mut levels[level];
        of_level.push(spool);
        (of_level.len() == FAN_IN).then(|| std::mem::take(of_level))
    }

    async fn combined(&self, proof: &Proof, parts: &[Spool]) -> Result<Spool, Error> {
        let plan = &proof.stages.plan;
        let (mut partial, mut spool) = (plan.partial(), Spool::new(&proof.room));
        let sources = parts.iter().map(Source::spool).collect();
        let mut merging = Merging::new(plan, sources, &proof.control);
        while let Some(merge) = merging.next().await? {
            (self.combine)(plan, merge, &mut partial).map_err(row_error)?;
            spool.extend(partial.take_done())?;
        }
        spool.extend(partial.finish())?;
        Ok(spool)
    }

    /// All that there are.
    pub(super) fn finish(self) -> Vec<Spool> {
        let levels = self.levels.into_inner();
        let levels = levels.unwrap_or_else(PoisonError::into_inner);
        levels.into_iter().flatten().collect()
    }
}

impl Proof {
    /// Folds a part of the facts; how many they are, and those that cannot be read.
    pub(super) async fn fold(
        &self,
        range: KeyRange,
        groups: &Levels,
    ) -> Result<(u64, Unreadable), Error> {
        let mut straight = Straight::new(&self.stages.plan);
        let (mut count, mut unreadable) = (0, Unreadable::default());
        // Of all families: a fact is there as long as any cell of it is.
        let scan = Scan::range(range).with_latest_only();
        let mut facts = self.store.scan(table::FACT, scan);
        while let Some(fact) = facts.try_next().await? {
            self.control.check()?;
            self.control.advance(0, 1);
            count += 1;
            match read_event(&fact, &self.stages.pipeline) {
                Ok(stored) => {
                    let observation = self.stages.plan.observe_event(&stored.event);
                    straight.add(&observation, &|period| self.options.holds_period(period));
                }
                Err(problem) => unreadable.add(table::FACT, fact.key(), problem),
            }
            if straight.bytes() > self.options.memory_bytes / 2 / PARTS {
                groups.add(self, self.drained(&mut straight)?).await?;
            }
        }
        groups.add(self, self.drained(&mut straight)?).await?;
        Ok((count, unreadable))
    }

    fn drained(&self, straight: &mut Straight) -> Result<Spool, Error> {
        let (mut partial, mut spool) = (self.stages.plan.partial(), Spool::new(&self.room));
        straight.drain(&mut partial, |chunks| spool.extend(chunks))?;
        spool.extend(partial.finish())?;
        Ok(spool)
    }
}
