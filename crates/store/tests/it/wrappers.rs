//! Every wrapper passes the suite, and does what it is for.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::stream::{self, BoxStream, StreamExt as _};
use proptest::prelude::*;
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::KeyRange;
use rowmill_store::conformance::Fixture;
use rowmill_store::testing::{FixedRandom, ManualTimer};
use rowmill_store::{
    Admin as _, Backoff, Capability, Chaos, Effect, Error, ErrorKind, Faulty, MemoryStore, Meter,
    Metered, Result, Retry, RetryBudget, Scan, Store, StoreExt as _, TableSchema, Throttle,
    Timeout, Timer, Wait,
};

fn fixture<S: Store>(wrap: impl FnOnce(MemoryStore) -> S) -> Fixture {
    let memory = MemoryStore::new();
    Fixture::of(Arc::new(wrap(memory.clone())), Arc::new(memory))
}

fn faulty(memory: MemoryStore, chaos: &str) -> Faulty<MemoryStore> {
    Faulty::new(memory, chaos.parse().unwrap(), 7, Arc::new(|| ()))
}

/// A retrying store on which waiting takes no time.
fn retrying<S: Store>(inner: S, timer: &Arc<ManualTimer>) -> Retry<S> {
    let budget = RetryBudget {
        attempts_max: 200,
        duration_max: Duration::from_hours(24),
        ..RetryBudget::default()
    };
    Retry::with_timer(inner, budget, timer.clone(), Arc::new(FixedRandom(0.0)))
}

mod retry {
    rowmill_store::conformance_tests!(super::fixture(|memory| super::retrying(
        memory,
        &std::sync::Arc::default()
    )));
}

mod timeout {
    rowmill_store::conformance_tests!(super::fixture(|memory| super::Timeout::new(
        memory,
        std::time::Duration::from_mins(10)
    )));
}

mod metered {
    rowmill_store::conformance_tests!(super::fixture(|memory| super::Metered::new(
        memory,
        super::Meter::default()
    )));
}

mod throttle {
    rowmill_store::conformance_tests!(super::fixture(|memory| super::Throttle::new(memory, 1e9)));
}

mod faultless {
    rowmill_store::conformance_tests!(super::fixture(|memory| super::faulty(
        memory,
        "unavailable=0%"
    )));
}

/// A store that fails two calls in three is as good as any once it is tried again.
mod retried_faults {
    rowmill_store::conformance_tests!(super::fixture(|memory| super::retrying(
        super::faulty(memory, "unavailable=40%,lost-reply=30%"),
        &std::sync::Arc::default()
    )));
}

/// Fails as it is told: with an error for a whole call, or for the rows of an attempt.
#[derive(Debug, Default)]
struct Scripted {
    replies: Mutex<Vec<Reply>>,
    /// Keys of each attempt.
    attempts: Mutex<Vec<Vec<String>>>,
}

type Reply = Result<Vec<Result<()>>>;

#[async_trait]
impl Store for Scripted {
    fn capability(&self) -> Capability {
        MemoryStore::new().capability()
    }

    async fn apply(&self, _: &str, batch: Arc<MutationBatch>) -> Reply {
        let keys = batch
            .iter()
            .map(|row| String::from_utf8(row.key().to_vec()).unwrap());
        self.attempts.lock().unwrap().push(keys.collect());
        self.replies.lock().unwrap().remove(0)
    }

    async fn split_keys(&self, _: &str) -> Result<Vec<Vec<u8>>> {
        std::future::pending().await
    }

    fn scan(&self, _: &str, _: Scan) -> BoxStream<'static, Result<Row>> {
        stream::pending().boxed()
    }
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "busy")
}

fn batch(keys: &[&str]) -> Arc<MutationBatch> {
    let mut batch = MutationBatch::new();
    for key in keys {
        let mut row = batch.row(key.as_bytes());
        row.set("f", b"q", 0, b"v");
        row.finish();
    }
    Arc::new(batch)
}

/// What a store that replies so gives after retries, and which rows each attempt sent.
async fn tried(replies: Vec<Reply>, attempts_max: u32) -> (Reply, Vec<Vec<String>>, Vec<Duration>) {
    let timer = Arc::new(ManualTimer::default());
    let scripted = Arc::new(Scripted {
        replies: Mutex::new(replies),
        ..Scripted::default()
    });
    let backoff = Backoff {
        initial: Duration::from_millis(10),
        max: Duration::from_millis(35),
        multiplier: 2,
    };
    let budget = RetryBudget {
        backoff,
        attempts_max,
        duration_max: Duration::from_secs(1),
    };
    let store = Retry::with_timer(
        Arc::clone(&scripted),
        budget,
        timer.clone(),
        Arc::new(FixedRandom(0.0)),
    );
    let reply = store.apply("t", batch(&["a", "b", "c"])).await;
    let attempts = scripted.attempts.lock().unwrap().clone();
    (reply, attempts, timer.slept())
}

#[tokio::test]
async fn only_what_may_succeed_later_is_sent_again() {
    let refused = || Error::new(ErrorKind::InvalidArgument, "too large");
    let replies = vec![
        Ok(vec![Ok(()), Err(unavailable()), Err(refused())]),
        Err(unavailable().with_unknown_effect()),
        Ok(vec![Ok(())]),
    ];
    let (reply, attempts, slept) = tried(replies, 9).await;
    assert_eq!(attempts, [vec!["a", "b", "c"], vec!["b"], vec!["b"]]);
    let outcomes = reply.unwrap();
    assert!(outcomes[0].is_ok() && outcomes[1].is_ok());
    assert_eq!(
        outcomes[2].as_ref().unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
    assert_eq!(slept, [10, 20].map(Duration::from_millis));
}

#[tokio::test]
async fn the_budget_is_kept_and_an_unknown_effect_remembered() {
    let replies = vec![
        Err(unavailable().with_unknown_effect()),
        Err(unavailable()),
        Err(unavailable()),
        Err(unavailable()),
    ];
    let (reply, attempts, slept) = tried(replies, 4).await;
    assert_eq!(attempts.len(), 4);
    let error = reply.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::Unknown)
    );
    assert_eq!(slept, [10, 20, 35].map(Duration::from_millis));
}

#[tokio::test]
async fn what_never_succeeds_is_not_tried_again() {
    let denied = Error::new(ErrorKind::Denied, "no");
    let (reply, attempts, _) = tried(vec![Err(denied)], 9).await;
    assert_eq!(
        (reply.unwrap_err().kind(), attempts.len()),
        (ErrorKind::Denied, 1)
    );
    // Rows that were written stay written, whatever becomes of the others.
    let replies = vec![
        Ok(vec![Ok(()), Err(unavailable()), Ok(())]),
        Err(Error::new(ErrorKind::Denied, "no")),
    ];
    let outcomes = tried(replies, 9).await.0.unwrap();
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind(), ErrorKind::Denied);
}

/// Never answers.
#[derive(Debug)]
struct Stuck;
#[async_trait]
impl Store for Stuck {
    fn capability(&self) -> Capability {
        MemoryStore::new().capability()
    }
    async fn apply(&self, _: &str, _: Arc<MutationBatch>) -> Reply {
        std::future::pending().await
    }
    async fn split_keys(&self, _: &str) -> Result<Vec<Vec<u8>>> {
        std::future::pending().await
    }

    fn scan(&self, _: &str, _: Scan) -> BoxStream<'static, Result<Row>> {
        stream::pending().boxed()
    }
}

#[tokio::test]
async fn a_slow_answer_is_given_up_and_may_have_happened() {
    let timer = Arc::new(ManualTimer::default());
    let memory = MemoryStore::new();
    memory
        .create_table(&TableSchema::new("t", ["f"]))
        .await
        .unwrap();
    let store = Timeout::with_timer(Stuck, Duration::from_secs(3), timer.clone());
    let (reply, ()) = futures::join!(store.apply("t", batch(&["a"])), async {
        tokio::task::yield_now().await;
        timer.advance(Duration::from_secs(3));
    });
    let error = reply.unwrap_err();
    assert!(error.is_retryable() && error.effect() == Effect::Unknown);
    assert_eq!(error.to_string(), "`t` did not answer within 3s");
    let mut rows = store.scan("t", Scan::all());
    let (row, ()) = futures::join!(rows.next(), async {
        tokio::task::yield_now().await;
        timer.advance(Duration::from_secs(3));
    });
    assert_eq!(row.unwrap().unwrap_err().effect(), Effect::None);
    assert!(rows.next().await.is_none());
}

#[tokio::test]
async fn a_rate_is_kept() {
    let timer = Arc::new(ManualTimer::default());
    let scripted = Scripted {
        replies: Mutex::new((0..3).map(|_| Ok(vec![])).collect()),
        ..Scripted::default()
    };
    let store = Throttle::with_timer(scripted, 2.0, timer.clone());
    for _ in 0..2 {
        store.apply("t", batch(&["a", "b", "c"])).await.unwrap();
    }
    assert_eq!(timer.slept(), [Duration::from_millis(1_500)]);
    // Who was idle meanwhile does not wait, and has not saved up either.
    timer.advance(Duration::from_mins(1));
    store.apply("t", batch(&["a"])).await.unwrap();
    assert_eq!(timer.slept().len(), 1);
}

/// A clock on which whoever sleeps waits until it is moved on.
#[derive(Debug, Default)]
struct Clock(ManualTimer);

impl Timer for Clock {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Wait {
        self.0.until(self.0.now() + duration)
    }

    fn until(&self, moment: Instant) -> Wait {
        self.0.until(moment)
    }
}

#[tokio::test]
async fn a_batch_that_is_given_up_leaves_its_turn_to_the_others() {
    let timer = Arc::new(Clock::default());
    let scripted = Arc::new(Scripted {
        replies: Mutex::new((0..2).map(|_| Ok(vec![])).collect()),
        ..Scripted::default()
    });
    let store = Throttle::with_timer(Arc::clone(&scripted), 1.0, timer.clone());
    store.apply("t", batch(&["a"])).await.unwrap();
    for _ in 0..1_000 {
        let waiting = store.apply("t", batch(&["b"])).now_or_never();
        assert!(waiting.is_none());
        tokio::task::yield_now().await;
    }
    timer.0.advance(Duration::from_secs(1));
    let next = store.apply("t", batch(&["c"])).now_or_never();
    next.expect("its turn is there").unwrap();
    let sent = scripted.attempts.lock().unwrap();
    assert_eq!(*sent, [["a"], ["c"]]);
}

#[tokio::test]
async fn durations_without_end_are_no_limit() {
    let memory = MemoryStore::new();
    let schema = TableSchema::new("t", ["f"]);
    memory.create_table(&schema).await.unwrap();
    let backoff = Backoff {
        initial: Duration::MAX,
        max: Duration::MAX,
        multiplier: u32::MAX,
    };
    let budget = RetryBudget {
        backoff,
        attempts_max: u32::MAX,
        duration_max: Duration::MAX,
    };
    let patient = Timeout::new(memory.clone(), Duration::MAX);
    let throttled = Throttle::new(patient, f64::MIN_POSITIVE);
    let store = Retry::new(throttled, budget);
    store.apply("t", batch(&["a"])).await.unwrap();
    assert_eq!(store.rows("t", Scan::all()).await.unwrap().len(), 1);
    store.split_keys("t").await.unwrap();
    // A delay beyond the budget is not waited for.
    for unit in [0.0, 0.9, 1.0] {
        assert_eq!(backoff.delay(3, unit), Duration::MAX);
    }
    let timer = Arc::new(ManualTimer::default());
    let faulty = faulty(memory, "unavailable=100%");
    let retried = Retry::with_timer(faulty, budget, timer.clone(), Arc::new(FixedRandom(0.9)));
    let failed = retried.apply("t", batch(&["a"])).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(timer.slept().is_empty());
}

#[tokio::test]
async fn ranges_without_keys_hold_no_rows() {
    let memory = MemoryStore::new();
    let schema = TableSchema::new("t", ["f"]);
    memory.create_table(&schema).await.unwrap();
    memory.apply_all("t", batch(&["a", "b"])).await.unwrap();
    for (start, end) in [("a", ""), ("b", "a"), ("a", "a"), ("", "")] {
        let range = KeyRange {
            start: start.into(),
            end: Some(end.into()),
        };
        for scan in [Scan::range(range.clone()), Scan::range(range).reversed()] {
            assert!(
                memory.rows("t", scan.clone()).await.unwrap().is_empty(),
                "{scan:?}"
            );
            assert!(
                memory
                    .rows("t", scan.rest(b"b", 1))
                    .await
                    .unwrap()
                    .is_empty()
            );
        }
    }
}

#[tokio::test]
async fn what_is_sent_is_counted_and_balances() {
    let (meter, timer) = (Meter::default(), Arc::new(ManualTimer::default()));
    let scripted = Scripted {
        replies: Mutex::new(vec![
            Ok(vec![Ok(()), Err(unavailable())]),
            Err(Error::new(ErrorKind::Full, "full")),
        ]),
        ..Scripted::default()
    };
    let store = Metered::with_timer(scripted, meter.clone(), timer);
    let two = batch(&["a", "b"]);
    store.apply("t", two.clone()).await.unwrap();
    store.apply("t", two.clone()).await.unwrap_err();
    let counts = meter.counts();
    assert_eq!(
        (counts.writes, counts.rows_sent, counts.rows_written),
        (2, 4, 1)
    );
    assert_eq!(counts.bytes_sent, 2 * two.bytes() as u64);
    let failed = [(ErrorKind::Unavailable, 1), (ErrorKind::Full, 2)];
    assert_eq!(counts.rows_failed, failed.into());
    assert_eq!(
        counts.rows_sent,
        counts.rows_written + counts.rows_failed.values().sum::<u64>()
    );
}

/// How often each combination of {happened, reported} came of 300 writes.
async fn combinations(chaos: &str) -> [u32; 4] {
    let memory = MemoryStore::new();
    memory
        .create_table(&TableSchema::new("t", ["f"]))
        .await
        .unwrap();
    let store = faulty(memory.clone(), chaos);
    let mut found = [0; 4];
    for number in 0..300 {
        let key = format!("{number}");
        let reported = store.apply("t", batch(&[&key])).await.is_ok();
        let happened = memory.row("t", key.as_bytes()).await.unwrap().is_some();
        found[usize::from(happened) * 2 + usize::from(reported)] += 1;
    }
    found
}

#[tokio::test]
async fn faults_happen_in_every_combination() {
    let found = combinations("unavailable=20%,lost-reply=30%,lost-write=20%").await;
    assert!(found.iter().all(|count| *count > 20), "{found:?}");
    assert_eq!(
        found,
        combinations("unavailable=20%,lost-reply=30%,lost-write=20%").await,
        "the seed decides"
    );
    assert_eq!(combinations("unavailable=0%").await, [0, 0, 0, 300]);
}

#[tokio::test]
async fn the_process_is_killed_once_and_at_its_write() {
    let killed = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&killed);
    let kill = Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let memory = MemoryStore::new();
    memory
        .create_table(&TableSchema::new("t", ["f"]))
        .await
        .unwrap();
    let chaos = Chaos {
        kill_at: Some(3),
        ..Chaos::default()
    };
    let store = Faulty::new(memory, chaos, 1, kill);
    for _ in 0..2 {
        store.apply("t", batch(&["a"])).await.unwrap();
    }
    assert_eq!(killed.load(Ordering::SeqCst), 0);
    let write = store.apply("t", batch(&["a"]));
    assert!(
        futures::FutureExt::now_or_never(write).is_none(),
        "it never returns"
    );
    assert_eq!(killed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn slowness_waits_by_the_timer() {
    let timer = Arc::new(ManualTimer::default());
    let memory = MemoryStore::new();
    memory
        .create_table(&TableSchema::new("t", ["f"]))
        .await
        .unwrap();
    let chaos = "slow=50ms:100%".parse().unwrap();
    let store = Faulty::with_timer(memory, chaos, 1, Arc::new(|| ()), timer.clone());
    let begun = timer.now();
    store.apply("t", batch(&["a"])).await.unwrap();
    assert_eq!(timer.now() - begun, Duration::from_millis(50));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However often a scan breaks off, it gives each row once, in order, in both directions, up to its limit.
    #[test]
    fn a_scan_goes_on_where_it_broke_off(seed in any::<u64>(), rows in 0..400_usize, limit in prop::option::of(0..500_u64), reverse in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let memory = MemoryStore::new();
            memory.create_table(&TableSchema::new("t", ["f"])).await.unwrap();
            let keys: Vec<_> = (0..rows).map(|row| format!("{row:03}")).collect();
            memory.apply_all("t", batch(&keys.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap();
            let chaos = Chaos { unavailable: 0.7, ..Chaos::default() };
            let faulty = Faulty::new(memory.clone(), chaos, seed, Arc::new(|| ()));
            let store = retrying(faulty, &Arc::default());
            let scan = Scan { limit, reverse, ..Scan::all() };
            let found = store.rows("t", scan.clone()).await.unwrap();
            assert_eq!(found, memory.rows("t", scan).await.unwrap());
        });
    }
}
