//! A week at work: its changed hours folded, its days and itself rolled up, and all of it written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rowmill_aggregate::{Cuts, Period, RollUp, Touched, TouchedKeys};
use rowmill_model::MutationBatch;
use rowmill_model::columns::table;
use rowmill_rowkey::{Date, Hour};
use rowmill_store::StoreExt as _;
use tokio::sync::Mutex;

use super::claim::{Claim, Standing};
use super::head::Head;
use super::partials::{
    Merging, Owner, Source, Version, batch_of_chunks, flush, remove_emptied, write, write_emptied,
    write_own,
};
use super::shard::ShardPart;
use super::shares::DAYS_AT_ONCE;
use super::stored::Partials;
use super::week::{Changes, Outcome, Week, Work, dates_of_week};
use super::{AggregateReport, row_error};
use crate::control::Control;
use crate::error::Error;
use crate::marks::mark;
use crate::parts::spawned;
use crate::spool::Spool;

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
pub(super) struct Run {
    week: Week,
    claim: Claim,
    stored: Partials,
    rows: Mutex<RowsOnTheWay>,
}

/// What is written of rows when there is enough of it: whoever makes some takes a batch, adds to it, and gives it back.
#[derive(Default)]
struct RowsOnTheWay {
    batches: Vec<MutationBatch>,
    written: u64,
    cuts: Cuts,
}

impl Run {
    pub(super) fn new(week: Week, claim: Claim, stored: Partials) -> Self {
        Self {
            week,
            claim,
            stored,
            rows: Mutex::default(),
        }
    }

    pub(super) async fn run(self) -> Result<Outcome, Error> {
        let run = Arc::new(self);
        let days = stream::iter(run.week.days.clone()).map(|(date, changes)| {
            let run = Arc::clone(&run);
            spawned(async move { run.day(date, changes).await })
        });
        let days: Vec<Day> = days.buffered(DAYS_AT_ONCE).try_collect().await?;
        run.finish(&days).await
    }

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
        let mut batch = batch_of_chunks();
        for (hour, spool) in hours {
            let period = Period::Hour(*hour);
            if self.is_emptied(period, spool) {
                write_emptied(&self.week.folder.plan, Owner::Period(period), &mut batch);
            }
            self.write(period, spool, &mut batch).await?;
        }
        flush(store, &mut batch, 0).await
    }

    /// Whether nothing is left of what the head names of a period.
    fn is_emptied(&self, period: Period, spool: &Spool) -> bool {
        spool.len() == 0 && self.claim.head.partials.contains_key(&period)
    }

    /// Writes a period's partial, unless it is the current one: who makes a week anew does not trust what is stored of it.
    async fn write(
        &self,
        period: Period,
        spool: &Spool,
        batch: &mut MutationBatch,
    ) -> Result<(), Error> {
        let is_current = self.claim.head.partials.get(&period).copied() == Version::of(spool);
        if is_current && !self.week.is_rebuilding {
            return Ok(());
        }
        let store = &self.week.folder.store;
        write(store, Owner::Period(period), spool, batch).await
    }

    /// The groups of a date that are not as they were, or of which somebody may have written a row and died.
    async fn compare(&self, date: Date, hours: &[(Hour, Spool)]) -> Result<TouchedKeys, Error> {
        let mut touched = TouchedKeys::new(self.week.folder.shares.touched);
        if self.week.is_rebuilding {
            return Ok(touched);
        }
        let plan = &self.week.folder.plan;
        for (hour, spool) in hours {
            let period = Period::Hour(*hour);
            if self.claim.head.partials.get(&period).copied() == Version::of(spool) {
                continue;
            }
            let sources = vec![self.current(period), Source::spool(spool)];
            let mut merging = Merging::new(plan, sources, self.control());
            while let Some(merge) = merging.next().await? {
                touched.compare(merge);
            }
        }
        for (period, spool) in self.stored.strays(date) {
            let sources = vec![self.current(period), Source::spool(spool)];
            let mut merging = Merging::new(plan, sources, self.control());
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
        let mut touched = TouchedKeys::new(self.week.folder.shares.touched);
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
        let mut merging = Merging::new(&folder.plan, sources, self.control());
        let mut spool = Spool::new(&folder.room);
        let given = self.rows.lock().await.batches.pop();
        let mut batch = given.unwrap_or_else(|| self.batch());
        while let Some(merge) = merging.next().await? {
            roll_up.group(merge, &mut batch).map_err(row_error)?;
            spool.extend(roll_up.take_chunks())?;
            if batch.bytes() >= folder.shares.batch {
                self.put(std::mem::replace(&mut batch, self.batch()))
                    .await?;
            }
        }
        let (chunks, cuts) = roll_up.finish(&mut batch);
        spool.extend(chunks)?;
        let mut rows = self.rows.lock().await;
        rows.batches.push(batch);
        rows.cuts.add(cuts);
        Ok(spool)
    }

    /// A batch that need not grow: a system gives room at once, but takes time for each page of it that is used.
    fn batch(&self) -> MutationBatch {
        let bytes = self.week.folder.shares.batch;
        MutationBatch::with_capacity(0, bytes + bytes / 8)
    }

    fn control(&self) -> &Control {
        &self.week.folder.control
    }

    /// Writes rows.
    async fn put(&self, batch: MutationBatch) -> Result<(), Error> {
        self.rows.lock().await.written += batch.len() as u64;
        let store = &self.week.folder.store;
        Ok(store.apply_all(table::AGGREGATE, batch).await?)
    }

    /// Rolls the week up, and makes what was made the current one.
    async fn finish(&self, days: &[Day]) -> Result<Outcome, Error> {
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
        if days.iter().any(|day| day.touched.is_some()) {
            let week = self.roll_up_week(days).await?;
            let rest = std::mem::take(&mut self.rows.lock().await.batches);
            for batch in rest.into_iter().filter(|batch| !batch.is_empty()) {
                self.put(batch).await?;
            }
            let RowsOnTheWay { written, cuts, .. } = *self.rows.lock().await;
            report.rows = written;
            (report.cut_boards, report.cut_values) = (cuts.boards, cuts.values);
            let head = self.write_partials(days, &week).await?;
            if !self.set_head(&head).await? {
                return self.postpone(days).await;
            }
            self.remove_old(&head, days).await?;
        } else {
            self.remove_old(&self.claim.head, days).await?;
        }
        self.claim.release(&**store).await?;
        if self.week.is_anew {
            self.week.clear_anew_marks().await?;
        }
        Ok(Outcome::Done(report))
    }

    /// Sets the head, unless another process came in between.
    async fn set_head(&self, head: &Head) -> Result<bool, Error> {
        let store = &*self.week.folder.store;
        match self.claim.standing(store, head).await? {
            Standing::Lost => Ok(false),
            Standing::IsSet => Ok(true),
            Standing::Holds => {
                head.write(store, self.week.monday).await?;
                // One that began after it was asked may have come to an end before this.
                self.claim.is_newest(store).await
            }
        }
    }

    /// Removes what the head no longer names.
    async fn remove_old(&self, head: &Head, days: &[Day]) -> Result<(), Error> {
        let mut batch = MutationBatch::new();
        self.stored.remove_old(&self.claim.head, head, &mut batch);
        for (hour, spool) in days.iter().flat_map(|day| &day.hours) {
            let period = Period::Hour(*hour);
            if self.is_emptied(period, spool) {
                remove_emptied(Owner::Period(period), &mut batch);
            }
        }
        flush(&self.week.folder.store, &mut batch, 0).await
    }

    /// Writes the new partials of days and of the week, and gives the head that names all there are.
    async fn write_partials(&self, days: &[Day], week: &Spool) -> Result<Head, Error> {
        let mut head = Head {
            plan: self.week.folder.plan.fingerprint(),
            partials: self.claim.head.partials.clone(),
        };
        let mut batch = batch_of_chunks();
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

    /// Leaves word of all that was done of the week, after another process came in between, which may not have seen all of it, and may
    /// remove what it saw.
    async fn postpone(&self, days: &[Day]) -> Result<Outcome, Error> {
        let Week { folder, name, .. } = &self.week;
        self.claim.renew(&*folder.store).await?;
        let own = days.iter().flat_map(|day| &day.hours);
        let own = own.map(|(hour, spool)| (*hour, spool));
        let strays = self.stored.all_strays();
        let strays = strays.filter_map(|(period, spool)| match period {
            Period::Hour(hour) => Some((hour, spool)),
            Period::Day(_) | Period::Week(_) => None,
        });
        let (mut hours, mut batch) = (BTreeSet::new(), MutationBatch::new());
        for (number, (hour, spool)) in own.chain(strays).enumerate() {
            hours.insert(hour);
            let (owner, name) = (
                Owner::Period(Period::Hour(hour)),
                format!("{name} {number}"),
            );
            write_own(folder, owner, spool, &name, &mut batch).await?;
        }
        flush(&folder.store, &mut batch, 0).await?;
        mark(&*folder.store, &format!("postponed {name}"), &hours).await?;
        Ok(Outcome::Postponed)
    }
}
