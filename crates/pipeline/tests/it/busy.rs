//! A busy day on the runtime of the program: two threads, and one for what blocks. And jobs that are stopped wherever they wait.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use rowmill_model::{MutationBatch, Row};
use rowmill_pipeline::{
    AggregateOptions, Control, Depth, Error, IngestOptions, RebuildOptions, Scope, Shard,
    VerifyAggregatesOptions, VerifyOptions, aggregate, rebuild_timeline, verify, verify_aggregates,
};
use rowmill_store::{Capability, Result, Scan, Store};
use tokio::runtime::Runtime;

use crate::aggregates::{aggregates_of, prove};
use crate::{
    aggregate_with, aggregation, dates, generated_on, ingest_with, memory_store, now, opened,
    stages,
};

/// That of the program on a machine of one core.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// More rows in each of the sixteen buckets of one day than a scan has in its pages: twice 512, or twice 256 KiB.
const EVENTS: u64 = 18_000;

/// Each way to aggregate holds sixteen scans open, and reads them in turn.
#[test]
fn a_day_that_is_larger_than_every_buffer_is_aggregated() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated_on(folder.path(), "a.jsonl", EVENTS, 1);
    let uri = format!("file:{}", folder.path().join("store").display());
    runtime().block_on(async {
        let stages = stages(&["aggregates=[{dimension='level'}]"]);
        let store = opened(&uri).await.store;
        let options = IngestOptions::new("run", now());
        ingest_with(&stages, &store, &[&file], &options)
            .await
            .unwrap();
        let control = Control::default();
        for depth in [Depth::Store, Depth::Full] {
            let options = VerifyOptions {
                depth,
                ..VerifyOptions::default()
            };
            let report = verify(&stages, &store, &options, &control).await.unwrap();
            assert!(report.is_proved(), "{:?}", report.differences.first());
        }
        let first = aggregate_with(&stages, &store, &aggregation(Scope::Pending))
            .await
            .unwrap();
        assert!(
            first.events > EVENTS * 8 / 10 && first.days <= 2,
            "{first:?}"
        );
        let expected = aggregates_of(&store).await;
        for scope in [
            Scope::Between(dates("2025-11-01", "2025-11-02")),
            Scope::All,
        ] {
            let done = aggregate_with(&stages, &store, &aggregation(scope))
                .await
                .unwrap();
            assert_eq!(done.events, first.events);
        }
        for index in 0..2 {
            let options = AggregateOptions {
                shard: Shard::new(index, 2).unwrap(),
                ..aggregation(Scope::All)
            };
            aggregate_with(&stages, &store, &options).await.unwrap();
        }
        assert!(aggregates_of(&store).await == expected, "the same bytes");
        let options = RebuildOptions::new(now());
        let rebuilt = rebuild_timeline(&stages, &store, &options, &control);
        assert_eq!(rebuilt.await.unwrap().facts, first.events);
        aggregate_with(&stages, &store, &aggregation(Scope::All))
            .await
            .unwrap();
        assert!(aggregates_of(&store).await == expected, "the same bytes");
        prove(&stages, &store).await;
    });
}

/// Gives so many rows, and then none, nor an end.
#[derive(Debug)]
struct Hanging {
    inner: Arc<dyn Store>,
    rows: usize,
    table: &'static str,
}

#[async_trait]
impl Store for Hanging {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        self.inner.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let rows = self.inner.scan(table, scan);
        if table == self.table {
            rows.take(self.rows).chain(stream::pending()).boxed()
        } else {
            rows
        }
    }
}

/// A store that no longer answers keeps no job from stopping.
#[tokio::test]
async fn jobs_stop_wherever_they_wait() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated_on(folder.path(), "a.jsonl", 300, 2);
    let stages = stages(&[]);
    let inner = memory_store().await.store;
    ingest_with(&stages, &inner, &[&file], &crate::options("run"))
        .await
        .unwrap();
    for table in [
        "events_fact",
        "events_timeline",
        "events_aggregate",
        "pipeline_state",
    ] {
        for rows in [0, 1, 100] {
            let inner = Arc::clone(&inner);
            let store: Arc<dyn Store> = Arc::new(Hanging { inner, rows, table });
            for job in 0..3 {
                let (stages, store) = (Arc::clone(&stages), Arc::clone(&store));
                let control = Control::default();
                let stop = control.clone();
                let work = async {
                    match job {
                        0 => aggregate(&stages, &store, &aggregation(Scope::All), &control)
                            .await
                            .map(drop),
                        1 => {
                            rebuild_timeline(&stages, &store, &RebuildOptions::new(now()), &control)
                                .await
                                .map(drop)
                        }
                        _ => {
                            let options = VerifyAggregatesOptions::default();
                            verify_aggregates(&stages, &store, &options, &control)
                                .await
                                .map(drop)
                        }
                    }
                };
                let stopping = async {
                    for _ in 0..200 {
                        tokio::task::yield_now().await;
                    }
                    stop.stop();
                };
                let (done, ()) = tokio::join!(work, stopping);
                // A job that does not read the table that far has ended, or met what another one left.
                assert!(
                    !matches!(done, Err(Error::Store(_))),
                    "{table} {rows} {job}: {done:?}"
                );
            }
        }
    }
}
