//! Shards: which part is whose, and what becomes of what they leave.

use std::sync::Arc;

use rowmill_pipeline::{
    AggregateOptions, AggregateReport, Control, RebuildOptions, Scope, Shard, Stages,
    rebuild_timeline,
};
use rowmill_store::Store;

use crate::aggregates::{aggregates_of, prove, rich};
use crate::{
    aggregate_pending, aggregate_with, aggregation, generated, ingest_all, memory_store, now,
    opened,
};

/// Aggregates by one of two shards of one job.
async fn by_shard(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    index: u32,
    scope: Scope,
) -> AggregateReport {
    let options = AggregateOptions {
        shard: Shard::new(index, 2).unwrap(),
        ..aggregation(scope)
    };
    aggregate_with(stages, store, &options).await.unwrap()
}

/// What a shard left before somebody else aggregated its hours, and more events came, is not merged with what the others leave later.
#[tokio::test]
async fn what_a_shard_left_long_ago_is_not_merged() {
    let folder = tempfile::tempdir().unwrap();
    let [first, late] = [("a.jsonl", 1), ("b.jsonl", 2)]
        .map(|(name, seed)| generated(folder.path(), name, 150, seed));
    let stages = rich();
    for scope in [Scope::Pending, Scope::All] {
        let [store, fresh] = [memory_store().await.store, memory_store().await.store];
        ingest_all(&stages, &store, &[&first], "first")
            .await
            .unwrap();
        assert_eq!(by_shard(&stages, &store, 0, scope).await.shards_missing, 1);
        aggregate_pending(&stages, &store).await.unwrap();
        ingest_all(&stages, &store, &[&late], "late").await.unwrap();
        let done = by_shard(&stages, &store, 1, scope).await;
        assert_eq!(done.shards_missing, 0);
        aggregate_pending(&stages, &store).await.unwrap();
        prove(&stages, &store).await;
        for (file, run) in [(&first, "first"), (&late, "late")] {
            ingest_all(&stages, &fresh, &[file], run).await.unwrap();
        }
        aggregate_pending(&stages, &fresh).await.unwrap();
        let [store, fresh] = [aggregates_of(&store).await, aggregates_of(&fresh).await];
        assert!(store == fresh, "{scope:?}");
    }
}

/// To merge when no shard has left anything is no aggregation of everything.
#[tokio::test]
async fn merging_nothing_completes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 150, 1);
    let stages = rich();
    let store = memory_store().await.store;
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    aggregate_pending(&stages, &store).await.unwrap();
    let control = Control::default();
    rebuild_timeline(&stages, &store, &RebuildOptions::new(now()), &control)
        .await
        .unwrap();
    let merging = AggregateOptions {
        merge_only: true,
        ..aggregation(Scope::All)
    };
    let done = aggregate_with(&stages, &store, &merging).await.unwrap();
    assert_eq!(done, AggregateReport::default());
    let error = aggregate_pending(&stages, &store).await.unwrap_err();
    assert!(error.to_string().contains("not made to their end"));
    // With what shards of everything left, it is.
    by_shard(&stages, &store, 0, Scope::All).await;
    let done = aggregate_with(&stages, &store, &merging).await.unwrap();
    assert_eq!((done.shards_missing, done.rows), (1, 0));
    by_shard(&stages, &store, 1, Scope::All).await;
    assert_eq!(aggregate_pending(&stages, &store).await.unwrap(), 0);
    prove(&stages, &store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_on_all_stores_wait_for_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 300, 2);
    let stages = rich();
    let embedded = format!("file:{}", folder.path().join("store").display());
    for uri in ["memory:", embedded.as_str()] {
        let store = opened(uri).await.store;
        ingest_all(&stages, &store, &[&file], "run").await.unwrap();
        for index in [2, 0, 3, 1] {
            let options = AggregateOptions {
                shard: Shard::new(index, 4).unwrap(),
                ..aggregation(Scope::Pending)
            };
            let done = aggregate_with(&stages, &store, &options).await.unwrap();
            let missing = [2, 0, 3, 1]
                .iter()
                .rev()
                .position(|it| *it == index)
                .unwrap();
            assert_eq!(done.shards_missing as usize, missing);
            assert_eq!(done.rows > 0, missing == 0);
        }
        assert_eq!(aggregate_pending(&stages, &store).await.unwrap(), 0);
        prove(&stages, &store).await;
    }
}

#[test]
fn every_bucket_of_every_hour_is_one_shards() {
    let hour: rowmill_rowkey::Hour = "2018-11-15T14".parse().unwrap();
    for text in ["0/1", "2/3", "15/16", "31/32"] {
        assert!(text.parse::<Shard>().is_ok(), "{text}");
    }
    for text in ["", "1", "1/1", "-1/2", "a/b", "0/0", "0/10001"] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
    for count in [1, 2, 3, 7, 16, 32, 40] {
        let owners = |hour, bucket| {
            let shards = (0..count).map(|index| Shard::new(index, count).unwrap());
            shards.filter(|shard| shard.owns(hour, bucket)).count()
        };
        for bucket in 0..rowmill_rowkey::TIMELINE_BUCKETS {
            assert_eq!(
                [owners(hour, bucket), owners(hour.next().unwrap(), bucket)],
                [1, 1]
            );
        }
    }
}
