//! A store that fails at random: whatever happened or was reported, running again until it is done gives the right totals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use proptest::prelude::*;
use rowmill_model::{MutationBatch, Row};
use rowmill_store::{Capability, Error, ErrorKind, Result, Scan, Store};

use crate::{aggregate_pending, exported, generated, ingest_all, memory_store, stages};

/// Fails about one write in three: before it happened, after it happened, or with half of its rows done.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn Store>,
    state: AtomicU64,
}

impl Faulty {
    /// The next of a stream of numbers that follows from the seed.
    fn next(&self) -> u64 {
        let step = |state: u64| {
            Some(
                state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407),
            )
        };
        self.state
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, step)
            .unwrap()
            >> 33
    }
}

#[async_trait]
impl Store for Faulty {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let failure = || Error::new(ErrorKind::Unavailable, "injected").with_unknown_effect();
        match self.next() % 10 {
            0 => Err(failure()),
            1 => {
                self.inner.apply(table, batch).await?;
                Err(failure())
            }
            2 => {
                let mut half = MutationBatch::new();
                batch.iter().step_by(2).for_each(|row| half.push(row));
                let outcomes = self.inner.apply(table, Arc::new(half)).await?;
                let mut outcomes = outcomes.into_iter();
                Ok((0..batch.len())
                    .map(|row| {
                        if row % 2 == 0 {
                            outcomes.next().unwrap()
                        } else {
                            Err(failure())
                        }
                    })
                    .collect())
            }
            _ => self.inner.apply(table, batch).await,
        }
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        self.inner.scan(table, scan)
    }
}

async fn check(seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let json = generated(folder.path(), "a.jsonl", 300, seed);
    let csv = generated(folder.path(), "b.csv", 200, seed + 1);
    let sound = memory_store().await;
    ingest_all(&stages, &sound.store, &[&json, &csv], "run")
        .await
        .unwrap();
    aggregate_pending(&stages, &sound.store).await.unwrap();

    let inner = memory_store().await.store;
    let faulty: Arc<dyn Store> = Arc::new(Faulty {
        inner: Arc::clone(&inner),
        state: AtomicU64::new(seed),
    });
    let mut runs = 0;
    while let Err(error) = ingest_all(&stages, &faulty, &[&json, &csv], "run").await {
        assert_eq!(error.to_string(), "injected");
        runs += 1;
        assert!(runs < 1_000, "it ends at some time");
        // Whoever aggregates between two attempts sees half of the events, and must see the rest later.
        let _half = aggregate_pending(&stages, &faulty).await;
    }
    while aggregate_pending(&stages, &faulty).await.is_err() {}
    assert_eq!(
        exported(&stages, &*inner).await,
        exported(&stages, &*sound.store).await,
        "after {runs} failed runs"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn running_until_it_is_done_gives_the_right_totals(seed in any::<u32>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(check(u64::from(seed)));
    }
}
