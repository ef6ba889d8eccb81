//! Folding and rolling up: against a plain recount, against the straight way, in any parts and order, bit by bit and all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use proptest::prelude::*;
use rowmill_aggregate::{Bucket, LateRows, Observation, Period, Straight, StraightRows, read_row};
use rowmill_model::Row;

use crate::plays::{
    Aggregated, PIPELINE, Play, combined, drained, drive, event, hours, monday, plan, play, row,
    song_name, time_of,
};

fn observations<'r>(plan: &rowmill_aggregate::Plan, rows: &'r [Row]) -> Vec<Observation<'r>> {
    rows.iter().map(|row| plan.observe(row).unwrap()).collect()
}

fn rows(plan: &rowmill_aggregate::Plan, plays: &[Play]) -> Vec<Row> {
    plays
        .iter()
        .enumerate()
        .map(|(id, play)| row(plan, id, *play))
        .collect()
}

proptest! {
    #[test]
    fn any_parts_in_any_order_give_the_same_bytes(plays in prop::collection::vec(play(), 0..40), cut in 0_usize..40) {
        let plan = plan();
        let rows = rows(&plan, &plays);
        let mut all = observations(&plan, &rows);
        let mut whole = Aggregated::default();
        whole.update(&plan, &[&all], &hours(&plays), true);
        let (left, right) = all.split_at(cut.min(all.len()));
        let mut parts = Aggregated::default();
        parts.update(&plan, &[right, &[], left], &hours(&plays), false);
        prop_assert_eq!(&whole, &parts);
        all.reverse();
        let mut reversed = Aggregated::default();
        reversed.update(&plan, &[&all], &hours(&plays), false);
        prop_assert_eq!(&whole, &reversed);
    }

    /// Events that come, change and go, some hours at a time: always as if the data had been so from the start.
    #[test]
    fn increments_are_as_if_it_had_always_been_so(
        steps in prop::collection::vec((prop::collection::vec(play(), 0..12), prop::collection::vec(any::<prop::sample::Index>(), 0..6)), 1..5),
    ) {
        let plan = plan();
        let mut grown = Aggregated::default();
        let mut present: BTreeMap<usize, Play> = BTreeMap::new();
        for (number, (new, gone)) in steps.into_iter().enumerate() {
            let mut changed = new.clone();
            for index in gone {
                let keys: Vec<_> = present.keys().copied().collect();
                if !keys.is_empty() {
                    changed.extend(present.remove(index.get(&keys)));
                }
            }
            present.extend(new.into_iter().enumerate().map(|(index, play)| (number * 100 + index, play)));
            let rows: Vec<_> = present.iter().map(|(id, play)| row(&plan, *id, *play)).collect();
            let all = observations(&plan, &rows);
            grown.update(&plan, &[&all], &hours(&changed), false);
            let plays: Vec<_> = present.values().copied().collect();
            let mut fresh = Aggregated::default();
            fresh.update(&plan, &[&all], &hours(&plays), true);
            prop_assert_eq!(&grown, &fresh);
        }
    }

    /// Without partials and without rolling up the same cells come out, from the facts.
    #[test]
    fn the_straight_way_gives_the_same_rows(plays in prop::collection::vec(play(), 0..40), cut in 0_usize..40, every in 1_usize..9) {
        let plan = plan();
        let events: Vec<_> = plays.iter().enumerate().map(|(id, play)| event(id, *play)).collect();
        let all: Vec<_> = events.iter().map(|event| plan.observe_event(event)).collect();
        let mut aggregated = Aggregated::default();
        aggregated.update(&plan, &[&all], &hours(&plays), false);
        let cut = cut.min(all.len());
        let partials = [&all[..cut], &all[cut..]].map(|part| {
            let (mut straight, partial) = (Straight::new(&plan), plan.partial());
            part.iter().for_each(|it| straight.add(it, &|_| true));
            drained(partial, |partial, chunks| straight.drain(partial, |done| {
 chunks.extend(done);
 Ok::<_, Infallible>(())
 }))
        });
        let (mut made, mut rows) = (Vec::new(), StraightRows::new(&plan));
        // Leaderboards and sessions go to partials of their own now and then, and partials of either are merged before rows are made.
        let mut late = Vec::new();
        let mut drain = |rows: &mut StraightRows| {
            late.push(drained(plan.partial(), |partial, chunks| rows.drain_late(partial, |done| {
 chunks.extend(done);
 Ok::<_, Infallible>(())
 })));
        };
        let whole = combined(&plan, &partials, Straight::combine);
        drive(&plan, &[&whole], |merge| {
            made.extend(rows.group(merge.key(), merge.states().map(|(_, state)| state)).unwrap());
            if made.len() % every == 0 {
                drain(&mut rows);
            }
        });
        made.extend(rows.finish_row());
        drain(&mut rows);
        let half = late.len() / 2;
        let halves = [&late[..half], &late[half..]].map(|part| combined(&plan, part, LateRows::combine));
        let mut late_rows = LateRows::new(&plan);
        drive(&plan, &halves.iter().collect::<Vec<_>>(), |merge| made.extend(late_rows.group(merge).unwrap()));
        made.extend(late_rows.finish_row());
        let cells = |row: &Row| {
            let cells = row.cells().map(|cell| (cell.family.to_owned(), cell.qualifier.to_vec(), cell.value.to_vec()));
            (row.key().to_vec(), cells.collect::<Vec<_>>())
        };
        let made: BTreeMap<_, _> = made.iter().map(cells).collect();
        let stored: BTreeMap<_, _> = aggregated.read().iter().map(cells).collect();
        prop_assert_eq!(made, stored);
    }

    /// Figures of every dimension, recounted the plain way.
    #[test]
    fn figures_are_those_of_a_recount(plays in prop::collection::vec(play(), 1..40)) {
        let plan = plan();
        let rows = rows(&plan, &plays);
        let mut aggregated = Aggregated::default();
        aggregated.update(&plan, &[&observations(&plan, &rows)], &hours(&plays), false);
        let mut found = BTreeMap::new();
        for row in aggregated.read() {
            for stored in read_row(&plan, &row).unwrap() {
                let figures = stored.figures.texts().iter().map(ToString::to_string).collect::<Vec<_>>();
                let name = (stored.dimension, stored.value, stored.period.grain().name(), stored.period.to_string());
                prop_assert!(found.insert(name, figures).is_none());
            }
        }
        for (name, expected) in recount(&plays) {
            let figures = found.remove(&name);
            prop_assert!(figures.is_some(), "{:?}", name);
            prop_assert_eq!(&figures.unwrap()[..4], &expected[..], "{:?}", name);
        }
        for (name, expected) in sessions(&plays) {
            let figures = found.remove(&name).unwrap();
            prop_assert_eq!(&figures[..3], &expected[..], "{:?}", name);
        }
        prop_assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn any_bytes_are_a_bucket_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60), valid_head in any::<bool>()) {
        let plan = plan();
        let layout = plan.layout();
        let mut state = if valid_head { Bucket::new(layout).encode(layout)[..9].to_vec() } else { vec![] };
        state.extend(bytes);
        if let Ok(bucket) = Bucket::decode(layout, &state) {
            prop_assert_eq!(Bucket::decode(layout, &bucket.encode(layout)).unwrap(), bucket);
        }
    }

    #[test]
    fn any_bytes_are_a_partial_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80), valid_head in any::<bool>()) {
        let plan = plan();
        let mut chunk = if valid_head {
            let mut partial = plan.partial();
            partial.push(b"k", b"s");
            partial.finish()[0][..9].to_vec()
        } else {
            vec![]
        };
        chunk.extend(bytes);
        let mut merge = plan.merge(1);
        merge.step().unwrap();
        if merge.feed(0, Some(chunk.into())).is_ok() {
            while matches!(merge.step(), Ok(rowmill_aggregate::Step::Group)) {}
        }
    }
}

type Name = (String, String, &'static str, String);

fn periods(minute: i64) -> [Period; 3] {
    let time = time_of(minute);
    [
        Period::Hour(time.hour()),
        Period::Day(time.date()),
        Period::Week(time.date().monday()),
    ]
}

/// Count, distinct users, values and sum in tenths, by name.
fn recount(plays: &[Play]) -> BTreeMap<Name, Vec<String>> {
    let mut counts: BTreeMap<Name, (u64, BTreeSet<u8>, u64, i64)> = BTreeMap::new();
    for (user, minute, kind, length, song) in plays {
        let mut names = vec![];
        for period in periods(*minute) {
            let grain = period.grain().name();
            let mut name = |dimension: &str, value: String| {
                names.push((dimension.to_owned(), value, grain, period.to_string()));
            };
            name("_total", "all".into());
            name("event_type", format!("type {kind}"));
            if let Some(song) = song.filter(|_| grain != "hour") {
                name("song", song_name(song));
            }
            if let Some(song) = song.filter(|_| grain == "hour" && length.is_some_and(|it| it > 10))
            {
                name(
                    "event_type,song",
                    format!("type {kind}|{}", song_name(song).replace('|', "\\|")),
                );
            }
            if grain == "week" {
                name("hour_of_day", (minute / 60 % 24).to_string());
            }
        }
        for name in names {
            let count = counts.entry(name).or_default();
            count.0 += 1;
            count.1.extend(*user);
            count.2 += u64::from(length.is_some());
            count.3 += length.unwrap_or(0);
        }
    }
    let tenths = |sum: i64| {
        let (sign, sum) = (if sum < 0 { "-" } else { "" }, sum.abs());
        let shown = format!("{sign}{}.{}", sum / 10, sum % 10);
        shown.trim_end_matches(".0").to_owned()
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

/// Sessions, mean and greatest number of their events, by name: those with gaps of 45 minutes at most.
fn sessions(plays: &[Play]) -> BTreeMap<Name, Vec<String>> {
    let mut times: BTreeMap<Period, BTreeMap<u8, Vec<i64>>> = BTreeMap::new();
    for (user, minute, ..) in plays {
        for period in periods(*minute).into_iter().filter(|_| user.is_some()) {
            let of_user = times.entry(period).or_default().entry(user.unwrap());
            of_user.or_default().push(*minute);
        }
    }
    let count = |(period, users): (Period, BTreeMap<u8, Vec<i64>>)| {
        let mut lengths = Vec::new();
        for mut minutes in users.into_values() {
            minutes.sort_unstable();
            let sessions = minutes.chunk_by(|a, b| b - a <= 45);
            lengths.extend(sessions.map(<[i64]>::len));
        }
        #[expect(clippy::cast_precision_loss, reason = "a few events")]
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        let most = lengths.iter().max().unwrap();
        let grain = period.grain().name();
        let name = ("_sessions".into(), "all".into(), grain, period.to_string());
        (
            name,
            vec![
                lengths.len().to_string(),
                mean.to_string(),
                most.to_string(),
            ],
        )
    };
    times.into_iter().map(count).collect()
}

#[test]
fn values_of_several_fields_are_told_apart() {
    assert!(PIPELINE.contains("dimension = [\"event_type\", \"song\"]"));
    let plan = plan();
    let plays = [(Some(1), 0, 1, Some(20), Some(3))];
    let rows = rows(&plan, &plays);
    let mut aggregated = Aggregated::default();
    aggregated.update(&plan, &[&observations(&plan, &rows)], &hours(&plays), true);
    let key = format!("event_type,song#type 1|song\\|%25#{}", monday());
    assert!(
        aggregated.rows.contains_key(key.as_bytes()),
        "{:?}",
        aggregated
            .rows
            .keys()
            .map(|key| String::from_utf8_lossy(key).into_owned())
            .collect::<Vec<_>>()
    );
}
