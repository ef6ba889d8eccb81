//! Buckets as rows of `events_aggregate`, and back.

use std::borrow::Cow;

use rowmill_model::columns::family;
use rowmill_model::{MutationBatch, Row, RowWriter};
use rowmill_rowkey::{AggregateKey, Date, DimensionValue, SESSIONS_DIMENSION};

use crate::bucket::{Bucket, StateError, head};
use crate::layout::Layout;
use crate::period::Period;
use crate::plan::Plan;

/// The qualifier of a bucket's whole state, beside the figures that it shows.
const STATE: &str = "_state";
/// The qualifier, in `metadata`, of a dimension's whole value.
const DIMENSION_VALUE: &[u8] = b"dimension_value";

/// Writes the cells of buckets of one layout.
///
/// Every figure is a cell of its own, for readers such as `BigQuery`; `_state` holds the bucket, from which all of them
/// follow and which merges.
#[derive(Debug)]
pub(crate) struct CellNames {
    /// Qualifiers in a row's order, each with the index of its figure; none for the state.
    plain: Vec<(Vec<u8>, Option<usize>)>,
    /// The same for each hour of the day.
    of_hour: Vec<Vec<(Vec<u8>, Option<usize>)>>,
}

impl CellNames {
    pub(crate) fn new(layout: &Layout) -> Self {
        let names = layout.figure_names().into_iter().enumerate();
        let mut names: Vec<_> = names.map(|(index, name)| (name, Some(index))).collect();
        names.push((STATE.to_owned(), None));
        names.sort();
        let with = |prefix: &str| {
            names
                .iter()
                .map(|(name, figure)| (format!("{prefix}{name}").into_bytes(), *figure))
                .collect()
        };
        Self {
            plain: with(""),
            of_hour: (0..24).map(|hour| with(&format!("{hour:02}."))).collect(),
        }
    }

    /// Sets the cells of a bucket with this body, whose family was deleted before.
    pub(crate) fn write(
        &self,
        layout: &Layout,
        period: Period,
        bucket: &Bucket,
        body: &[u8],
        row: &mut RowWriter<'_>,
    ) {
        let (names, time) = match period {
            Period::Hour(hour) => (&self.of_hour[usize::from(hour.of_day())], hour.date()),
            Period::Day(date) | Period::Week(date) => (&self.plain, date),
        };
        let figures = layout.figures(bucket);
        let mut cells = row.cells(period.family(), time.start().cell_micros());
        for (name, figure) in names {
            match figure {
                Some(index) if figures[*index].is_null() => {}
                Some(index) => {
                    let figure = &figures[*index];
                    cells.set_with(name, figure.encoded_len(), |out| figure.encode_into(out));
                }
                None => {
                    let head = head(layout);
                    cells.set_with(name, head.len() + body.len(), |out| {
                        out.extend_from_slice(&head);
                        out.extend_from_slice(body);
                    });
                }
            }
        }
    }
}

/// The families of a row that rolling up a period replaces: of a day, its own and its hours'.
pub(crate) fn families_of(period: Period) -> &'static [&'static str] {
    match period {
        Period::Week(_) => &[family::WEEKLY_STATS],
        Period::Day(_) | Period::Hour(_) => &[family::DAILY_STATS, family::HOURLY_STATS],
    }
}

/// Starts to replace what a row holds of a period; none if the value is too long for a key.
pub(crate) fn replace<'b>(
    batch: &'b mut MutationBatch,
    dimension: &str,
    value: &str,
    period: Period,
) -> RowWriter<'b> {
    let key = AggregateKey::new(dimension, value, period.date()).encode();
    let mut row = batch.row(&key.expect("names are checked, and long values are cut"));
    for family in families_of(period) {
        row.delete_family(family);
    }
    row
}

/// Closes a row with its dimension's whole value, which its key may have cut.
pub(crate) fn name_value(mut row: RowWriter<'_>, value: &str, date: Date) {
    let time = date.start().cell_micros();
    row.set(family::METADATA, DIMENSION_VALUE, time, value.as_bytes());
    row.finish();
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

impl Plan {
    /// What the buckets of a dimension hold.
    pub fn layout_of(&self, dimension: &str) -> &Layout {
        match &self.sessions {
            Some(sessions) if dimension == SESSIONS_DIMENSION => sessions.layout(),
            _ => &self.layout,
        }
    }
}

/// The buckets of a row: its hours, its day, and the week if the date opens one. Rows of leaderboards and partials have none.
pub fn read_row(plan: &Plan, row: &Row) -> Result<Vec<StoredBucket>, StateError> {
    let key = AggregateKey::decode(row.key()).map_err(|_| StateError::Malformed)?;
    let in_key = match &key.value {
        DimensionValue::Whole(text) => Cow::Borrowed(&**text),
        DimensionValue::Cut { head, .. } => Cow::Borrowed(&**head),
    };
    let whole = row
        .value(family::METADATA, DIMENSION_VALUE)
        .map_or(in_key, String::from_utf8_lossy);
    let layout = plan.layout_of(&key.dimension);
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
            bucket: Bucket::decode(layout, cell.value)?,
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
