//! The straight way from events to rows: every event into every bucket of every period, without partials of hours and without rolling
//! up. What is stored is proved against it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rowmill_model::{Cell, Grain, Mutation, MutationBatch, Row, RowBuilder};
use rowmill_rowkey::{AggregateKey, Date, SESSIONS_DIMENSION, TOP_DIMENSION, TOTAL_VALUE};
use rustc_hash::FxHashMap;

use crate::board::{Board, rank};
use crate::bucket::{Bucket, Sample, StateError};
use crate::cells::{CellNames, name_value};
use crate::observation::Observation;
use crate::partial::PartialWriter;
use crate::period::Period;
use crate::plan::{Dimension, Plan};
use crate::rollup::board_name;
use crate::session::Stretches;

/// Buckets by row and period, and stretches of sessions by period.
///
/// Keys are those of rows, closed by the period within the row, so that groups come in the order of the table.
#[derive(Debug)]
pub struct Straight {
    plan: Arc<Plan>,
    buckets: FxHashMap<Vec<u8>, (Box<str>, Bucket)>,
    stretches: FxHashMap<Vec<u8>, Stretches>,
    sample: Sample,
    heap_bytes: usize,
}

/// What opens the keys of sessions: above every row's.
const SESSIONS: u8 = 0xff;

impl Straight {
    /// No events.
    pub fn new(plan: &Arc<Plan>) -> Self {
        Self {
            plan: Arc::clone(plan),
            buckets: FxHashMap::default(),
            stretches: FxHashMap::default(),
            sample: Sample::default(),
            heap_bytes: 0,
        }
    }

    /// Counts an event in those of its periods that are wanted.
    pub fn add(&mut self, observation: &Observation<'_>, is_wanted: &dyn Fn(Period) -> bool) {
        let plan = Arc::clone(&self.plan);
        plan.sample(observation, &mut self.sample);
        let hour = observation.hour();
        let periods = [
            Period::Hour(hour),
            Period::Day(hour.date()),
            Period::Week(hour.date().monday()),
        ];
        let periods: Vec<_> = periods.into_iter().filter(|it| is_wanted(*it)).collect();
        let mut text = String::new();
        for dimension in &plan.dimensions {
            if !plan.value_of(dimension, observation, &mut text) {
                continue;
            }
            for period in &periods {
                if dimension.grains.contains(&period.grain()) {
                    self.add_to(&dimension.name, &text, *period);
                }
            }
        }
        if let Some(sessions) = &plan.sessions {
            let value = &observation.values[sessions.value];
            for period in periods.iter().filter(|_| !value.is_null()) {
                let mut key = vec![SESSIONS];
                key.extend(period_key(*period));
                key.extend_from_slice(value.to_text().as_bytes());
                self.heap_bytes += key.len();
                let stretches = self.stretches.entry(key).or_default();
                stretches.add(observation.timestamp, sessions.gap_micros);
            }
        }
    }

    fn add_to(&mut self, dimension: &str, value: &str, period: Period) {
        const GROUP_BYTES: usize = 400;
        let row = AggregateKey::new(dimension, value, period.date()).encode();
        let mut key = row.expect("names are checked, and long values are cut");
        key.push(0);
        key.extend(period_key(period));
        let layout = &self.plan.layout;
        if !self.buckets.contains_key(&key) {
            self.heap_bytes += GROUP_BYTES + key.len() + value.len();
        }
        let (_, bucket) = self
            .buckets
            .entry(key)
            .or_insert_with(|| (value.into(), Bucket::new(layout)));
        bucket.add(&self.sample);
        self.heap_bytes += 8 * self.sample.distinct.len();
    }

    /// About how many bytes it takes, or more.
    pub fn bytes(&self) -> usize {
        self.heap_bytes
    }

    /// Writes all groups in order, and forgets them.
    pub fn drain(&mut self, partial: &mut PartialWriter) {
        let mut groups: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (key, (value, mut bucket)) in self.buckets.drain() {
            bucket.settle();
            let length = u32::try_from(value.len()).expect("a value fits a cell");
            let mut state = length.to_be_bytes().to_vec();
            state.extend_from_slice(value.as_bytes());
            bucket.encode_body(&mut state);
            groups.insert(key, state);
        }
        for (key, stretches) in self.stretches.drain() {
            let mut state = Vec::new();
            stretches.encode_body(&mut state);
            groups.insert(key, state);
        }
        for (key, state) in groups {
            partial.push(&key, &state);
        }
        self.heap_bytes = 0;
    }
}

/// A period as bytes that sort by length, and then by time.
fn period_key(period: Period) -> Vec<u8> {
    let grain = match period.grain() {
        Grain::Day => 1,
        Grain::Hour => 2,
        Grain::Week => 3,
    };
    [&[grain], period.to_string().as_bytes(), &[0]].concat()
}

fn period_of(bytes: &[u8]) -> Option<(Period, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let text = std::str::from_utf8(&bytes[1..end]).ok()?;
    let date = || text.parse::<Date>().ok();
    let period = match bytes[0] {
        1 => Period::Day(date()?),
        2 => Period::Hour(text.parse().ok()?),
        _ => Period::Week(date()?),
    };
    Some((period, &bytes[end + 1..]))
}

/// Makes rows of groups that come in order: those of [`Straight::drain`], merged.
#[derive(Debug)]
pub struct StraightRows {
    plan: Arc<Plan>,
    names: CellNames,
    /// The row that is being put together.
    open: Option<OpenRow>,
    boards: BTreeMap<(usize, usize, Period), Board>,
    sessions: BTreeMap<Period, Bucket>,
}

#[derive(Debug)]
struct OpenRow {
    key: Vec<u8>,
    value: String,
    buckets: Vec<(Period, Bucket)>,
}

impl StraightRows {
    /// Of a plan.
    pub fn new(plan: &Arc<Plan>) -> Self {
        Self {
            names: CellNames::new(&plan.layout),
            plan: Arc::clone(plan),
            open: None,
            boards: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }

    /// Takes a group, and gives the row before it if that is complete.
    pub fn group<'s>(
        &mut self,
        key: &[u8],
        states: impl Iterator<Item = &'s [u8]>,
    ) -> Result<Option<Row>, StateError> {
        if let Some(key) = key.strip_prefix(&[SESSIONS]) {
            self.session(key, states)?;
            return Ok(None);
        }
        let end = key
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(StateError::Malformed)?;
        let (row_key, period) = (&key[..end], &key[end + 1..]);
        let (period, _) = period_of(period).ok_or(StateError::Malformed)?;
        let (mut value, mut bucket) = (String::new(), Bucket::new(&self.plan.layout));
        for state in states {
            let (length, rest) = state.split_first_chunk().ok_or(StateError::Malformed)?;
            let length = u32::from_be_bytes(*length) as usize;
            let (text, body) = rest.split_at_checked(length).ok_or(StateError::Malformed)?;
            value = String::from_utf8_lossy(text).into_owned();
            bucket.merge_body(body)?;
        }
        bucket.settle();
        let is_next = self.open.as_ref().is_some_and(|open| open.key != row_key);
        let done = if is_next { self.finish_row() } else { None };
        let open = self.open.get_or_insert_with(|| OpenRow {
            key: row_key.to_vec(),
            value,
            buckets: Vec::new(),
        });
        open.buckets.push((period, bucket));
        Ok(done)
    }

    /// The row that was put together last.
    pub fn finish_row(&mut self) -> Option<Row> {
        let OpenRow {
            key,
            value,
            buckets,
        } = self.open.take()?;
        let decoded = AggregateKey::decode(&key).expect("it was encoded");
        let mut batch = MutationBatch::new();
        let mut row = batch.row(&key);
        let mut dimensions = self.plan.dimensions.iter().enumerate();
        let (index, dimension) = dimensions
            .find(|(_, it)| it.name == *decoded.dimension)
            .expect("a dimension of the plan");
        for (period, bucket) in &buckets {
            let mut body = Vec::new();
            bucket.encode_body(&mut body);
            self.names
                .write(&self.plan.layout, *period, bucket, &body, &mut row);
            rank_in(
                &mut self.boards,
                &self.plan,
                (index, dimension),
                &value,
                *period,
                bucket,
            );
        }
        name_value(row, &value, decoded.date);
        row_of(&batch)
    }

    fn session<'s>(
        &mut self,
        key: &[u8],
        states: impl Iterator<Item = &'s [u8]>,
    ) -> Result<(), StateError> {
        let sessions = self.plan.sessions.as_ref().ok_or(StateError::OtherPlan)?;
        let (period, _) = period_of(key).ok_or(StateError::Malformed)?;
        let mut stretches = Stretches::default();
        for state in states {
            stretches.merge_body(state, sessions.gap_micros)?;
        }
        let new = || Bucket::new(&sessions.layout);
        stretches.count_in(self.sessions.entry(period).or_insert_with(new));
        Ok(())
    }

    /// The rows of leaderboards and sessions, once all groups were taken.
    pub fn finish(self) -> Vec<Row> {
        let mut rows: BTreeMap<Vec<u8>, (MutationBatch, String, Date)> = BTreeMap::new();
        let figures = self.plan.figure_names();
        for ((dimension, figure, period), board) in &self.boards {
            let name = &self.plan.dimensions[*dimension].name;
            let Some(json) = board.to_json(&self.plan.layout) else {
                continue;
            };
            let cell = board_name(*period, &figures[*figure]);
            add_cells(&mut rows, TOP_DIMENSION, name, *period, |row| {
                let time = period.date().start().cell_micros();
                row.set(period.family(), cell.as_bytes(), time, json.as_bytes());
            });
        }
        if let Some(sessions) = &self.plan.sessions {
            let names = CellNames::new(&sessions.layout);
            for (period, bucket) in &self.sessions {
                let mut body = Vec::new();
                bucket.encode_body(&mut body);
                add_cells(&mut rows, SESSIONS_DIMENSION, TOTAL_VALUE, *period, |row| {
                    names.write(&sessions.layout, *period, bucket, &body, row);
                });
            }
        }
        rows.into_values()
            .filter_map(|(mut batch, value, date)| {
                let key = batch.get(0).key().to_vec();
                name_value(batch.row(&key), &value, date);
                row_of(&batch)
            })
            .collect()
    }
}

fn add_cells(
    rows: &mut BTreeMap<Vec<u8>, (MutationBatch, String, Date)>,
    dimension: &str,
    value: &str,
    period: Period,
    write: impl FnOnce(&mut rowmill_model::RowWriter<'_>),
) {
    let key = AggregateKey::new(dimension, value, period.date()).encode();
    let key = key.expect("names are checked");
    let new = || (MutationBatch::new(), value.to_owned(), period.date());
    let (batch, ..) = rows.entry(key.clone()).or_insert_with(new);
    let mut row = batch.row(&key);
    write(&mut row);
    row.finish();
}

fn rank_in(
    boards: &mut BTreeMap<(usize, usize, Period), Board>,
    plan: &Plan,
    (index, dimension): (usize, &Dimension),
    value: &str,
    period: Period,
    bucket: &Bucket,
) {
    for figure in &dimension.boards {
        let new = || Board::new(*figure, dimension.board_size);
        let board = boards.entry((index, *figure, period)).or_insert_with(new);
        let figures = plan.layout.figures(bucket);
        let place = rank(figures.value(*figure));
        if board.admits(place, value) {
            board.add(place, value, figures);
        }
    }
}

/// The one row that all mutations of a batch make.
fn row_of(batch: &MutationBatch) -> Option<Row> {
    let key = batch.get(0).key().to_vec();
    let mut cells = Vec::new();
    for mutation in batch.iter().flat_map(rowmill_model::RowMutation::mutations) {
        if let Mutation::Set {
            family,
            qualifier,
            timestamp_micros,
            value,
        } = mutation
        {
            cells.push(Cell {
                family,
                qualifier,
                timestamp_micros,
                value,
            });
        }
    }
    cells.sort_by(|a, b| (a.family, a.qualifier).cmp(&(b.family, b.qualifier)));
    RowBuilder::build(key, cells)
}
