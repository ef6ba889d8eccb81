//! Folding: against a plain recount, in any order and any parts, through rows and back.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rowmill_aggregate::{
    Bucket, DayFold, Observation, Period, Plan, WeekFold, read_row, write_rows,
};
use rowmill_model::{Event, MutationBatch, Pipeline, Row, Value};
use rowmill_rowkey::{Date, FactKey, TimelineKey, Timestamp};

const PIPELINE: &str = r#"
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
    [[aggregates]]
    dimension = "song"
    grains = ["day", "week"]
    [measures.length]
    stats = ["count", "sum", "min", "max", "avg", "p50"]
    [distinct]
    users = "user_id"
"#;

fn plan() -> Plan {
    Plan::new(&Pipeline::parse(PIPELINE).unwrap())
}

/// An event of two weeks around a year's end: user, minute, type, length in tenths, song.
type Play = (Option<u8>, i64, u8, Option<i32>, Option<u8>);

fn play() -> impl Strategy<Value = Play> {
    let of_few = prop::option::of(0_u8..4);
    (
        of_few.clone(),
        0_i64..14 * 24 * 60,
        0_u8..3,
        prop::option::of(-50..5_000),
        of_few,
    )
}

fn monday() -> Date {
    "2018-12-24".parse().unwrap()
}

/// The timeline row of a play, as ingest writes it.
fn row(plan: &Plan, id: usize, (user, minute, kind, length, song): Play) -> Row {
    let timestamp =
        Timestamp::from_micros(monday().start().micros() + minute * 60_000_000).unwrap();
    let user_id = user.map(|user| format!("user {user}"));
    let event = Event {
        timestamp,
        event_type: Some(format!("type {kind}").into()),
        event_id: id.to_string().into(),
        values: vec![
            length.map_or(Value::Null, |tenths| {
                Value::Float(format!("{tenths}e-1").parse().unwrap())
            }),
            song.map_or(Value::Null, |song| {
                Value::String(format!("song {song}").into())
            }),
        ],
        unknown: vec![],
        user_id: user_id.clone().map(Into::into),
    };
    let fact = FactKey::new(
        user_id.unwrap_or_else(|| "nobody".into()),
        timestamp,
        id.to_string(),
    );
    let key = TimelineKey { fact }.encode().unwrap();
    let mut batch = MutationBatch::new();
    event.write_timeline(&key, &plan.timeline_columns(), &mut batch);
    Row::from_bytes(key.into(), batch.get(0).ops().to_vec().into()).unwrap()
}

/// All rows that folding gives, by key.
fn fold(plan: &Plan, parts: &[&[Observation<'_>]]) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut batch = MutationBatch::new();
    for week in [monday(), monday().plus_days(7).unwrap()] {
        let mut week_fold = WeekFold::new(plan, week);
        for day in (0..7).map(|days| week.plus_days(days).unwrap()) {
            let mut whole = DayFold::new(plan, day);
            for part in parts {
                let mut fold = DayFold::new(plan, day);
                part.iter()
                    .filter(|it| it.hour.date() == day)
                    .for_each(|it| fold.add(plan, it));
                whole.merge(plan, fold);
            }
            write_rows(plan, &whole.finish(plan, &mut week_fold), &mut batch).unwrap();
        }
        write_rows(plan, &week_fold.finish(), &mut batch).unwrap();
    }
    let mut rows: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
    for mutation in batch.iter() {
        rows.entry(mutation.key().to_vec())
            .or_default()
            .push(mutation.ops().to_vec());
    }
    rows
}

proptest! {
    #[test]
    fn any_parts_in_any_order_give_the_same_bytes(plays in prop::collection::vec(play(), 0..40), cut in 0_usize..40) {
        let plan = plan();
        let rows: Vec<_> = plays.into_iter().enumerate().map(|(id, play)| row(&plan, id, play)).collect();
        let mut observations: Vec<_> = rows.iter().map(|row| plan.observe(row).unwrap()).collect();
        let whole = fold(&plan, &[&observations]);
        let (left, right) = observations.split_at(cut.min(observations.len()));
        prop_assert_eq!(&whole, &fold(&plan, &[right, left]));
        observations.reverse();
        prop_assert_eq!(&whole, &fold(&plan, &[&observations]));
    }

    /// Every figure of the total and of one dimension, recounted the plain way.
    #[test]
    fn figures_are_those_of_a_recount(plays in prop::collection::vec(play(), 1..40)) {
        let plan = plan();
        let rows: Vec<_> = plays.iter().enumerate().map(|(id, play)| row(&plan, id, *play)).collect();
        let observations: Vec<_> = rows.iter().map(|row| plan.observe(row).unwrap()).collect();
        let mut found = BTreeMap::new();
        for (key, mutations) in fold(&plan, &[&observations]) {
            for ops in mutations {
                let cells: Vec<_> = rowmill_model::RowMutation::from_bytes(&key, &ops).unwrap().mutations()
                    .filter_map(|it| match it {
                        rowmill_model::Mutation::Set { family, qualifier, timestamp_micros, value } =>
                            Some(rowmill_model::Cell { family, qualifier, timestamp_micros, value }),
                        _ => None,
                    }).collect();
                let mut sorted = cells;
                sorted.sort_by(|a, b| (a.family, a.qualifier).cmp(&(b.family, b.qualifier)));
                let row = rowmill_model::RowBuilder::build(key.clone(), sorted).unwrap();
                for stored in read_row(&plan, &row).unwrap() {
                    let figures = plan.exact_figures(&stored.bucket).iter().map(ToString::to_string).collect::<Vec<_>>();
                    let name = (stored.dimension, stored.value, stored.period.grain().name(), stored.period.to_string());
                    prop_assert!(found.insert(name, figures).is_none());
                }
            }
        }
        for (name, expected) in recount(&plays) {
            let figures = found.remove(&name).unwrap();
            prop_assert_eq!(&figures[..4], &expected[..], "{:?}", name);
        }
        prop_assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn any_bytes_are_a_bucket_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60), valid_head in any::<bool>()) {
        let plan = plan();
        let mut state = if valid_head { Bucket::new(&plan).encode(&plan)[..9].to_vec() } else { vec![] };
        state.extend(bytes);
        if let Ok(bucket) = Bucket::decode(&plan, &state) {
            prop_assert_eq!(Bucket::decode(&plan, &bucket.encode(&plan)).unwrap(), bucket);
        }
    }
}

type Name = (String, String, &'static str, String);

/// Count, distinct users, values and sum in tenths, by name.
fn recount(plays: &[Play]) -> BTreeMap<Name, Vec<String>> {
    let mut counts: BTreeMap<Name, (u64, BTreeSet<u8>, u64, i64)> = BTreeMap::new();
    for (user, minute, kind, length, song) in plays {
        let time = Timestamp::from_micros(monday().start().micros() + minute * 60_000_000).unwrap();
        let periods = [
            Period::Hour(time.hour()),
            Period::Day(time.date()),
            Period::Week(time.date().monday()),
        ];
        let mut names = vec![];
        for period in periods {
            let grain = period.grain().name();
            names.push(("_total".into(), "all".into(), grain, period.to_string()));
            names.push((
                "event_type".into(),
                format!("type {kind}"),
                grain,
                period.to_string(),
            ));
            if let Some(song) = song.filter(|_| grain != "hour") {
                names.push((
                    "song".into(),
                    format!("song {song}"),
                    grain,
                    period.to_string(),
                ));
            }
        }
        for name in names {
            let count = counts.entry(name).or_default();
            count.0 += 1;
            count.1.extend(*user);
            count.2 += u64::from(length.is_some());
            count.3 += i64::from(length.unwrap_or(0));
        }
    }
    let tenths = |sum: i64| {
        let mut exact = rowmill_aggregate::ExactSum::default();
        exact.add_float(format!("{sum}e-1").parse().unwrap());
        exact.to_string()
    };
    let shown = |(count, users, values, sum): (u64, BTreeSet<u8>, u64, i64)| {
        vec![
            count.to_string(),
            users.len().to_string(),
            values.to_string(),
            tenths(sum),
        ]
    };
    counts
        .into_iter()
        .map(|(name, count)| (name, shown(count)))
        .collect()
}
