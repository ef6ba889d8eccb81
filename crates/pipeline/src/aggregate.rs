//! The aggregate job: the timeline's hours into hours, days and weeks of every dimension.
//!
//! ```text
//! marks              the hours that await aggregation, and by which marks
//! claim              a week, by whoever works on it; what another one left that died is found here
//! fold               each of these hours, from the timeline, into a partial: all its groups in order; spilled where memory ends
//! compare            with the hour's current partial: which groups changed
//! roll up            the day from its hours' partials, the week from its days': the groups that changed are merged anew and *set*
//! write              partials of hours, rows, partials of days and of the week, and then the head that makes these the current ones
//! clear              what was replaced, the claim, and the marks that were seen
//! ```
//!
//! A run may die anywhere and be done again; what it may have written is known from the partials of hours that no head names. Nothing is
//! ever added to, so doing it twice changes nothing.

mod claim;
mod fold;
mod head;
mod horizon;
mod partials;
mod plan_state;
mod run;
mod shard;
mod shares;
mod stored;
mod week;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rowmill_model::columns::table;
use rowmill_rowkey::{Date, Hour, TIMELINE_BUCKETS, TimelineKey, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::control::Control;
use crate::dates::DateRange;
use crate::error::Error;
use crate::marks::{Marks, clear, marks, take_up};
use crate::parts::spawned;
use crate::shard::Shard;
use crate::spool::Room;
use crate::stages::Stages;
use fold::Folder;
use head::dates_with_partials;
pub(crate) use horizon::Horizon;
use shares::Shares;
use week::{Changes, Outcome, Week, Work};

pub(crate) use partials::{Merging, Source};
pub(crate) use plan_state::{check_reader, narrow_timeline, start_anew};

/// Which hours to aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that await it.
    Pending,
    /// All there are.
    All,
    /// Those of these dates.
    Between(DateRange),
}

/// What to aggregate, and how.
#[derive(Debug, Clone)]
pub struct AggregateOptions {
    /// What the process is called in marks that it makes: no other may have that name.
    pub name: String,
    /// Which hours.
    pub scope: Scope,
    /// Which part of them, if others do the rest.
    pub shard: Shard,
    /// What the job of all shards together is called. Without a name of its own it is mixed up with what a shard of an earlier one left
    /// that was killed after all others were done.
    pub job: String,
    /// Only merge what the shards left.
    pub merge_only: bool,
    /// How many bytes of memory all that it works on may take. A week is worked on for each 32 MiB, and one at least.
    pub memory_bytes: usize,
    /// How many weeks are worked on at once, at most.
    pub jobs: usize,
    /// Hours of which the timeline may have dropped events by this time are left as they are.
    pub now: Timestamp,
}

impl AggregateOptions {
    /// What a scope asks for, by one process at `now`, in 128 MiB.
    pub fn new(name: impl Into<String>, scope: Scope, now: Timestamp) -> Self {
        Self {
            name: name.into(),
            scope,
            shard: Shard::ALONE,
            job: String::new(),
            merge_only: false,
            memory_bytes: 128 << 20,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            now,
        }
    }
}

/// What was aggregated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AggregateReport {
    /// Hours that were worked on and had events, or had some before.
    pub hours: u64,
    /// Days that hold these hours.
    pub days: u64,
    /// Weeks that hold these days.
    pub weeks: u64,
    /// Events that were counted.
    pub events: u64,
    /// Rows that were written.
    pub rows: u64,
    /// Hours that are older than what the timeline keeps, and were left as they are.
    pub expired: u64,
    /// Weeks that another process worked on at the same time; their hours stay marked, for the next aggregation.
    pub postponed: u64,
    /// Leaderboards that lack places, because a cell has no room for more.
    pub cut_boards: u64,
    /// Rows that name only the beginning of their value, which is too long for a cell.
    pub cut_values: u64,
    /// Of several shards, how many have not left their part yet; nothing is merged before.
    pub shards_missing: u32,
}

/// Aggregates what `options` say. A job that is stopped is left where it stands, which the next one takes up.
pub async fn aggregate(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &AggregateOptions,
    control: &Control,
) -> Result<AggregateReport, Error> {
    let work = aggregate_all(stages, store, options, control);
    control.unless_stopped(work).await
}

async fn aggregate_all(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &AggregateOptions,
    control: &Control,
) -> Result<AggregateReport, Error> {
    let (seen, epoch) = take_up(&**store, &options.name).await?;
    for row in &seen.unreadable.rows {
        control.pass_over(row.table, row.key.as_bytes(), &row.problem);
    }
    let job = Job {
        stages,
        store,
        options,
        control,
    };
    let is_whole = options.scope == Scope::All;
    plan_state::check(stages, store, options, control).await?;
    let (report, is_whole) = if options.merge_only {
        job.merge_shards().await?
    } else {
        let hours = hours(store, options, &seen, control).await?;
        let report = if options.shard.is_alone() {
            let is_rebuilding = options.scope != Scope::Pending;
            job.weeks(hours, Work::Fold, is_rebuilding, &seen).await?
        } else {
            job.shard(hours, seen).await?
        };
        (report, is_whole && report.shards_missing == 0)
    };
    epoch.check(&**store).await?;
    if is_whole && report.postponed == 0 {
        plan_state::complete(stages, store).await?;
    }
    let AggregateReport {
        hours,
        events,
        rows,
        ..
    } = report;
    if report.cut_boards + report.cut_values > 0 {
        let (boards, values) = (report.cut_boards, report.cut_values);
        tracing::warn!(boards, values, "too long for a cell, and cut");
    }
    tracing::info!(hours, events, rows, "aggregated");
    Ok(report)
}

/// The hours that [`aggregate`] would work on.
pub async fn plan_aggregate(
    store: &Arc<dyn Store>,
    options: &AggregateOptions,
) -> Result<Vec<Hour>, Error> {
    let seen = marks(&**store).await?;
    let mut found = Vec::new();
    for (date, changes) in hours(store, options, &seen, &Control::default()).await? {
        match changes {
            Changes::Hours(hours) => found.extend(hours.into_iter().map(|hour| date.hour(hour))),
            Changes::All => {
                for hour in (0..24).map(|hour| date.hour(hour)) {
                    if has_events(store, hour).await? {
                        found.push(hour);
                    }
                }
            }
        }
    }
    Ok(found)
}

async fn has_events(store: &Arc<dyn Store>, hour: Hour) -> Result<bool, Error> {
    let buckets = 0..TIMELINE_BUCKETS;
    let ranges = buckets.map(|bucket| TimelineKey::hours(bucket, hour, hour));
    let scan = Scan::ranges(ranges.collect()).with_limit(1);
    Ok(!store.rows(table::TIMELINE, scan).await?.is_empty())
}

/// What to work on, by day.
type Days = BTreeMap<Date, Changes>;

async fn hours(
    store: &Arc<dyn Store>,
    options: &AggregateOptions,
    seen: &Marks,
    control: &Control,
) -> Result<Days, Error> {
    let mut days = Days::new();
    let range = match options.scope {
        Scope::Pending => {
            for hour in seen.hours() {
                let day = days.entry(hour.date()).or_default();
                day.add(hour.of_day());
            }
            return Ok(days);
        }
        Scope::All => DateRange::ALL,
        Scope::Between(range) => range,
    };
    let mut dates = dates_with_events(store, range, control).await?;
    let stored = dates_with_partials(&**store).await?;
    dates.extend(stored.into_iter().filter(|date| range.contains(*date)));
    Ok(dates.into_iter().map(|date| (date, Changes::All)).collect())
}

/// The dates with events between two dates, found by skipping from one event to the next date.
async fn dates_with_events(
    store: &Arc<dyn Store>,
    range: DateRange,
    control: &Control,
) -> Result<BTreeSet<Date>, Error> {
    let of_bucket = |bucket: u8| {
        let store = Arc::clone(store);
        async move {
            let mut dates = BTreeSet::new();
            let mut rest = TimelineKey::hours(bucket, range.from().hour(0), range.to().hour(23));
            loop {
                let scan = Scan::range(rest.clone()).with_limit(1);
                let Some(row) = store.rows(table::TIMELINE, scan).await?.pop() else {
                    break;
                };
                match TimelineKey::decode(row.key()) {
                    Ok(key) => {
                        let date = key.fact.timestamp.date();
                        dates.insert(date);
                        let Some(next) = date.plus_days(1).filter(|it| range.contains(*it)) else {
                            break;
                        };
                        rest.start = TimelineKey::hours(bucket, next.hour(0), next.hour(0)).start;
                    }
                    Err(problem) => {
                        control.pass_over(table::TIMELINE, row.key(), problem);
                        rest.start = [row.key(), &[0]].concat();
                    }
                }
            }
            Ok::<_, Error>(dates)
        }
    };
    let found = stream::iter(0..TIMELINE_BUCKETS).map(of_bucket);
    let found: Vec<BTreeSet<Date>> = found
        .buffer_unordered(usize::from(TIMELINE_BUCKETS))
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

/// The error of a row that cannot be read.
pub(crate) fn row_error(error: impl std::fmt::Display) -> Error {
    Error::Row(error.to_string())
}

struct Job<'a> {
    stages: &'a Arc<Stages>,
    store: &'a Arc<dyn Store>,
    options: &'a AggregateOptions,
    control: &'a Control,
}

impl Job<'_> {
    /// Works on weeks, some at once, and clears the marks of their hours.
    async fn weeks(
        &self,
        days: Days,
        work: Work,
        is_rebuilding: bool,
        seen: &Marks,
    ) -> Result<AggregateReport, Error> {
        let (days, expired) = self.split_expired(days);
        let mut report = AggregateReport::default();
        let folder = self.folder();
        let mut weeks: BTreeMap<Date, Days> = BTreeMap::new();
        for (date, changes) in days {
            let week = weeks.entry(date.monday()).or_default();
            week.insert(date, changes);
        }
        let each = stream::iter(weeks).map(|(monday, days)| {
            let week = Week {
                folder: folder.clone(),
                monday,
                days,
                work: work.clone(),
                is_rebuilding,
                is_anew: false,
                horizon: self.horizon(),
                name: self.options.name.clone(),
            };
            spawned(async move {
                let outcome = week.run().await?;
                Ok::<_, Error>((outcome, week.days))
            })
        });
        let mut each = each.buffer_unordered(self.shares().weeks);
        while let Some((outcome, days)) = each.try_next().await? {
            match outcome {
                Outcome::Done(done) => {
                    report.add(done);
                    self.clear(seen, &days).await?;
                }
                Outcome::Postponed => report.postponed += 1,
                Outcome::Expired => self.expire(seen, &days, &mut report).await?,
            }
        }
        self.expire(seen, &expired, &mut report).await?;
        Ok(report)
    }

    /// Clears the marks that were seen of these hours.
    async fn clear(&self, seen: &Marks, days: &Days) -> Result<(), Error> {
        let is_of_days = |hour: Hour| {
            let changes = days.get(&hour.date());
            changes.is_some_and(|changes| changes.contains(hour.of_day()))
        };
        clear(&**self.store, seen, is_of_days).await
    }

    /// Leaves hours as they are, for good.
    async fn expire(
        &self,
        seen: &Marks,
        days: &Days,
        report: &mut AggregateReport,
    ) -> Result<(), Error> {
        if days.is_empty() {
            return Ok(());
        }
        let hours = days.values().map(Changes::len).sum::<u64>();
        tracing::warn!(
            hours,
            "older than what the timeline keeps, left as they are"
        );
        report.expired += hours;
        self.clear(seen, days).await
    }

    fn folder(&self) -> Folder {
        Folder {
            plan: Arc::clone(&self.stages.plan),
            store: Arc::clone(self.store),
            shard: self.options.shard,
            shares: self.shares(),
            room: Room::new(self.shares().room),
            control: self.control.clone(),
        }
    }

    fn shares(&self) -> Shares {
        Shares::new(self.options.memory_bytes, self.options.jobs)
    }

    fn horizon(&self) -> Horizon {
        Horizon::new(self.stages, self.options.now)
    }

    /// Those that can be aggregated, and those that no longer can.
    fn split_expired(&self, days: Days) -> (Days, Days) {
        let horizon = self.horizon();
        let days = days.into_iter();
        days.partition(|(date, _)| !horizon.is_past(*date))
    }
}

impl AggregateReport {
    fn add(&mut self, other: Self) {
        self.hours += other.hours;
        self.days += other.days;
        self.weeks += other.weeks;
        self.events += other.events;
        self.rows += other.rows;
        self.expired += other.expired;
        self.postponed += other.postponed;
        self.cut_boards += other.cut_boards;
        self.cut_values += other.cut_values;
    }
}
