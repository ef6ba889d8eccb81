//! Rows out of groups: those of values as their groups come, and what leaderboards and sessions are made of, for later.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{AggregateKey, SESSIONS_DIMENSION, TOP_DIMENSION, TOTAL_VALUE};

use super::late::row_of;
use super::{SESSIONS, merged, period_key, period_of, push};
use crate::board::{Board, rank};
use crate::bucket::{Bucket, StateError};
use crate::cells::{CellNames, name_value};
use crate::cut::Cuts;
use crate::partial::PartialWriter;
use crate::period::Period;
use crate::plan::{Dimension, Plan};
use crate::session::Stretches;

/// Makes rows of groups that come in order: those of [`Straight::drain`](super::Straight::drain), merged.
///
/// Every value has a part in the leaderboards of all its periods, so these are known only at the end, and are too many for memory. What
/// there is of them is written to a partial whenever it takes too much, and [`LateRows`](super::LateRows) makes rows of these.
#[derive(Debug)]
pub struct StraightRows {
    plan: Arc<Plan>,
    names: CellNames,
    /// The row that is being put together.
    open: Option<OpenRow>,
    boards: BTreeMap<(usize, usize, Period), Board>,
    sessions: BTreeMap<Period, Bucket>,
    bytes: usize,
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
            bytes: 0,
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
        let (value, bucket) = merged(&self.plan, states)?;
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
        let plan = Arc::clone(&self.plan);
        let decoded = AggregateKey::decode(&key).expect("it was encoded");
        let mut batch = MutationBatch::new();
        let mut row = batch.row(&key);
        let mut dimensions = plan.dimensions.iter().enumerate();
        let (index, dimension) = dimensions
            .find(|(_, it)| it.name == *decoded.dimension)
            .expect("a dimension of the plan");
        for (period, bucket) in &buckets {
            let mut body = Vec::new();
            bucket.encode_body(&mut body);
            self.names
                .write(&plan.layout, *period, bucket, &body, &mut row);
            self.rank((index, dimension), &value, *period, bucket);
        }
        name_value(row, &value, decoded.date, &mut Cuts::default());
        row_of(&batch)
    }

    fn rank(
        &mut self,
        (index, dimension): (usize, &Dimension),
        value: &str,
        period: Period,
        bucket: &Bucket,
    ) {
        const BOARD_BYTES: usize = 200;
        for figure in &dimension.boards {
            let bytes = &mut self.bytes;
            let entry = self.boards.entry((index, *figure, period));
            let board = entry.or_insert_with(|| {
                *bytes += BOARD_BYTES;
                Board::new(*figure, dimension.board_size)
            });
            let figures = self.plan.layout.figures(bucket);
            let place = rank(figures.value(*figure));
            if board.admits(place, value) {
                *bytes -= board.bytes();
                board.add(place, value, figures);
                *bytes += board.bytes();
            }
        }
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
        let bytes = &mut self.bytes;
        let bucket = self.sessions.entry(period).or_insert_with(|| {
            let bucket = Bucket::new(&sessions.layout);
            *bytes += size_of::<Bucket>() + bucket.heap_bytes();
            bucket
        });
        let before = bucket.heap_bytes();
        stretches.count_in(bucket);
        *bytes += bucket.heap_bytes() - before;
        Ok(())
    }

    /// About how many bytes leaderboards and sessions take.
    pub fn late_bytes(&self) -> usize {
        self.bytes
    }

    /// Writes what there is of leaderboards and sessions, in the order of their rows, hands out chunks as they are complete, and forgets it.
    pub fn drain_late<E>(
        &mut self,
        partial: &mut PartialWriter,
        mut done: impl FnMut(Vec<Bytes>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut groups: BTreeMap<Vec<u8>, Late> = BTreeMap::new();
        for ((dimension, figure, period), board) in std::mem::take(&mut self.boards) {
            let name = &self.plan.dimensions[dimension].name;
            let mut key = late_key(TOP_DIMENSION, name, period);
            key.extend(
                [dimension, figure]
                    .map(|it| u16::try_from(it).expect("there are few"))
                    .map(u16::to_be_bytes)
                    .as_flattened(),
            );
            groups.insert(key, Late::Board(board));
        }
        for (period, bucket) in std::mem::take(&mut self.sessions) {
            let key = late_key(SESSIONS_DIMENSION, TOTAL_VALUE, period);
            groups.insert(key, Late::Sessions(bucket));
        }
        self.bytes = 0;
        let mut state = Vec::new();
        for (key, late) in groups {
            state.clear();
            match late {
                Late::Board(board) => board.encode(&self.plan.layout, &mut state),
                Late::Sessions(bucket) => bucket.encode_body(&mut state),
            }
            push(partial, &key, &state, &mut done)?;
        }
        Ok(())
    }
}

enum Late {
    Board(Board),
    Sessions(Bucket),
}

/// The key of a row, closed by the period of one of its cells.
fn late_key(dimension: &str, value: &str, period: Period) -> Vec<u8> {
    let row = AggregateKey::new(dimension, value, period.date()).encode();
    let mut key = row.expect("names are checked");
    key.push(0);
    key.extend(period_key(period));
    key
}
