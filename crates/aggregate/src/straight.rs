//! The straight way from events to rows: every event into every bucket of every period, without partials of hours and without rolling
//! up. What is stored is proved against it.

mod late;
mod rows;

use std::sync::Arc;

use bytes::Bytes;
use rowmill_model::Grain;
use rowmill_rowkey::{AggregateKey, Date};
use rustc_hash::FxHashMap;

use crate::bucket::{Bucket, Sample, StateError};
use crate::merge::Merge;
use crate::observation::Observation;
use crate::partial::PartialWriter;
use crate::period::Period;
use crate::plan::Plan;
use crate::session::Stretches;

pub use late::LateRows;
pub use rows::StraightRows;

/// Buckets by row and period, and stretches of sessions by period.
///
/// Keys are those of rows, closed by the period within the row, so that groups come in the order of the table.
#[derive(Debug)]
pub struct Straight {
    plan: Arc<Plan>,
    buckets: FxHashMap<Vec<u8>, Box<(Box<str>, Bucket)>>,
    stretches: FxHashMap<Vec<u8>, Stretches>,
    sample: Sample,
    bytes: usize,
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
            bytes: 0,
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
                self.bytes += ENTRY_BYTES + STRETCH_BYTES + key.len();
                let stretches = self.stretches.entry(key).or_default();
                stretches.add(observation.timestamp, sessions.gap_micros);
            }
        }
    }

    fn add_to(&mut self, dimension: &str, value: &str, period: Period) {
        let row = AggregateKey::new(dimension, value, period.date()).encode();
        let mut key = row.expect("names are checked, and long values are cut");
        key.push(0);
        key.extend(period_key(period));
        let layout = &self.plan.layout;
        let text = ENTRY_BYTES + key.len() + value.len();
        let bytes = &mut self.bytes;
        let state = self.buckets.entry(key).or_insert_with(|| {
            let bucket = Bucket::new(layout);
            *bytes += text + size_of::<(Box<str>, Bucket)>() + bucket.heap_bytes();
            Box::new((value.into(), bucket))
        });
        let before = state.1.heap_bytes();
        state.1.add(&self.sample);
        // A set that turns to a sketch may take less than before.
        self.bytes += state.1.heap_bytes().saturating_sub(before);
    }

    /// How many bytes it takes, or more.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes all groups in order, hands out chunks as they are complete, and forgets the groups.
    pub fn drain<E>(
        &mut self,
        partial: &mut PartialWriter,
        mut done: impl FnMut(Vec<Bytes>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut state = Vec::new();
        for (key, group) in sorted(&mut self.buckets) {
            let (value, mut bucket) = *group;
            bucket.settle();
            state.clear();
            push_value(&value, &mut state);
            bucket.encode_body(&mut state);
            push(partial, &key, &state, &mut done)?;
        }
        for (key, stretches) in sorted(&mut self.stretches) {
            state.clear();
            stretches.encode_body(&mut state);
            push(partial, &key, &state, &mut done)?;
        }
        self.bytes = 0;
        Ok(())
    }

    /// Adds the group that a merge stands at to a partial, its states merged.
    pub fn combine(
        plan: &Plan,
        merge: &Merge,
        partial: &mut PartialWriter,
    ) -> Result<(), StateError> {
        let states = merge.states().map(|(_, state)| state);
        let mut body = Vec::new();
        if merge.key().starts_with(&[SESSIONS]) {
            let sessions = plan.sessions.as_ref().ok_or(StateError::OtherPlan)?;
            let mut stretches = Stretches::default();
            for state in states {
                stretches.merge_body(state, sessions.gap_micros)?;
            }
            stretches.encode_body(&mut body);
        } else {
            let (value, bucket) = merged(plan, states)?;
            push_value(&value, &mut body);
            bucket.encode_body(&mut body);
        }
        partial.push(merge.key(), &body);
        Ok(())
    }
}

/// About what a map takes for an entry beside what key and state have reserved, half of it empty.
const ENTRY_BYTES: usize = 120;
/// What a stretch takes once there is room for twice as many.
const STRETCH_BYTES: usize = 64;

/// The entries of a map in order, which are taken out of it.
fn sorted<S>(map: &mut FxHashMap<Vec<u8>, S>) -> Vec<(Vec<u8>, S)> {
    let mut entries: Vec<_> = std::mem::take(map).into_iter().collect();
    entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    entries
}

fn push<E>(
    partial: &mut PartialWriter,
    key: &[u8],
    state: &[u8],
    done: &mut impl FnMut(Vec<Bytes>) -> Result<(), E>,
) -> Result<(), E> {
    partial.push(key, state);
    if partial.has_done() {
        done(partial.take_done())?;
    }
    Ok(())
}

/// A state begins with the value whole, which its key may have cut.
fn push_value(value: &str, out: &mut Vec<u8>) {
    let length = u32::try_from(value.len()).expect("a value fits a cell");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

/// What the states of one group come to.
fn merged<'s>(
    plan: &Plan,
    states: impl Iterator<Item = &'s [u8]>,
) -> Result<(String, Bucket), StateError> {
    let (mut value, mut bucket) = (String::new(), Bucket::new(&plan.layout));
    for state in states {
        let (length, rest) = state.split_first_chunk().ok_or(StateError::Malformed)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (text, body) = rest.split_at_checked(length).ok_or(StateError::Malformed)?;
        value = String::from_utf8_lossy(text).into_owned();
        bucket.merge_body(body)?;
    }
    bucket.settle();
    Ok((value, bucket))
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
