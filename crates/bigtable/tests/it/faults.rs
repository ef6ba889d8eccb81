//! Through a proxy that cuts connections: everything arrives, once.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use rowmill_bigtable::testing::{Emulator, FaultProxy, Faults};
use rowmill_bigtable::{BigtableStore, Client, ReadRows};
use rowmill_model::MutationBatch;
use rowmill_store::{Admin as _, StoreExt as _, TableSchema};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_written_and_read_through_cuts_are_all_there_once() {
    let Some(emulator) = Emulator::start("cuts between client and emulator").await else {
        return;
    };
    let faults = Faults {
        seed: 7,
        bytes_per_cut: 300_000,
        reads_per_stall: 50,
        stall: Duration::from_millis(5),
    };
    let proxy = FaultProxy::start(emulator.address(), faults).await;
    let builder = Client::builder("p", "i").emulator(proxy.address());
    let client = builder.connect().await.unwrap();
    let store = BigtableStore::new(client.clone());
    store
        .create_table(&TableSchema::new("t", ["f"]))
        .await
        .unwrap();
    let key = |number: usize| format!("{number:06}");
    for start in (0..20_000).step_by(2_000) {
        let mut batch = MutationBatch::new();
        for number in start..start + 2_000 {
            let mut row = batch.row(key(number).as_bytes());
            row.set("f", b"q", 0, key(number).repeat(20).as_bytes());
            row.finish();
        }
        store.apply_all("t", Arc::new(batch)).await.unwrap();
    }
    let written = proxy.cuts();
    assert!(written > 0, "the proxy cut something");
    let mut rows = client.read_rows(ReadRows::new("t"));
    let mut count = 0;
    while let Some(row) = rows.try_next().await.unwrap() {
        assert_eq!(row.key, key(count));
        assert_eq!(row.cells.len(), 1);
        count += 1;
    }
    assert_eq!(count, 20_000);
    assert!(proxy.cuts() > written, "the proxy cut the scan too");
}
