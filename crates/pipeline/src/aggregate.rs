//! The aggregate job: the timeline's hours into hours, days and weeks of every dimension.
//!
//! A week is the unit of work: whichever of its hours changed, its days are folded again from the timeline and written
//! over what was there. Nothing is added to, so doing it twice, or half and then again, changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rowmill_aggregate::{DayFold, WeekFold, write_rows};
use rowmill_model::MutationBatch;
use rowmill_model::columns::table;
use rowmill_rowkey::{Date, Hour, PendingKey, TIMELINE_BUCKETS, TimelineKey};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::control::Control;
use crate::error::Error;
use crate::stages::Stages;

/// Which hours to aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateOptions {
    /// Those that ingest marked.
    Pending,
    /// All there are.
    All,
    /// Those of the dates from the first to the second, both included.
    Between(Date, Date),
}

/// What was aggregated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AggregateReport {
    /// Hours that were pending.
    pub hours: u64,
    /// Days with events, in the weeks that were aggregated.
    pub days: u64,
    /// Weeks that were aggregated.
    pub weeks: u64,
    /// Events that were counted.
    pub events: u64,
    /// Rows that were written.
    pub rows: u64,
}

/// Rows that are written together.
const BATCH_ROWS: usize = 20_000;

/// Aggregates what `options` says.
pub async fn aggregate(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: AggregateOptions,
    control: &Control,
) -> Result<AggregateReport, Error> {
    let pending = pending_hours(&**store).await?;
    let weeks = weeks_of(store, options, &pending).await?;
    let mut job = Job {
        stages,
        store,
        control,
        report: AggregateReport::default(),
    };
    for monday in weeks {
        control.check()?;
        job.week(monday).await?;
        let of_week: Vec<_> = pending
            .iter()
            .filter(|hour| hour.date().monday() == monday)
            .collect();
        job.report.hours += of_week.len() as u64;
        clear(&**store, &of_week).await?;
    }
    let AggregateReport {
        days, events, rows, ..
    } = job.report;
    tracing::info!(days, events, rows, "aggregated");
    Ok(job.report)
}

/// The Mondays of the weeks that [`aggregate`] would work on.
pub async fn plan_aggregate(
    store: &Arc<dyn Store>,
    options: AggregateOptions,
) -> Result<Vec<Date>, Error> {
    let pending = pending_hours(&**store).await?;
    Ok(weeks_of(store, options, &pending)
        .await?
        .into_iter()
        .collect())
}

async fn weeks_of(
    store: &Arc<dyn Store>,
    options: AggregateOptions,
    pending: &BTreeSet<Hour>,
) -> Result<BTreeSet<Date>, Error> {
    match options {
        AggregateOptions::Pending => Ok(pending.iter().map(|hour| hour.date().monday()).collect()),
        AggregateOptions::All => weeks_between(store, Date::MIN, Date::MAX).await,
        AggregateOptions::Between(from, to) => weeks_between(store, from, to).await,
    }
}

/// The Mondays of the weeks with events between two dates, found by skipping from one event to the next week.
async fn weeks_between(
    store: &Arc<dyn Store>,
    from: Date,
    to: Date,
) -> Result<BTreeSet<Date>, Error> {
    let mut weeks = BTreeSet::new();
    let mut next = Some(from);
    while let Some(day) = next.filter(|day| *day <= to) {
        let Some(hour) = first_hour(store, day, to).await? else {
            break;
        };
        let monday = hour.date().monday();
        weeks.insert(monday);
        next = monday.plus_days(7);
    }
    Ok(weeks)
}

/// The first hour with an event between two dates.
async fn first_hour(store: &Arc<dyn Store>, from: Date, to: Date) -> Result<Option<Hour>, Error> {
    let mut first: Option<Hour> = None;
    for bucket in 0..TIMELINE_BUCKETS {
        let range = TimelineKey::hours(bucket, from.hour(0), to.hour(23));
        for row in store
            .rows(table::TIMELINE, Scan::range(range).with_limit(1))
            .await?
        {
            let key =
                TimelineKey::decode(row.key()).map_err(|error| Error::Row(error.to_string()))?;
            let hour = key.fact.timestamp.hour();
            first = Some(first.map_or(hour, |first| first.min(hour)));
        }
    }
    Ok(first)
}

/// The hours that await aggregation.
pub(crate) async fn pending_hours(store: &dyn Store) -> Result<BTreeSet<Hour>, Error> {
    let rows = store
        .rows(table::STATE, Scan::range(PendingKey::all()))
        .await?;
    let hour = |row: &rowmill_model::Row| PendingKey::decode(row.key()).map(|key| key.0);
    rows.iter()
        .map(hour)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Row(error.to_string()))
}

async fn clear(store: &dyn Store, hours: &[&Hour]) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    for hour in hours {
        let mut row = batch.row(&PendingKey(**hour).encode());
        row.delete_row();
        row.finish();
    }
    store.apply_all(table::STATE, batch).await?;
    Ok(())
}

struct Job<'a> {
    stages: &'a Arc<Stages>,
    store: &'a Arc<dyn Store>,
    control: &'a Control,
    report: AggregateReport,
}

impl Job<'_> {
    async fn week(&mut self, monday: Date) -> Result<(), Error> {
        let plan = &self.stages.plan;
        let mut week = WeekFold::new(plan, monday);
        for days in 0..7 {
            let Some(date) = monday.plus_days(days) else {
                break;
            };
            let (day, events) = self.fold_day(date).await?;
            if events > 0 {
                self.report.days += 1;
                self.report.events += events;
                let rows = day.finish(plan, &mut week);
                self.write(&rows).await?;
            }
        }
        self.report.weeks += 1;
        self.write(&week.finish()).await
    }

    /// All events of a date, its buckets folded side by side.
    async fn fold_day(&self, date: Date) -> Result<(DayFold, u64), Error> {
        let folds = stream::iter(0..TIMELINE_BUCKETS).map(|bucket| {
            let (stages, store) = (Arc::clone(self.stages), Arc::clone(self.store));
            let (control, range) = (
                self.control.clone(),
                TimelineKey::hours(bucket, date.hour(0), date.hour(23)),
            );
            async move {
                let fold = async move {
                    let mut rows =
                        store.scan(table::TIMELINE, Scan::range(range).with_latest_only());
                    let (mut fold, mut events) = (DayFold::new(&stages.plan, date), 0);
                    while let Some(row) = rows.try_next().await? {
                        control.check()?;
                        let observation = stages
                            .plan
                            .observe(&row)
                            .map_err(|error| Error::Row(error.to_string()))?;
                        fold.add(&stages.plan, &observation);
                        events += 1;
                    }
                    Ok::<_, Error>((fold, events))
                };
                tokio::spawn(fold)
                    .await
                    .expect("folding an hour does not panic")
            }
        });
        let mut folds = folds.buffer_unordered(usize::from(TIMELINE_BUCKETS));
        let mut day = (DayFold::new(&self.stages.plan, date), 0);
        while let Some((fold, events)) = folds.try_next().await? {
            day.0.merge(&self.stages.plan, fold);
            day.1 += events;
        }
        self.control.advance(0, day.1);
        Ok(day)
    }

    async fn write(&mut self, rows: &[rowmill_aggregate::RowBuckets]) -> Result<(), Error> {
        for rows in rows.chunks(BATCH_ROWS) {
            let mut batch = MutationBatch::new();
            write_rows(&self.stages.plan, rows, &mut batch)
                .map_err(|error| Error::Row(error.to_string()))?;
            self.report.rows += batch.len() as u64;
            self.store.apply_all(table::AGGREGATE, batch).await?;
        }
        Ok(())
    }
}
