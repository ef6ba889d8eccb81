//! Stores that fail and processes that die: whatever happened or was reported, taking the run up until it is done leaves the same
//! bytes as if nothing had happened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use proptest::prelude::*;
use rowmill_model::columns::table;
use rowmill_model::{MutationBatch, Row};
use rowmill_pipeline::{
    Control, Error, FileLedger, FileStatus, IngestOptions, IngestReport, Stages, file_ledgers,
    ingest,
};
use rowmill_rowkey::Timestamp;
use rowmill_store::testing::{FixedRandom, ManualTimer};
use rowmill_store::{
    Capability, Chaos, Error as StoreError, ErrorKind, Faulty, Result, Retry, RetryBudget, Scan,
    Store, StoreExt as _, WriteShape,
};
use tokio::sync::Notify;

use crate::{
    aggregate_pending, exported, generated, ingest_all, inputs, memory_store, options, stages,
};

/// Every cell of the tables that an ingest writes.
pub(crate) async fn tables(store: &dyn Store) -> BTreeMap<&'static str, Vec<Row>> {
    let mut tables = BTreeMap::new();
    for name in [table::FACT, table::TIMELINE, table::DEAD_LETTERS] {
        tables.insert(name, store.rows(name, Scan::all()).await.unwrap());
    }
    tables
}

/// What the ledgers say, without what two runs may differ in.
pub(crate) async fn ledgers(store: &dyn Store) -> Vec<FileLedger> {
    let files = file_ledgers(store).await.unwrap();
    let all = files.into_values().flatten();
    all.filter(|ledger| ledger.status == FileStatus::Done)
        .collect()
}

/// Takes four batches at once, and finishes them in any order.
#[derive(Debug)]
struct Wide {
    inner: Arc<dyn Store>,
    random: Mutex<fastrand::Rng>,
}

#[async_trait]
impl Store for Wide {
    fn capability(&self) -> Capability {
        let capability = self.inner.capability();
        let writes = WriteShape {
            batches_in_flight: 4,
            ..capability.writes
        };
        Capability {
            writes,
            ..capability
        }
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let waits = self.random.lock().unwrap().u32(0..40);
        for _ in 0..waits {
            tokio::task::yield_now().await;
        }
        self.inner.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        self.inner.scan(table, scan)
    }
}

/// How a store fails, and a process dies.
#[derive(Debug, Clone)]
struct Trouble {
    seed: u64,
    /// One process for each, which dies at that write; those after them live.
    deaths: Vec<u64>,
    unavailable: f64,
    lost_reply: f64,
    /// Whether failed writes are tried again before the run gives up.
    retries: bool,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let deaths = prop::collection::vec(1..30_u64, 0..6);
    let failures = (0.0..0.06_f64, 0.0..0.06_f64);
    (any::<u64>(), deaths, failures, any::<bool>()).prop_map(
        |(seed, deaths, (unavailable, lost_reply), retries)| Trouble {
            seed,
            deaths,
            unavailable,
            lost_reply,
            retries,
        },
    )
}

impl Trouble {
    /// The store of the process `number`, and what tells that it died.
    fn store(&self, inner: &Arc<dyn Store>, number: usize) -> (Arc<dyn Store>, Arc<Notify>) {
        let dead = Arc::new(Notify::new());
        let chaos = Chaos {
            unavailable: self.unavailable,
            lost_reply: self.lost_reply,
            kill_at: self.deaths.get(number).copied(),
            ..Chaos::default()
        };
        let notify = Arc::clone(&dead);
        let kill = Arc::new(move || notify.notify_one());
        let seed = self.seed.wrapping_add(number as u64);
        let wide = Wide {
            inner: Arc::clone(inner),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        };
        let faulty = Faulty::new(wide, chaos, seed, kill);
        if !self.retries {
            return (Arc::new(faulty), dead);
        }
        let budget = RetryBudget {
            attempts_max: 4,
            duration_max: Duration::from_hours(1),
            ..RetryBudget::default()
        };
        let timer = Arc::new(ManualTimer::default());
        let retrying = Retry::with_timer(faulty, budget, timer, Arc::new(FixedRandom(0.5)));
        (Arc::new(retrying), dead)
    }
}

/// The options of process `number`: each has a name and a time of its own, and batches as small as its files.
fn process(number: usize, small: bool) -> IngestOptions {
    let now = i64::try_from(number).unwrap() * 1_000_000;
    IngestOptions {
        now: Timestamp::from_micros(now).unwrap(),
        batch_rows: if small { 40 } else { 300 },
        chunk_bytes: if small { 8 << 10 } else { 256 << 10 },
        threads: 2,
        ..options(&format!("run {number}"))
    }
}

/// One process: until it is done, fails, or dies.
async fn live(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    dead: &Notify,
    paths: &[&Path],
    options: &IngestOptions,
) -> Option<std::result::Result<IngestReport, Error>> {
    let inputs = inputs(paths).prepare(stages).unwrap();
    let control = Control::default();
    tokio::select! {
        ended = ingest(stages, store, inputs, options, &control) => Some(ended),
        () = dead.notified() => None,
    }
}

/// One process after the other until one is done, and the number of the first that got as far as to write its name.
async fn until_done(
    stages: &Arc<Stages>,
    inner: &Arc<dyn Store>,
    trouble: &Trouble,
    paths: &[&Path],
) -> usize {
    let mut first = None;
    for number in 0..2_000 {
        let (store, dead) = trouble.store(inner, number);
        let ended = live(stages, &store, &dead, paths, &process(number, true)).await;
        let begun = !file_ledgers(&**inner).await.unwrap().is_empty();
        if begun {
            first.get_or_insert(number);
        }
        match ended {
            Some(Ok(report)) => {
                assert!(report.stopped.is_none() && report.ledger.is_balanced());
                return first.unwrap_or(number);
            }
            Some(Err(error)) => assert_eq!(error.to_string(), "injected by --chaos"),
            None => {}
        }
    }
    panic!("it ends at some time");
}

async fn check(trouble: Trouble, compressed: bool) {
    let folder = tempfile::tempdir().unwrap();
    // Natural ids, so that a repeat in another place would overwrite what the first one wrote.
    let stages = stages(&["event.filter=event_type != 'Home'"]);
    let json = generated(folder.path(), "a.jsonl", 400, trouble.seed % 5);
    // The same events again: duplicates over two files.
    let csv = generated(folder.path(), "b.csv", 400, trouble.seed % 5);
    let json = if compressed { gzipped(&json) } else { json };
    let paths = [json.as_path(), csv.as_path()];

    let disturbed = memory_store().await.store;
    let first = until_done(&stages, &disturbed, &trouble, &paths).await;
    let sound = memory_store().await.store;
    let inputs = inputs(&paths).prepare(&stages).unwrap();
    let options = process(first, false);
    let report = ingest(&stages, &sound, inputs, &options, &Control::default())
        .await
        .unwrap();
    assert!(
        report.ledger.duplicate > 200 && report.ledger.rejected() > 0 && report.ledger.filtered > 0
    );

    assert_eq!(
        tables(&*disturbed).await,
        tables(&*sound).await,
        "{trouble:?}"
    );
    assert_eq!(
        ledgers(&*disturbed).await,
        ledgers(&*sound).await,
        "{trouble:?}"
    );
}

/// Somebody aggregates whenever timeline rows are about to be written: after their hours were marked, and before they can be seen.
#[derive(Debug)]
struct Meddled(Arc<Stages>, Arc<dyn Store>);

#[async_trait]
impl Store for Meddled {
    fn capability(&self) -> Capability {
        self.1.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        if table == table::TIMELINE {
            aggregate_pending(&self.0, &self.1).await.unwrap();
        }
        self.1.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.1.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        self.1.scan(table, scan)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_that_were_aggregated_too_early_are_marked_again() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let path = generated(folder.path(), "a.jsonl", 600, 1);
    let [sound, inner] = [memory_store().await.store, memory_store().await.store];
    ingest_all(&stages, &sound, &[&path], "run").await.unwrap();
    let meddled: Arc<dyn Store> = Arc::new(Meddled(Arc::clone(&stages), Arc::clone(&inner)));
    let inputs = inputs(&[&path]).prepare(&stages).unwrap();
    let (options, control) = (process(0, true), Control::default());
    ingest(&stages, &meddled, inputs, &options, &control)
        .await
        .unwrap();
    for store in [&sound, &inner] {
        aggregate_pending(&stages, store).await.unwrap();
    }
    let aggregates =
        async |store: &Arc<dyn Store>| store.rows(table::AGGREGATE, Scan::all()).await.unwrap();
    assert_eq!(aggregates(&inner).await, aggregates(&sound).await);
}

/// Has room for so many rows, and none after that.
#[derive(Debug)]
struct Small {
    inner: Arc<dyn Store>,
    room: AtomicU64,
}

#[async_trait]
impl Store for Small {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let rows = batch.len() as u64;
        let take = |room: u64| room.checked_sub(rows);
        if self.room.fetch_update(SeqCst, SeqCst, take).is_err() {
            let full = StoreError::new(ErrorKind::Full, "no space left on the device");
            return Err(full);
        }
        self.inner.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        self.inner.scan(table, scan)
    }
}

/// A store without room stops the run at once, without trying again; with room, the run is taken up.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_is_taken_up_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let path = generated(folder.path(), "a.jsonl", 3_000, 1);
    let inner = memory_store().await.store;
    let mut attempts = 0;
    for room in [1_000, 1_500, 2_000, 1_000_000] {
        attempts += 1;
        let small = Small {
            inner: Arc::clone(&inner),
            room: AtomicU64::new(room),
        };
        let timer = Arc::new(ManualTimer::default());
        let random = Arc::new(FixedRandom(0.0));
        let store: Arc<dyn Store> = Arc::new(Retry::with_timer(
            small,
            RetryBudget::default(),
            timer.clone(),
            random,
        ));
        let inputs = inputs(&[&path]).prepare(&stages).unwrap();
        let options = process(attempts, true);
        match ingest(&stages, &store, inputs, &options, &Control::default()).await {
            Ok(report) => assert_eq!((report.ledger.read, room), (3_000, 1_000_000)),
            Err(error) => assert_eq!(error.to_string(), "no space left on the device"),
        }
        assert!(timer.slept().is_empty());
    }
    let sound = memory_store().await.store;
    let inputs = inputs(&[&path]).prepare(&stages).unwrap();
    let (options, control) = (process(1, true), Control::default());
    ingest(&stages, &sound, inputs, &options, &control)
        .await
        .unwrap();
    assert_eq!(tables(&*inner).await, tables(&*sound).await);
}

/// A file as `gzip` leaves it.
pub(crate) fn gzipped(path: &Path) -> std::path::PathBuf {
    let packed = path.with_extension("jsonl.gz");
    let file = std::fs::File::create(&packed).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    std::io::copy(&mut std::fs::File::open(path).unwrap(), &mut encoder).unwrap();
    encoder.finish().unwrap();
    packed
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    runtime.block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn taking_a_run_up_leaves_the_same_bytes(trouble in trouble(), compressed in any::<bool>()) {
        block_on(check(trouble, compressed));
    }

    #[test]
    fn whoever_aggregates_between_two_attempts_misses_nothing(trouble in trouble()) {
        block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let stages = stages(&[]);
            let json = generated(folder.path(), "a.jsonl", 300, trouble.seed % 100);
            let sound = memory_store().await;
            ingest_all(&stages, &sound.store, &[&json], "run").await.unwrap();
            aggregate_pending(&stages, &sound.store).await.unwrap();
            let inner = memory_store().await.store;
            for number in 0..2_000 {
                let (store, dead) = trouble.store(&inner, number);
                let ended = live(&stages, &store, &dead, &[&json], &process(number, true)).await;
                // They see a part of the events, and must see the rest later.
                aggregate_pending(&stages, &inner).await.unwrap();
                if matches!(ended, Some(Ok(_))) {
                    break;
                }
            }
            assert_eq!(exported(&stages, &*inner).await, exported(&stages, &*sound.store).await);
        });
    }
}
