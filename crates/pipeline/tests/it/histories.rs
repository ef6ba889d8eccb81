//! Aggregates: however the events came, in whatever parts they were aggregated, and wherever a process died, they are what one
//! aggregation of everything gives.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rowmill_model::Row;
use rowmill_model::columns::table;
use rowmill_pipeline::{
    AggregateOptions, Control, DeleteOptions, RebuildOptions, Scope, Shard, Stages, aggregate,
    delete_users, rebuild_timeline,
};
use rowmill_rowkey::FactKey;
use rowmill_store::{Chaos, Faulty, Store};

use crate::aggregates::{LEANER, OTHER, aggregates_of, files, prove, rich, table_of};
use crate::{
    aggregate_pending, aggregate_with, aggregation, generated, ingest_all, memory_store, now,
    stages,
};

#[derive(Debug, Clone)]
enum Step {
    Ingest(usize),
    Delete(u8),
    Aggregate {
        shards: u32,
        memory_bytes: usize,
        death: Option<Death>,
    },
    Configure(usize),
}

/// The end of a process at one of its writes, and whether it is started again.
#[derive(Debug, Clone, Copy)]
struct Death {
    at_write: u64,
    is_restarted: bool,
}

fn death() -> impl Strategy<Value = Option<Death>> {
    let death = (1_u64..40, any::<bool>()).prop_map(|(at_write, is_restarted)| Death {
        at_write,
        is_restarted,
    });
    prop::option::weighted(0.7, death)
}

fn step() -> impl Strategy<Value = Step> {
    let aggregation = (
        1_u32..4,
        prop::sample::select(vec![3_000, 100 << 20]),
        death(),
    );
    prop_oneof![
        4 => (0_usize..4).prop_map(Step::Ingest),
        1 => (1_u8..4).prop_map(Step::Delete),
        3 => aggregation.prop_map(|(shards, memory_bytes, death)| Step::Aggregate { shards, memory_bytes, death }),
        1 => (0_usize..3).prop_map(Step::Configure),
    ]
}

/// Aggregates by a process that dies at a write; false if it is done before.
async fn dies(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &AggregateOptions,
    at_write: u64,
) -> bool {
    let dead = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&dead);
    let chaos = Chaos {
        kill_at: Some(at_write),
        ..Chaos::default()
    };
    let kill = Arc::new(move || notify.notify_one());
    let dying: Arc<dyn Store> = Arc::new(Faulty::new(Arc::clone(store), chaos, at_write, kill));
    let control = Control::default();
    tokio::select! {
        biased;
        () = dead.notified() => true,
        done = aggregate(stages, &dying, options, &control) => {
            done.unwrap();
            false
        }
    }
}

/// One aggregation by some shards, each of which may die once, and be started again.
async fn aggregate_by(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    shards: u32,
    memory_bytes: usize,
    death: Option<Death>,
    name: &str,
) {
    for index in (0..shards).rev() {
        let options = AggregateOptions {
            shard: Shard::new(index, shards).unwrap(),
            memory_bytes,
            ..AggregateOptions::new(
                format!("{name} {index}"),
                Scope::Pending,
                rowmill_rowkey::Timestamp::from_micros(0).unwrap(),
            )
        };
        if let Some(death) = death
            && dies(stages, store, &options, death.at_write).await
            && !death.is_restarted
        {
            continue;
        }
        aggregate_with(stages, store, &options).await.unwrap();
    }
}

async fn check(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let configs = [rich(), stages(&LEANER), stages(&OTHER)];
    let [grown, fresh] = [memory_store().await.store, memory_store().await.store];
    let mut config = 0;
    for (number, step) in steps.iter().enumerate() {
        let stages = &configs[config];
        let name = format!("step {number}");
        match step {
            Step::Ingest(file) => {
                for store in [&grown, &fresh] {
                    ingest_all(stages, store, &[&files[*file]], &name)
                        .await
                        .unwrap();
                }
            }
            Step::Delete(user) => {
                let options = DeleteOptions {
                    user_ids: [user.to_string()].into(),
                    name,
                    dry_run: false,
                };
                for store in [&grown, &fresh] {
                    delete_users(stages, store, &options, &Control::default())
                        .await
                        .unwrap();
                }
            }
            Step::Aggregate {
                shards,
                memory_bytes,
                death,
            } => {
                aggregate_by(stages, &grown, *shards, *memory_bytes, *death, &name).await;
            }
            Step::Configure(to) => {
                config = *to;
                reconfigure(&configs[config], &grown).await;
            }
        }
    }
    let stages = &configs[config];
    aggregate_pending(stages, &grown).await.unwrap();
    prove(stages, &grown).await;
    rebuild_timeline(
        stages,
        &fresh,
        &RebuildOptions::new(now()),
        &Control::default(),
    )
    .await
    .unwrap();
    aggregate_with(stages, &fresh, &aggregation(Scope::All))
        .await
        .unwrap();
    prove(stages, &fresh).await;
    let [grown, fresh] = [aggregates_of(&grown).await, aggregates_of(&fresh).await];
    let differing = grown
        .iter()
        .zip(&fresh)
        .find(|(grown, fresh)| grown != fresh);
    assert!(
        grown == fresh,
        "{:?}",
        differing.map(|(grown, fresh)| (
            grown.key().escape_ascii().to_string(),
            fresh.key().escape_ascii().to_string()
        ))
    );
}

/// Does what the error says after a change of the pipeline file.
async fn reconfigure(stages: &Arc<Stages>, store: &Arc<dyn Store>) {
    let Err(error) = aggregate_pending(stages, store).await else {
        return;
    };
    let message = error.to_string();
    assert!(error.is_usage());
    if message.contains("`rowmill aggregate --rebuild`") {
        rebuild_timeline(
            stages,
            store,
            &RebuildOptions::new(now()),
            &Control::default(),
        )
        .await
        .unwrap();
    } else {
        assert!(message.contains("`rowmill aggregate --all`"), "{message}");
    }
    aggregate_with(stages, store, &aggregation(Scope::All))
        .await
        .unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.min(2_000) / 12))]

    #[test]
    fn any_history_is_as_if_it_had_always_been_so(steps in prop::collection::vec(step(), 1..9)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}

/// A store whose calls take a while, each another one.
fn slow(store: &Arc<dyn Store>, seed: u64) -> Arc<dyn Store> {
    let chaos = Chaos {
        slow: Some((Duration::from_millis(1), 0.6)),
        ..Chaos::default()
    };
    Arc::new(Faulty::new(Arc::clone(store), chaos, seed, Arc::new(|| ())))
}

/// Processes that are no shards of one job and know nothing of each other, one of which dies, while late events come.
async fn race(seed: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let stages = rich();
    let [store, fresh] = [memory_store().await.store, memory_store().await.store];
    ingest_all(&stages, &store, &[&files[0]], "first")
        .await
        .unwrap();
    if seed.is_multiple_of(2) {
        aggregate_pending(&stages, &store).await.unwrap();
    }
    let aggregator = |number: u64| {
        let (stages, store) = (Arc::clone(&stages), slow(&store, seed * 10 + number));
        let scope = match (seed + number) % 4 {
            0 => Scope::All,
            _ => Scope::Pending,
        };
        let options = AggregateOptions {
            memory_bytes: [20_000, 100 << 20][usize::try_from(number % 2).unwrap()],
            ..AggregateOptions::new(format!("aggregator {number}"), scope, now())
        };
        async move {
            tokio::time::sleep(Duration::from_millis((seed * 7 + number * 5) % 6)).await;
            aggregate_with(&stages, &store, &options).await
        }
    };
    let late = async {
        let slow = slow(&store, seed);
        for file in &files[1..3] {
            let run = file.display().to_string();
            ingest_all(&stages, &slow, &[file], &run).await.unwrap();
        }
    };
    let dying = tokio::time::timeout(Duration::from_millis(seed), aggregator(3));
    let (one, other, dead, ()) = tokio::join!(aggregator(1), aggregator(2), dying, late);
    let done = [Some(one), Some(other), dead.ok()];
    let done = done.into_iter().flatten().map(Result::unwrap);
    let postponed = done.map(|done| done.postponed).sum();
    aggregate_pending(&stages, &store).await.unwrap();
    prove(&stages, &store).await;
    // What is left beside all that counts goes when a week is visited again.
    aggregate_with(&stages, &store, &aggregation(Scope::All))
        .await
        .unwrap();
    for file in &files[..3] {
        let run = file.display().to_string();
        ingest_all(&stages, &fresh, &[file], &run).await.unwrap();
    }
    aggregate_pending(&stages, &fresh).await.unwrap();
    let [raced, fresh] = [aggregates_of(&store).await, aggregates_of(&fresh).await];
    assert!(raced == fresh, "{seed}");
    postponed
}

#[test]
fn processes_that_know_nothing_of_each_other_lose_nothing() {
    let mut postponed = 0;
    for seed in 0..24 {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        postponed += runtime.block_on(race(seed));
    }
    assert!(postponed > 0, "none met another");
}

/// On one thread: there a process that died does nothing more, as in life, while the next one works.
#[tokio::test]
async fn shards_that_die_at_every_write_leave_what_one_process_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 150, 1);
    let stages = rich();
    let alone = memory_store().await.store;
    ingest_all(&stages, &alone, &[&file], "run").await.unwrap();
    aggregate_pending(&stages, &alone).await.unwrap();
    let expected = aggregates_of(&alone).await;
    for at_write in 1..40 {
        let store = memory_store().await.store;
        ingest_all(&stages, &store, &[&file], "run").await.unwrap();
        let death = Death {
            at_write,
            is_restarted: true,
        };
        aggregate_by(&stages, &store, 3, 5_000, Some(death), "shards").await;
        aggregate_pending(&stages, &store).await.unwrap();
        assert!(aggregates_of(&store).await == expected, "{at_write}");
    }
}

/// Everything is to be made anew by another plan, and whoever does it dies at any write.
#[tokio::test]
async fn a_death_while_all_is_made_anew_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 150, 1);
    let (before, after) = (rich(), stages(&LEANER));
    let fresh = memory_store().await.store;
    ingest_all(&after, &fresh, &[&file], "run").await.unwrap();
    aggregate_pending(&after, &fresh).await.unwrap();
    let expected = aggregates_of(&fresh).await;
    for at_write in 1.. {
        let store = memory_store().await.store;
        ingest_all(&before, &store, &[&file], "run").await.unwrap();
        aggregate_pending(&before, &store).await.unwrap();
        let all = aggregation(Scope::All);
        let has_died = dies(&after, &store, &all, at_write).await;
        if has_died {
            // Nobody takes for the new plan's what is of the old one.
            let pending = aggregate_pending(&after, &store).await;
            assert!(at_write > 10 || pending.is_err(), "{at_write}");
            aggregate_with(&after, &store, &all).await.unwrap();
        }
        assert_eq!(aggregate_pending(&after, &store).await.unwrap(), 0);
        prove(&after, &store).await;
        assert!(aggregates_of(&store).await == expected, "{at_write}");
        if !has_died {
            assert!(at_write > 10);
            return;
        }
    }
}

/// An hour loses all its events, whoever aggregates that dies at any write, and the same events come again.
#[tokio::test]
async fn an_hour_that_was_empty_for_a_dead_process_is_made_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = generated(folder.path(), "a.jsonl", 6, 1);
    let stages = rich();
    let fresh = memory_store().await.store;
    ingest_all(&stages, &fresh, &[&file], "run").await.unwrap();
    let users = users_of(&fresh).await;
    aggregate_pending(&stages, &fresh).await.unwrap();
    let expected = aggregates_of(&fresh).await;
    for at_write in 1.. {
        let store = memory_store().await.store;
        ingest_all(&stages, &store, &[&file], "run").await.unwrap();
        aggregate_pending(&stages, &store).await.unwrap();
        for (number, user_id) in users.iter().enumerate() {
            let options = DeleteOptions {
                user_ids: [user_id.clone()].into(),
                name: format!("delete {number}"),
                dry_run: false,
            };
            delete_users(&stages, &store, &options, &Control::default())
                .await
                .unwrap();
        }
        let has_died = dies(&stages, &store, &aggregation(Scope::Pending), at_write).await;
        let again = folder.path().join(format!("{at_write}.jsonl"));
        std::fs::copy(&file, &again).unwrap();
        ingest_all(&stages, &store, &[&again], "again")
            .await
            .unwrap();
        aggregate_pending(&stages, &store).await.unwrap();
        assert!(aggregates_of(&store).await == expected, "{at_write}");
        if !has_died {
            assert!(at_write > 4);
            return;
        }
    }
}

async fn users_of(store: &Arc<dyn Store>) -> BTreeSet<String> {
    let facts = table_of(store, table::FACT).await;
    let user = |row: &Row| FactKey::decode(row.key()).unwrap().user_id.into_owned();
    facts.iter().map(user).collect()
}
