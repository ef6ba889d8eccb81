//! Aggregates: they are what the facts say, cost what changed, and are noticed to be others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_aggregate::Period;
use rowmill_model::columns::table;
use rowmill_model::{Grain, Row, Value};
use rowmill_pipeline::{
    AggregateOptions, Control, DeleteOptions, Error, ExplainQuery, ExportFormat, ExportTable,
    Logged, RebuildOptions, ScanLog, Scope, Shard, Stages, StatsQuery, TopQuery,
    VerifyAggregatesOptions, VerifyAggregatesReport, apply_changes, count_rows, delete_users,
    explain, export, plan_tables, rebuild_timeline, stats, top, verify, verify_aggregates,
    wanted_tables,
};
use rowmill_rowkey::Date;
use rowmill_store::{Chaos, Faulty, ManualClock, MemoryStore, Scan, Store, StoreExt as _};

use crate::{
    aggregate_pending, aggregate_with, aggregation, dates, generated, ingest_all, memory_store,
    now, opened, stages,
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
pub(crate) const LEANER: [&str; 3] = [
    "aggregates=[{dimension='level'},{dimension='song',grains=['day']}]",
    "measures.length.stats=['sum','p95']",
    "sessions.field='session_id'",
];
/// Needs what the timelines of the others do not have.
pub(crate) const OTHER: [&str; 2] = ["aggregates=[{dimension='location'}]", "distinct={}"];

pub(crate) fn rich() -> Arc<Stages> {
    stages(&RICH)
}

pub(crate) async fn table_of(store: &Arc<dyn Store>, table: &str) -> Vec<Row> {
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

pub(crate) async fn prove(stages: &Arc<Stages>, store: &Arc<dyn Store>) {
    let report = proof(stages, store).await;
    assert!(
        report.is_proved() && report.pending == 0,
        "{:?}",
        report.differences.first()
    );
}

/// All rows of aggregates but what shards left that died after their parts were merged: that is nobody's.
pub(crate) async fn aggregates_of(store: &Arc<dyn Store>) -> Vec<Row> {
    let mut rows = table_of(store, table::AGGREGATE).await;
    rows.retain(|row| !row.key().starts_with(b"_partial#shard."));
    rows
}

/// Files that overlap in time; some hold the same events.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
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
    rebuild_timeline(
        &other,
        &store,
        &RebuildOptions::new(now()),
        &Control::default(),
    )
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

/// To make everything anew, also by another plan, takes nothing away that the timeline cannot give back.
#[tokio::test]
async fn all_anew_keeps_what_the_timeline_no_longer_has() {
    let folder = tempfile::tempdir().unwrap();
    let old = generated(folder.path(), "a.jsonl", 300, 5);
    let retention = "retention.events_timeline='10d'";
    let (before, after) = (
        stages(&[retention]),
        stages(&[retention, "distinct.songs='song'"]),
    );
    let [store, fresh] = [memory_store().await.store, memory_store().await.store];
    ingest_all(&before, &store, &[&old], "old").await.unwrap();
    aggregate_pending(&before, &store).await.unwrap();
    let expected = table_of(&store, table::AGGREGATE).await;
    let new = generated(folder.path(), "b.jsonl", 200, 6);
    let moved = std::fs::read_to_string(&new).unwrap();
    // The same hours of a month later.
    let month = 28 * 86_400_000_u64;
    let moved: Vec<String> = moved.lines().map(|line| later(line, month)).collect();
    std::fs::write(&new, moved.join("\n")).unwrap();
    let options = |days| AggregateOptions {
        now: "2025-11-01"
            .parse::<Date>()
            .unwrap()
            .plus_days(days)
            .unwrap()
            .start(),
        ..aggregation(Scope::All)
    };
    for (stages, is_changed) in [(&before, false), (&after, true)] {
        ingest_all(stages, &store, &[&new], "new").await.unwrap();
        if is_changed {
            let now = options(33).now;
            rebuild_timeline(
                stages,
                &store,
                &RebuildOptions::new(now),
                &Control::default(),
            )
            .await
            .unwrap();
        }
        let done = aggregate_with(stages, &store, &options(33)).await.unwrap();
        assert!(done.events > 150 && done.expired > 0, "{done:?}");
        let found = table_of(&store, table::AGGREGATE).await;
        let is_old = |row: &&Row| expected.iter().any(|it| it.key() == row.key());
        let kept: Vec<_> = found.iter().filter(is_old).cloned().collect();
        assert!(kept == expected, "{} of {}", kept.len(), expected.len());
    }
    ingest_all(&after, &fresh, &[&new], "new").await.unwrap();
    aggregate_with(&after, &fresh, &options(33)).await.unwrap();
    let found = table_of(&store, table::AGGREGATE).await;
    let is_new = |row: &&Row| !expected.iter().any(|it| it.key() == row.key());
    let made: Vec<_> = found.iter().filter(is_new).cloned().collect();
    assert!(made == table_of(&fresh, table::AGGREGATE).await);
}

/// The line of an event, so many milliseconds later; lines that are none stay as they are.
fn later(line: &str, millis: u64) -> String {
    let Some((before, rest)) = line.split_once("\"ts\":") else {
        return line.to_owned();
    };
    let digits = rest
        .find(|it: char| !it.is_ascii_digit())
        .unwrap_or(rest.len());
    match rest[..digits].parse::<u64>() {
        Ok(time) => format!("{before}\"ts\":{}{}", time + millis, &rest[digits..]),
        Err(_) => line.to_owned(),
    }
}

/// Figures of measures that are not as the pipeline file says are refused; a dimension that is new there takes nothing from the others.
#[tokio::test]
async fn what_was_aggregated_otherwise_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 200, 4);
    let store = memory_store().await.store;
    let made = stages(&["aggregates=[{dimension='song'}]"]);
    ingest_all(&made, &store, &[&file], "run").await.unwrap();
    aggregate_pending(&made, &store).await.unwrap();
    let ask = async |stages: Arc<Stages>, dimension: &str| {
        let query = StatsQuery {
            dimension: dimension.to_owned(),
            value: "all".to_owned(),
            grain: Grain::Day,
            from: None,
            to: None,
        };
        let found = stats(&stages, &*store, &query).await?;
        found.try_collect::<Vec<_>>().await
    };
    let expected = ask(made, "_total").await.unwrap();
    assert_eq!(expected.len(), 3);
    let more = stages(&["aggregates=[{dimension='song'},{dimension='level'}]"]);
    assert_eq!(ask(Arc::clone(&more), "_total").await.unwrap(), expected);
    let error = ask(more, "level").await.unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("`level`"));
    let measured = stages(&[
        "aggregates=[{dimension='song'}]",
        "measures.length.stats=['sum','p10']",
    ]);
    let error = ask(Arc::clone(&measured), "_total").await.unwrap_err();
    assert!(error.to_string().contains("run `rowmill aggregate --all`"));
    let (table, format) = (ExportTable::Aggregates, ExportFormat::Csv);
    let (mut out, control) = (Vec::new(), Control::default());
    let exported = export(&measured, &*store, table, format, &mut out, &control);
    assert!(exported.await.unwrap_err().is_usage());
}

/// Where a rule of age has dropped the head of a week, its later days are left alone, although they are not as old.
#[tokio::test]
async fn a_week_whose_head_is_too_old_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let [first, late] = [("a.jsonl", 5), ("b.jsonl", 6)]
        .map(|(name, seed)| generated(folder.path(), name, 300, seed));
    let stages = stages(&["retention.events_aggregate='10d'"]);
    let at = |date: &str| date.parse::<Date>().unwrap().start();
    let clock = Arc::new(ManualClock::new(at("2025-11-04")));
    let memory = Arc::new(MemoryStore::with_clock(clock.clone()));
    let wanted = wanted_tables(stages.pipeline());
    let changes = plan_tables(&*memory, &wanted).await.unwrap();
    apply_changes(&*memory, &wanted, &changes).await.unwrap();
    let store: Arc<dyn Store> = memory;
    let aggregated = async |scope, now: &str| {
        let options = AggregateOptions {
            now: at(now),
            ..aggregation(scope)
        };
        aggregate_with(&stages, &store, &options).await.unwrap()
    };
    let of_date = async |date: &str| {
        let rows = table_of(&store, table::AGGREGATE).await;
        let rows = rows.into_iter().filter(|row| {
            !row.key().starts_with(b"_partial") && row.key().ends_with(date.as_bytes())
        });
        rows.collect::<Vec<_>>()
    };
    ingest_all(&stages, &store, &[&first], "first")
        .await
        .unwrap();
    let done = aggregated(Scope::Pending, "2025-11-04").await;
    assert_eq!((done.expired, done.postponed, done.weeks), (0, 0, 2));
    let saturday = of_date("2025-11-01").await;
    // Ten days before are a Wednesday: the Monday before it is gone, and with it what says how far its week is made.
    clock.set(at("2025-11-08"));
    ingest_all(&stages, &store, &[&late], "late").await.unwrap();
    for scope in [Scope::Pending, Scope::All] {
        let done = aggregated(scope, "2025-11-08").await;
        assert_eq!((done.postponed, done.weeks), (0, 1), "{done:?}");
        assert!(done.expired > 0);
        assert!(saturday.len() > 20 && of_date("2025-11-01").await == saturday);
        assert_eq!(aggregated(Scope::Pending, "2025-11-08").await.expired, 0);
    }
}

/// A partial that is not as its name says is made anew, with all of its week.
#[tokio::test]
async fn damaged_partials_are_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let [first, late] = [("a.jsonl", 7), ("b.jsonl", 8)]
        .map(|(name, seed)| generated(folder.path(), name, 200, seed));
    let stages = rich();
    let fresh = memory_store().await.store;
    for file in [&first, &late] {
        let run = file.display().to_string();
        ingest_all(&stages, &fresh, &[file], &run).await.unwrap();
    }
    aggregate_pending(&stages, &fresh).await.unwrap();
    let expected = aggregates_of(&fresh).await;
    let damages = [Some(0), Some(20), None].into_iter();
    let damages = damages.flat_map(|damage| ["hour", "day", "week"].map(|grain| (grain, damage)));
    for (number, (grain, damage)) in damages.enumerate() {
        let store = memory_store().await.store;
        let run = first.display().to_string();
        ingest_all(&stages, &store, &[&first], &run).await.unwrap();
        aggregate_pending(&stages, &store).await.unwrap();
        let prefix = format!("_partial#{grain}.");
        let mut batch = rowmill_model::MutationBatch::new();
        for row in table_of(&store, table::AGGREGATE).await {
            if !row.key().starts_with(prefix.as_bytes()) {
                continue;
            }
            let cell = row.cells().next().unwrap();
            let mut broken = batch.row(row.key());
            if let Some(at) = damage {
                let mut value = cell.value.to_vec();
                value[at] ^= 1;
                broken.set(cell.family, cell.qualifier, cell.timestamp_micros, &value);
            } else {
                broken.delete_row();
            }
            broken.finish();
        }
        assert!(!batch.is_empty());
        store.apply_all(table::AGGREGATE, batch).await.unwrap();
        let run = late.display().to_string();
        ingest_all(&stages, &store, &[&late], &run).await.unwrap();
        // Found by one process, or by the last of two shards.
        let shards = [1, 2][number % 2];
        for index in 0..shards {
            let options = AggregateOptions {
                shard: Shard::new(index, shards).unwrap(),
                ..aggregation(Scope::Pending)
            };
            aggregate_with(&stages, &store, &options).await.unwrap();
        }
        assert_eq!(aggregate_pending(&stages, &store).await.unwrap(), 0);
        prove(&stages, &store).await;
        assert!(
            aggregates_of(&store).await == expected,
            "{grain} {damage:?}"
        );
    }
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
        rebuild_timeline(
            &stages,
            &store,
            &RebuildOptions::new(now()),
            &Control::default(),
        )
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
    let options = AggregateOptions {
        scope: Scope::Between(dates("2025-11-02", "2025-11-02")),
        ..aggregation(Scope::Pending)
    };
    aggregate_with(&stages, &store, &options).await.unwrap();
    let verified = |from: &str, to: &str| VerifyAggregatesOptions {
        dates: dates(from, to),
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
    let done = rebuild_timeline(
        &stages,
        &store,
        &RebuildOptions::new(now()),
        &Control::default(),
    )
    .await
    .unwrap();
    assert_eq!((done.facts, done.orphans), (facts.len() as u64 - 1, 1));
    let mut expected = timeline.clone();
    expected.retain(|row| {
        rowmill_rowkey::TimelineKey::fact_bytes(row.key()).unwrap() != facts[5].key()
    });
    assert_eq!(table_of(&store, table::TIMELINE).await, expected);
}

/// A run that has not ended may be about to write the facts of rows of the timeline that have none.
#[tokio::test]
async fn what_an_unfinished_run_wrote_is_no_orphan() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 300, 9);
    let stages = rich();
    let store = memory_store().await.store;
    let dead = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&dead);
    let chaos = Chaos {
        kill_at: Some(6),
        ..Chaos::default()
    };
    let kill = Arc::new(move || notify.notify_one());
    let dying: Arc<dyn Store> = Arc::new(Faulty::new(Arc::clone(&store), chaos, 1, kill));
    let options = rowmill_pipeline::IngestOptions {
        batch_rows: 20,
        ..crate::options("run")
    };
    let paths = [file.as_path()];
    tokio::select! {
        biased;
        () = dead.notified() => {}
        ended = crate::ingest_with(&stages, &dying, &paths, &options) => panic!("{ended:?}"),
    }
    let orphan = table_of(&store, table::TIMELINE).await.remove(0);
    let fact = rowmill_rowkey::TimelineKey::fact_bytes(orphan.key()).unwrap();
    let mut batch = rowmill_model::MutationBatch::new();
    let mut row = batch.row(fact);
    row.delete_row();
    row.finish();
    store.apply_all(table::FACT, batch).await.unwrap();
    let control = Control::default();
    let done = rebuild_timeline(&stages, &store, &RebuildOptions::new(now()), &control)
        .await
        .unwrap();
    assert_eq!((done.orphans, done.orphans_left > 0), (0, true), "{done:?}");
    crate::ingest_with(&stages, &store, &[&file], &options)
        .await
        .unwrap();
    let done = rebuild_timeline(&stages, &store, &RebuildOptions::new(now()), &control)
        .await
        .unwrap();
    assert_eq!(done.orphans_left, 0);
    aggregate_with(&stages, &store, &aggregation(Scope::All))
        .await
        .unwrap();
    prove(&stages, &store).await;
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
    rebuild_timeline(&stages, &store, &RebuildOptions::new(now()), &control)
        .await
        .unwrap();
    let error = aggregate_pending(&stages, &store).await.unwrap_err();
    let expected = "the aggregates are being made anew, or were not made to their end; if no process is at work, run `rowmill aggregate --all`";
    assert_eq!(error.to_string(), expected);
    // What is left of them is not shown as if it were all.
    let mut out = Vec::new();
    let (what, format) = (ExportTable::Aggregates, ExportFormat::Jsonl);
    let error = export(&stages, &*store, what, format, &mut out, &control).await;
    assert_eq!(error.unwrap_err().to_string(), expected);
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
        user_ids: ["2".to_owned()].into(),
        name: "delete".into(),
        dry_run: true,
    };
    let control = Control::default();
    let planned = delete_users(&stages, &store, &options, &control)
        .await
        .unwrap();
    options.dry_run = false;
    let done = delete_users(&stages, &store, &options, &control)
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
    let again = delete_users(&stages, &store, &options, &control)
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
        let places: Vec<_> = places.try_collect().await.unwrap();
        let of_aggregates = |scan: &&String| scan.contains(table::AGGREGATE);
        assert_eq!(log.scans().iter().filter(of_aggregates).count(), 1);
        // Beside the row that says what the aggregates were made by.
        (places, log.rows() - 1)
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
    let found = explain(&stages, &store, &query, &Control::default())
        .await
        .unwrap();
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
        found.stored.as_ref().unwrap().figures.count(),
        found.sources[0].events
    );
    assert!(!found.pending.is_empty());
    aggregate_pending(&stages, &store).await.unwrap();
    let found = explain(&stages, &store, &query, &Control::default())
        .await
        .unwrap();
    assert_eq!(found.stored.unwrap().figures.count(), found.events);
    // Of sessions it is the events that are in one.
    let query = ExplainQuery {
        dimension: "_sessions".into(),
        ..query
    };
    let found = explain(&stages, &store, &query, &Control::default())
        .await
        .unwrap();
    let figures = found.stored.unwrap().figures;
    let names = stages.plan().layout_of("_sessions").figure_names();
    let mean = names.iter().position(|name| name == "events_avg").unwrap();
    let Value::Float(mean) = figures.value(mean) else {
        panic!("{figures:?}")
    };
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let (sessions, events) = (figures.count() as f64, found.events as f64);
    assert!((mean * sessions - events).abs() < 1e-6 && sessions > 1.0);
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

/// Events of one day, each of another song.
fn songs(folder: &Path, count: usize, song: impl Fn(usize) -> String) -> PathBuf {
    let event = |number: usize| {
        let time = 1_762_000_000_000_u64 + number as u64;
        let song = song(number);
        format!(
            "{{\"ts\":{time},\"userId\":\"1\",\"sessionId\":1,\"itemInSession\":{number},\"page\":\"NextSong\",\"song\":\"{song}\",\"artist\":\"a\",\"length\":1.5,\"level\":\"free\"}}\n"
        )
    };
    let path = folder.join("songs.jsonl");
    std::fs::write(&path, (0..count).map(event).collect::<String>()).unwrap();
    path
}

/// The longest cell, of all there are.
async fn longest_cell(store: &Arc<dyn Store>) -> usize {
    let rows = table_of(store, table::AGGREGATE).await;
    let cells = rows
        .iter()
        .filter(|row| !row.key().starts_with(b"_partial"));
    let lengths =
        cells.flat_map(|row| row.cells().map(|cell| cell.value.len()).collect::<Vec<_>>());
    lengths.max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_too_long_for_cells_are_cut_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&["aggregates=[{dimension='song',grains=['hour','day','week']}]"]);
    let file = songs(folder.path(), 110, |number| {
        format!("{}{number}", "é".repeat(60_000))
    });
    let store = memory_store().await.store;
    let report = ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    assert_eq!(report.ledger.written, 110);
    let done = aggregate_with(&stages, &store, &aggregation(Scope::Pending))
        .await
        .unwrap();
    // Of the day and of the week.
    assert_eq!((done.cut_values, done.cut_boards), (220, 0), "{done:?}");
    assert!(longest_cell(&store).await < 200 << 10);
    prove(&stages, &store).await;
    let query = TopQuery {
        dimension: "song".into(),
        period: Period::Day("2025-11-01".parse().unwrap()),
        by: "count".into(),
        limit: 100,
    };
    let places: Vec<_> = top(&stages, &*store, &query)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let values: std::collections::BTreeSet<_> = places.iter().map(|place| &place.value).collect();
    assert_eq!(values.len(), 100);
    assert!(
        values
            .iter()
            .all(|value| value.len() <= 1_024 && value.starts_with("éé"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaderboard_has_a_budget_and_questions_see_beyond_it() {
    const VALUES: usize = 4_500;
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&["aggregates=[{dimension='song',grains=['day'],top={size=10000}}]"]);
    let file = songs(folder.path(), VALUES, |number| format!("{number:0>1000}"));
    let store = memory_store().await.store;
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    let done = aggregate_with(&stages, &store, &aggregation(Scope::Pending))
        .await
        .unwrap();
    assert_eq!((done.cut_boards, done.cut_values), (1, 0), "{done:?}");
    assert!(longest_cell(&store).await <= 4 << 20);
    prove(&stages, &store).await;
    let mut query = TopQuery {
        dimension: "song".into(),
        period: Period::Day("2025-11-01".parse().unwrap()),
        by: "count".into(),
        limit: 10_000,
    };
    let places: Vec<_> = top(&stages, &*store, &query)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(places.len(), VALUES);
    query.limit = 100;
    let first: Vec<_> = top(&stages, &*store, &query)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(first, places[..100]);
}
