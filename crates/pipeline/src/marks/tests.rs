//! Marks under every order of the steps of those who write events and those who aggregate.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, table};
use rowmill_rowkey::{AGGREGATE_EPOCH_KEY, Hour, PendingKey};
use rowmill_store::{Admin, MemoryStore, Scan, Store, StoreExt as _, TableSchema};

use super::{Marker, clear, mark, marks, take_up};
use crate::error::Error;
use crate::stepped::Process;

/// Where the test's events are.
const EVENTS: &str = "events";

async fn memory() -> Arc<dyn Store> {
    let store = MemoryStore::new();
    for name in [table::STATE, EVENTS] {
        let schema = TableSchema::new(name, [family::STATE]);
        store.create_table(&schema).await.unwrap();
    }
    Arc::new(store)
}

fn hours(count: u8) -> BTreeSet<Hour> {
    let hour = |hour| format!("2018-11-15T{hour:02}").parse().unwrap();
    (0..count).map(hour).collect()
}

async fn set(store: &dyn Store, table: &str, key: &[u8]) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    let mut row = batch.row(key);
    row.set(family::STATE, b"x", 0, b"");
    row.finish();
    Ok(store.apply_all(table, batch).await?)
}

async fn forget(store: &dyn Store, key: &[u8]) {
    let mut batch = MutationBatch::new();
    let mut row = batch.row(key);
    row.delete_row();
    row.finish();
    store.apply_all(table::STATE, batch).await.unwrap();
}

async fn keys(store: &dyn Store, table: &str) -> Result<BTreeSet<Vec<u8>>, Error> {
    let rows = store.rows(table, Scan::all()).await?;
    Ok(rows.iter().map(|row| row.key().to_vec()).collect())
}

async fn write(store: Arc<dyn Store>, process: String, batches: u8) -> Result<(), Error> {
    let marker = Marker::new(Arc::clone(&store), process.as_str());
    for batch in 0..batches {
        marker.mark(&hours(1)).await?;
        set(&*store, EVENTS, format!("{process} {batch}").as_bytes()).await?;
        marker.mark(&hours(1)).await?;
    }
    Ok(())
}

/// What was aggregated: the keys of events.
type Aggregated = Arc<Mutex<BTreeSet<Vec<u8>>>>;

async fn aggregate(
    store: Arc<dyn Store>,
    process: String,
    aggregated: Aggregated,
) -> Result<(), Error> {
    let (seen, epoch) = take_up(&*store, &process).await?;
    if !seen.is_empty() {
        let events = keys(&*store, EVENTS).await?;
        aggregated.lock().unwrap().extend(events);
    }
    clear(&*store, &seen, |_| true).await?;
    epoch.check(&*store).await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Two write and three aggregate, their calls to the store in any order: an event that nobody has aggregated is of a marked hour.
    #[test]
    fn an_event_is_aggregated_or_its_hour_is_marked(order in prop::collection::vec(0_usize..5, 0..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(tokio::task::unconstrained(async {
            let (store, aggregated) = (memory().await, Aggregated::default());
            let mut processes: Vec<_> = (0..5).map(|number: u8| Process::new(&store, |store| {
                let (name, aggregated) = (format!("process {number}"), Arc::clone(&aggregated));
                async move {
                    if number < 2 {
                        write(store, name, 3).await
                    } else {
                        aggregate(store, name, aggregated).await
                    }
                }
            })).collect();
            let rest = (0..5).flat_map(|number| [number; 40]);
            for number in order.into_iter().chain(rest) {
                processes[number].step();
            }
            assert!(processes.iter().all(Process::is_done));
            if marks(&*store).await.unwrap().is_empty() {
                let events = keys(&*store, EVENTS).await.unwrap();
                assert_eq!(*aggregated.lock().unwrap(), events);
            }
        }));
    }
}

#[tokio::test]
async fn a_process_marks_an_hour_once_however_many_batches_it_writes() {
    let store = memory().await;
    let marker = Marker::new(Arc::clone(&store), "ingest");
    for _ in 0..50 {
        marker.mark(&hours(3)).await.unwrap();
    }
    let found = marks(&*store).await.unwrap();
    let each = found.hours().map(|hour| found.of(hour).count());
    assert_eq!(each.collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn marks_that_nobody_clears_are_bounded() {
    let store = memory().await;
    let marker = Marker::new(Arc::clone(&store), "ingest");
    for aggregation in 0..50 {
        marker.mark(&hours(1)).await.unwrap();
        take_up(&*store, &format!("dies {aggregation}"))
            .await
            .unwrap();
    }
    let found = marks(&*store).await.unwrap();
    let names: Vec<_> = hours(1).iter().flat_map(|hour| found.of(*hour)).collect();
    assert_eq!(names.len(), 16, "{names:?}");
    assert!(names.contains(&"ingest 50".as_bytes()), "{names:?}");
}

#[tokio::test]
async fn marks_made_meanwhile_stay() {
    let store = memory().await;
    let marker = Marker::new(Arc::clone(&store), "ingest");
    marker.mark(&hours(2)).await.unwrap();
    let (seen, _) = take_up(&*store, "aggregation").await.unwrap();
    marker.mark(&hours(1)).await.unwrap();
    mark(&*store, "another", &hours(1)).await.unwrap();
    clear(&*store, &seen, |_| true).await.unwrap();
    let left = marks(&*store).await.unwrap();
    assert_eq!(left.hours().collect::<BTreeSet<_>>(), hours(1));
}

#[tokio::test]
async fn a_store_that_forgot_marks_or_the_epoch_is_told() {
    for is_epoch in [false, true] {
        let store = memory().await;
        let marker = Marker::new(Arc::clone(&store), "ingest");
        marker.mark(&hours(1)).await.unwrap();
        let (_, epoch) = take_up(&*store, "aggregation").await.unwrap();
        marker.mark(&hours(1)).await.unwrap();
        let hour = *hours(1).first().unwrap();
        let key = PendingKey(hour).encode();
        forget(&*store, if is_epoch { AGGREGATE_EPOCH_KEY } else { &key }).await;
        let failed = marker.mark(&hours(1)).await;
        assert!(matches!(failed, Err(Error::Forgot { .. })), "{failed:?}");
        assert_eq!(epoch.check(&*store).await.is_err(), is_epoch);
    }
}
