//! A job that does not move is noticed, and one that does is not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use rowmill_model::{MutationBatch, Row};
use rowmill_pipeline::{Control, ingest, watch};
use rowmill_store::testing::ManualTimer;
use rowmill_store::{Capability, Result, Scan, Store};
use tokio::sync::Semaphore;

use crate::{generated, inputs, memory_store, options, stages};

/// Writes nothing until it is let.
#[derive(Debug)]
struct Gated(Arc<dyn Store>, Arc<Semaphore>);

#[async_trait]
impl Store for Gated {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        if table != rowmill_model::columns::table::STATE {
            let _pass = self.1.acquire().await.unwrap();
        }
        self.0.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.0.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        self.0.scan(table, scan)
    }
}

async fn settle() {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_is_noticed_and_the_reader_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = generated(folder.path(), "a.jsonl", 30_000, 1);
    let gate = Arc::new(Semaphore::new(0));
    let store: Arc<dyn Store> = Arc::new(Gated(memory_store().await.store, Arc::clone(&gate)));
    let (control, timer) = (Control::default(), Arc::new(ManualTimer::default()));
    let stalls = Arc::new(Mutex::new(Vec::new()));
    let said = Arc::clone(&stalls);
    let watching = watch(
        control.clone(),
        Duration::from_secs(30),
        timer.clone(),
        move |stall| {
            said.lock().unwrap().push(stall);
        },
    );
    let watching = tokio::spawn(watching);
    let ingesting = {
        let (stages, control) = (stages(&[]), control.clone());
        tokio::spawn(async move {
            let inputs = inputs(&[&path]).prepare(&stages)?;
            ingest(&stages, &store, inputs, &options("run"), &control).await
        })
    };
    // One batch is being written and one is full: nothing more is read.
    while control.rows_in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    let (mut activity, mut quiet) = (0, 0);
    while quiet < 50 {
        settle().await;
        quiet = if control.activity() == activity {
            quiet + 1
        } else {
            0
        };
        activity = control.activity();
    }
    assert!(
        control.records() < 10_000,
        "{} of 30,000 read",
        control.records()
    );
    for _ in 0..2 {
        timer.advance(Duration::from_secs(30));
        settle().await;
    }
    while stalls.lock().unwrap().is_empty() {
        timer.advance(Duration::from_secs(30));
        settle().await;
    }
    let stall = stalls.lock().unwrap()[0];
    assert!(
        stall.rows_in_flight > 0 && stall.duration >= Duration::from_secs(30),
        "{stall:?}"
    );
    gate.add_permits(1_000);
    let report = ingesting.await.unwrap().unwrap();
    assert_eq!(report.ledger.read, 30_000);
    assert_eq!(control.rows_in_flight(), 0);
    watching.abort();
}
