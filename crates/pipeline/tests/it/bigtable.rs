//! The jobs on Bigtable's emulator: the same tables as anywhere else, also when connections are cut.

use std::path::Path;
use std::time::Duration;

use rowmill_bigtable::testing::{Emulator, FaultProxy, Faults};
use rowmill_model::Row;
use rowmill_model::columns::table;
use rowmill_pipeline::{BigtableUri, OpenStore, StoreUri, open_store};
use rowmill_store::{Scan, StoreExt as _};

use crate::{
    aggregate_pending, exported, generated, ingest_all, ingest_with, memory_store, stages,
};

async fn connect(address: &str) -> OpenStore {
    let uri = StoreUri::Bigtable(BigtableUri {
        project: "p".to_owned(),
        instance: "i".to_owned(),
        app_profile: None,
        emulator: Some(address.to_owned()),
    });
    open_store(&uri).await.unwrap().prepare().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_are_those_of_the_memory_store() {
    let Some(emulator) = Emulator::start("the jobs on the emulator").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let json = generated(folder.path(), "a.jsonl", 3_000, 1);
    let csv = generated(folder.path(), "b.csv", 3_000, 2);
    let stages = stages(&[]);
    let bigtable = connect(emulator.address()).await;
    let memory = memory_store().await;
    let mut exports = Vec::new();
    for store in [&memory.store, &bigtable.store] {
        ingest_all(&stages, store, &[&json, &csv], "run")
            .await
            .unwrap();
        assert!(aggregate_pending(&stages, store).await.unwrap() > 0);
        exports.push(exported(&stages, &**store).await);
    }
    assert!(exports[0] == exports[1], "the exports differ");
    // Once more changes nothing.
    ingest_all(&stages, &bigtable.store, &[&csv, &json], "run")
        .await
        .unwrap();
    aggregate_pending(&stages, &bigtable.store).await.unwrap();
    let again = exported(&stages, &*bigtable.store).await;
    assert!(exports[1] == again, "a second ingest changed something");
}

/// 100,000 events through a proxy that cuts and stalls connections make the table that they make without it.
#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_and_double_nothing() {
    let Some(emulator) = Emulator::start("100,000 events through cuts").await else {
        return;
    };
    let faults = Faults {
        seed: 11,
        bytes_per_cut: 8 << 20,
        reads_per_stall: 100,
        stall: Duration::from_millis(5),
    };
    let proxy = FaultProxy::start(emulator.address(), faults).await;
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "events.jsonl", 100_000, 5);
    let undisturbed = tables(&memory_store().await, &file).await;
    let disturbed = tables(&connect(proxy.address()).await, &file).await;
    assert!(proxy.cuts() >= 5, "{} cuts", proxy.cuts());
    for ((table, undisturbed), (_, disturbed)) in undisturbed.into_iter().zip(disturbed) {
        assert!(undisturbed == disturbed, "{table} differs");
    }
}

/// The rows of every table that ingest writes, after a file.
async fn tables(opened: &OpenStore, file: &Path) -> Vec<(&'static str, Vec<Row>)> {
    let stages = stages(&[]);
    let options = rowmill_pipeline::IngestOptions {
        batch_rows: 40_000,
        ..crate::options("run")
    };
    let report = ingest_with(&stages, &opened.store, &[file], &options)
        .await
        .unwrap();
    assert_eq!(report.ledger.read, 100_000);
    let mut tables = Vec::new();
    for name in [
        table::FACT,
        table::TIMELINE,
        table::DEAD_LETTERS,
        table::STATE,
    ] {
        let mut rows = opened.store.rows(name, Scan::all()).await.unwrap();
        assert!(!rows.is_empty(), "{name}");
        // Marks are named by batches, which the two stores like of other sizes.
        rows.retain(|row| !row.key().starts_with(b"pending#"));
        tables.push((name, rows));
    }
    tables
}
