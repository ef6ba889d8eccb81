//! One of several processes that aggregate together.
//!
//! A shard folds its buckets of every hour and leaves a partial of each, and then a word that it did: which partials, of which hours, and
//! which marks these had before it read. Whoever finds the words of all shards merges. No shard waits for another, and each may be done
//! again.
//!
//! An hour is merged only while all marks that its shards saw are still there: if one is gone, somebody else has aggregated it since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, state, table};
use rowmill_rowkey::{Hour, ShardKey};
use rowmill_store::{Scan, Store, StoreExt as _};
use serde::{Deserialize, Serialize};

use super::partials::{Owner, Source, Version, flush, remove_all, write};
use super::week::Work;
use super::{AggregateReport, Days, Job, Scope, row_error};
use crate::error::Error;
use crate::marks::{Marks, Names, mark, marks};

/// Which of the jobs that shards do together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct JobName {
    name: String,
    kind: Kind,
    count: u32,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Pending,
    All,
    Range,
}

/// What a shard says when it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Word {
    job: JobName,
    index: u32,
    /// Fingerprint of what was aggregated.
    plan: String,
    /// The names of all marks.
    names: Vec<String>,
    hours: BTreeMap<String, HourWord>,
}

/// What a shard says of an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HourWord {
    /// What it left; none if it had no event.
    partial: Option<Version>,
    /// The marks that the hour had before it was read, by the place of their names.
    marks: BTreeSet<u32>,
}

/// What a shard left of an hour.
#[derive(Debug, Clone)]
pub(crate) struct ShardPart {
    owner: Owner,
    version: Option<Version>,
}

impl ShardPart {
    /// Where its chunks come from; none if there are none.
    pub(crate) fn source(&self, store: &dyn Store) -> Option<Source<'static>> {
        let version = self.version?;
        Some(Source::stored(store, self.owner, version))
    }
}

impl Word {
    fn owner(&self, hour: Hour) -> Owner {
        Owner::Shard {
            hour,
            index: self.index,
            count: self.job.count,
        }
    }

    /// The marks that it saw of an hour.
    fn marks<'a>(&'a self, of_hour: &'a HourWord) -> BTreeSet<&'a str> {
        let names = of_hour.marks.iter();
        let names = names.filter_map(|place| self.names.get(*place as usize));
        names.map(String::as_str).collect()
    }

    fn key(&self) -> Vec<u8> {
        let (index, count) = (self.index, self.job.count);
        ShardKey { index, count }.encode()
    }
}

impl Job<'_> {
    /// Does this shard's part, and merges if it is the last one.
    pub(super) async fn shard(&self, days: Days, seen: Marks) -> Result<AggregateReport, Error> {
        let (days, expired) = self.split_expired(days);
        let job = JobName {
            name: self.options.job.clone(),
            kind: match self.options.scope {
                Scope::Pending => Kind::Pending,
                Scope::All => Kind::All,
                Scope::Between(..) => Kind::Range,
            },
            count: self.options.shard.count(),
        };
        let events = self.fold_shard(&job, &days, &seen).await?;
        let words = self.words_of(&job).await?;
        let mut report = AggregateReport {
            shards_missing: missing(&words, job.count),
            ..AggregateReport::default()
        };
        if report.shards_missing == 0 {
            report = self.merge(&words).await?;
            self.expire(&seen, &expired, &mut report).await?;
        }
        report.events = events;
        Ok(report)
    }

    /// Merges what shards left, of whatever number they were, if all of them did; and says whether that was everything there is.
    pub(super) async fn merge_shards(&self) -> Result<(AggregateReport, bool), Error> {
        let mut by_job: BTreeMap<JobName, Vec<Word>> = BTreeMap::new();
        for word in self.words().await? {
            by_job.entry(word.job.clone()).or_default().push(word);
        }
        let (mut report, mut is_whole) = (AggregateReport::default(), false);
        for (job, words) in by_job {
            let missing = missing(&words, job.count);
            report.shards_missing += missing;
            if missing == 0 {
                report.add(self.merge(&words).await?);
                is_whole |= job.kind == Kind::All;
            }
        }
        Ok((report, is_whole))
    }

    async fn fold_shard(&self, job: &JobName, days: &Days, seen: &Marks) -> Result<u64, Error> {
        let (folder, shard) = (self.folder(), self.options.shard);
        let mut word = Word {
            job: job.clone(),
            index: shard.index(),
            plan: self.stages.plan.fingerprint(),
            names: Vec::new(),
            hours: BTreeMap::new(),
        };
        let mut names = Names::default();
        let own =
            (job.kind != Kind::Pending).then(|| format!("shard {shard} {}", self.options.name));
        let mut total = 0;
        for (date, changes) in days {
            let hours = changes.hours();
            if let Some(own) = &own {
                // Nobody else marked them, perhaps; then this tells whether they were aggregated since.
                let hours = hours.iter().map(|hour| date.hour(*hour)).collect();
                mark(&**self.store, own, &hours).await?;
            }
            let (partials, events) = folder.hours(*date, &hours).await?;
            total += events;
            let mut batch = MutationBatch::new();
            for (hour, spool) in &partials {
                write(self.store, word.owner(*hour), spool, &mut batch).await?;
                let own = own.iter().map(String::as_bytes);
                let marks = seen.of(*hour).chain(own);
                let of_hour = HourWord {
                    partial: Version::of(spool),
                    marks: marks.map(|mark| names.place(mark)).collect(),
                };
                word.hours.insert(hour.to_string(), of_hour);
            }
            flush(self.store, &mut batch, 0).await?;
        }
        word.names = names.texts();
        let mut batch = MutationBatch::new();
        let mut row = batch.row(&word.key());
        let json = serde_json::to_vec(&word).expect("a word is JSON");
        row.set(family::STATE, state::SHARD.as_bytes(), 0, &json);
        row.finish();
        self.store.apply_all(table::STATE, batch).await?;
        Ok(total)
    }

    /// What shards have said, of this plan.
    async fn words(&self) -> Result<Vec<Word>, Error> {
        let scan = Scan::range(ShardKey::all()).with_latest_only();
        let rows = self.store.rows(table::STATE, scan).await?;
        let mut words = Vec::new();
        for row in &rows {
            if let Some(json) = row.value(family::STATE, state::SHARD.as_bytes()) {
                match serde_json::from_slice::<Word>(json) {
                    Ok(word) => words.push(word),
                    // The hours of such a shard stay marked, and its part is done again.
                    Err(error) => tracing::warn!(%error, "the record of a shard cannot be read"),
                }
            }
        }
        let plan = self.stages.plan.fingerprint();
        words.retain(|word| word.plan == plan);
        Ok(words)
    }

    async fn words_of(&self, job: &JobName) -> Result<Vec<Word>, Error> {
        let words = self.words().await?.into_iter();
        Ok(words.filter(|word| word.job == *job).collect())
    }

    /// Merges what all shards left: of the hours that all of them read, and that nobody has aggregated since.
    async fn merge(&self, words: &[Word]) -> Result<AggregateReport, Error> {
        let stored = marks(&**self.store).await?;
        let (mut days, mut seen, mut parts) = (Days::new(), Marks::default(), BTreeMap::new());
        for name in words[0].hours.keys() {
            let of_all = words.iter().map(|word| word.hours.get(name));
            let Some(of_all) = of_all.collect::<Option<Vec<_>>>() else {
                continue;
            };
            let hour: Hour = name.parse().map_err(row_error)?;
            let marks_of = words.iter().zip(&of_all).map(|(word, it)| word.marks(it));
            let marks_of: Vec<BTreeSet<&str>> = marks_of.collect();
            let marks: BTreeSet<&str> = marks_of.iter().flatten().copied().collect();
            if !marks.iter().all(|mark| stored.has(hour, mark.as_bytes())) {
                continue;
            }
            // A mark that not all have seen may have been made after some of them read. Those of shards are nobody else's.
            let is_seen = |mark: &&&str| {
                mark.starts_with("shard ") || marks_of.iter().all(|it| it.contains(*mark))
            };
            let marks: Vec<&str> = marks.iter().filter(is_seen).copied().collect();
            if marks.is_empty() {
                continue;
            }
            let of_hour = words.iter().zip(&of_all).map(|(word, it)| ShardPart {
                owner: word.owner(hour),
                version: it.partial,
            });
            parts.insert(hour, of_hour.collect());
            for mark in marks {
                seen.add(hour, mark.as_bytes());
            }
            days.entry(hour.date()).or_default().add(hour.of_day());
        }
        let job = &words[0].job;
        let work = Work::Merge(Arc::new(parts));
        let is_rebuilding = job.kind != Kind::Pending;
        let merged = self.weeks(days, work, is_rebuilding, &seen).await;
        let left = self.words_of(job).await?;
        if left.is_empty() && merged.is_err() {
            // Another process has merged them too, and removed what this one was reading.
            return Ok(AggregateReport::default());
        }
        let report = merged?;
        if left != *words {
            // A shard has begun again; what it leaves is to be merged too.
            return Ok(report);
        }
        if report.postponed == 0 {
            self.forget(words).await?;
        }
        Ok(report)
    }

    /// Removes what the shards left: first their words, so that nothing is merged in part.
    async fn forget(&self, words: &[Word]) -> Result<(), Error> {
        let mut batch = MutationBatch::new();
        for word in words {
            let mut row = batch.row(&word.key());
            row.delete_row();
            row.finish();
        }
        self.store.apply_all(table::STATE, batch).await?;
        let mut batch = MutationBatch::new();
        for word in words {
            for hour in word.hours.keys() {
                let owner = word.owner(hour.parse().map_err(row_error)?);
                remove_all(&**self.store, owner, &mut batch).await?;
            }
            flush(self.store, &mut batch, 0).await?;
        }
        Ok(())
    }
}

/// How many shards have said nothing yet.
fn missing(words: &[Word], count: u32) -> u32 {
    let said = u32::try_from(words.len()).unwrap_or(count);
    count.saturating_sub(said)
}
