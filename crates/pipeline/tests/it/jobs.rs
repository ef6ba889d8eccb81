//! Ingest, aggregate, and what a second time changes: nothing.

use std::path::Path;

use proptest::prelude::*;
use rowmill_model::columns::table;
use rowmill_pipeline::{
    BigtableUri, Control, DeadLetter, Error, IngestOptions, IngestReport, Scope, Stopped, StoreUri,
    aggregate, check, ingest,
};
use rowmill_store::{Scan, StoreExt as _};

use crate::{
    aggregate_pending, aggregate_with, aggregation, dates, exported, generated, ingest_all,
    ingest_with, inputs, memory_store, opened, options, stages,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_record_ends_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&["event.filter=event_type != 'Home'"]);
    let json = generated(folder.path(), "a.jsonl", 3_000, 1);
    let csv = generated(folder.path(), "b.csv", 2_000, 2);
    let opened = memory_store().await;
    let report = ingest_all(&stages, &opened.store, &[&json, &csv], "run")
        .await
        .unwrap();
    let ledger = &report.ledger;
    assert_eq!((ledger.read, ledger.accounted()), (5_000, 5_000));
    assert!(
        ledger.duplicate > 20 && ledger.filtered > 200 && ledger.rejected() > 100,
        "{ledger:?}"
    );
    let facts = opened.store.count(table::FACT, Scan::all()).await.unwrap();
    let timeline = opened
        .store
        .count(table::TIMELINE, Scan::all())
        .await
        .unwrap();
    let letters = opened
        .store
        .count(table::DEAD_LETTERS, Scan::all())
        .await
        .unwrap();
    assert_eq!(
        (facts, timeline, letters),
        (ledger.written, ledger.written, ledger.rejected())
    );
    // A dry run says the same without a store.
    let dry = check(
        &stages,
        inputs(&[&json, &csv]).prepare(&stages).unwrap(),
        &options("run"),
        &Control::default(),
    )
    .await
    .unwrap();
    let report = IngestReport {
        standings: Vec::new(),
        ..report
    };
    assert_eq!(dry, report);
}

#[tokio::test(flavor = "multi_thread")]
async fn again_and_in_another_order_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let json = generated(folder.path(), "a.jsonl", 2_000, 1);
    let csv = generated(folder.path(), "b.csv", 2_000, 2);
    for event_id in [
        "",
        "event.event_id={ hash = 'content' }",
        "event.event_id={ hash = 'place' }",
    ] {
        let set: Vec<_> = Some(event_id)
            .into_iter()
            .filter(|set| !set.is_empty())
            .collect();
        let stages = stages(&set);
        let once = memory_store().await;
        ingest_all(&stages, &once.store, &[&json, &csv], "run")
            .await
            .unwrap();
        assert!(aggregate_pending(&stages, &once.store).await.unwrap() > 0);
        let expected = exported(&stages, &*once.store).await;

        let file = format!(
            "file:{}",
            folder
                .path()
                .join(format!("store {}", event_id.len()))
                .display()
        );
        let twice = opened(&file).await;
        for (run, order) in [[&json, &csv], [&csv, &json]].into_iter().enumerate() {
            let options = IngestOptions {
                again: true,
                ..options(&format!("run {run}"))
            };
            let order = order.map(std::path::PathBuf::as_path);
            ingest_with(&stages, &twice.store, &order, &options)
                .await
                .unwrap();
            aggregate_pending(&stages, &twice.store).await.unwrap();
        }
        assert_eq!(
            exported(&stages, &*twice.store).await,
            expected,
            "{event_id}"
        );
        assert_eq!(aggregate_pending(&stages, &twice.store).await.unwrap(), 0);
        aggregate_with(&stages, &twice.store, &aggregation(Scope::All))
            .await
            .unwrap();
        assert_eq!(
            exported(&stages, &*twice.store).await,
            expected,
            "{event_id}"
        );
    }
}

/// What was found wrong is in the dead letter, with the record as it was and where it stood.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_keep_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.jsonl");
    let bad = r#"{"userId":"","ts":"never","page":"NextSong","sessionId":1,"itemInSession":2,"level":"gold","length":-1}"#;
    std::fs::write(&path, format!("\n\u{0}broken\n{bad}\r\n")).unwrap();
    let stages = stages(&[]);
    let opened = memory_store().await;
    let report = ingest_all(&stages, &opened.store, &[&path], "run")
        .await
        .unwrap();
    assert_eq!((report.ledger.read, report.ledger.rejected()), (2, 2));
    let letters = opened
        .store
        .rows(table::DEAD_LETTERS, Scan::all())
        .await
        .unwrap();
    let value = |row: usize, name: &str| letters[row].value("letter", name.as_bytes()).unwrap();
    assert_eq!(value(0, "raw"), b"\x00broken");
    assert_eq!(
        (value(1, "raw"), value(1, "line"), value(1, "offset")),
        (
            bad.as_bytes(),
            &3_u64.to_be_bytes()[..],
            &9_u64.to_be_bytes()[..]
        )
    );
    let letter = DeadLetter::read(&letters[1]).unwrap();
    let found: Vec<_> = letter
        .reasons
        .iter()
        .map(|reason| (reason.name(), reason.value.as_deref()))
        .collect();
    // All of them, not the first; rules over several fields need the time, which is missing.
    let expected = [
        ("required user_id", None),
        ("type timestamp", Some("never")),
        ("range length", Some("-1")),
        ("one_of level", Some("gold")),
    ];
    assert_eq!(
        found,
        expected.map(|(name, value)| (name.to_owned(), value))
    );
    assert_eq!((letter.stage.as_str(), letter.attempts), ("quality", 1));
    assert_eq!(letter.first_seen.micros(), 1_000);
    assert_eq!(letter.config_hash, stages.pipeline().fingerprint);
    assert_eq!(
        (letter.position.number, letter.position.length),
        (2, bad.len() as u64)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_does_not_fit_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let good = generated(folder.path(), "a.jsonl", 100, 1);
    let bad = folder.path().join("b.csv");
    std::fs::write(&bad, "userId,song\n1,x\n").unwrap();
    let stages = stages(&[]);
    let opened = memory_store().await;
    let error = ingest_all(&stages, &opened.store, &[&good, &bad], "run")
        .await
        .unwrap_err();
    assert!(
        error.is_usage() && format!("{error:?}").contains("ts"),
        "{error}"
    );
    assert_eq!(
        opened.store.count(table::FACT, Scan::all()).await.unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_keeps_what_it_did_and_balances() {
    let folder = tempfile::tempdir().unwrap();
    let path = generated(folder.path(), "a.jsonl", 5_000, 1);
    let stages = stages(&[]);
    let opened = memory_store().await;
    let control = Control::default();
    control.stop();
    let report = ingest(
        &stages,
        &opened.store,
        inputs(&[&path]).prepare(&stages).unwrap(),
        &options("run"),
        &control,
    )
    .await
    .unwrap();
    assert_eq!(report.stopped, Some(Stopped::Interrupted));
    assert!(report.ledger.read < 5_000);
    assert_eq!(
        opened.store.count(table::FACT, Scan::all()).await.unwrap(),
        report.ledger.written
    );
    let error = aggregate(
        &stages,
        &opened.store,
        &aggregation(Scope::Between(dates("2025-11-01", "2025-11-30"))),
        &control,
    )
    .await;
    assert!(report.ledger.written == 0 || matches!(error, Err(Error::Interrupted)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_opened_is_said() {
    let problem = |uri: &str| StoreUri::parse(uri, None).unwrap_err().to_string();
    let form = "it is not of the form bigtable://PROJECT/INSTANCE[?app_profile=NAME]";
    for (uri, expected) in [
        ("bigtable://p", form),
        ("bigtable:p/i", form),
        ("bigtable://p/", form),
        ("bigtable://p/i/t", form),
        (
            "bigtable://p/i?profile=x",
            "`profile=x` is no parameter; there is app_profile=NAME",
        ),
        (
            "data",
            "a store is memory:, file:PATH, or bigtable://PROJECT/INSTANCE",
        ),
        ("file:", "it has no path, as in file:rowmill-data"),
    ] {
        assert_eq!(problem(uri), format!("`{uri}` is no store: {expected}"));
    }
    let bigtable = StoreUri::parse("bigtable://p/i?app_profile=ingest", Some("127.0.0.1:8086"));
    let expected = BigtableUri {
        project: "p".to_owned(),
        instance: "i".to_owned(),
        app_profile: Some("ingest".to_owned()),
        emulator: Some("127.0.0.1:8086".to_owned()),
    };
    assert_eq!(bigtable.unwrap(), StoreUri::Bigtable(expected));
    let folder = tempfile::tempdir().unwrap();
    let names = |name: &str| [folder.path().join(name).display().to_string()];
    let problem = |name: &str| {
        rowmill_pipeline::Inputs::find(&names(name), None)
            .unwrap_err()
            .to_string()
    };
    assert!(problem("missing.csv").ends_with("missing.csv: no such file"));
    assert!(
        problem("").ends_with("holds no file whose name ends with csv, tsv, json, jsonl or ndjson")
    );
    assert!(problem("*.json").ends_with("*.json: no file matches the pattern"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Any bytes in a file of any format: the ledger balances, nothing panics, and threads do not matter.
    #[test]
    fn any_file_is_accounted_for(bytes in prop::collection::vec(prop_oneof![3 => prop::sample::select(br#"{}[]",:\n 01tsuerIdpg"#.to_vec()), 1 => any::<u8>()], 0..400), name in prop::sample::select(vec!["f.csv", "f.jsonl", "f.json", "f"])) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let header = if name.ends_with("csv") { "userId,ts,page,level,sessionId,itemInSession\n" } else { "" };
        std::fs::write(&path, [header.as_bytes(), &bytes].concat()).unwrap();
        let run = |threads| {
            let stages = stages(&[]);
            let inputs = inputs(&[Path::new(&path)]);
            let options = IngestOptions { threads, ..options("run") };
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
            runtime.block_on(async move { check(&stages, inputs.prepare(&stages)?, &options, &Control::default()).await })
        };
        match run(1) {
            Ok(report) => prop_assert_eq!(report, run(3).unwrap()),
            Err(error) => prop_assert!(!matches!(error, Error::Unbalanced { .. }), "{}", error),
        }
    }
}
