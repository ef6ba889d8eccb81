//! One of several processes that aggregate together.
//!
//! A shard folds its buckets of every hour and leaves a partial of each, and then a word that it did: over which hours, and which
//! marks it saw before it read. Whoever finds the words of all shards merges. No shard waits for another, and each may be done again.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, state, table};
use rowmill_rowkey::{Hour, ShardKey};
use rowmill_store::{Scan, StoreExt as _};
use serde::{Deserialize, Serialize};

use super::partials::{Owner, flush, remove, stored, write};
use super::week::{Changes, Work};
use super::{AggregateReport, Days, Job};
use crate::error::Error;
use crate::marks::{Marks, clear, mark};

/// Which part of the work a process does: shard `index` of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// The one process that does everything.
    pub const ALONE: Self = Self { index: 0, count: 1 };

    /// The most shards there can be.
    pub const COUNT_MAX: u32 = 10_000;

    /// Shard `index`, from 0, of `count`; none if there is no such shard.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (index < count && count <= Self::COUNT_MAX).then_some(Self { index, count })
    }

    /// Whether it has no others beside it.
    pub fn is_alone(self) -> bool {
        self.count == 1
    }

    /// Whether a bucket of an hour is this shard's. Every bucket of every hour is exactly one shard's.
    pub fn owns(self, hour: Hour, bucket: u8) -> bool {
        const MICROS_PER_HOUR: i64 = 3_600_000_000;
        let hours = hour.start().micros() / MICROS_PER_HOUR;
        let unit = hours * i64::from(rowmill_rowkey::TIMELINE_BUCKETS) + i64::from(bucket);
        unit.rem_euclid(i64::from(self.count)) == i64::from(self.index)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `0/4` to `3/4`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let shard = parts.and_then(|(index, count)| Self::new(index, count));
        shard.ok_or_else(|| {
            let most = Self::COUNT_MAX;
            format!("is no shard such as 0/4 to 3/4, of at most {most}")
        })
    }
}

/// What a shard says when it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Word {
    /// Of which job: only what shards of one job left is merged.
    job: String,
    index: u32,
    count: u32,
    /// Fingerprint of what was aggregated.
    plan: String,
    /// Each hour, with the marks that it had before it was read.
    hours: BTreeMap<String, BTreeSet<String>>,
    /// Whether it was asked for everything, whatever was marked.
    rebuilding: bool,
}

impl Job<'_> {
    /// Does this shard's part, and merges if it is the last one.
    pub(super) async fn shard(&self, days: Days, seen: Marks) -> Result<AggregateReport, Error> {
        let (days, _) = self.split_expired(days);
        let events = self.fold_shard(&days, &seen).await?;
        let count = self.options.shard.count;
        let words = self.words_of(&self.options.job, count).await?;
        let said = u32::try_from(words.len()).unwrap_or(count);
        let mut report = AggregateReport::default();
        if said >= count {
            report = self.merge(&words).await?;
        }
        report.events = events;
        report.shards_missing = count.saturating_sub(said);
        Ok(report)
    }

    /// Merges what shards left, of whatever number they were, if all of them did.
    pub(super) async fn merge_shards(&self) -> Result<AggregateReport, Error> {
        let mut by_job: BTreeMap<(String, u32), Vec<Word>> = BTreeMap::new();
        for word in self.words().await? {
            let job = (word.job.clone(), word.count);
            by_job.entry(job).or_default().push(word);
        }
        let mut report = AggregateReport::default();
        for ((_, count), words) in by_job {
            let said = u32::try_from(words.len()).unwrap_or(count);
            if said >= count {
                report.add(self.merge(&words).await?);
                continue;
            }
            report.shards_missing += count.saturating_sub(said);
        }
        Ok(report)
    }

    async fn fold_shard(&self, days: &Days, seen: &Marks) -> Result<u64, Error> {
        let (folder, shard) = (self.folder(), self.options.shard);
        let mut word = Word {
            job: self.options.job.clone(),
            index: shard.index,
            count: shard.count,
            plan: self.stages.plan.fingerprint(),
            hours: BTreeMap::new(),
            rebuilding: self.options.scope != super::Scope::Pending,
        };
        let mut total = 0;
        for (date, changes) in days {
            let (partials, events) = folder.hours(*date, &changes.hours()).await?;
            total += events;
            let mut batch = MutationBatch::new();
            for (hour, spool) in &partials {
                let owner = Owner::Shard {
                    hour: *hour,
                    index: shard.index,
                    count: shard.count,
                };
                let stored = stored(&**self.store, owner).await?;
                write(self.store, owner, spool, stored, &mut batch).await?;
                let marks = seen.get(hour).into_iter().flatten();
                let marks = marks.map(|mark| String::from_utf8_lossy(mark).into_owned());
                word.hours.insert(hour.to_string(), marks.collect());
            }
            flush(self.store, &mut batch, 0).await?;
        }
        let mut batch = MutationBatch::new();
        let mut row = batch.row(
            &ShardKey {
                index: shard.index,
                count: shard.count,
            }
            .encode(),
        );
        let json = serde_json::to_vec(&word).expect("a word is JSON");
        row.set(family::STATE, state::SHARD.as_bytes(), 0, &json);
        row.finish();
        self.store.apply_all(table::STATE, batch).await?;
        Ok(total)
    }

    /// What shards have said, of this plan.
    async fn words(&self) -> Result<Vec<Word>, Error> {
        let rows = self
            .store
            .rows(table::STATE, Scan::range(ShardKey::all()))
            .await?;
        let mut words = Vec::new();
        for row in &rows {
            if let Some(json) = row.value(family::STATE, state::SHARD.as_bytes()) {
                let word: Word = serde_json::from_slice(json).map_err(super::row_error)?;
                words.push(word);
            }
        }
        let plan = self.stages.plan.fingerprint();
        words.retain(|word| word.plan == plan);
        Ok(words)
    }

    /// Merges what all shards left: of the hours that all of them read, with the marks that all of them saw.
    ///
    /// Another process may merge too, and remove what this one still reads. So the hours are marked meanwhile, and stay so unless
    /// everything is as it was in the end.
    async fn merge(&self, words: &[Word]) -> Result<AggregateReport, Error> {
        let (mut days, mut seen) = (Days::new(), Marks::new());
        let own = format!("merge {}", self.options.name);
        let is_rebuilding = words.iter().any(|word| word.rebuilding);
        let Word { job, count, .. } = &words[0];
        for (hour, marks) in &words[0].hours {
            let of_all: Option<Vec<_>> = words.iter().map(|word| word.hours.get(hour)).collect();
            let Some(of_all) = of_all else { continue };
            let hour: Hour = hour.parse().map_err(super::row_error)?;
            let of_all = |mark: &&String| of_all.iter().all(|marks| marks.contains(*mark));
            let marks = marks
                .iter()
                .filter(of_all)
                .map(|mark| mark.clone().into_bytes());
            let marks: BTreeSet<_> = marks.collect();
            if marks.is_empty() && !is_rebuilding {
                // Somebody read it before it was last marked: it waits for the next time.
                continue;
            }
            seen.insert(hour, marks);
            let day = days.entry(hour.date()).or_insert_with(Changes::default);
            day.add(hour.of_day());
        }
        let hours: BTreeSet<Hour> = seen.keys().copied().collect();
        mark(&**self.store, &own, &hours).await?;
        let work = Work::Merge(*count);
        let report = self.weeks(days, work, is_rebuilding, &Marks::new()).await?;
        if self.words_of(job, *count).await? == *words {
            for marks in seen.values_mut() {
                marks.insert(own.clone().into_bytes());
            }
            clear(&**self.store, &seen).await?;
            self.forget(words).await?;
        }
        Ok(report)
    }

    async fn words_of(&self, job: &str, count: u32) -> Result<Vec<Word>, Error> {
        let words = self.words().await?.into_iter();
        let is_of_job = |word: &Word| word.job == job && word.count == count;
        Ok(words.filter(is_of_job).collect())
    }

    /// Removes what the shards left: first their words, so that nothing is merged in part.
    async fn forget(&self, words: &[Word]) -> Result<(), Error> {
        let mut batch = MutationBatch::new();
        for Word { index, count, .. } in words {
            let mut row = batch.row(
                &ShardKey {
                    index: *index,
                    count: *count,
                }
                .encode(),
            );
            row.delete_row();
            row.finish();
        }
        self.store.apply_all(table::STATE, batch).await?;
        let mut batch = MutationBatch::new();
        for word in words {
            for hour in word.hours.keys() {
                let owner = Owner::Shard {
                    hour: hour.parse().map_err(super::row_error)?,
                    index: word.index,
                    count: word.count,
                };
                remove(&**self.store, owner, &mut batch).await?;
            }
            flush(self.store, &mut batch, 0).await?;
        }
        Ok(())
    }
}
