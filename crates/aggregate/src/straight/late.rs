//! The rows of leaderboards and sessions, out of partials of them.

use std::sync::Arc;

use rowmill_model::{Cell, Mutation, MutationBatch, Row, RowBuilder};
use rowmill_rowkey::{AggregateKey, DimensionValue};

use super::period_of;
use crate::board::WrittenBoard;
use crate::bucket::{Bucket, StateError};
use crate::cells::{CellNames, name_value};
use crate::cut::Cuts;
use crate::merge::Merge;
use crate::partial::PartialWriter;
use crate::period::Period;
use crate::plan::Plan;
use crate::rollup::board_name;

/// Makes the rows of leaderboards and sessions: of groups that come in order, those of
/// [`StraightRows::drain_late`](super::StraightRows::drain_late), merged.
#[derive(Debug)]
pub struct LateRows {
    plan: Arc<Plan>,
    figures: Vec<String>,
    names: Option<CellNames>,
    /// The key of the row that is being put together, and its cells.
    open: Option<(Vec<u8>, MutationBatch)>,
}

/// A group of late rows: which row, and which of its cells.
struct LateKey<'a> {
    row: &'a [u8],
    period: Period,
    /// The dimension and the figure of a leaderboard; none of sessions.
    board: Option<(usize, usize)>,
}

impl<'a> LateKey<'a> {
    fn decode(key: &'a [u8], plan: &Plan) -> Option<Self> {
        let end = key.iter().position(|byte| *byte == 0)?;
        let (period, rest) = period_of(&key[end + 1..])?;
        let board = match rest {
            [] => None,
            [a, b, c, d] => {
                let dimension = usize::from(u16::from_be_bytes([*a, *b]));
                let figure = usize::from(u16::from_be_bytes([*c, *d]));
                plan.dimensions.get(dimension)?;
                plan.layout.figures.get(figure)?;
                Some((dimension, figure))
            }
            _ => return None,
        };
        Some(Self {
            row: &key[..end],
            period,
            board,
        })
    }
}

impl LateRows {
    /// Of a plan.
    pub fn new(plan: &Arc<Plan>) -> Self {
        let sessions = plan.sessions.as_ref();
        Self {
            figures: plan.figure_names(),
            names: sessions.map(|sessions| CellNames::new(&sessions.layout)),
            plan: Arc::clone(plan),
            open: None,
        }
    }

    /// Takes the group that a merge stands at, and gives the row before it if that is complete.
    pub fn group(&mut self, merge: &Merge) -> Result<Option<Row>, StateError> {
        let plan = Arc::clone(&self.plan);
        let key = LateKey::decode(merge.key(), &plan).ok_or(StateError::Malformed)?;
        let is_next = self.open.as_ref().is_some_and(|(row, _)| row != key.row);
        let done = if is_next { self.finish_row() } else { None };
        let new = || (key.row.to_vec(), MutationBatch::new());
        let (_, batch) = self.open.get_or_insert_with(new);
        let mut row = batch.row(key.row);
        if let Some((dimension, figure)) = key.board {
            let board = merged_board(merge, plan.dimensions[dimension].board_size)?;
            let name = board_name(key.period, &self.figures[figure]);
            let time = key.period.date().start().cell_micros();
            if let Some(json) = board.to_json(&mut Cuts::default()) {
                row.set(key.period.family(), name.as_bytes(), time, json.as_bytes());
            }
        } else {
            let sessions = plan.sessions.as_ref().ok_or(StateError::OtherPlan)?;
            let names = self.names.as_ref().ok_or(StateError::OtherPlan)?;
            let (bucket, body) = merged_sessions(merge, &plan)?;
            names.write(&sessions.layout, key.period, &bucket, &body, &mut row);
        }
        row.finish();
        Ok(done)
    }

    /// The row that was put together last.
    pub fn finish_row(&mut self) -> Option<Row> {
        let (key, mut batch) = self.open.take()?;
        let decoded = AggregateKey::decode(&key).expect("it was encoded");
        let value = match &decoded.value {
            DimensionValue::Whole(value) => value.to_string(),
            DimensionValue::Cut { head, .. } => head.to_string(),
        };
        let row = batch.row(&key);
        name_value(row, &value, decoded.date, &mut Cuts::default());
        row_of(&batch)
    }

    /// Adds the group that a merge stands at to a partial, its states merged.
    pub fn combine(
        plan: &Plan,
        merge: &Merge,
        partial: &mut PartialWriter,
    ) -> Result<(), StateError> {
        let key = LateKey::decode(merge.key(), plan).ok_or(StateError::Malformed)?;
        let mut state = Vec::new();
        match key.board {
            Some((dimension, _)) => {
                let board = merged_board(merge, plan.dimensions[dimension].board_size)?;
                board.encode(&mut state);
            }
            None => state = merged_sessions(merge, plan)?.1,
        }
        partial.push(merge.key(), &state);
        Ok(())
    }
}

fn merged_board(merge: &Merge, size: usize) -> Result<WrittenBoard, StateError> {
    let mut board = WrittenBoard::new(size);
    for (_, state) in merge.states() {
        board.merge_encoded(state)?;
    }
    Ok(board)
}

fn merged_sessions(merge: &Merge, plan: &Plan) -> Result<(Bucket, Vec<u8>), StateError> {
    let sessions = plan.sessions.as_ref().ok_or(StateError::OtherPlan)?;
    let (mut bucket, mut body) = (Bucket::new(&sessions.layout), Vec::new());
    for (_, state) in merge.states() {
        bucket.merge_body(state)?;
    }
    bucket.encode_body(&mut body);
    Ok((bucket, body))
}

/// The one row that all mutations of a batch make.
pub(super) fn row_of(batch: &MutationBatch) -> Option<Row> {
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
