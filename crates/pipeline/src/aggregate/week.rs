//! One week: its changed hours folded, its days and itself rolled up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rowmill_aggregate::{Period, RollUp, Touched, TouchedKeys};
use rowmill_model::MutationBatch;
use rowmill_model::columns::table;
use rowmill_rowkey::{Date, Hour};
use rowmill_store::StoreExt as _;
use tokio::sync::Mutex;

use super::fold::Folder;
use super::head::{Claim, Head, Partials};
use super::partials::{Merging, Owner, Source, Version, days_of, flush, hours_of, write};
use super::shard::ShardPart;
use super::{AggregateReport, row_error};
use crate::error::Error;
use crate::marks::mark;
use crate::parts::spawned;
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
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// The timeline.
    Fold,
    /// What shards left of them.
    Merge(Arc<BTreeMap<Hour, Vec<ShardPart>>>),
}

/// Rows are collected until there are so many bytes of them.
const BATCH_BYTES: usize = 16 << 20;

/// A batch that need not grow: a system gives room at once, but takes time for each page of it that is used.
fn room() -> MutationBatch {
    MutationBatch::with_capacity(0, BATCH_BYTES + BATCH_BYTES / 8)
}

/// What is to be done of a week.
#[derive(Debug, Clone)]
pub(crate) struct Week {
    pub(crate) folder: Folder,
    pub(crate) monday: Date,
    pub(crate) days: BTreeMap<Date, Changes>,
    pub(crate) work: Work,
    /// Whether every group is to be written anew, changed or not.
    pub(crate) is_rebuilding: bool,
    /// The first date of which the timeline has every event.
    pub(crate) oldest: Date,
    /// What the process is called.
    pub(crate) name: String,
}

/// What became of a week.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is done.
    Done(AggregateReport),
    /// Another process came in between; its hours are marked.
    Postponed,
    /// The timeline no longer has what is needed, and what is stored was aggregated otherwise. It is left as it is.
    Expired,
}

/// A day that was rolled up; its rows may not be written yet.
struct Day {
    date: Date,
    hours: Vec<(Hour, Spool)>,
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

/// A week that is worked on.
struct Run {
    week: Week,
    head: Head,
    stored: Partials,
    rows: Mutex<RowsOnTheWay>,
}

/// What is written of rows when there is enough of it: whoever makes some takes a batch, adds to it, and gives it back.
#[derive(Default)]
struct RowsOnTheWay {
    batches: Vec<MutationBatch>,
    written: u64,
}

impl Week {
    pub(crate) async fn run(&self) -> Result<Outcome, Error> {
        let store = &self.folder.store;
        let claim = Claim::make(&**store, self.monday, &self.name).await?;
        let plan = self.folder.plan.fingerprint();
        if !claim.head.partials.is_empty() && claim.head.plan != plan {
            claim.release(&**store).await?;
            return Ok(Outcome::Expired);
        }
        let run = Arc::new(self.begin(&claim).await?);
        let days = stream::iter(run.week.days.clone()).map(|(date, changes)| {
            let run = Arc::clone(&run);
            spawned(async move { run.day(date, changes).await })
        });
        let days: Vec<Day> = days.buffered(2).try_collect().await?;
        run.finish(&claim, &days).await
    }

    /// Reads what is stored of the week, and finds out what is to be done besides what was asked for.
    async fn begin(&self, claim: &Claim) -> Result<Run, Error> {
        let (mut week, head) = (self.clone(), claim.head.clone());
        let dates: BTreeSet<Date> = if claim.is_after_others {
            dates_of_week(self.monday).collect()
        } else {
            // Of a date that is made anew from its events, what its hours held does not matter.
            let days = self.days.iter();
            let days = days.filter(|it| !(self.is_rebuilding && *it.1 == Changes::All));
            days.map(|(date, _)| *date).collect()
        };
        let mut ranges = days_of(self.monday).to_vec();
        ranges.extend(dates.iter().map(|date| hours_of(*date)));
        let store = &*self.folder.store;
        let stored = Partials::load(store, &head, ranges, &self.folder.room).await?;
        let was_asked = |period: Period| match period {
            Period::Hour(hour) => dates.contains(&hour.date()),
            Period::Day(_) | Period::Week(_) => true,
        };
        if !stored.are_whole(&head, was_asked) {
            week.repair()?;
        }
        for date in stored.stray_dates() {
            week.days.entry(date).or_default();
        }
        Ok(Run {
            week,
            head,
            stored,
            rows: Mutex::default(),
        })
    }

    /// Makes everything anew, because something that was stored of it is not as it was written.
    fn repair(&mut self) -> Result<(), Error> {
        let week = self.monday;
        if week < self.oldest {
            return Err(row_error(format!(
                "partials of the week of {week} are damaged, and the timeline no longer has all its events"
            )));
        }
        tracing::warn!(%week, "partials are damaged; all of it is aggregated anew");
        let dates = dates_of_week(week);
        self.days = dates.map(|date| (date, Changes::All)).collect();
        self.work = Work::Fold;
        self.is_rebuilding = true;
        Ok(())
    }
}

impl Run {
    async fn day(&self, date: Date, changes: Changes) -> Result<Day, Error> {
        let folder = &self.week.folder;
        let (hours, events) = match &self.week.work {
            Work::Fold => folder.hours(date, &changes.hours()).await?,
            Work::Merge(parts) => (self.merge_shards(date, &changes, parts).await?, 0),
        };
        // Before any row, so that whoever finds this process dead knows which.
        self.write_hours(&hours).await?;
        let touched = self.compare(date, &hours).await?;
        let mut day = Day {
            date,
            hours,
            partial: Spool::new(&folder.room),
            touched: None,
            events,
        };
        if self.week.is_rebuilding || !touched.is_empty() {
            day.partial = self.roll_up_day(&day, touched.clone()).await?;
            day.touched = Some(touched);
        }
        Ok(day)
    }

    async fn merge_shards(
        &self,
        date: Date,
        changes: &Changes,
        parts: &BTreeMap<Hour, Vec<ShardPart>>,
    ) -> Result<Vec<(Hour, Spool)>, Error> {
        let folder = &self.week.folder;
        let mut partials = Vec::new();
        for hour in changes.hours().into_iter().map(|hour| date.hour(hour)) {
            let parts = parts.get(&hour).into_iter().flatten();
            let sources = parts.filter_map(|part| part.source(&*folder.store));
            let merged = folder.combine_sources(sources.collect()).await?;
            partials.push((hour, merged));
        }
        Ok(partials)
    }

    async fn write_hours(&self, hours: &[(Hour, Spool)]) -> Result<(), Error> {
        let store = &self.week.folder.store;
        let mut batch = MutationBatch::new();
        for (hour, spool) in hours {
            let period = Period::Hour(*hour);
            self.write(period, spool, &mut batch).await?;
        }
        flush(store, &mut batch, 0).await
    }

    /// Writes a period's partial, unless it is the current one: who makes a week anew does not trust what is stored of it.
    async fn write(
        &self,
        period: Period,
        spool: &Spool,
        batch: &mut MutationBatch,
    ) -> Result<(), Error> {
        let is_current = self.head.partials.get(&period).copied() == Version::of(spool);
        if is_current && !self.week.is_rebuilding {
            return Ok(());
        }
        let store = &self.week.folder.store;
        write(store, Owner::Period(period), spool, batch).await
    }

    /// The groups of a date that are not as they were, or of which somebody may have written a row and died.
    async fn compare(&self, date: Date, hours: &[(Hour, Spool)]) -> Result<TouchedKeys, Error> {
        let mut touched = TouchedKeys::new(self.week.folder.groups_bytes);
        if self.week.is_rebuilding {
            return Ok(touched);
        }
        let plan = &self.week.folder.plan;
        for (hour, spool) in hours {
            let period = Period::Hour(*hour);
            if self.head.partials.get(&period).copied() == Version::of(spool) {
                continue;
            }
            let sources = vec![self.current(period), Source::spool(spool)];
            let mut merging = Merging::new(plan, sources);
            while let Some(merge) = merging.next().await? {
                touched.compare(merge);
            }
        }
        for (period, spool) in self.stored.strays(date) {
            let sources = vec![self.current(period), Source::spool(spool)];
            let mut merging = Merging::new(plan, sources);
            while let Some(merge) = merging.next().await? {
                touched.add(merge.key());
            }
        }
        Ok(touched)
    }

    /// What was stored of a period; nothing if there is nothing.
    fn current(&self, period: Period) -> Source<'_> {
        let current = self.stored.current(period);
        current.map_or(Source::Empty, Source::spool)
    }

    fn touched(&self, keys: TouchedKeys) -> Touched {
        if self.week.is_rebuilding {
            Touched::All
        } else {
            keys.finish()
        }
    }

    async fn roll_up_day(&self, day: &Day, touched: TouchedKeys) -> Result<Spool, Error> {
        let period = Period::Day(day.date);
        let mut sources = vec![self.current(period)];
        let mut parts = Vec::new();
        for hour in (0..24).map(|hour| day.date.hour(hour)) {
            let changed = day.hours.iter().find(|(changed, _)| *changed == hour);
            sources.push(match changed {
                Some((_, spool)) => Source::spool(spool),
                None => self.current(Period::Hour(hour)),
            });
            parts.push(Period::Hour(hour));
        }
        let strays = self.stored.strays(day.date);
        sources.extend(strays.map(|(_, spool)| Source::spool(spool)));
        let touched = self.touched(touched);
        self.drive(period, parts, touched, sources).await
    }

    /// Rolls the week up.
    async fn roll_up_week(&self, days: &[Day]) -> Result<Spool, Error> {
        let mut touched = TouchedKeys::new(self.week.folder.groups_bytes);
        for keys in days.iter().filter_map(|day| day.touched.as_ref()) {
            touched.join(keys);
        }
        let period = Period::Week(self.week.monday);
        let mut sources = vec![self.current(period)];
        let mut parts = Vec::new();
        for date in dates_of_week(self.week.monday) {
            let changed = days
                .iter()
                .find(|day| day.date == date && day.touched.is_some());
            sources.push(match changed {
                Some(day) => Source::spool(&day.partial),
                None => self.current(Period::Day(date)),
            });
            parts.push(Period::Day(date));
        }
        for date in dates_of_week(self.week.monday) {
            let strays = self.stored.strays(date);
            sources.extend(strays.map(|(_, spool)| Source::spool(spool)));
        }
        let touched = self.touched(touched);
        self.drive(period, parts, touched, sources).await
    }

    /// Rolls up group by group, and gives the period's new partial.
    async fn drive(
        &self,
        period: Period,
        parts: Vec<Period>,
        touched: Touched,
        sources: Vec<Source<'_>>,
    ) -> Result<Spool, Error> {
        let folder = &self.week.folder;
        let mut roll_up = RollUp::new(&folder.plan, period, parts, touched);
        let mut merging = Merging::new(&folder.plan, sources);
        let mut spool = Spool::new(&folder.room);
        let mut batch = self.rows.lock().await.batches.pop().unwrap_or_else(room);
        while let Some(merge) = merging.next().await? {
            roll_up.group(merge, &mut batch).map_err(row_error)?;
            spool.extend(roll_up.take_chunks())?;
            if batch.bytes() >= BATCH_BYTES {
                folder.control.check()?;
                self.put(std::mem::replace(&mut batch, room())).await?;
            }
        }
        spool.extend(roll_up.finish(&mut batch))?;
        folder.control.check()?;
        self.rows.lock().await.batches.push(batch);
        Ok(spool)
    }

    /// Writes rows.
    async fn put(&self, batch: MutationBatch) -> Result<(), Error> {
        self.rows.lock().await.written += batch.len() as u64;
        let store = &self.week.folder.store;
        Ok(store.apply_all(table::AGGREGATE, batch).await?)
    }

    /// Rolls the week up, and makes what was made the current one.
    async fn finish(&self, claim: &Claim, days: &[Day]) -> Result<Outcome, Error> {
        let store = &self.week.folder.store;
        let with_events = days.iter().filter(|day| day.hours_with_events() > 0);
        let with_events = with_events.count() as u64;
        let mut report = AggregateReport {
            hours: days.iter().map(Day::hours_with_events).sum(),
            days: with_events,
            weeks: u64::from(with_events > 0),
            events: days.iter().map(|day| day.events).sum(),
            ..AggregateReport::default()
        };
        if days.iter().all(|day| day.touched.is_none()) {
            claim.release(&**store).await?;
            return Ok(Outcome::Done(report));
        }
        let week = self.roll_up_week(days).await?;
        let rest = std::mem::take(&mut self.rows.lock().await.batches);
        for batch in rest.into_iter().filter(|batch| !batch.is_empty()) {
            self.put(batch).await?;
        }
        report.rows = self.rows.lock().await.written;
        let head = self.write_partials(days, &week).await?;
        if !claim.holds(&**store, &head).await? {
            return self.postpone(claim, days).await;
        }
        if head != self.head {
            head.write(&**store, self.week.monday).await?;
        }
        let mut batch = MutationBatch::new();
        self.stored.remove_old(&self.head, &head, &mut batch);
        flush(store, &mut batch, 0).await?;
        claim.release(&**store).await?;
        Ok(Outcome::Done(report))
    }

    /// Writes the new partials of days and of the week, and gives the head that names all there are.
    async fn write_partials(&self, days: &[Day], week: &Spool) -> Result<Head, Error> {
        let mut head = Head {
            plan: self.week.folder.plan.fingerprint(),
            partials: self.head.partials.clone(),
        };
        let mut batch = MutationBatch::new();
        let period = Period::Week(self.week.monday);
        head.set(period, Version::of(week));
        self.write(period, week, &mut batch).await?;
        for day in days.iter().filter(|day| day.touched.is_some()) {
            let period = Period::Day(day.date);
            head.set(period, Version::of(&day.partial));
            self.write(period, &day.partial, &mut batch).await?;
            for (hour, spool) in &day.hours {
                head.set(Period::Hour(*hour), Version::of(spool));
            }
        }
        flush(&self.week.folder.store, &mut batch, 0).await?;
        Ok(head)
    }

    /// Leaves word of all that was done of the week, after another process came in between: it may have removed it.
    async fn postpone(&self, claim: &Claim, days: &[Day]) -> Result<Outcome, Error> {
        let store = &self.week.folder.store;
        claim.renew(&**store).await?;
        let mut hours = BTreeSet::new();
        for day in days {
            self.write_hours(&day.hours).await?;
            hours.extend(day.hours.iter().map(|(hour, _)| *hour));
        }
        mark(&**store, &format!("postponed {}", self.week.name), &hours).await?;
        Ok(Outcome::Postponed)
    }
}

fn dates_of_week(monday: Date) -> impl Iterator<Item = Date> {
    (0..7).filter_map(move |days| monday.plus_days(days))
}
