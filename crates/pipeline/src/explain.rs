//! What is behind a number: the events that it counts, the inputs and runs that they came with, and what else these inputs held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_aggregate::{Period, StoredFigures};
use rowmill_model::columns::{fact, family, table};
use rowmill_model::{Row, Value, ValueType};
use rowmill_rowkey::{Hour, KeyRange, TIMELINE_BUCKETS, TimelineKey, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::aggregate::row_error;
use crate::error::Error;
use crate::marks::marks;
use crate::query::{StatsQuery, stats};
use crate::runs::file_ledgers;
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

/// Explains a number.
pub async fn explain(
    stages: &Stages,
    store: &Arc<dyn Store>,
    query: &ExplainQuery,
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
    let stored = found
        .into_iter()
        .find(|stored| stored.period == query.period);
    let facts = facts(stages, store, query).await?;
    let hours: BTreeSet<Hour> = hours(query.period).into_iter().collect();
    let pending = marks(&**store).await?.into_keys();
    Ok(Explanation {
        stored,
        events: facts.len() as u64,
        sources: sources(store, &facts).await?,
        pending: pending.filter(|hour| hours.contains(hour)).collect(),
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
async fn facts(
    stages: &Stages,
    store: &Arc<dyn Store>,
    query: &ExplainQuery,
) -> Result<Vec<Vec<u8>>, Error> {
    let hours = hours(query.period);
    let (first, last) = (hours[0], hours[hours.len() - 1]);
    let ranges = (0..TIMELINE_BUCKETS).map(|bucket| TimelineKey::hours(bucket, first, last));
    let scan = Scan::ranges(ranges.collect()).with_latest_only();
    let mut rows = store.scan(table::TIMELINE, scan);
    let mut facts = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let observation = stages.plan.observe(&row).map_err(row_error)?;
        if stages
            .plan
            .counts(&query.dimension, &query.value, &observation)
        {
            facts.push(
                TimelineKey::fact_bytes(row.key())
                    .map_err(row_error)?
                    .to_vec(),
            );
        }
    }
    Ok(facts)
}

async fn sources(store: &Arc<dyn Store>, facts: &[Vec<u8>]) -> Result<Vec<SourceShare>, Error> {
    let mut shares: BTreeMap<(String, String), (Timestamp, u64)> = BTreeMap::new();
    for keys in facts.chunks(LOOKUP_ROWS) {
        let ranges = keys.iter().cloned().map(KeyRange::single).collect();
        let scan = Scan::ranges(ranges).with_families([family::METADATA]);
        for row in store.rows(table::FACT, scan.with_latest_only()).await? {
            let text = |name: &str| text(&row, name);
            let share = (file_of(&text(fact::SOURCE)).to_owned(), text(fact::BATCH));
            let (_, events) = shares.entry(share).or_insert((ingested_at(&row)?, 0));
            *events += 1;
        }
    }
    let first = shares.values().map(|(at, _)| *at).min();
    let ledgers = file_ledgers(&**store).await?;
    let share = |((file, run), (ingested_at, events)): ((String, String), (Timestamp, u64))| {
        let of_file = ledgers.get(&file).into_iter().flatten();
        let ledger = of_file
            .filter(|ledger| ledger.run == run)
            .map(|it| &it.ledger)
            .next();
        SourceShare {
            is_late: Some(ingested_at) > first,
            duplicates: ledger.map_or(0, |ledger| ledger.duplicate),
            rejected: ledger.map_or(0, crate::ledger::Ledger::rejected),
            file,
            run,
            ingested_at,
            events,
        }
    };
    Ok(shares.into_iter().map(share).collect())
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
