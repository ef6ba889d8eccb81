//! Aggregates: however the events came, in whatever parts they were aggregated, and wherever a process died, they are what one
//! aggregation of everything gives; and what the facts say.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rowmill_aggregate::Period;
use rowmill_model::Row;
use rowmill_model::columns::table;
use rowmill_pipeline::{
    AggregateOptions, Control, DeleteOptions, Error, ExplainQuery, Logged, ScanLog, Scope, Shard,
    Stages, TopQuery, VerifyAggregatesOptions, VerifyAggregatesReport, aggregate, count_rows,
    delete_user, explain, rebuild_timeline, top, verify, verify_aggregates,
};
use rowmill_rowkey::Date;
use rowmill_store::{Chaos, Faulty, Scan, Store, StoreExt as _};

use crate::{
    aggregate_pending, aggregate_with, aggregation, generated, ingest_all, memory_store, now,
    opened, stages,
};

/// Everything about aggregates: several fields, a filter, a derived dimension, leaderboards, sessions.
const RICH: [&str; 6] = [
    "aggregates=[{dimension='song',grains=['day','week'],top={by=['count','length_sum'],size=3}},\
     {dimension=['level','event_type'],where=\"event_type != 'Home'\"},\
     {dimension='hour_of_day',value='timestamp.getHours()',grains=['week']},\
     {dimension='user_id',grains=['day','week']}]",
    "measures.length.stats=['count','sum','min','max','p50']",
    "measures.status.stats=['sum']",
    "distinct.users='user_id'",
    "distinct.sessions='session_id'",
    "sessions.gap='30m'",
];
/// Needs nothing that the timeline of the one above does not have.
const LEANER: [&str; 3] = [
    "aggregates=[{dimension='level'},{dimension='song',grains=['day']}]",
    "measures.length.stats=['sum','p95']",
    "sessions.field='session_id'",
];
/// Needs what the timelines of the others do not have.
const OTHER: [&str; 2] = ["aggregates=[{dimension='location'}]", "distinct={}"];

fn rich() -> Arc<Stages> {
    stages(&RICH)
}

async fn table_of(store: &Arc<dyn Store>, table: &str) -> Vec<Row> {
    store.rows(table, Scan::all()).await.unwrap()
}

async fn proof(stages: &Arc<Stages>, store: &Arc<dyn Store>) -> VerifyAggregatesReport {
    // So little memory that groups go to files.
    let options = VerifyAggregatesOptions {
        memory_bytes: 60_000,
        ..VerifyAggregatesOptions::default()
    };
    verify_aggregates(stages, store, &options, &Control::default())
        .await
        .unwrap()
}

async fn prove(stages: &Arc<Stages>, store: &Arc<dyn Store>) {
    let report = proof(stages, store).await;
    assert!(
        report.is_proved() && report.pending == 0,
        "{:?}",
        report.differences.first()
    );
}

/// Files that overlap in time; some hold the same events.
fn files(folder: &Path) -> Vec<PathBuf> {
    (0..4)
        .map(|number| {
            generated(
                folder,
                &format!("{number}.jsonl"),
                60 + 30 * number,
                number % 3,
            )
        })
        .collect()
}

#[derive(Debug, Clone)]
enum Step {
    Ingest(usize),
    Delete(u8),
    Aggregate {
        shards: u32,
        memory_bytes: usize,
        death: Option<Death>,
    },
    Configure(usize),
}

/// The end of a process at one of its writes, and whether it is started again.
#[derive(Debug, Clone, Copy)]
struct Death {
    at_write: u64,
    is_restarted: bool,
}

fn death() -> impl Strategy<Value = Option<Death>> {
    let death = (1_u64..40, any::<bool>()).prop_map(|(at_write, is_restarted)| Death {
        at_write,
        is_restarted,
    });
    prop::option::weighted(0.7, death)
}

fn step() -> impl Strategy<Value = Step> {
    let aggregation = (
        1_u32..4,
        prop::sample::select(vec![3_000, 100 << 20]),
        death(),
    );
    prop_oneof![
        4 => (0_usize..4).prop_map(Step::Ingest),
        1 => (1_u8..4).prop_map(Step::Delete),
        3 => aggregation.prop_map(|(shards, memory_bytes, death)| Step::Aggregate { shards, memory_bytes, death }),
        1 => (0_usize..3).prop_map(Step::Configure),
    ]
}

/// One aggregation by some shards, each of which may die once, and be started again.
async fn aggregate_by(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    shards: u32,
    memory_bytes: usize,
    death: Option<Death>,
    name: &str,
) {
    for index in (0..shards).rev() {
        let options = AggregateOptions {
            shard: Shard::new(index, shards).unwrap(),
            memory_bytes,
            ..AggregateOptions::new(
                format!("{name} {index}"),
                Scope::Pending,
                rowmill_rowkey::Timestamp::from_micros(0).unwrap(),
            )
        };
        if let Some(Death {
            at_write,
            is_restarted,
        }) = death
        {
            let dead = Arc::new(tokio::sync::Notify::new());
            let notify = Arc::clone(&dead);
            let chaos = Chaos {
                kill_at: Some(at_write),
                ..Chaos::default()
            };
            let kill = Arc::new(move || notify.notify_one());
            let dying: Arc<dyn Store> =
                Arc::new(Faulty::new(Arc::clone(store), chaos, at_write, kill));
            let control = Control::default();
            tokio::select! {
                biased;
                () = dead.notified() => {
                    if !is_restarted {
                        continue;
                    }
                }
                done = aggregate(stages, &dying, &options, &control) => { done.unwrap(); }
            }
        }
        aggregate_with(stages, store, &options).await.unwrap();
    }
}

async fn check(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let configs = [rich(), stages(&LEANER), stages(&OTHER)];
    let [grown, fresh] = [memory_store().await.store, memory_store().await.store];
    let mut config = 0;
    for (number, step) in steps.iter().enumerate() {
        let stages = &configs[config];
        let name = format!("step {number}");
        match step {
            Step::Ingest(file) => {
                for store in [&grown, &fresh] {
                    ingest_all(stages, store, &[&files[*file]], &name)
                        .await
                        .unwrap();
                }
            }
            Step::Delete(user) => {
                let options = DeleteOptions {
                    user_id: user.to_string(),
                    name,
                    dry_run: false,
                };
                for store in [&grown, &fresh] {
                    delete_user(stages, store, &options, &Control::default())
                        .await
                        .unwrap();
                }
            }
            Step::Aggregate {
                shards,
                memory_bytes,
                death,
            } => {
                aggregate_by(stages, &grown, *shards, *memory_bytes, *death, &name).await;
            }
            Step::Configure(to) => {
                config = *to;
                reconfigure(&configs[config], &grown).await;
            }
        }
    }
    let stages = &configs[config];
    aggregate_pending(stages, &grown).await.unwrap();
    prove(stages, &grown).await;
    rebuild_timeline(stages, &fresh, now(), &Control::default())
        .await
        .unwrap();
    aggregate_with(stages, &fresh, &aggregation(Scope::All))
        .await
        .unwrap();
    prove(stages, &fresh).await;
    let [grown, fresh] = [aggregates_of(&grown).await, aggregates_of(&fresh).await];
    let differing = grown
        .iter()
        .zip(&fresh)
        .find(|(grown, fresh)| grown != fresh);
    assert!(
        grown == fresh,
        "{:?}",
        differing.map(|(grown, fresh)| (
            grown.key().escape_ascii().to_string(),
            fresh.key().escape_ascii().to_string()
        ))
    );
}

/// All rows of aggregates but what shards left that died after their parts were merged: that is nobody's.
async fn aggregates_of(store: &Arc<dyn Store>) -> Vec<Row> {
    let mut rows = table_of(store, table::AGGREGATE).await;
    rows.retain(|row| !row.key().starts_with(b"_partial#shard."));
    rows
}

/// Does what the error says after a change of the pipeline file.
async fn reconfigure(stages: &Arc<Stages>, store: &Arc<dyn Store>) {
    let Err(error) = aggregate_pending(stages, store).await else {
        return;
    };
    let message = error.to_string();
    assert!(error.is_usage());
    if message.contains("`rowmill aggregate --rebuild`") {
        rebuild_timeline(stages, store, now(), &Control::default())
            .await
            .unwrap();
    } else {
        assert!(message.contains("`rowmill aggregate --all`"), "{message}");
    }
    aggregate_with(stages, store, &aggregation(Scope::All))
        .await
        .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.min(2_000) / 12))]

    #[test]
    fn any_history_is_as_if_it_had_always_been_so(steps in prop::collection::vec(step(), 1..9)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}

/// A store whose calls take a while, each another one.
fn slow(store: &Arc<dyn Store>, seed: u64) -> Arc<dyn Store> {
    let chaos = Chaos {
        slow: Some((Duration::from_millis(1), 0.6)),
        ..Chaos::default()
    };
    Arc::new(Faulty::new(Arc::clone(store), chaos, seed, Arc::new(|| ())))
}

/// Processes that are no shards of one job and know nothing of each other, one of which dies, while late events come.
async fn race(seed: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let stages = rich();
    let [store, fresh] = [memory_store().await.store, memory_store().await.store];
    ingest_all(&stages, &store, &[&files[0]], "first")
        .await
        .unwrap();
    if seed.is_multiple_of(2) {
        aggregate_pending(&stages, &store).await.unwrap();
    }
    let aggregator = |number: u64| {
        let (stages, store) = (Arc::clone(&stages), slow(&store, seed * 10 + number));
        let scope = match (seed + number) % 4 {
            0 => Scope::All,
            _ => Scope::Pending,
        };
        let options = AggregateOptions {
            memory_bytes: [20_000, 100 << 20][usize::try_from(number % 2).unwrap()],
            ..AggregateOptions::new(format!("aggregator {number}"), scope, now())
        };
        async move {
            tokio::time::sleep(Duration::from_millis((seed * 7 + number * 5) % 6)).await;
            aggregate_with(&stages, &store, &options).await
        }
    };
    let late = async {
        let slow = slow(&store, seed);
        for file in &files[1..3] {
            let run = file.display().to_string();
            ingest_all(&stages, &slow, &[file], &run).await.unwrap();
        }
    };
    let dying = tokio::time::timeout(Duration::from_millis(seed), aggregator(3));
    let (one, other, dead, ()) = tokio::join!(aggregator(1), aggregator(2), dying, late);
    let done = [Some(one), Some(other), dead.ok()];
    let done = done.into_iter().flatten().map(Result::unwrap);
    let postponed = done.map(|done| done.postponed).sum();
    aggregate_pending(&stages, &store).await.unwrap();
    prove(&stages, &store).await;
    // What is left beside all that counts goes when a week is visited again.
    aggregate_with(&stages, &store, &aggregation(Scope::All))
        .await
        .unwrap();
    for file in &files[..3] {
        let run = file.display().to_string();
        ingest_all(&stages, &fresh, &[file], &run).await.unwrap();
    }
    aggregate_pending(&stages, &fresh).await.unwrap();
    let [raced, fresh] = [aggregates_of(&store).await, aggregates_of(&fresh).await];
    assert!(raced == fresh, "{seed}");
    postponed
}

#[test]
fn processes_that_know_nothing_of_each_other_lose_nothing() {
    let mut postponed = 0;
    for seed in 0..8 {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        postponed += runtime.block_on(race(seed));
    }
    assert!(postponed > 0, "none met another");
}

/// On one thread: there a process that died does nothing more, as in life, while the next one works.
#[tokio::test]
async fn shards_that_die_at_every_write_leave_what_one_process_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 150, 1);
    let stages = rich();
    let alone = memory_store().await.store;
    ingest_all(&stages, &alone, &[&file], "run").await.unwrap();
    aggregate_pending(&stages, &alone).await.unwrap();
    let expected = aggregates_of(&alone).await;
    for at_write in 1..40 {
        let store = memory_store().await.store;
        ingest_all(&stages, &store, &[&file], "run").await.unwrap();
        let death = Death {
            at_write,
            is_restarted: true,
        };
        aggregate_by(&stages, &store, 3, 5_000, Some(death), "shards").await;
        aggregate_pending(&stages, &store).await.unwrap();
        assert!(aggregates_of(&store).await == expected, "{at_write}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_on_all_stores_wait_for_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 300, 2);
    let stages = rich();
    let embedded = format!("file:{}", folder.path().join("store").display());
    for uri in ["memory:", embedded.as_str()] {
        let store = opened(uri).await.store;
        ingest_all(&stages, &store, &[&file], "run").await.unwrap();
        for index in [2, 0, 3, 1] {
            let options = AggregateOptions {
                shard: Shard::new(index, 4).unwrap(),
                ..aggregation(Scope::Pending)
            };
            let done = aggregate_with(&stages, &store, &options).await.unwrap();
            let missing = [2, 0, 3, 1]
                .iter()
                .rev()
                .position(|it| *it == index)
                .unwrap();
            assert_eq!(done.shards_missing as usize, missing);
            assert_eq!(done.rows > 0, missing == 0);
        }
        assert_eq!(aggregate_pending(&stages, &store).await.unwrap(), 0);
        prove(&stages, &store).await;
    }
}

#[test]
fn every_bucket_of_every_hour_is_one_shards() {
    let hour: rowmill_rowkey::Hour = "2018-11-15T14".parse().unwrap();
    for text in ["0/1", "2/3", "15/16", "31/32"] {
        assert!(text.parse::<Shard>().is_ok(), "{text}");
    }
    for text in ["", "1", "1/1", "-1/2", "a/b", "0/0", "0/10001"] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
    for count in [1, 2, 3, 7, 16, 32, 40] {
        let owners = |hour, bucket| {
            let shards = (0..count).map(|index| Shard::new(index, count).unwrap());
            shards.filter(|shard| shard.owns(hour, bucket)).count()
        };
        for bucket in 0..rowmill_rowkey::TIMELINE_BUCKETS {
            assert_eq!(
                [owners(hour, bucket), owners(hour.next().unwrap(), bucket)],
                [1, 1]
            );
        }
    }
}

/// Only the hour that changed is read, whatever history there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_event_costs_its_hour() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 2_000, 3);
    let stages = rich();
    let store = memory_store().await.store;
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    aggregate_pending(&stages, &store).await.unwrap();
    let late = folder.path().join("late.jsonl");
    let lines = std::fs::read_to_string(&file).unwrap();
    let line = lines
        .lines()
        .find(|line| line.contains("\"level\":\"paid\""))
        .unwrap();
    std::fs::write(&late, line.replace("\"sessionId\":", "\"sessionId\":99")).unwrap();
    ingest_all(&stages, &store, &[&late], "late").await.unwrap();
    let log = ScanLog::new(u64::MAX);
    let logged: Arc<dyn Store> = Arc::new(Logged::new(Arc::clone(&store), log.clone()));
    let done = aggregate_with(&stages, &logged, &aggregation(Scope::Pending))
        .await
        .unwrap();
    assert_eq!((done.hours, done.days, done.weeks), (1, 1, 1));
    assert!(done.events < 2_000 / 20, "{done:?}");
    // Its total, user, level, song and hour of the day, on the day and in the week; leaderboards; sessions.
    assert!((4..30).contains(&done.rows), "{done:?}");
    prove(&stages, &store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_what_is_aggregated_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 200, 4);
    let store = memory_store().await.store;
    let (rich, leaner, other) = (rich(), stages(&LEANER), stages(&OTHER));
    ingest_all(&rich, &store, &[&file], "run").await.unwrap();
    aggregate_pending(&rich, &store).await.unwrap();
    let error = aggregate_pending(&leaner, &store)
        .await
        .unwrap_err()
        .to_string();
    let lines: Vec<_> = error.lines().collect();
    assert!(
        lines[0]
            .ends_with("run `rowmill aggregate --all`, which makes them anew from the timeline"),
        "{error}"
    );
    assert!(
        lines.contains(
            &"  now: dimension `level` of level string, by hour, day, week, top 100 by count"
        ),
        "{error}"
    );
    assert!(
        lines.contains(&"  stored: sessions by gaps of 1800 s"),
        "{error}"
    );
    aggregate_with(&leaner, &store, &aggregation(Scope::All))
        .await
        .unwrap();
    prove(&leaner, &store).await;
    let error = aggregate_with(&other, &store, &aggregation(Scope::All))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the timeline lacks `location` of events that are stored already; run `rowmill aggregate --rebuild`, which reads the facts"
    );
    rebuild_timeline(&other, &store, now(), &Control::default())
        .await
        .unwrap();
    aggregate_with(&other, &store, &aggregation(Scope::All))
        .await
        .unwrap();
    prove(&other, &store).await;
}

/// Whole weeks of which the timeline may have dropped events stay as they are.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_timeline_no_longer_has_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 300, 5);
    let stages = stages(&["retention.events_timeline='10d'"]);
    let store = memory_store().await.store;
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    let first: Date = "2025-11-01".parse().unwrap();
    let options = |days| AggregateOptions {
        now: first.plus_days(days).unwrap().start(),
        ..aggregation(Scope::Pending)
    };
    let done = aggregate_with(&stages, &store, &options(9)).await.unwrap();
    assert!(done.events > 200 && done.expired == 0);
    let before = table_of(&store, table::AGGREGATE).await;
    ingest_all(
        &stages,
        &store,
        &[&generated(folder.path(), "b.jsonl", 50, 6)],
        "late",
    )
    .await
    .unwrap();
    let done = aggregate_with(&stages, &store, &options(90)).await.unwrap();
    assert!(done.expired > 0 && done.events == 0);
    assert!(table_of(&store, table::AGGREGATE).await == before);
    assert_eq!(aggregate_pending(&stages, &store).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_cell_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 300, 7);
    let stages = rich();
    let store = memory_store().await.store;
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    aggregate_pending(&stages, &store).await.unwrap();
    let rows = table_of(&store, table::AGGREGATE).await;
    let is_shown = |row: &&Row| !row.key().starts_with(b"_partial");
    for (number, row) in rows.iter().filter(is_shown).step_by(17).enumerate() {
        let cells: Vec<_> = row.cells().collect();
        let cell = cells[number % cells.len()];
        let mut batch = rowmill_model::MutationBatch::new();
        let mut broken = batch.row(row.key());
        match number % 4 {
            0 => broken.set(cell.family, cell.qualifier, cell.timestamp_micros, b"wrong"),
            1 => broken.delete_column(cell.family, cell.qualifier),
            2 => broken.delete_row(),
            _ => broken.set(cell.family, b"zzz", cell.timestamp_micros, b"extra"),
        }
        broken.finish();
        store.apply_all(table::AGGREGATE, batch).await.unwrap();
        let report = proof(&stages, &store).await;
        let keys: Vec<_> = report.differences.iter().map(|it| it.key.clone()).collect();
        assert_eq!(keys, [String::from_utf8_lossy(row.key())], "{number}");
        // Making everything anew repairs it.
        rebuild_timeline(&stages, &store, now(), &Control::default())
            .await
            .unwrap();
        aggregate_with(&stages, &store, &aggregation(Scope::All))
            .await
            .unwrap();
        prove(&stages, &store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_proved_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 300, 8);
    let stages = rich();
    let store = memory_store().await.store;
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    let day = |text: &str| text.parse::<Date>().unwrap();
    let options = AggregateOptions {
        scope: Scope::Between(day("2025-11-02"), day("2025-11-02")),
        ..aggregation(Scope::Pending)
    };
    aggregate_with(&stages, &store, &options).await.unwrap();
    let verified = |from: &str, to: &str| VerifyAggregatesOptions {
        from: day(from),
        to: day(to),
        ..VerifyAggregatesOptions::default()
    };
    let control = Control::default();
    let one = verified("2025-11-02", "2025-11-02");
    let report = verify_aggregates(&stages, &store, &one, &control)
        .await
        .unwrap();
    assert!(report.is_proved() && report.rows > 10, "{report:?}");
    let all = verified("2025-11-01", "2025-11-02");
    let report = verify_aggregates(&stages, &store, &all, &control)
        .await
        .unwrap();
    assert!(!report.is_proved() && report.pending > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_is_repaired_from_the_facts() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 300, 9);
    let stages = rich();
    let store = memory_store().await.store;
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    let [facts, timeline] = [
        table_of(&store, table::FACT).await,
        table_of(&store, table::TIMELINE).await,
    ];
    let mut batch = rowmill_model::MutationBatch::new();
    // One row is lost, another is of a fact that is lost, a third has a cell too many.
    for (key, of_fact) in [(timeline[3].key(), false), (facts[5].key(), true)] {
        let mut row = batch.row(key);
        row.delete_row();
        row.finish();
        let table = if of_fact {
            table::FACT
        } else {
            table::TIMELINE
        };
        store
            .apply_all(table, std::mem::take(&mut batch))
            .await
            .unwrap();
    }
    let mut row = batch.row(timeline[7].key());
    row.set("event", b"song", 7_000, b"another");
    row.finish();
    store.apply_all(table::TIMELINE, batch).await.unwrap();
    let done = rebuild_timeline(&stages, &store, now(), &Control::default())
        .await
        .unwrap();
    assert_eq!((done.facts, done.orphans), (facts.len() as u64 - 1, 1));
    let mut expected = timeline.clone();
    expected.retain(|row| {
        rowmill_rowkey::TimelineKey::fact_bytes(row.key()).unwrap() != facts[5].key()
    });
    assert_eq!(table_of(&store, table::TIMELINE).await, expected);
}

/// Between a rebuild and the aggregation that follows, nobody takes what little there is for everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_was_not_finished_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 200, 9);
    let stages = rich();
    let store = memory_store().await.store;
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    aggregate_pending(&stages, &store).await.unwrap();
    let control = Control::default();
    rebuild_timeline(&stages, &store, now(), &control)
        .await
        .unwrap();
    let error = aggregate_pending(&stages, &store).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the aggregates were not made anew to their end; run `rowmill aggregate --all`"
    );
    aggregate_with(&stages, &store, &aggregation(Scope::All))
        .await
        .unwrap();
    aggregate_pending(&stages, &store).await.unwrap();
    prove(&stages, &store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_is_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 600, 10);
    let stages = rich();
    let store = memory_store().await.store;
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    aggregate_pending(&stages, &store).await.unwrap();
    let mut options = DeleteOptions {
        user_id: "2".into(),
        name: "delete".into(),
        dry_run: true,
    };
    let control = Control::default();
    let planned = delete_user(&stages, &store, &options, &control)
        .await
        .unwrap();
    options.dry_run = false;
    let done = delete_user(&stages, &store, &options, &control)
        .await
        .unwrap();
    assert_eq!(planned, done);
    assert!(
        done.events > 5 && done.letters > 0 && done.hours > 1,
        "{done:?}"
    );
    aggregate_pending(&stages, &store).await.unwrap();
    prove(&stages, &store).await;
    let report = verify(
        &stages,
        &store,
        &rowmill_pipeline::VerifyOptions::default(),
        &control,
    )
    .await
    .unwrap();
    assert!(report.is_proved(), "{report:?}");
    for name in [table::FACT, table::TIMELINE, table::AGGREGATE] {
        for row in table_of(&store, name).await {
            let key = String::from_utf8_lossy(row.key()).into_owned();
            assert!(
                !key.contains("#2#0") && !key.starts_with("2#") && !key.starts_with("user_id#2#"),
                "{name} {key}"
            );
        }
    }
    let again = delete_user(&stages, &store, &options, &control)
        .await
        .unwrap();
    assert_eq!((again.events, again.letters), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaderboard_is_one_row_and_says_what_reading_all_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 400, 11);
    let stages = rich();
    let store = memory_store().await.store;
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    aggregate_pending(&stages, &store).await.unwrap();
    let ask = async |limit| {
        let log = ScanLog::new(u64::MAX);
        let logged = Logged::new(Arc::clone(&store), log.clone());
        let query = TopQuery {
            dimension: "song".into(),
            period: Period::Day("2025-11-02".parse().unwrap()),
            by: "length_sum".into(),
            limit,
        };
        let places = top(&stages, &logged, &query).await.unwrap();
        assert_eq!(log.scans().len(), 1);
        (places, log.rows())
    };
    let (three, rows) = ask(3).await;
    assert_eq!((three.len(), rows), (3, 1));
    // There are three places: for more, all values are read.
    let (all, rows) = ask(50).await;
    assert!(rows > 10 && all[..3] == three);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let stages = rich();
    let store = memory_store().await.store;
    let [first, second] = [("a.jsonl", 12), ("b.jsonl", 13)]
        .map(|(name, seed)| generated(folder.path(), name, 200, seed));
    ingest_all(&stages, &store, &[&first], "run 1")
        .await
        .unwrap();
    aggregate_pending(&stages, &store).await.unwrap();
    let late = rowmill_pipeline::IngestOptions {
        now: rowmill_rowkey::Timestamp::from_micros(5_000_000).unwrap(),
        ..crate::options("run 2")
    };
    crate::ingest_with(&stages, &store, &[&second], &late)
        .await
        .unwrap();
    let query = ExplainQuery {
        dimension: "_total".into(),
        value: "all".into(),
        period: Period::Day("2025-11-02".parse().unwrap()),
    };
    let found = explain(&stages, &store, &query).await.unwrap();
    let counts: Vec<_> = found
        .sources
        .iter()
        .map(|it| (it.run.as_str(), it.is_late, it.rejected > 0))
        .collect();
    assert_eq!(counts, [("run 1", false, true), ("run 2", true, true)]);
    assert_eq!(
        found.events,
        found.sources.iter().map(|it| it.events).sum::<u64>()
    );
    // What is stored is behind until the pending hours are aggregated.
    assert_eq!(
        found.stored.as_ref().unwrap().bucket.count,
        found.sources[0].events
    );
    assert!(!found.pending.is_empty());
    aggregate_pending(&stages, &store).await.unwrap();
    let found = explain(&stages, &store, &query).await.unwrap();
    assert_eq!(found.stored.unwrap().bucket.count, found.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_counted_and_long_queries_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 300, 14);
    let stages = rich();
    let embedded = format!("file:{}", folder.path().join("store").display());
    for uri in ["memory:", embedded.as_str()] {
        let store = opened(uri).await.store;
        let report = ingest_all(&stages, &store, &[&file], "run").await.unwrap();
        let counted = count_rows(&store, table::FACT, &Control::default())
            .await
            .unwrap();
        assert_eq!(counted, report.ledger.written);
        let log = ScanLog::new(10);
        let logged: Arc<dyn Store> = Arc::new(Logged::new(store, log.clone()));
        let error = count_rows(&logged, table::FACT, &Control::default())
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Store(_)) && log.is_exceeded() && log.bytes() > 0);
    }
}
