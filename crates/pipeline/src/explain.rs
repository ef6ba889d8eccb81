//! What is behind a number: the events that it counts, the inputs and runs that they came with, and what else these inputs held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{Stream, TryStreamExt as _, future};
use rowmill_aggregate::{Period, StoredFigures};
use rowmill_model::columns::{fact, family, table};
use rowmill_model::{Row, Value, ValueType};
use rowmill_rowkey::{Hour, KeyRange, TIMELINE_BUCKETS, TimelineKey, Timestamp};
use rowmill_store::{Scan, Store};

use crate::aggregate::row_error;
use crate::control::Control;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::marks::marks;
use crate::past_ledgers::ledgers_in;
use crate::query::{StatsQuery, stats};
use crate::stages::Stages;
use crate::verify::file_of;

/// Which number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainQuery {
    /// The dimension.
    pub dimension: String,
    /// Its value.
    pub value: String,
    /// When.
    pub period: Period,
}

/// What is behind a number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explanation {
    /// What is stored; none if nothing is.
    pub stored: Option<StoredFigures>,
    /// How many events of the timeline count.
    pub events: u64,
    /// Where they came from, by input and run.
    pub sources: Vec<SourceShare>,
    /// Hours of the period that await aggregation.
    pub pending: Vec<Hour>,
}

/// What an input in one run adds to a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceShare {
    /// The input.
    pub file: String,
    /// The run.
    pub run: String,
    /// When the run began.
    pub ingested_at: Timestamp,
    /// Events of this number.
    pub events: u64,
    /// Whether they came late: in a run that began after another one had brought some of them.
    pub is_late: bool,
    /// Of the whole input: repeats that were left out.
    pub duplicates: u64,
    /// Of the whole input: records that were rejected.
    pub rejected: u64,
}

/// How many facts are looked up together.
const LOOKUP_ROWS: usize = 500;

/// How many lookups are under way at once.
const LOOKUPS_AT_ONCE: usize = 4;

/// Explains a number. The keys of facts come from the timeline and are looked up as they come: memory holds a few lookups, and a share
/// for each input and run, however many events there are.
pub async fn explain(
    stages: &Stages,
    store: &Arc<dyn Store>,
    query: &ExplainQuery,
    control: &Control,
) -> Result<Explanation, Error> {
    let date = query.period.date();
    let of_value = StatsQuery {
        dimension: query.dimension.clone(),
        value: query.value.clone(),
        grain: query.period.grain(),
        from: Some(date),
        to: Some(date),
    };
    let found = stats(stages, &**store, &of_value).await?;
    let of_period = |stored: &StoredFigures| future::ready(stored.period == query.period);
    let stored = found.try_filter(of_period).try_next().await?;
    let lookups = facts(stages, store, query, control)
        .try_chunks(LOOKUP_ROWS)
        .map_err(|failed| failed.1)
        .map_ok(|keys| look_up(store, keys))
        .try_buffer_unordered(LOOKUPS_AT_ONCE);
    let add = |mut all: Shares, some: Shares| {
        all.add(some);
        future::ok(all)
    };
    let shares = lookups.try_fold(Shares::default(), add).await?;
    let hours: BTreeSet<Hour> = hours(query.period).into_iter().collect();
    let pending = marks(&**store).await?;
    Ok(Explanation {
        stored,
        events: shares.0.values().map(|(_, events)| events).sum(),
        sources: sources(store, shares).await?,
        pending: pending
            .hours()
            .filter(|hour| hours.contains(hour))
            .collect(),
    })
}

fn hours(period: Period) -> Vec<Hour> {
    let of_days = |days: i32| {
        let dates = (0..days).filter_map(move |days| period.date().plus_days(days));
        dates
            .flat_map(|date| (0..24).map(move |hour| date.hour(hour)))
            .collect()
    };
    match period {
        Period::Hour(hour) => vec![hour],
        Period::Day(_) => of_days(1),
        Period::Week(_) => of_days(7),
    }
}

/// The keys of the facts that count.
fn facts<'a>(
    stages: &'a Stages,
    store: &Arc<dyn Store>,
    query: &'a ExplainQuery,
    control: &'a Control,
) -> impl Stream<Item = Result<Vec<u8>, Error>> + 'a {
    let hours = hours(query.period);
    let (first, last) = (hours[0], hours[hours.len() - 1]);
    let ranges = (0..TIMELINE_BUCKETS).map(|bucket| TimelineKey::hours(bucket, first, last));
    let scan = Scan::ranges(ranges.collect()).with_latest_only();
    let rows = store.scan(table::TIMELINE, scan).map_err(Error::from);
    let key = |row: Row| {
        control.check()?;
        control.advance(0, 1);
        let observation = stages.plan.observe(&row).map_err(row_error)?;
        let (dimension, value) = (&query.dimension, &query.value);
        if !stages.plan.counts(dimension, value, &observation) {
            return Ok(None);
        }
        let key = TimelineKey::fact_bytes(row.key()).map_err(row_error)?;
        Ok(Some(key.to_vec()))
    };
    rows.try_filter_map(move |row| future::ready(key(row)))
}

/// When the run of an input began, and how many events came with it, by input and run.
#[derive(Debug, Default)]
struct Shares(BTreeMap<(String, String), (Timestamp, u64)>);

impl Shares {
    fn add(&mut self, other: Self) {
        for (share, (ingested_at, events)) in other.0 {
            self.0.entry(share).or_insert((ingested_at, 0)).1 += events;
        }
    }
}

/// Looks up where facts came from.
async fn look_up(store: &Arc<dyn Store>, keys: Vec<Vec<u8>>) -> Result<Shares, Error> {
    let ranges = keys.into_iter().map(KeyRange::single).collect();
    let scan = Scan::ranges(ranges).with_families([family::METADATA]);
    let mut rows = store.scan(table::FACT, scan.with_latest_only());
    let mut shares = Shares::default();
    while let Some(row) = rows.try_next().await? {
        let text = |name: &str| text(&row, name);
        let share = (file_of(&text(fact::SOURCE)).to_owned(), text(fact::BATCH));
        let entry = shares.0.entry(share);
        entry.or_insert((ingested_at(&row)?, 0)).1 += 1;
    }
    Ok(shares)
}

async fn sources(store: &Arc<dyn Store>, shares: Shares) -> Result<Vec<SourceShare>, Error> {
    let Shares(shares) = shares;
    let first = shares.values().map(|(at, _)| *at).min();
    let ledgers = ledgers_behind(&**store, shares.keys()).await?;
    let share = |((file, run), (ingested_at, events)): ((String, String), (Timestamp, u64))| {
        let ledger = ledgers.get(&(file.clone(), run.clone()));
        SourceShare {
            is_late: Some(ingested_at) > first,
            duplicates: ledger.map_or(0, |ledger| ledger.duplicate),
            rejected: ledger.map_or(0, Ledger::rejected),
            file,
            run,
            ingested_at,
            events,
        }
    };
    Ok(shares.into_iter().map(share).collect())
}

/// The ledgers of some inputs in some runs, also of long ago.
async fn ledgers_behind(
    store: &dyn Store,
    sources: impl Iterator<Item = &(String, String)>,
) -> Result<BTreeMap<(String, String), Ledger>, Error> {
    let mut by_run: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (file, run) in sources {
        by_run.entry(run).or_default().push(file.clone());
    }
    let mut found = BTreeMap::new();
    for (run, files) in by_run {
        let ledgers = ledgers_in(store, run, &files).await?;
        let each = ledgers.into_iter().map(|it| ((it.file, it.run), it.ledger));
        found.extend(each);
    }
    Ok(found)
}

fn text(row: &Row, name: &str) -> String {
    let value = row.value(family::METADATA, name.as_bytes());
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

fn ingested_at(row: &Row) -> Result<Timestamp, Error> {
    let value = row.value(family::METADATA, fact::INGESTED_AT.as_bytes());
    match Value::decode(ValueType::Timestamp, value.unwrap_or_default()) {
        Ok(Value::Timestamp(time)) => Ok(time),
        _ => Err(row_error("a fact does not say when it was written")),
    }
}
