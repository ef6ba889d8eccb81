//! Buckets as rows of `events_aggregate`, and back.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rowmill_model::columns::family;
use rowmill_model::{MutationBatch, Row, RowWriter, Value};
use rowmill_rowkey::{
    AggregateKey, Date, DimensionValue, PARTIAL_DIMENSION, SESSIONS_DIMENSION, TOP_DIMENSION,
};
use smallvec::SmallVec;

use crate::bucket::{Bucket, StateError, head};
use crate::cut::{Cuts, ROW_VALUE_BYTES_MAX, shown};
use crate::exact_sum::ExactSum;
use crate::layout::{Figures, Layout};
use crate::period::Period;
use crate::plan::Plan;

/// The qualifier of a bucket's whole state, beside the figures that it shows.
const STATE: &str = "_state";
/// The qualifier, in `metadata`, of a dimension's whole value.
const DIMENSION_VALUE: &[u8] = b"dimension_value";

/// What the digits of a sum are called after, where its own cell, a float or an integer, does not have all of them.
const EXACT: &str = "_exact";

/// Writes the cells of buckets of one layout.
///
/// Every figure is a cell of its own, for readers such as `BigQuery`. Of days and weeks `_state` holds the bucket, which merges; that
/// of an hour stands in the hour's partial only.
#[derive(Debug)]
pub(crate) struct CellNames {
    /// Qualifiers in a row's order.
    plain: Vec<(Vec<u8>, Content)>,
    /// The same for each hour of the day.
    of_hour: Vec<Vec<(Vec<u8>, Content)>>,
}

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Content {
    /// This figure.
    Figure(usize),
    /// The digits of the sum that this figure is.
    Digits(usize),
    /// The bucket.
    State,
}

impl CellNames {
    pub(crate) fn new(layout: &Layout) -> Self {
        let mut names = vec![(STATE.to_owned(), Content::State)];
        for (index, figure) in layout.figures.iter().enumerate() {
            names.push((figure.name.clone(), Content::Figure(index)));
            if figure.sum_of.is_some() {
                names.push((figure.name.clone() + EXACT, Content::Digits(index)));
            }
        }
        names.sort_by(|(a, _), (b, _)| a.cmp(b));
        let with = |prefix: &str| {
            let prefixed = |(name, content): &(String, Content)| {
                (format!("{prefix}{name}").into_bytes(), *content)
            };
            names.iter().map(prefixed).collect::<Vec<_>>()
        };
        let of_hour = |hour: u8| {
            let mut names = with(&format!("{hour:02}."));
            names.retain(|(_, content)| *content != Content::State);
            names
        };
        Self {
            plain: with(""),
            of_hour: (0..24).map(of_hour).collect(),
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
        for (name, content) in names {
            match content {
                Content::Figure(index) => {
                    let figure = figures.value(*index);
                    if !figure.is_null() {
                        cells.set_with(name, figure.encoded_len(), |out| figure.encode_into(out));
                    }
                }
                Content::Digits(index) => {
                    if let Some(digits) = figures.digits_beyond_cell(*index) {
                        cells.set(name, digits.as_bytes());
                    }
                }
                Content::State => {
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

/// Starts to replace what a row holds of a period.
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

/// Closes a row with its dimension's value, which its key may have cut.
pub(crate) fn name_value(mut row: RowWriter<'_>, value: &str, date: Date, cuts: &mut Cuts) {
    let time = date.start().cell_micros();
    let named = shown(value, ROW_VALUE_BYTES_MAX);
    cuts.values += u64::from(named.len() < value.len());
    row.set(family::METADATA, DIMENSION_VALUE, time, named.as_bytes());
    row.finish();
}

/// What a row says of one period.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFigures {
    /// The dimension.
    pub dimension: String,
    /// Which of its values, whole.
    pub value: String,
    /// When.
    pub period: Period,
    /// What is said.
    pub figures: Figures,
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

/// The figures of a row: its hours', its day's, and the week's if the date opens one. Rows of leaderboards and partials have none.
pub fn read_row(plan: &Plan, row: &Row) -> Result<Vec<StoredFigures>, StateError> {
    let key = AggregateKey::decode(row.key()).map_err(|_| StateError::Malformed)?;
    if matches!(&*key.dimension, TOP_DIMENSION | PARTIAL_DIMENSION) {
        return Ok(Vec::new());
    }
    let in_key = match &key.value {
        DimensionValue::Whole(text) => Cow::Borrowed(&**text),
        DimensionValue::Cut { head, .. } => Cow::Borrowed(&**head),
    };
    let whole = row
        .value(family::METADATA, DIMENSION_VALUE)
        .map_or(in_key, String::from_utf8_lossy);
    let layout = plan.layout_of(&key.dimension);
    let mut found: BTreeMap<Period, Figures> = BTreeMap::new();
    for cell in row.cells() {
        let (period, name) = match cell.family {
            family::HOURLY_STATS => {
                let (hour, name) = hour(cell.qualifier).ok_or(StateError::Malformed)?;
                (Period::Hour(key.date.hour(hour)), name)
            }
            family::DAILY_STATS => (Period::Day(key.date), cell.qualifier),
            family::WEEKLY_STATS => (Period::Week(key.date), cell.qualifier),
            _ => continue,
        };
        let figures = found.entry(period).or_insert_with(|| Figures::none(layout));
        figures.read(layout, name, cell.value)?;
    }
    let stored = |(period, figures)| StoredFigures {
        dimension: key.dimension.to_string(),
        value: whole.to_string(),
        period,
        figures,
    };
    Ok(found.into_iter().map(stored).collect())
}

impl Figures {
    fn none(layout: &Layout) -> Self {
        Self {
            values: vec![Value::Null; layout.figures.len()],
            sums: SmallVec::new(),
        }
    }

    /// Takes up what a cell says.
    fn read(&mut self, layout: &Layout, name: &[u8], cell: &[u8]) -> Result<(), StateError> {
        if name == STATE.as_bytes() {
            return Ok(());
        }
        let figures = &layout.figures;
        let index = |name: &[u8]| figures.iter().position(|it| it.name.as_bytes() == name);
        if let Some(index) = index(name) {
            let value = Value::decode(figures[index].value_type, cell);
            self.values[index] = value.map_err(|_| StateError::Malformed)?.into_owned();
            if figures[index].sum_of.is_some() {
                let sum = ExactSum::of(&self.values[index]).ok_or(StateError::Malformed)?;
                let at = self.sums.partition_point(|(figure, _)| *figure < index);
                self.sums.insert(at, (index, sum));
            }
            return Ok(());
        }
        let of_sum = name.strip_suffix(EXACT.as_bytes()).and_then(index);
        let index = of_sum.ok_or(StateError::OtherPlan)?;
        // The cell of the sum itself came before: its name is what this one's begins with.
        let sum = self.sums.iter_mut().find(|(figure, _)| *figure == index);
        let digits = std::str::from_utf8(cell).ok();
        let digits = digits.and_then(|digits| digits.parse().ok());
        let (Some((_, sum)), Some(digits)) = (sum, digits) else {
            return Err(StateError::Malformed);
        };
        *sum = digits;
        Ok(())
    }

    /// The digits of a sum, if it is not what its value's shortest decimal says.
    fn digits_beyond_cell(&self, figure: usize) -> Option<String> {
        let (_, sum) = self.sums.iter().find(|(index, _)| *index == figure)?;
        (!sum.is_named_by(&self.values[figure])).then(|| sum.to_string())
    }
}

/// The hour of the day, and the rest, of `HH.rest`.
fn hour(qualifier: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, rest) = qualifier.split_at_checked(3)?;
    let digits = std::str::from_utf8(digits.strip_suffix(b".")?).ok()?;
    let hour = digits.parse().ok().filter(|hour| *hour < 24)?;
    Some((hour, rest))
}
