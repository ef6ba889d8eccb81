//! Buckets as rows of `events_aggregate`, and back.

use std::borrow::Cow;

use rowmill_model::columns::family;
use rowmill_model::{Grain, MutationBatch, Row, RowWriter};
use rowmill_rowkey::{AggregateKey, DimensionValue};

use crate::bucket::{Bucket, StateError};
use crate::fold::RowBuckets;
use crate::period::Period;
use crate::plan::Plan;

/// The qualifier of a bucket's whole state, beside the figures that it shows.
const STATE: &str = "_state";
/// The qualifier, in `metadata`, of a dimension's whole value.
const DIMENSION_VALUE: &[u8] = b"dimension_value";

/// Adds the rows of finished buckets. Each row's statistics of the same lengths of time are replaced.
///
/// Every figure is a cell of its own, for readers such as `BigQuery`; `_state` holds the bucket, from which all of them
/// follow and which merges.
pub fn write_rows(
    plan: &Plan,
    rows: &[RowBuckets],
    batch: &mut MutationBatch,
) -> Result<(), rowmill_rowkey::Error> {
    let mut names: Vec<(String, Option<usize>)> = plan
        .figure_names()
        .into_iter()
        .enumerate()
        .map(|(index, name)| (name, Some(index)))
        .collect();
    names.push((STATE.to_owned(), None));
    names.sort();
    for RowBuckets {
        dimension,
        value,
        periods,
    } in rows
    {
        let Some((first, _)) = periods.first() else {
            continue;
        };
        let date = first.date();
        let key = AggregateKey::new(plan.dimensions[*dimension].name.as_str(), &**value, date)
            .encode()?;
        let time = date.start().cell_micros();
        let mut row = batch.row(&key);
        let is_week = first.grain() == Grain::Week;
        let replaced: &[&str] = if is_week {
            &[family::WEEKLY_STATS]
        } else {
            &[family::DAILY_STATS, family::HOURLY_STATS]
        };
        replaced.iter().for_each(|family| row.delete_family(family));
        for (period, bucket) in periods {
            write_bucket(plan, *period, bucket, &names, time, &mut row);
        }
        row.set(family::METADATA, DIMENSION_VALUE, time, value.as_bytes());
        row.finish();
    }
    Ok(())
}

fn write_bucket(
    plan: &Plan,
    period: Period,
    bucket: &Bucket,
    names: &[(String, Option<usize>)],
    time: i64,
    row: &mut RowWriter<'_>,
) {
    let (family, prefix) = match period {
        Period::Hour(hour) => (family::HOURLY_STATS, format!("{:02}.", hour.of_day())),
        Period::Day(_) => (family::DAILY_STATS, String::new()),
        Period::Week(_) => (family::WEEKLY_STATS, String::new()),
    };
    let figures = plan.figures(bucket);
    let mut value = Vec::new();
    for (name, figure) in names {
        value.clear();
        match figure {
            Some(index) if figures[*index].is_null() => continue,
            Some(index) => figures[*index].encode_into(&mut value),
            None => value = bucket.encode(plan),
        }
        row.set(family, format!("{prefix}{name}").as_bytes(), time, &value);
    }
}

/// A bucket as it was read from its row.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredBucket {
    /// The dimension.
    pub dimension: String,
    /// Which of its values, whole.
    pub value: String,
    /// When.
    pub period: Period,
    /// What it knows.
    pub bucket: Bucket,
}

/// The buckets of a row: its hours, its day, and the week if the date opens one.
pub fn read_row(plan: &Plan, row: &Row) -> Result<Vec<StoredBucket>, StateError> {
    let key = AggregateKey::decode(row.key()).map_err(|_| StateError::Malformed)?;
    let in_key = match &key.value {
        DimensionValue::Whole(text) => Cow::Borrowed(&**text),
        DimensionValue::Cut { head, .. } => Cow::Borrowed(&**head),
    };
    let whole = row
        .value(family::METADATA, DIMENSION_VALUE)
        .map_or(in_key, String::from_utf8_lossy);
    let mut buckets = Vec::new();
    for cell in row.cells() {
        let Some(prefix) = cell.qualifier.strip_suffix(STATE.as_bytes()) else {
            continue;
        };
        let period = match cell.family {
            family::HOURLY_STATS => {
                Period::Hour(key.date.hour(hour(prefix).ok_or(StateError::Malformed)?))
            }
            family::DAILY_STATS => Period::Day(key.date),
            family::WEEKLY_STATS => Period::Week(key.date),
            _ => continue,
        };
        buckets.push(StoredBucket {
            dimension: key.dimension.to_string(),
            value: whole.to_string(),
            period,
            bucket: Bucket::decode(plan, cell.value)?,
        });
    }
    buckets.sort_by_key(|stored| stored.period);
    Ok(buckets)
}

/// The hour of the day of `HH.`.
fn hour(prefix: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(prefix.strip_suffix(b".")?).ok()?;
    digits.parse().ok().filter(|hour| *hour < 24)
}
