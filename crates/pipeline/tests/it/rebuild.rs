//! Rebuilding the timeline: nothing that is there is removed, nothing foreign stops it, and it reads each table in order.

use std::path::Path;
use std::sync::Arc;

use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_pipeline::{
    Control, Error, Logged, RebuildOptions, RebuildReport, ScanLog, Scope, Stages, rebuild_timeline,
};
use rowmill_rowkey::{Date, TimelineKey};
use rowmill_store::{Chaos, Faulty, Store, StoreExt as _};

use crate::aggregates::{OTHER, prove, rich, table_of};
use crate::{aggregate_with, aggregation, generated, ingest_all, memory_store, now, stages};

const EVENTS: u64 = 300;

/// A store with events.
async fn filled(folder: &Path, stages: &Arc<Stages>) -> Arc<dyn Store> {
    let file = generated(folder, "a.jsonl", EVENTS, 9);
    let store = memory_store().await.store;
    ingest_all(stages, &store, &[&file], "run").await.unwrap();
    store
}

async fn rebuilt(stages: &Arc<Stages>, store: &Arc<dyn Store>) -> Result<RebuildReport, Error> {
    let options = RebuildOptions::new(now());
    rebuild_timeline(stages, store, &options, &Control::default()).await
}

/// Changes every fact.
async fn change_facts(store: &Arc<dyn Store>, change: impl Fn(&Row, &mut MutationBatch)) {
    let mut batch = MutationBatch::new();
    let facts = table_of(store, table::FACT).await;
    facts.iter().for_each(|fact| change(fact, &mut batch));
    store.apply_all(table::FACT, batch).await.unwrap();
}

/// Rules of age drop families one by one, and others write facts with some of them only.
#[tokio::test(flavor = "multi_thread")]
async fn a_fact_with_any_cell_keeps_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let stages = rich();
    let families = [family::EVENT_DATA, family::METADATA, family::QUALITY];
    for kept in families {
        let store = filled(folder.path(), &stages).await;
        let timeline = table_of(&store, table::TIMELINE).await;
        change_facts(&store, |fact, batch| {
            let mut row = batch.row(fact.key());
            let dropped = families.into_iter().filter(|family| *family != kept);
            dropped.for_each(|family| row.delete_family(family));
            row.finish();
        })
        .await;
        let facts = table_of(&store, table::FACT).await.len();
        let done = rebuilt(&stages, &store).await.unwrap();
        assert_eq!((done.facts, done.orphans), (facts as u64, 0), "{kept}");
        let keys = |rows: &[Row]| {
            rows.iter()
                .map(|row| row.key().to_vec())
                .collect::<Vec<_>>()
        };
        let found = table_of(&store, table::TIMELINE).await;
        assert_eq!(
            (facts, keys(&found)),
            (timeline.len(), keys(&timeline)),
            "{kept}"
        );
        aggregate_with(&stages, &store, &aggregation(Scope::All))
            .await
            .unwrap();
        prove(&stages, &store).await;
    }
}

/// What facts no longer say is not taken out of the timeline.
#[tokio::test(flavor = "multi_thread")]
async fn facts_without_attributes_leave_the_timeline_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&["retention.events_fact.event_data='30d'"]);
    let store = filled(folder.path(), &stages).await;
    let timeline = table_of(&store, table::TIMELINE).await;
    change_facts(&store, |fact, batch| {
        let mut row = batch.row(fact.key());
        row.delete_family(family::EVENT_DATA);
        row.finish();
    })
    .await;
    let options = RebuildOptions::new("2026-11-30".parse::<Date>().unwrap().start());
    let control = Control::default();
    let done = rebuild_timeline(&stages, &store, &options, &control)
        .await
        .unwrap();
    assert_eq!((done.facts, done.expired), (0, timeline.len() as u64));
    assert_eq!(table_of(&store, table::TIMELINE).await, timeline);
}

#[tokio::test(flavor = "multi_thread")]
async fn most_of_the_timeline_is_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    let stages = rich();
    let store = filled(folder.path(), &stages).await;
    let timeline = table_of(&store, table::TIMELINE).await;
    change_facts(&store, |fact, batch| {
        let mut row = batch.row(fact.key());
        row.delete_row();
        row.finish();
    })
    .await;
    let error = rebuilt(&stages, &store).await.unwrap_err();
    let count = timeline.len();
    let expected =
        format!("{count} of {count} rows of events_timeline have no fact: more than half");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(!error.is_usage());
    assert_eq!(table_of(&store, table::TIMELINE).await, timeline);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_do_not_stop_a_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let stages = rich();
    let store = filled(folder.path(), &stages).await;
    let timeline = table_of(&store, table::TIMELINE).await;
    let facts = table_of(&store, table::FACT).await;
    let mut batch = MutationBatch::new();
    let damaged = facts[3].key();
    for (key, qualifier, value) in [
        (damaged, &b"length"[..], &b"\0\x01"[..]),
        (b"\0\xff\x80", b"length", b""),
        (b"py6#nodate#e", b"length", b""),
        (b"py7#nodate#e", b"\xff", b""),
    ] {
        let mut row = batch.row(key);
        row.set(family::EVENT_DATA, qualifier, 0, value);
        row.finish();
    }
    store.apply_all(table::FACT, batch).await.unwrap();
    let mut batch = MutationBatch::new();
    let mut row = batch.row(b"no key of the timeline");
    row.set(family::EVENT, b"song", 0, b"");
    row.finish();
    store.apply_all(table::TIMELINE, batch).await.unwrap();
    // The damaged cell stands beside a sound one of another time, and a read shows the newest of them.
    change_facts(&store, |fact, batch| {
        if fact.key() == damaged {
            let mut row = batch.row(damaged);
            row.delete_column(family::EVENT_DATA, b"length");
            row.set(family::EVENT_DATA, b"length", 0, b"\0\x01");
            row.finish();
        }
    })
    .await;
    let done = rebuilt(&stages, &store).await.unwrap();
    assert_eq!(
        (done.unreadable.count, done.unreadable.rows.len()),
        (5, 5),
        "{done:?}"
    );
    assert_eq!((done.facts, done.orphans), (facts.len() as u64 - 1, 0));
    let named = |key: &[u8]| {
        let key = String::from_utf8_lossy(key);
        done.unreadable.rows.iter().any(|it| it.key == key)
    };
    assert!(
        named(damaged) && named(b"no key of the timeline"),
        "{done:?}"
    );
    let mut found = table_of(&store, table::TIMELINE).await;
    found.retain(|row| TimelineKey::decode(row.key()).is_ok());
    assert_eq!(found, timeline);
}

/// No point read a row: each table is read from end to end, and once more only if something is to be removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_reads_each_table_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let stages = rich();
    let store = filled(folder.path(), &stages).await;
    let facts = table_of(&store, table::FACT).await;
    let log = ScanLog::new(u64::MAX);
    let logged: Arc<dyn Store> = Arc::new(Logged::new(Arc::clone(&store), log.clone()));
    rebuilt(&stages, &logged).await.unwrap();
    // Two tables, a row of the plan, one of the run; before, each fact was read twice.
    let rows = log.rows();
    assert!(
        rows <= 2 * facts.len() as u64 + 10,
        "{rows} of {}",
        facts.len()
    );
    let mut batch = MutationBatch::new();
    let mut row = batch.row(facts[5].key());
    row.delete_row();
    row.finish();
    store.apply_all(table::FACT, batch).await.unwrap();
    assert_eq!(rebuilt(&stages, &logged).await.unwrap().orphans, 1);
    let rows = log.rows() - rows;
    assert!(
        rows <= 3 * facts.len() as u64 + 20,
        "{rows} of {}",
        facts.len()
    );
}

/// Whoever finds the timeline half rewritten by another pipeline file is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_dies_is_not_trusted_by_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (rich(), stages(&OTHER));
    for kill_at in 1..=5 {
        let store = filled(folder.path(), &old).await;
        let dead = Arc::new(tokio::sync::Notify::new());
        let notify = Arc::clone(&dead);
        let chaos = Chaos {
            kill_at: Some(kill_at),
            ..Chaos::default()
        };
        let kill = Arc::new(move || notify.notify_one());
        let dying: Arc<dyn Store> = Arc::new(Faulty::new(Arc::clone(&store), chaos, 1, kill));
        tokio::select! {
            biased;
            () = dead.notified() => {}
            done = rebuilt(&new, &dying) => assert!(done.is_ok() && kill_at > 3, "{done:?}"),
        }
        match aggregate_with(&old, &store, &aggregation(Scope::All)).await {
            Ok(_) => prove(&old, &store).await,
            Err(error) => assert!(
                error.to_string().starts_with("the timeline lacks"),
                "{error}"
            ),
        }
    }
}
