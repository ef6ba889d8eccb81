//! One week: its changed hours folded, its days and itself rolled up.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rowmill_aggregate::{Period, RollUp, Touched, TouchedKeys};
use rowmill_model::MutationBatch;
use rowmill_model::columns::table;
use rowmill_rowkey::{Date, Hour, KeyRange};
use rowmill_store::StoreExt as _;
use tokio::sync::Mutex;

use super::fold::Folder;
use super::partials::{Owner, Source, merge, write};
use super::{AggregateReport, partials, row_error};
use crate::error::Error;
use crate::spool::Spool;

/// Which hours of a day are to be folded anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changes {
    /// All, whatever they held.
    All,
    /// Some.
    Hours(BTreeSet<u8>),
}

impl Default for Changes {
    fn default() -> Self {
        Self::Hours(BTreeSet::new())
    }
}

impl Changes {
    pub(crate) fn add(&mut self, hour: u8) {
        if let Self::Hours(hours) = self {
            hours.insert(hour);
        }
    }

    pub(crate) fn contains(&self, hour: u8) -> bool {
        match self {
            Self::All => true,
            Self::Hours(hours) => hours.contains(&hour),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::All => 24,
            Self::Hours(hours) => hours.len() as u64,
        }
    }

    pub(crate) fn hours(&self) -> BTreeSet<u8> {
        match self {
            Self::All => (0..24).collect(),
            Self::Hours(hours) => hours.clone(),
        }
    }
}

/// Where the partials of changed hours come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// The timeline.
    Fold,
    /// What so many shards left of them.
    Merge(u32),
}

/// Rows are collected until there are so many bytes of them.
const BATCH_BYTES: usize = 16 << 20;

/// A week that is worked on.
#[derive(Debug)]
pub(crate) struct Week {
    pub(crate) folder: Folder,
    pub(crate) monday: Date,
    pub(crate) days: BTreeMap<Date, Changes>,
    pub(crate) work: Work,
    /// Whether every group is to be written anew, changed or not.
    pub(crate) is_rebuilding: bool,
}

/// A day that was rolled up and is not written yet.
struct Day {
    date: Date,
    hours: Vec<(Hour, Spool)>,
    /// What was stored of its hours.
    stored: Stored,
    partial: Spool,
    /// None if nothing changed.
    touched: Option<TouchedKeys>,
    events: u64,
}

impl Day {
    fn hours_with_events(&self) -> u64 {
        let hours = self.hours.iter().filter(|(_, partial)| partial.len() > 0);
        hours.count() as u64
    }
}

/// Partials as they were stored.
type Stored = BTreeMap<Period, Spool>;

/// Rows that wait to be written, and how many there were.
type Rows = Mutex<(MutationBatch, u64)>;

/// What was stored of a period; nothing if there is nothing.
fn old(stored: &Stored, period: Period) -> Source<'_> {
    stored.get(&period).map_or(Source::Empty, Source::spool)
}

fn chunks(stored: &Stored, period: Period) -> usize {
    stored.get(&period).map_or(0, Spool::len)
}

impl Week {
    pub(crate) async fn run(&self) -> Result<AggregateReport, Error> {
        let rows = Rows::default();
        let stored = self.load(partials::days_of(self.monday)).await?;
        let days = self.days.clone();
        let days =
            stream::iter(days).map(|(date, changes)| self.day(date, changes, &stored, &rows));
        let days: Vec<Day> = days.buffered(2).try_collect().await?;
        let mut report = AggregateReport {
            hours: days.iter().map(Day::hours_with_events).sum(),
            days: days
                .iter()
                .map(|day| u64::from(day.hours_with_events() > 0))
                .sum(),
            weeks: u64::from(days.iter().any(|day| day.hours_with_events() > 0)),
            events: days.iter().map(|day| day.events).sum(),
            ..AggregateReport::default()
        };
        let partial = self.roll_up(&days, &stored, &rows).await?;
        let (mut batch, count) = rows.into_inner();
        report.rows = count + batch.len() as u64;
        partials::flush(&self.folder.store, &mut batch, 0).await?;
        self.write_partials(&days, partial.as_ref(), &stored)
            .await?;
        Ok(report)
    }

    /// Partials as they are stored. What an hour held only matters where it is compared or rolled up with others.
    async fn load(&self, ranges: Vec<KeyRange>) -> Result<Stored, Error> {
        let is_wanted = |period| !self.is_rebuilding || !matches!(period, Period::Hour(_));
        let folder = &self.folder;
        partials::load(&*folder.store, ranges, is_wanted, &folder.room).await
    }

    async fn day(
        &self,
        date: Date,
        changes: Changes,
        of_week: &Stored,
        rows: &Rows,
    ) -> Result<Day, Error> {
        let stored = self.load(partials::hours_of(date)).await?;
        let (hours, events) = match self.work {
            Work::Fold => self.folder.hours(date, &changes.hours()).await?,
            Work::Merge(shards) => (self.merge_shards(date, &changes, shards).await?, 0),
        };
        let touched = self.compare(&hours, &stored).await?;
        let mut day = Day {
            date,
            hours,
            stored,
            partial: Spool::new(&self.folder.room),
            touched: Some(touched),
            events,
        };
        if !self.is_rebuilding && day.touched.as_ref().is_some_and(TouchedKeys::is_empty) {
            day.touched = None;
            return Ok(day);
        }
        day.partial = self.roll_up_day(&day, of_week, rows).await?;
        Ok(day)
    }

    async fn merge_shards(
        &self,
        date: Date,
        changes: &Changes,
        count: u32,
    ) -> Result<Vec<(Hour, Spool)>, Error> {
        let store = &*self.folder.store;
        let mut partials = Vec::new();
        for hour in changes.hours().into_iter().map(|hour| date.hour(hour)) {
            let shards = (0..count).map(|index| Owner::Shard { hour, index, count });
            let sources = shards.map(|owner| Source::stored(store, owner)).collect();
            partials.push((hour, self.folder.combine_sources(sources).await?));
        }
        Ok(partials)
    }

    /// The groups of these hours that are not as they were.
    async fn compare(
        &self,
        hours: &[(Hour, Spool)],
        stored: &Stored,
    ) -> Result<TouchedKeys, Error> {
        let mut touched = TouchedKeys::default();
        if self.is_rebuilding {
            return Ok(touched);
        }
        for (hour, spool) in hours {
            let sources = vec![old(stored, Period::Hour(*hour)), Source::spool(spool)];
            merge(&self.folder.plan, sources, |merge| {
                touched.compare(merge);
                Ok(())
            })
            .await?;
        }
        Ok(touched)
    }

    fn touched(&self, keys: TouchedKeys) -> Touched {
        if self.is_rebuilding {
            Touched::All
        } else {
            keys.finish()
        }
    }

    async fn roll_up_day(&self, day: &Day, of_week: &Stored, rows: &Rows) -> Result<Spool, Error> {
        let period = Period::Day(day.date);
        let mut sources = vec![old(of_week, period)];
        let mut parts = Vec::new();
        for hour in (0..24).map(|hour| day.date.hour(hour)) {
            let changed = day.hours.iter().find(|(changed, _)| *changed == hour);
            sources.push(match changed {
                Some((_, spool)) => Source::spool(spool),
                None => old(&day.stored, Period::Hour(hour)),
            });
            parts.push(Period::Hour(hour));
        }
        let keys = day.touched.clone().unwrap_or_default();
        let roll_up = RollUp::new(&self.folder.plan, period, parts, self.touched(keys));
        self.drive(roll_up, sources, rows).await
    }

    /// Rolls the week up, if any of its days changed.
    async fn roll_up(
        &self,
        days: &[Day],
        stored: &Stored,
        rows: &Rows,
    ) -> Result<Option<Spool>, Error> {
        let mut touched = TouchedKeys::default();
        let mut is_changed = false;
        for keys in days.iter().filter_map(|day| day.touched.as_ref()) {
            touched.join(keys.clone());
            is_changed = true;
        }
        if !is_changed {
            return Ok(None);
        }
        let period = Period::Week(self.monday);
        let mut sources = vec![old(stored, period)];
        let mut parts = Vec::new();
        for date in dates_of_week(self.monday) {
            let changed = days
                .iter()
                .find(|day| day.date == date && day.touched.is_some());
            sources.push(match changed {
                Some(day) => Source::spool(&day.partial),
                None => old(stored, Period::Day(date)),
            });
            parts.push(Period::Day(date));
        }
        let roll_up = RollUp::new(&self.folder.plan, period, parts, self.touched(touched));
        self.drive(roll_up, sources, rows).await.map(Some)
    }

    /// Rolls up group by group, and gives the period's new partial.
    async fn drive(
        &self,
        mut roll_up: RollUp,
        sources: Vec<Source<'_>>,
        rows: &Rows,
    ) -> Result<Spool, Error> {
        let mut spool = Spool::new(&self.folder.room);
        let mut batch = MutationBatch::new();
        let mut full = Vec::new();
        merge(&self.folder.plan, sources, |merge| {
            roll_up.group(merge, &mut batch).map_err(row_error)?;
            spool.extend(roll_up.take_chunks())?;
            if batch.bytes() >= BATCH_BYTES {
                full.push(std::mem::take(&mut batch));
            }
            Ok(())
        })
        .await?;
        spool.extend(roll_up.finish(&mut batch))?;
        self.folder.control.check()?;
        full.push(batch);
        let mut rows = rows.lock().await;
        for batch in full {
            if rows.0.is_empty() {
                rows.0 = batch;
            } else {
                rows.0.append(&batch);
            }
            if rows.0.bytes() >= BATCH_BYTES {
                let batch = std::mem::take(&mut rows.0);
                rows.1 += batch.len() as u64;
                self.folder.store.apply_all(table::AGGREGATE, batch).await?;
            }
        }
        Ok(spool)
    }

    /// Writes the new partials, those of hours last.
    async fn write_partials(
        &self,
        days: &[Day],
        week: Option<&Spool>,
        stored: &Stored,
    ) -> Result<(), Error> {
        let store = &self.folder.store;
        let mut batch = MutationBatch::new();
        if let Some(week) = week {
            let period = Period::Week(self.monday);
            let before = chunks(stored, period);
            write(store, Owner::Period(period), week, before, &mut batch).await?;
        }
        for day in days.iter().filter(|day| day.touched.is_some()) {
            let period = Period::Day(day.date);
            let (owner, before) = (Owner::Period(period), chunks(stored, period));
            write(store, owner, &day.partial, before, &mut batch).await?;
        }
        partials::flush(store, &mut batch, 0).await?;
        for day in days.iter().filter(|day| day.touched.is_some()) {
            for (hour, spool) in &day.hours {
                let period = Period::Hour(*hour);
                let (owner, before) = (Owner::Period(period), chunks(&day.stored, period));
                write(store, owner, spool, before, &mut batch).await?;
            }
        }
        partials::flush(store, &mut batch, 0).await
    }
}

fn dates_of_week(monday: Date) -> impl Iterator<Item = Date> {
    (0..7).filter_map(move |days| monday.plus_days(days))
}
