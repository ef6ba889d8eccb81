//! Rolling up: the hours of a day, or the days of a week, merged group by group into rows and into a partial of their own.

use std::sync::Arc;

use bytes::Bytes;
use rowmill_model::{Grain, MutationBatch, RowWriter};
use rowmill_rowkey::{AggregateKey, SESSIONS_DIMENSION, TOP_DIMENSION, TOTAL_VALUE};
use smallvec::SmallVec;

use crate::board::{Board, rank};
use crate::bucket::{Bucket, StateError, count_of_body};
use crate::cells::{CellNames, name_value, replace};
use crate::cut::Cuts;
use crate::key::GroupKey;
use crate::merge::Merge;
use crate::partial::PartialWriter;
use crate::period::Period;
use crate::plan::{Dimension, Plan};
use crate::session::{SessionPlan, Stretches};
use crate::touched::{Touched, TouchedCursor};

/// Rolls up a day or a week. Shown a merge whose input 0 is what was stored of the period and whose next inputs are its parts, it
/// writes the rows of the groups that were touched, and the period's new partial. Inputs after these only say which other groups may
/// have rows.
///
/// What is not touched is copied. Leaderboards and sessions look at every group, touched or not.
#[derive(Debug)]
pub struct RollUp {
    plan: Arc<Plan>,
    period: Period,
    parts: Vec<Period>,
    touched: TouchedCursor,
    partial: PartialWriter,
    names: CellNames,
    bucket: Bucket,
    /// Of a part, while it is looked at alone.
    part: Bucket,
    body: Vec<u8>,
    /// The leaderboards of the current dimension. Groups come in the order of dimensions.
    boards: DimensionBoards,
    at: usize,
    cuts: Cuts,
    sessions: Vec<(Period, Bucket)>,
}

/// The leaderboards of a dimension: of each of its figures, of each period.
#[derive(Debug)]
struct DimensionBoards(Vec<(Period, Board)>);

/// The periods that leaderboards and sessions are of: a day and its hours, or a week.
fn periods(period: Period, parts: &[Period]) -> impl Iterator<Item = Period> {
    let is_hourly = matches!(period, Period::Day(_));
    let hours = parts.iter().filter(move |_| is_hourly);
    hours.copied().chain([period])
}

impl DimensionBoards {
    /// Empty leaderboards of a dimension; none beyond the last one.
    fn new(dimension: Option<&Dimension>, period: Period, parts: &[Period]) -> Self {
        let Some(dimension) = dimension else {
            return Self(Vec::new());
        };
        let of_period = |of: Period| {
            let new = move |figure: &usize| (of, Board::new(*figure, dimension.board_size));
            dimension.boards.iter().map(new)
        };
        let shown = periods(period, parts).filter(|it| dimension.grains.contains(&it.grain()));
        Self(shown.flat_map(of_period).collect())
    }
}

impl RollUp {
    /// Rolls up `parts`, the periods of a merge's inputs from the second on, of which `touched` changed.
    pub fn new(plan: &Arc<Plan>, period: Period, parts: Vec<Period>, touched: Touched) -> Self {
        let session = |plan: &SessionPlan| {
            let new = |period| (period, Bucket::new(&plan.layout));
            periods(period, &parts).map(new).collect()
        };
        Self {
            boards: DimensionBoards::new(plan.dimensions.first(), period, &parts),
            at: 0,
            cuts: Cuts::default(),
            sessions: plan.sessions.as_ref().map_or_else(Vec::new, session),
            partial: plan.partial(),
            names: CellNames::new(&plan.layout),
            bucket: Bucket::new(&plan.layout),
            part: Bucket::new(&plan.layout),
            body: Vec::new(),
            plan: Arc::clone(plan),
            period,
            parts,
            touched: TouchedCursor::new(touched),
        }
    }

    /// Works on the group that the merge stands at.
    pub fn group(&mut self, merge: &Merge, rows: &mut MutationBatch) -> Result<(), StateError> {
        let plan = Arc::clone(&self.plan);
        let key = GroupKey::decode(merge.key(), &plan)?;
        self.come_to(key.dimension, rows);
        let is_touched = self.touched.is_at(merge.key());
        let is_week = matches!(self.period, Period::Week(_));
        let dimension = plan.dimensions.get(key.dimension);
        let old = merge.states().find(|(input, _)| *input == 0);
        if let (Some((_, state)), Some(dimension)) = (old, dimension)
            && !is_touched
            && (is_week || dimension.boards.is_empty())
        {
            // Its parts are not looked at.
            self.partial.push(merge.key(), state);
            return self.rank(key, dimension, &[], state);
        }
        let parts = merge.states();
        let parts = parts.filter(|(input, _)| (1..=self.parts.len()).contains(input));
        let mut parts: SmallVec<[_; 24]> = parts
            .map(|(input, state)| (self.parts[input - 1], state))
            .collect();
        parts.sort_unstable_by_key(|(period, _)| *period);
        let Some(dimension) = dimension else {
            let sessions = plan.sessions.as_ref().ok_or(StateError::OtherPlan)?;
            return self.session(sessions, merge.key(), &parts);
        };
        if is_week && !dimension.grains.contains(&Grain::Week) {
            return Ok(());
        }
        match old {
            Some((_, state)) if !is_touched => {
                self.partial.push(merge.key(), state);
                self.rank(key, dimension, &parts, state)
            }
            _ if parts.is_empty() => {
                self.remove(dimension, key.value, rows);
                Ok(())
            }
            _ => {
                self.merge_parts(&parts)?;
                self.write(dimension, key.value, &parts, rows)?;
                self.partial.push(merge.key(), &self.body);
                let body = std::mem::take(&mut self.body);
                let ranked = self.rank(key, dimension, &parts, &body);
                self.body = body;
                ranked
            }
        }
    }

    /// Merges the parts into `bucket` and `body`.
    fn merge_parts(&mut self, parts: &[(Period, &[u8])]) -> Result<(), StateError> {
        self.bucket.clear();
        for (_, state) in parts {
            self.bucket.merge_body(state)?;
        }
        self.bucket.settle();
        self.body.clear();
        self.bucket.encode_body(&mut self.body);
        Ok(())
    }

    fn write(
        &mut self,
        dimension: &Dimension,
        value: &str,
        parts: &[(Period, &[u8])],
        rows: &mut MutationBatch,
    ) -> Result<(), StateError> {
        let layout = &self.plan.layout;
        let mut row = replace(rows, &dimension.name, value, self.period);
        if dimension.grains.contains(&self.period.grain()) {
            self.names
                .write(layout, self.period, &self.bucket, &self.body, &mut row);
        }
        if matches!(self.period, Period::Day(_)) && dimension.grains.contains(&Grain::Hour) {
            for (hour, state) in parts {
                self.part.set_body(state)?;
                self.names.write(layout, *hour, &self.part, state, &mut row);
            }
        }
        let is_shown = |grain: &Grain| dimension.grains.contains(grain);
        let shown = match self.period {
            Period::Week(_) => true,
            _ => is_shown(&Grain::Day) || is_shown(&Grain::Hour),
        };
        if shown {
            name_value(row, value, self.period.date(), &mut self.cuts);
        }
        Ok(())
    }

    /// Removes what a row holds of the period: all of it, unless it is the row of a Monday, whose week may go on.
    fn remove(&self, dimension: &Dimension, value: &str, rows: &mut MutationBatch) {
        let date = self.period.date();
        let is_day = matches!(self.period, Period::Day(_));
        if is_day && date == date.monday() && dimension.grains.contains(&Grain::Week) {
            replace(rows, &dimension.name, value, self.period).finish();
            return;
        }
        let key = AggregateKey::new(dimension.name.as_str(), value, date).encode();
        let mut row = rows.row(&key.expect("names are checked, and long values are cut"));
        row.delete_row();
        row.finish();
    }

    /// Shows a group to the leaderboards of its dimension.
    fn rank(
        &mut self,
        key: GroupKey<'_>,
        dimension: &Dimension,
        parts: &[(Period, &[u8])],
        whole: &[u8],
    ) -> Result<(), StateError> {
        if dimension.boards.is_empty() {
            return Ok(());
        }
        let layout = &self.plan.layout;
        for (period, board) in &mut self.boards.0 {
            let state = if *period == self.period {
                Some(whole)
            } else {
                let of_period = parts.iter().find(|(part, _)| part == period);
                of_period.map(|(_, state)| *state)
            };
            let Some(state) = state else { continue };
            #[expect(clippy::cast_precision_loss, reason = "for ordering only")]
            if board.is_by_count() && !board.admits(count_of_body(state)? as f64, key.value) {
                continue;
            }
            self.part.set_body(state)?;
            let figures = layout.figures(&self.part);
            let figure = rank(figures.value(board.figure()));
            if board.admits(figure, key.value) {
                board.add(figure, key.value, figures);
            }
        }
        Ok(())
    }

    /// Counts the sessions of a user, or the one of a name, in the period and in each of a day's hours.
    fn session(
        &mut self,
        sessions: &SessionPlan,
        key: &[u8],
        parts: &[(Period, &[u8])],
    ) -> Result<(), StateError> {
        if parts.is_empty() {
            return Ok(());
        }
        let mut whole = Stretches::default();
        for (period, state) in parts {
            whole.merge_body(state, sessions.gap_micros)?;
            if let Some((_, bucket)) = self.sessions.iter_mut().find(|(it, _)| it == period) {
                let mut part = Stretches::default();
                part.merge_body(state, sessions.gap_micros)?;
                part.count_in(bucket);
            }
        }
        let (_, bucket) = self.sessions.last_mut().expect("the period has a bucket");
        whole.count_in(bucket);
        self.body.clear();
        whole.encode_body(&mut self.body);
        self.partial.push(key, &self.body);
        Ok(())
    }

    /// Hands out the chunks of the new partial that are complete.
    pub fn take_chunks(&mut self) -> Vec<Bytes> {
        self.partial.take_done()
    }

    /// Writes the leaderboards that are still to be written, and sessions, and hands out the rest of the new partial.
    pub fn finish(mut self, rows: &mut MutationBatch) -> (Vec<Bytes>, Cuts) {
        self.come_to(self.plan.dimensions.len(), rows);
        self.write_sessions(rows);
        (self.partial.finish(), self.cuts)
    }

    /// Writes the leaderboards of the dimensions before this one. Only those of one are held at a time.
    fn come_to(&mut self, dimension: usize, rows: &mut MutationBatch) {
        while self.at < dimension && self.at < self.plan.dimensions.len() {
            self.write_boards(rows);
            self.at += 1;
            let next = self.plan.dimensions.get(self.at);
            self.boards = DimensionBoards::new(next, self.period, &self.parts);
        }
    }

    fn write_boards(&mut self, rows: &mut MutationBatch) {
        if self.boards.0.is_empty() {
            return;
        }
        let dimension = &self.plan.dimensions[self.at];
        let figures = self.plan.figure_names();
        let date = self.period.date();
        let mut row = replace(rows, TOP_DIMENSION, &dimension.name, self.period);
        let mut is_empty = true;
        for (period, board) in &self.boards.0 {
            if let Some(json) = board.to_json(&self.plan.layout, &mut self.cuts) {
                is_empty = false;
                let name = board_name(*period, &figures[board.figure()]);
                let time = date.start().cell_micros();
                row.set(period.family(), name.as_bytes(), time, json.as_bytes());
            }
        }
        let has_weeks = dimension.grains.contains(&Grain::Week);
        close(row, is_empty, has_weeks, &dimension.name, self.period);
    }

    fn write_sessions(&self, rows: &mut MutationBatch) {
        let Some(sessions) = &self.plan.sessions else {
            return;
        };
        let names = CellNames::new(&sessions.layout);
        let mut row = replace(rows, SESSIONS_DIMENSION, TOTAL_VALUE, self.period);
        let mut is_empty = true;
        // Families in a row's order: the day's before the hours'.
        for (period, bucket) in self.sessions.iter().rev().filter(|(_, it)| it.count > 0) {
            is_empty = false;
            let mut body = Vec::new();
            bucket.encode_body(&mut body);
            names.write(&sessions.layout, *period, bucket, &body, &mut row);
        }
        close(row, is_empty, true, TOTAL_VALUE, self.period);
    }
}

/// Adds the group that the merge stands at to a partial, its states merged: of parts that were folded apart.
pub fn combine(plan: &Plan, merge: &Merge, partial: &mut PartialWriter) -> Result<(), StateError> {
    let key = GroupKey::decode(merge.key(), plan)?;
    let mut states = merge.states().map(|(_, state)| state);
    let first = states.next().expect("a merge stands at a state");
    let mut states = states.peekable();
    if states.peek().is_none() {
        partial.push(merge.key(), first);
        return Ok(());
    }
    let (states, mut body) = ([first].into_iter().chain(states), Vec::new());
    if key.dimension == plan.session_dimension() {
        let gap_micros = plan.sessions.as_ref().and_then(|plan| plan.gap_micros);
        let mut stretches = Stretches::default();
        for state in states {
            stretches.merge_body(state, gap_micros)?;
        }
        stretches.encode_body(&mut body);
    } else {
        let mut bucket = Bucket::new(&plan.layout);
        for state in states {
            bucket.merge_body(state)?;
        }
        bucket.encode_body(&mut body);
    }
    partial.push(merge.key(), &body);
    Ok(())
}

/// The qualifier of a leaderboard.
pub fn board_name(period: Period, figure: &str) -> String {
    match period {
        Period::Hour(hour) => format!("{:02}.{figure}", hour.of_day()),
        Period::Day(_) | Period::Week(_) => figure.to_owned(),
    }
}

/// Closes a row of which everything was set. One that is empty of the week is empty of its Monday too; one that is empty of a Monday
/// may have its week.
fn close(mut row: RowWriter<'_>, is_empty: bool, has_weeks: bool, value: &str, period: Period) {
    let date = period.date();
    if !is_empty {
        // The name of a dimension is never cut.
        return name_value(row, value, date, &mut Cuts::default());
    }
    let is_monday = matches!(period, Period::Day(_)) && date == date.monday();
    if !(has_weeks && is_monday) {
        row.delete_row();
    }
    row.finish();
}
