//! Folding the timeline's hours into partials.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt as _};
use rowmill_aggregate::{Groups, Plan, combine};
use rowmill_model::Row;
use rowmill_model::columns::{family, table};
use rowmill_rowkey::{Date, Hour, KeyRange, TIMELINE_BUCKETS, TimelineKey};
use rowmill_store::{Error as StoreError, Scan, Store};

use super::partials::{Merging, Source};
use super::row_error;
use super::shares::Shares;
use crate::control::Control;
use crate::error::Error;
use crate::shard::Shard;
use crate::spool::{Room, Spool};

/// What folds hours.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) plan: Arc<Plan>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) shard: Shard,
    pub(crate) shares: Shares,
    pub(crate) room: Room,
    pub(crate) control: Control,
}

/// So many partials of an hour are merged at once: a chunk of each is in memory.
const SPILLS_AT_ONCE: usize = 16;

type Rows = Pin<Box<futures::stream::Peekable<BoxStream<'static, Result<Row, StoreError>>>>>;

impl Folder {
    /// The partials of some hours of a date, and how many events are in them.
    pub(crate) async fn hours(
        &self,
        date: Date,
        hours: &BTreeSet<u8>,
    ) -> Result<(Vec<(Hour, Spool)>, u64), Error> {
        let mut scans: Vec<Rows> = (0..TIMELINE_BUCKETS)
            .filter_map(|bucket| self.scan(date, hours, bucket))
            .collect();
        let mut groups = Groups::new(&self.plan);
        let (mut partials, mut events) = (Vec::new(), 0);
        for hour in hours.iter().map(|hour| date.hour(*hour)) {
            let (partial, count) = self.hour(hour, &mut scans, &mut groups).await?;
            partials.push((hour, partial));
            events += count;
            self.control.advance(0, count);
        }
        Ok((partials, events))
    }

    /// The rows of some hours in one bucket, in the order of the hours; none if no hour of it is this shard's.
    fn scan(&self, date: Date, hours: &BTreeSet<u8>, bucket: u8) -> Option<Rows> {
        let mine = |hour: &u8| self.shard.owns(date.hour(*hour), bucket);
        let hours: Vec<u8> = hours.iter().copied().filter(mine).collect();
        // Hours that follow each other are one range: to begin one costs the store as much as many rows do.
        let ranges = hours.chunk_by(|hour, next| hour + 1 == *next);
        let ranges = ranges.map(|run| {
            let (first, last) = (run[0], run[run.len() - 1]);
            TimelineKey::hours(bucket, date.hour(first), date.hour(last))
        });
        let ranges: Vec<KeyRange> = ranges.collect();
        if ranges.is_empty() {
            return None;
        }
        let scan = Scan::ranges(ranges).with_families([family::EVENT]);
        let rows = self.store.scan(table::TIMELINE, scan.with_latest_only());
        Some(Box::pin(rows.peekable()))
    }

    async fn hour(
        &self,
        hour: Hour,
        scans: &mut [Rows],
        groups: &mut Groups,
    ) -> Result<(Spool, u64), Error> {
        let (mut spills, mut events) = (Vec::new(), 0);
        let hour = hour.to_string();
        for rows in scans {
            while let Some(row) = rows
                .as_mut()
                .next_if(|row| is_of(row, hour.as_bytes()))
                .await
            {
                let row = row?;
                let observation = match self.plan.observe(&row) {
                    Ok(observation) => observation,
                    Err(problem) => {
                        self.control.pass_over(table::TIMELINE, row.key(), problem);
                        continue;
                    }
                };
                groups.add(&observation);
                events += 1;
                if events % 256 == 0 {
                    self.control.check()?;
                }
                if groups.exceed(self.shares.groups) {
                    spills.push(self.drain(groups)?);
                    // What it has reserved is too much too.
                    *groups = Groups::new(&self.plan);
                    if spills.len() == SPILLS_AT_ONCE {
                        spills = vec![self.combine(&spills).await?];
                    }
                }
            }
            self.control.check()?;
        }
        let last = self.drain(groups)?;
        if spills.is_empty() {
            return Ok((last, events));
        }
        spills.push(last);
        Ok((self.combine(&spills).await?, events))
    }

    fn drain(&self, groups: &mut Groups) -> Result<Spool, Error> {
        let (mut partial, mut spool) = (self.plan.partial(), Spool::new(&self.room));
        groups.drain(&mut partial, |chunks| spool.extend(chunks))?;
        spool.extend(partial.finish())?;
        Ok(spool)
    }

    /// One partial of several that were folded apart.
    async fn combine(&self, parts: &[Spool]) -> Result<Spool, Error> {
        let sources = parts.iter().map(Source::spool).collect();
        self.combine_sources(sources).await
    }

    /// One partial of the parts of several shards.
    pub(crate) async fn combine_sources(&self, sources: Vec<Source<'_>>) -> Result<Spool, Error> {
        let (mut partial, mut spool) = (self.plan.partial(), Spool::new(&self.room));
        let mut merging = Merging::new(&self.plan, sources, &self.control);
        while let Some(merge) = merging.next().await? {
            combine(&self.plan, merge, &mut partial).map_err(row_error)?;
            spool.extend(partial.take_done())?;
        }
        spool.extend(partial.finish())?;
        Ok(spool)
    }
}

/// Whether a row of the timeline is of that hour. What cannot be read is, so that it is complained of.
fn is_of(row: &Result<Row, StoreError>, hour: &[u8]) -> bool {
    match row {
        Ok(row) => TimelineKey::hour_text(row.key()).is_none_or(|found| found <= hour),
        Err(_) => true,
    }
}
