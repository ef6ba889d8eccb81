//! A store that forgets: emptied, restored or dropped while a job writes to it. No job ends as if what it wrote were there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use rowmill_model::columns::table;
use rowmill_model::{MutationBatch, Row};
use rowmill_pipeline::{
    Control, DeleteOptions, Error, FileStatus, IngestOptions, IngestReport, LetterFilter,
    RunStatus, Scope, Stages, delete_users, file_ledgers, ingest, purge_letters, runs,
};
use rowmill_rowkey::{FactKey, PendingKey};
use rowmill_store::{
    Capability, Error as StoreError, ErrorKind, Result, Scan, Store, StoreExt as _,
};

use crate::{
    aggregate_pending, aggregate_with, aggregation, generated, ingest_with, inputs, memory_store,
    options, stages,
};

const DATA: [&str; 3] = [table::FACT, table::TIMELINE, table::DEAD_LETTERS];

/// Empties tables before a call to the store, or drops them.
#[derive(Debug, Clone)]
struct Forgetful(Arc<Life>);

#[derive(Debug)]
struct Life {
    inner: Arc<dyn Store>,
    forgets: Vec<&'static str>,
    drops: bool,
    at_call: u64,
    calls: AtomicU64,
    /// The last call to each table.
    last: Mutex<BTreeMap<String, u64>>,
}

impl Forgetful {
    fn new(inner: &Arc<dyn Store>, forgets: &[&'static str], at_call: u64) -> Self {
        Self(Arc::new(Life {
            inner: Arc::clone(inner),
            forgets: forgets.to_vec(),
            drops: false,
            at_call,
            calls: AtomicU64::new(0),
            last: Mutex::default(),
        }))
    }

    /// A store that drops all tables before a call.
    fn dropping(inner: &Arc<dyn Store>, at_call: u64) -> Self {
        let mut life = Self::new(inner, &[], at_call).0;
        Arc::get_mut(&mut life).expect("nobody else has it").drops = true;
        Self(life)
    }

    async fn call(&self, table: &str) -> Result<()> {
        let call = self.0.calls.fetch_add(1, Ordering::SeqCst);
        self.0.last.lock().unwrap().insert(table.to_owned(), call);
        if call == self.0.at_call {
            for name in &self.0.forgets {
                empty(&*self.0.inner, name).await;
            }
        }
        if self.0.drops && call >= self.0.at_call {
            return Err(StoreError::new(ErrorKind::NotFound, "there is no table"));
        }
        Ok(())
    }

    /// Whether it forgot at all, and some table was used after that which was forgotten.
    fn could_be_noticed(&self) -> bool {
        let last = self.0.last.lock().unwrap();
        let mut forgotten = self.0.forgets.iter();
        forgotten.any(|table| last.get(*table).is_some_and(|call| *call >= self.0.at_call))
    }

    fn has_forgotten(&self) -> bool {
        self.0.calls.load(Ordering::SeqCst) > self.0.at_call
    }
}

async fn empty(store: &dyn Store, table: &str) {
    let mut batch = MutationBatch::new();
    for row in store.rows(table, Scan::all()).await.unwrap() {
        let mut removal = batch.row(row.key());
        removal.delete_row();
        removal.finish();
    }
    store.apply_all(table, batch).await.unwrap();
}

#[async_trait]
impl Store for Forgetful {
    fn capability(&self) -> Capability {
        self.0.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        self.call(table).await?;
        self.0.inner.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.0.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let (own, table) = (self.clone(), table.to_owned());
        let scan = async move {
            own.call(&table).await?;
            Ok::<_, StoreError>(own.0.inner.scan(&table, scan))
        };
        stream::once(scan).try_flatten().boxed()
    }
}

fn small(run: &str) -> IngestOptions {
    IngestOptions {
        batch_rows: 30,
        chunk_bytes: 4 << 10,
        threads: 1,
        ..options(run)
    }
}

async fn read(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    path: &Path,
) -> std::result::Result<IngestReport, Error> {
    ingest_with(stages, store, &[path], &small("run")).await
}

/// Whether everything that a report says is in the store: rows, ledgers, and marks of all hours.
async fn is_whole(store: &dyn Store, report: &IngestReport) -> bool {
    let mut rows = [0; 3];
    for (count, name) in rows.iter_mut().zip(DATA) {
        *count = store.count(name, Scan::all()).await.unwrap();
    }
    let ledger = &report.ledger;
    let runs = runs(store).await.unwrap();
    let files = file_ledgers(store).await.unwrap();
    let facts = store.rows(table::FACT, Scan::all()).await.unwrap();
    let hour = |row: &Row| FactKey::decode(row.key()).unwrap().timestamp.hour();
    let hours: BTreeSet<_> = facts
        .iter()
        .map(|row| PendingKey(hour(row)).encode())
        .collect();
    let marked = Scan::range(PendingKey::all());
    let marked = store.rows(table::STATE, marked).await.unwrap();
    let marked: BTreeSet<_> = marked.iter().map(|row| row.key().to_vec()).collect();
    rows == [ledger.written, ledger.written, ledger.rejected()]
        && runs.iter().any(|run| run.status == RunStatus::Done)
        && files
            .values()
            .flatten()
            .any(|file| file.status == FileStatus::Done)
        && marked == hours
}

async fn check_forgetting(forgets: &[&'static str], step: usize) {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let path = generated(folder.path(), "a.jsonl", 110, 2);
    let mut noticed = 0;
    for at_call in (0..).step_by(step) {
        let inner = memory_store().await.store;
        let forgetful = Forgetful::new(&inner, forgets, at_call);
        let store: Arc<dyn Store> = Arc::new(forgetful.clone());
        match read(&stages, &store, &path).await {
            Ok(report) => {
                let is_whole = is_whole(&*inner, &report).await;
                let case = format!("{forgets:?} at call {at_call}");
                assert!(is_whole || !forgetful.could_be_noticed(), "{case}");
            }
            Err(error) => {
                assert!(matches!(error, Error::Forgot { .. }), "{error}");
                noticed += 1;
            }
        }
        if !forgetful.has_forgotten() {
            assert!(noticed > 3, "{forgets:?}: {noticed} of {at_call}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_whose_store_is_emptied_at_any_time_fails() {
    let all = [
        table::FACT,
        table::TIMELINE,
        table::DEAD_LETTERS,
        table::STATE,
    ];
    check_forgetting(&all, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_of_whose_store_a_table_is_emptied_fails() {
    for name in DATA.iter().chain([&table::STATE]) {
        check_forgetting(&[name], 2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_whose_tables_are_dropped_says_that_data_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let path = generated(folder.path(), "a.jsonl", 110, 2);
    let mut noticed = 0;
    for at_call in 0.. {
        let inner = memory_store().await.store;
        let store: Arc<dyn Store> = Arc::new(Forgetful::dropping(&inner, at_call));
        let Err(error) = read(&stages, &store, &path).await else {
            assert!(noticed > 3, "{noticed} of {at_call}");
            return;
        };
        let has_written = inner.count(table::FACT, Scan::all()).await.unwrap() > 0;
        assert!(
            !has_written || matches!(error, Error::Forgot { .. }),
            "{error}"
        );
        noticed += u64::from(has_written);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregation_whose_state_is_emptied_fails() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let path = generated(folder.path(), "a.jsonl", 60, 2);
    let mut noticed = 0;
    for at_call in (0..).step_by(3) {
        let inner = memory_store().await.store;
        read(&stages, &inner, &path).await.unwrap();
        let forgetful = Forgetful::new(&inner, &[table::STATE], at_call);
        let store: Arc<dyn Store> = Arc::new(forgetful.clone());
        match aggregate_with(&stages, &store, &aggregation(Scope::Pending)).await {
            Ok(report) => assert!(report.hours == 0 || !forgetful.could_be_noticed()),
            // Before it begins it may miss something else, such as what the timeline holds.
            Err(error) => noticed += u64::from(matches!(error, Error::Forgot { .. })),
        }
        if !forgetful.has_forgotten() {
            assert!(noticed > 3, "{noticed} of {at_call}");
            return;
        }
    }
}

/// Others work on what a run has just written, whenever it writes more: they aggregate, delete a user, and purge letters.
#[derive(Debug)]
struct Busy(Arc<Stages>, Arc<dyn Store>);

#[async_trait]
impl Store for Busy {
    fn capability(&self) -> Capability {
        self.1.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        if table == table::FACT {
            self.work().await;
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

impl Busy {
    async fn work(&self) {
        let control = Control::default();
        aggregate_pending(&self.0, &self.1).await.unwrap();
        let facts = self.1.rows(table::FACT, Scan::all().with_limit(1)).await;
        if let Some(fact) = facts.unwrap().first() {
            let key = FactKey::decode(fact.key()).unwrap();
            let options = DeleteOptions {
                user_ids: BTreeSet::from([key.user_id.to_string()]),
                name: format!("delete {}", key.user_id),
                dry_run: false,
            };
            let deleted = delete_users(&self.0, &self.1, &options, &control);
            deleted.await.unwrap();
        }
        let filter = LetterFilter::default();
        let mut archive = |_: &[rowmill_pipeline::DeadLetter]| Ok(());
        purge_letters(&*self.1, &filter, &mut archive, &control)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_remove_with_a_note_are_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let path = generated(folder.path(), "a.jsonl", 400, 3);
    let inner = memory_store().await.store;
    let busy: Arc<dyn Store> = Arc::new(Busy(Arc::clone(&stages), Arc::clone(&inner)));
    let report = read(&stages, &busy, &path).await.unwrap();
    let facts = inner.count(table::FACT, Scan::all()).await.unwrap();
    assert!(facts < report.ledger.written, "somebody was deleted");
}

/// Events that the pipeline file does not keep may be dropped at once.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_too_old_to_be_kept_are_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[
        r#"retention.events_fact="30d""#,
        r#"retention.events_timeline="30d""#,
    ]);
    let path: PathBuf = generated(folder.path(), "a.jsonl", 200, 3);
    let inner = memory_store().await.store;
    let forgetful: Arc<dyn Store> = Arc::new(Dropping(Arc::clone(&inner)));
    let options = IngestOptions {
        clock: Arc::new(rowmill_store::SystemClock),
        ..small("run")
    };
    let prepared = inputs(&[&path]).prepare(&stages).unwrap();
    let report = ingest(&stages, &forgetful, prepared, &options, &Control::default())
        .await
        .unwrap();
    assert!(report.ledger.written > 100);
}

/// Takes facts and rows of the timeline, and keeps none.
#[derive(Debug)]
struct Dropping(Arc<dyn Store>);

#[async_trait]
impl Store for Dropping {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        if [table::FACT, table::TIMELINE].contains(&table) {
            return Ok((0..batch.len()).map(|_| Ok(())).collect());
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
