//! Many inputs, and inputs that are read many times.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rowmill_model::columns::table;
use rowmill_pipeline::{
    Control, Depth, FileStatus, IngestOptions, Inputs, RunStatus, Stages, Standing, VerifyOptions,
    file_ledgers, ingest, run, runs, verify,
};
use rowmill_rowkey::{FileKey, RunKey, Timestamp};
use rowmill_store::{Store, StoreExt as _};

use crate::{ingest_all, ingest_with, memory_store, options, stages};

fn event(number: usize) -> String {
    format!(
        r#"{{"userId":"{}","ts":{},"sessionId":1,"itemInSession":{number},"page":"Home","auth":"Logged In","level":"free"}}"#,
        number % 50,
        1_541_000_000_000_u64 + number as u64 * 1_000
    )
}

fn folder_of(files: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..files {
        let path = folder.path().join(format!("{number:05}.jsonl"));
        std::fs::write(path, format!("{}\n", event(number))).unwrap();
    }
    folder
}

async fn proved(stages: &Arc<Stages>, store: &Arc<dyn Store>) -> usize {
    let options = VerifyOptions {
        depth: Depth::Store,
        ..VerifyOptions::default()
    };
    let report = verify(stages, store, &options, &Control::default())
        .await
        .unwrap();
    assert_eq!(report.differences, []);
    report.ledgers.len()
}

/// The names of a run's inputs do not stand in one cell, and a run that was stopped among them is taken up.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_many_files_is_taken_up_and_proved() {
    const FILES: usize = 2_300;
    let folder = folder_of(FILES);
    let path = folder.path().display().to_string();
    let (stages, store) = (stages(&[]), memory_store().await.store);
    let prepared = || {
        let inputs = Inputs::find(std::slice::from_ref(&path), None).unwrap();
        inputs.prepare(&stages).unwrap()
    };
    let control = Control::default();
    let stopping = {
        let (control, store) = (control.clone(), Arc::clone(&store));
        async move {
            while store
                .count(table::FACT, rowmill_store::Scan::all())
                .await
                .unwrap()
                == 0
            {
                tokio::task::yield_now().await;
            }
            control.stop();
        }
    };
    let begun = options("run 1");
    let (first, ()) = tokio::join!(
        ingest(&stages, &store, prepared(), &begun, &control),
        stopping
    );
    let first = first.unwrap();
    let record = run(&*store, "run 1").await.unwrap();
    assert_eq!(record.file_count(), FILES as u64);
    assert_eq!((record.files.len(), record.more_files), (1_000, 1_300));
    let again = options("run 2");
    let rest = ingest(&stages, &store, prepared(), &again, &Control::default())
        .await
        .unwrap();
    assert_eq!(rest.status(), RunStatus::Done);
    let is_taken_up = |(_, standing): &(String, Standing)| {
        matches!(standing, Standing::Resumed { .. }) || matches!(standing, Standing::Done { .. })
    };
    assert!(rest.standings.iter().all(is_taken_up));
    let record = run(&*store, "run 1").await.unwrap();
    assert_eq!(record.status, RunStatus::Done);
    assert_eq!(record.ledger.written, FILES as u64);
    assert!(first.ledger.written < FILES as u64, "it was stopped early");
    assert_eq!(record.file_count(), FILES as u64);
    assert_eq!(proved(&stages, &store).await, FILES);
    let key = RunKey("run 1".into()).encode().unwrap();
    let row = store.row(table::STATE, &key).await.unwrap().unwrap();
    let bytes: usize = row.cells().map(|cell| cell.value.len()).sum();
    assert!(bytes < 150_000, "{bytes}");
}

fn grow(path: &Path, number: usize) {
    let mut text = std::fs::read_to_string(path).unwrap_or_default();
    writeln!(text, "{}", event(number)).unwrap();
    std::fs::write(path, text).unwrap();
}

async fn columns(store: &dyn Store, path: &Path) -> usize {
    let name = path.display().to_string();
    let key = FileKey(name.as_str().into()).encode().unwrap();
    let row = store.row(table::STATE, &key).await.unwrap().unwrap();
    row.cells().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_for_ever_keeps_a_bounded_row_and_all_of_its_ledgers() {
    const RUNS: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grows.jsonl");
    let (stages, store) = (stages(&[]), memory_store().await.store);
    for number in 0..RUNS {
        grow(&path, number);
        let name = format!("run {number:03}");
        let report = ingest_all(&stages, &store, &[&path], &name).await.unwrap();
        assert_eq!((report.ledger.read, report.ledger.written), (1, 1));
        assert!(columns(&*store, &path).await <= 17);
    }
    let ledgers = file_ledgers(&*store).await.unwrap().into_values();
    let of_runs: Vec<_> = ledgers.flatten().map(|ledger| ledger.run).collect();
    let expected: Vec<_> = (0..RUNS).map(|number| format!("run {number:03}")).collect();
    assert_eq!(of_runs, expected);
    assert_eq!(proved(&stages, &store).await, RUNS);
    assert_eq!(runs(&*store).await.unwrap().len(), RUNS);
}

/// Which ledger of a file is the latest is not a question of the clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_makes_no_difference() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("grows.jsonl");
    let (stages, store) = (stages(&[]), memory_store().await.store);
    let mut read = Vec::new();
    for (number, seconds) in [(0, 3_000), (1, 1_000), (2, 2_000)] {
        grow(&path, number);
        let options = IngestOptions {
            now: Timestamp::from_micros(seconds * 1_000_000).unwrap(),
            ..options(&format!("run {number}"))
        };
        let report = ingest_with(&stages, &store, &[&path], &options)
            .await
            .unwrap();
        read.push(report.ledger.read);
    }
    assert_eq!(read, [1, 1, 1]);
    let done = ingest_all(&stages, &store, &[&path], "run 3")
        .await
        .unwrap();
    let is_done = matches!(&done.standings[0].1, Standing::Done { run, .. } if **run == *"run 2");
    assert!(is_done, "{:?}", done.standings);
    let ledgers = file_ledgers(&*store).await.unwrap();
    let ledgers: Vec<_> = ledgers.values().flatten().collect();
    let ends: BTreeSet<u64> = ledgers.iter().map(|ledger| ledger.position).collect();
    assert_eq!(ends.len(), 3);
    assert!(
        ledgers
            .iter()
            .all(|ledger| ledger.status == FileStatus::Done)
    );
    assert_eq!(proved(&stages, &store).await, 3);
}
