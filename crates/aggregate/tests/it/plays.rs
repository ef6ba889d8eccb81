//! Events to aggregate, and an aggregation of them in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use rowmill_aggregate::{
    Groups, Merge, Observation, PartialWriter, Period, Plan, RollUp, StateError, Step, Touched,
    TouchedKeys, combine,
};
use rowmill_model::{Cell, Event, Mutation, MutationBatch, Pipeline, Row, Value};
use rowmill_rowkey::{Date, FactKey, Hour, TimelineKey, Timestamp};

pub(crate) const PIPELINE: &str = r#"
    [pipeline]
    name = "p"
    [event]
    user_id = { from = "u", required = false, placeholder = "nobody" }
    timestamp = "t"
    event_type = "e"
    [fields]
    length = { type = "float" }
    song = { type = "string" }
    [[aggregates]]
    dimension = "event_type"
    top = { by = ["count", "length_sum"], size = 2 }
    [[aggregates]]
    dimension = "song"
    grains = ["day", "week"]
    top = { size = 2 }
    [[aggregates]]
    dimension = ["event_type", "song"]
    where = "has(length) && length > 1.0"
    grains = ["hour"]
    [[aggregates]]
    dimension = "hour_of_day"
    value = "timestamp.getHours()"
    grains = ["week"]
    [measures.length]
    stats = ["count", "sum", "min", "max", "avg", "p50"]
    [distinct]
    users = "user_id"
    [sessions]
    gap = "45m"
"#;

pub(crate) fn plan() -> Arc<Plan> {
    Plan::new(&Pipeline::parse(PIPELINE).unwrap()).unwrap()
}

/// An event of two weeks around a year's end: user, minute, type, length in tenths, song.
pub(crate) type Play = (Option<u8>, i64, u8, Option<i64>, Option<u8>);

pub(crate) fn play() -> impl Strategy<Value = Play> {
    let of_few = || prop::option::of(0_u8..4);
    (
        of_few(),
        // Crowded at one place, so that hours and days have several.
        prop_oneof![
            0_i64..14 * 24 * 60,
            6 * 24 * 60_i64..8 * 24 * 60,
            6 * 24 * 60_i64..6 * 24 * 60 + 90
        ],
        0_u8..3,
        // Beside the large one, which is a float, what the others add is beyond a float's digits.
        prop::option::of(prop_oneof![9 => -50_i64..5_000, 1 => Just(10 << 53)]),
        of_few(),
    )
}

pub(crate) fn monday() -> Date {
    "2018-12-24".parse().unwrap()
}

pub(crate) fn time_of(minute: i64) -> Timestamp {
    Timestamp::from_micros(monday().start().micros() + minute * 60_000_000).unwrap()
}

/// Names that sort otherwise as values than in keys: what ends one there is above a space.
pub(crate) fn song_name(song: u8) -> String {
    ["song|", "song| again", "song|#1", "song|%"][usize::from(song)].to_owned()
}

pub(crate) fn event(id: usize, (user, minute, kind, length, song): Play) -> Event<'static> {
    Event {
        timestamp: time_of(minute),
        event_type: Some(format!("type {kind}").into()),
        event_id: id.to_string().into(),
        values: vec![
            length.map_or(Value::Null, |tenths| {
                Value::Float(format!("{tenths}e-1").parse().unwrap())
            }),
            song.map_or(Value::Null, |song| Value::String(song_name(song).into())),
        ],
        unknown: vec![],
        user_id: user.map(|user| format!("user {user}").into()),
    }
}

/// The timeline row of a play, as ingest writes it.
pub(crate) fn row(plan: &Plan, id: usize, of: Play) -> Row {
    let event = event(id, of);
    let user_id = event.user_id.clone().unwrap_or_else(|| "nobody".into());
    let fact = FactKey::new(user_id, event.timestamp, id.to_string());
    let key = TimelineKey { fact }.encode().unwrap();
    let mut batch = MutationBatch::new();
    event.write_timeline(&key, &plan.timeline_columns(), &mut batch);
    Row::from_bytes(key.into(), batch.get(0).ops().to_vec().into()).unwrap()
}

type Partial = Vec<Bytes>;
/// The cells of a row, by family and qualifier.
type Cells = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// Everything that an aggregation leaves: partials, and rows as a store would have them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Aggregated {
    pub(crate) partials: BTreeMap<Period, Partial>,
    pub(crate) rows: BTreeMap<Vec<u8>, Cells>,
}

pub(crate) fn drive(plan: &Plan, inputs: &[&Partial], mut each: impl FnMut(&Merge)) {
    let mut merge = plan.merge(inputs.len());
    let mut at = vec![0; inputs.len()];
    loop {
        match merge.step().unwrap() {
            Step::NeedsChunk(input) => {
                merge
                    .feed(input, inputs[input].get(at[input]).cloned())
                    .unwrap();
                at[input] += 1;
            }
            Step::Group => each(&merge),
            Step::Done => return,
        }
    }
}

/// One partial of several.
pub(crate) fn combined(
    plan: &Plan,
    parts: &[Partial],
    combine: impl Fn(&Plan, &Merge, &mut PartialWriter) -> Result<(), StateError>,
) -> Partial {
    let mut whole = plan.partial();
    drive(plan, &parts.iter().collect::<Vec<_>>(), |merge| {
        combine(plan, merge, &mut whole).unwrap();
    });
    whole.finish()
}

/// The chunks that `drain` hands out, and the rest.
pub(crate) fn drained(
    mut partial: PartialWriter,
    drain: impl FnOnce(&mut PartialWriter, &mut Partial) -> Result<(), Infallible>,
) -> Partial {
    let mut chunks = Partial::new();
    drain(&mut partial, &mut chunks).unwrap();
    chunks.extend(partial.finish());
    chunks
}

/// The partial of one hour, folded in parts.
pub(crate) fn fold(plan: &Arc<Plan>, parts: &[&[Observation<'_>]], hour: Hour) -> Partial {
    let parts: Vec<Partial> = parts
        .iter()
        .map(|part| {
            let (mut groups, partial) = (Groups::new(plan), plan.partial());
            part.iter()
                .filter(|it| it.hour() == hour)
                .for_each(|it| groups.add(it));
            drained(partial, |partial, chunks| {
                groups.drain(partial, |done| {
                    chunks.extend(done);
                    Ok::<_, Infallible>(())
                })
            })
        })
        .collect();
    combined(plan, &parts, combine)
}

impl Aggregated {
    /// Aggregates these hours of all events anew, over what was there; all groups or only those that changed.
    pub(crate) fn update(
        &mut self,
        plan: &Arc<Plan>,
        parts: &[&[Observation<'_>]],
        hours: &[Hour],
        all: bool,
    ) {
        let new: BTreeMap<Hour, Partial> = hours
            .iter()
            .map(|hour| (*hour, fold(plan, parts, *hour)))
            .collect();
        let dates: std::collections::BTreeSet<Date> = new.keys().map(|hour| hour.date()).collect();
        let mut by_week: BTreeMap<Date, TouchedKeys> = BTreeMap::new();
        for date in dates {
            let mut touched = TouchedKeys::new(usize::MAX);
            for (hour, partial) in new.iter().filter(|(hour, _)| hour.date() == date) {
                let old = self.partial(Period::Hour(*hour));
                drive(plan, &[&old, partial], |merge| touched.compare(merge));
                self.partials.insert(Period::Hour(*hour), partial.clone());
            }
            let parts = (0..24).map(|hour| Period::Hour(date.hour(hour))).collect();
            by_week
                .entry(date.monday())
                .or_insert_with(|| TouchedKeys::new(usize::MAX))
                .join(&touched);
            self.roll_up(
                plan,
                Period::Day(date),
                parts,
                if all { Touched::All } else { touched.finish() },
            );
        }
        for (monday, touched) in by_week {
            let days = (0..7).map(|days| Period::Day(monday.plus_days(days).unwrap()));
            self.roll_up(
                plan,
                Period::Week(monday),
                days.collect(),
                if all { Touched::All } else { touched.finish() },
            );
        }
        self.partials.retain(|_, partial| !partial.is_empty());
    }

    fn partial(&self, period: Period) -> Partial {
        self.partials.get(&period).cloned().unwrap_or_default()
    }

    fn roll_up(&mut self, plan: &Arc<Plan>, period: Period, parts: Vec<Period>, touched: Touched) {
        let inputs: Vec<Partial> = [period]
            .iter()
            .chain(&parts)
            .map(|it| self.partial(*it))
            .collect();
        let mut roll_up = RollUp::new(plan, period, parts, touched);
        let (mut rows, mut partial) = (MutationBatch::new(), Vec::new());
        drive(plan, &inputs.iter().collect::<Vec<_>>(), |merge| {
            roll_up.group(merge, &mut rows).unwrap();
            partial.extend(roll_up.take_chunks());
        });
        partial.extend(roll_up.finish(&mut rows).0);
        self.partials.insert(period, partial);
        self.apply(&rows);
    }

    fn apply(&mut self, batch: &MutationBatch) {
        for mutation in batch.iter() {
            let row = self.rows.entry(mutation.key().to_vec()).or_default();
            for operation in mutation.mutations() {
                match operation {
                    Mutation::Set {
                        family,
                        qualifier,
                        value,
                        ..
                    } => {
                        row.insert((family.to_owned(), qualifier.to_vec()), value.to_vec());
                    }
                    Mutation::DeleteFamily { family } => row.retain(|(of, _), _| of != family),
                    Mutation::DeleteRow => row.clear(),
                    Mutation::DeleteColumn { .. } => unreachable!("whole families are replaced"),
                }
            }
        }
        self.rows.retain(|_, cells| !cells.is_empty());
    }

    /// The rows as reading them gives them.
    pub(crate) fn read(&self) -> Vec<Row> {
        let row = |(key, cells): (&Vec<u8>, &Cells)| {
            let cells = cells.iter().map(|((family, qualifier), value)| Cell {
                family,
                qualifier,
                timestamp_micros: 0,
                value,
            });
            rowmill_model::RowBuilder::build(key.clone(), cells)
        };
        self.rows.iter().filter_map(row).collect()
    }
}

/// The hours of these events, each once.
pub(crate) fn hours(plays: &[Play]) -> Vec<Hour> {
    let hours: std::collections::BTreeSet<Hour> = plays
        .iter()
        .map(|(_, minute, ..)| time_of(*minute).hour())
        .collect();
    hours.into_iter().collect()
}
