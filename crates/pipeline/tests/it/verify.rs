//! Verifying finds whatever is not as the ledgers say, and nothing else.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, letter, table};
use rowmill_pipeline::{
    Control, Depth, Error, IngestOptions, RowHash, Stages, Verdict, VerifyOptions, VerifyReport,
    verify,
};
use rowmill_store::{Faulty, Scan, Store, StoreExt as _};

use crate::watched::Watched;
use crate::{generated, ingest_all, ingest_with, joined, memory_store, options, stages};

async fn verified(stages: &Arc<Stages>, store: &Arc<dyn Store>, depth: Depth) -> VerifyReport {
    let options = VerifyOptions {
        depth,
        ..VerifyOptions::default()
    };
    verify(stages, store, &options, &Control::default())
        .await
        .unwrap()
}

/// Changes one row of a table: deletes it, or sets a cell of it.
async fn damage(store: &Arc<dyn Store>, name: &str, nth: usize, cell: Option<(&str, &str)>) {
    let rows = store.rows(name, Scan::all()).await.unwrap();
    let row = &rows[nth % rows.len()];
    let mut batch = MutationBatch::new();
    let mut change = batch.row(row.key());
    match cell {
        None => change.delete_row(),
        Some((family, qualifier)) => {
            let time = row.cells().next().unwrap().timestamp_micros;
            change.set(family, qualifier.as_bytes(), time, b"?");
        }
    }
    change.finish();
    store.apply_all(name, batch).await.unwrap();
}

/// Repeats that the run had forgotten are written over their first ones. That is proved from the source and the store's digests, in time that
/// follows from the number of records: no row is looked up.
#[tokio::test(flavor = "multi_thread")]
async fn repeats_beyond_the_window_are_proved_without_lookups() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let once = generated(folder.path(), "a.jsonl", 900, 1);
    let lines = std::fs::read_to_string(&once).unwrap();
    let twice = folder.path().join("b.jsonl");
    std::fs::write(&twice, lines.repeat(2)).unwrap();
    let inner = memory_store().await.store;
    let options = IngestOptions {
        duplicate_window: 1,
        batch_rows: 100,
        chunk_bytes: 4 << 10,
        ..options("run")
    };
    let report = ingest_with(&stages, &inner, &[&twice], &options)
        .await
        .unwrap();
    let facts = inner.count(table::FACT, Scan::all()).await.unwrap();
    let written = report.ledger.written;
    assert!(facts < written, "{facts} of {written}");
    let watched = Watched::new(&inner);
    let store: Arc<dyn Store> = watched.clone();
    let report = verified(&stages, &store, Depth::Store).await;
    let expected = Verdict::ProvedFromSource {
        events: written,
        rewritten: written - facts,
    };
    assert_eq!(report.ledgers[0].verdict, expected);
    assert!(report.differences.is_empty(), "{report:?}");
    let scans = watched.seen().scans[table::FACT];
    assert!(scans <= 16, "{scans}");
    // What is not as it was written is found all the same.
    damage(&inner, table::FACT, 3, Some((family::EVENT_DATA, "song"))).await;
    let report = verified(&stages, &store, Depth::Store).await;
    assert_eq!(report.ledgers[0].verdict, Verdict::Different);
}

const DEPTHS: [Depth; 3] = [Depth::Store, Depth::Full, Depth::Sample(1_000_000)];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_changed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let json = generated(folder.path(), "a.jsonl", 600, 1);
    let csv = generated(folder.path(), "b.csv", 600, 2);
    let cases: [(&str, Option<(&str, &str)>); 7] = [
        (table::FACT, None),
        (table::FACT, Some((family::EVENT_DATA, "song"))),
        (table::FACT, Some((family::EVENT_DATA, "never_there"))),
        (table::TIMELINE, None),
        (table::TIMELINE, Some((family::EVENT, "level"))),
        (table::DEAD_LETTERS, None),
        (table::DEAD_LETTERS, Some((family::LETTER, letter::RAW))),
    ];
    for (table, cell) in cases {
        let store = memory_store().await.store;
        ingest_all(&stages, &store, &[&json, &csv], "run")
            .await
            .unwrap();
        for depth in DEPTHS {
            let report = verified(&stages, &store, depth).await;
            assert!(report.is_proved(), "{depth:?}: {report:?}");
            assert_eq!(report.ledgers.len(), 2);
        }
        damage(&store, table, 77, cell).await;
        for depth in DEPTHS {
            // From the sources it is not looked whether a letter's bytes changed: its key says what they were.
            let is_raw = (table, cell.is_some()) == (table::DEAD_LETTERS, true);
            let report = verified(&stages, &store, depth).await;
            let blind = is_raw && matches!(depth, Depth::Sample(_));
            assert_eq!(
                report.is_proved(),
                blind,
                "{table} {cell:?} {depth:?}: {report:?}"
            );
            if !blind {
                let is_named = report.differences.iter().any(|it| it.table == table);
                assert!(is_named, "{table} {depth:?}: {report:?}");
            }
        }
    }
}

/// Events that a later run wrote again are no difference; which ones are missing is told from the source.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_later_run_are_told_from_missing_ones() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let store = memory_store().await.store;
    let first = generated(folder.path(), "a.jsonl", 500, 1);
    // The same events and more, in another file: most of the first run's rows are written again.
    let more = generated(folder.path(), "more.jsonl", 300, 2);
    let second = joined(&[&first, &more], &folder.path().join("b.jsonl"));
    ingest_all(&stages, &store, &[&first], "run 1")
        .await
        .unwrap();
    ingest_all(&stages, &store, &[&second], "run 2")
        .await
        .unwrap();
    let report = verified(&stages, &store, Depth::Store).await;
    assert!(report.is_proved(), "{report:?}");
    let rewritten = report.ledgers.iter().any(|ledger| {
        matches!(ledger.verdict, Verdict::ProvedFromSource { rewritten, .. } if rewritten > 300)
    });
    assert!(rewritten, "{report:?}");

    let again = IngestOptions {
        again: true,
        now: rowmill_rowkey::Timestamp::from_micros(5_000_000).unwrap(),
        ..options("run 3")
    };
    ingest_with(&stages, &store, &[&first], &again)
        .await
        .unwrap();
    let report = verified(&stages, &store, Depth::Store).await;
    let of_first: Vec<_> = report
        .ledgers
        .iter()
        .filter(|it| it.run == "run 1")
        .collect();
    assert_eq!(of_first[0].verdict, Verdict::Superseded);

    damage(&store, table::FACT, 3, None).await;
    let report = verified(&stages, &store, Depth::Store).await;
    assert!(
        report
            .differences
            .iter()
            .any(|it| it.problem == "is missing"),
        "{report:?}"
    );

    // Without the source there is nothing to tell them by, and that is said.
    std::fs::remove_file(&second).unwrap();
    let report = verified(&stages, &store, Depth::Store).await;
    assert!(
        !report.is_proved()
            && report
                .differences
                .iter()
                .any(|it| it.problem.contains("cannot be told")),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_or_one_file_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let store = memory_store().await.store;
    let first = generated(folder.path(), "a.jsonl", 300, 1);
    let second = generated(folder.path(), "b.jsonl", 300, 2);
    ingest_all(&stages, &store, &[&first], "run 1")
        .await
        .unwrap();
    ingest_all(&stages, &store, &[&second], "run 2")
        .await
        .unwrap();
    let name = |path: &Path| path.display().to_string();
    let by_run = VerifyOptions {
        run: Some("run 2".to_owned()),
        ..VerifyOptions::default()
    };
    let by_file = VerifyOptions {
        file: Some(name(&first)),
        ..VerifyOptions::default()
    };
    for (options, expected) in [(by_run, name(&second)), (by_file, name(&first))] {
        let report = verify(&stages, &store, &options, &Control::default())
            .await
            .unwrap();
        let files: Vec<_> = report
            .ledgers
            .iter()
            .map(|ledger| ledger.file.clone())
            .collect();
        assert_eq!(files, [expected]);
    }
    let nobody = VerifyOptions {
        run: Some("run 9".to_owned()),
        ..VerifyOptions::default()
    };
    let error = verify(&stages, &store, &nobody, &Control::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no run `run 9`; see `rowmill runs list`"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    /// A store that acknowledges what it does not write is found out, and one that works is not suspected.
    #[test]
    fn a_store_that_lies_is_found_out(seed in any::<u64>(), lost_write in prop_oneof![Just(0.0), Just(0.15)]) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let stages = stages(&[]);
            let inner = memory_store().await.store;
            let path = generated(folder.path(), "a.jsonl", 400, seed % 100);
            let chaos = rowmill_store::Chaos { lost_write, ..rowmill_store::Chaos::default() };
            let lying: Arc<dyn Store> = Arc::new(Faulty::new(Arc::clone(&inner), chaos, seed, Arc::new(|| ())));
            let options = IngestOptions { batch_rows: 40, threads: 1, ..options("run") };
            let told = match ingest_with(&stages, &lying, &[&path], &options).await {
                Ok(_) => false,
                Err(Error::Forgot { .. }) => true,
                Err(error) => panic!("{error}"),
            };
            assert!(lost_write > 0.0 || !told);
            let sound = memory_store().await.store;
            let report = ingest_with(&stages, &sound, &[&path], &options).await.unwrap();
            let facts = inner.count(table::FACT, Scan::all()).await.unwrap();
            let timeline = inner.count(table::TIMELINE, Scan::all()).await.unwrap();
            let letters = inner.count(table::DEAD_LETTERS, Scan::all()).await.unwrap();
            let ledger = &report.ledger;
            let is_whole = (facts, timeline, letters) == (ledger.written, ledger.written, ledger.rejected());
            let verified = verified(&stages, &inner, Depth::Store).await;
            // Without its own row in `pipeline_state` there is no ledger to be proved, and without the last word in it the run is as one
            // that died: nothing is claimed of what lies beyond its checkpoint.
            let is_known = verified.ledgers.iter().any(|ledger| ledger.verdict != Verdict::Unfinished);
            assert!(!is_known || !verified.is_proved() || is_whole, "{verified:?}");
            assert!(lost_write > 0.0 || verified.is_proved() && is_known, "{verified:?}");
        });
    }

    /// A row's hash is the same when it is written and when it is read, whatever is in it.
    #[test]
    fn rows_hash_alike_written_and_read(cells in prop::collection::btree_map(("[a-c]", prop::collection::vec(any::<u8>(), 0..5)), prop::collection::vec(any::<u8>(), 0..20), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = rowmill_store::MemoryStore::new();
            let schema = rowmill_store::TableSchema::new("t", ["a", "b", "c"]);
            rowmill_store::Admin::create_table(&store, &schema).await.unwrap();
            let mut batch = MutationBatch::new();
            let mut row = batch.row(b"k");
            for ((family, qualifier), value) in &cells {
                row.cells(family, 7_000).set(qualifier, value);
            }
            row.finish();
            let written = RowHash::of(batch.get(0));
            store.apply_all("t", batch).await.unwrap();
            let row = store.row("t", b"k").await.unwrap().unwrap();
            assert_eq!(RowHash::of_row(&row, &mut MutationBatch::new()), written);
        });
    }
}
