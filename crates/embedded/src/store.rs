//! The store: a folder, its tables, and the two traits.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use rowmill_model::{MutationBatch, Row};
use rowmill_store::{
    Admin, Capability, Clock, Error, ErrorKind, Result, Scan, Store, SystemClock, TableSchema,
    View, WriteShape,
};
use tokio::task::JoinHandle;

use crate::catalog::Catalog;
use crate::cursor::{Cursor, OpenScans, Page};
use crate::error;
use crate::health::Health;
use crate::open_files::OpenFiles;
use crate::split;
use crate::table::{BULK_ROWS, Table};

/// Memory the engine may use for blocks it has read.
const CACHE_BYTES: u64 = 16 << 20;

/// How large a table's latest journal writes may grow in memory before they become a sorted run.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// How many bytes of rows are compressed and read together.
const BLOCK_BYTES: u32 = 16 << 10;

/// A store in a folder. Clones are the same store.
#[derive(Clone)]
pub struct EmbeddedStore {
    inner: Arc<Inner>,
}

struct Inner {
    tables: RwLock<BTreeMap<String, Arc<Table>>>,
    /// Held while tables come and go.
    catalog: Mutex<Catalog>,
    sequence: AtomicU64,
    bulk_rows: usize,
    files: OpenFiles,
    clock: Arc<dyn Clock>,
    scans: Arc<OpenScans>,
    /// Ends before the database does, which it holds.
    health: Health,
    database: Database,
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self
            .inner
            .tables
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("EmbeddedStore")
            .field("tables", &tables.keys())
            .finish_non_exhaustive()
    }
}

impl EmbeddedStore {
    /// Opens the store in `folder`, which is created if it does not exist. One process at a time can have it open.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(folder.as_ref(), BULK_ROWS, Arc::new(SystemClock))
    }

    /// Opens the store in `folder`, writing batches of `bulk_rows` rows and more as sorted runs, by `clock`.
    pub fn open_with(folder: &Path, bulk_rows: usize, clock: Arc<dyn Clock>) -> Result<Self> {
        clear_unfinished(folder)?;
        let files = OpenFiles::by_process_limit();
        let database = Database::builder(folder)
            .cache_size(CACHE_BYTES)
            .max_cached_files(Some(files.cached))
            // With two threads the engine's first one spins for as long as the second one merges runs.
            .worker_threads(1)
            // The journal is read once at most, and soon removed.
            .journal_compression(CompressionType::None)
            .open()
            .map_err(|error| error::open(folder, error))?;
        let catalog = Catalog::open(&database)?;
        // Every opening numbers its mutations above those of all before it.
        let sequence = u64::from(catalog.count_opening()?) << 40;
        let mut tables = BTreeMap::new();
        for schema in catalog.tables()? {
            let keyspace = keyspace(&database, &schema.name, files)?;
            tables.insert(
                schema.name.clone(),
                Arc::new(Table::new(schema, keyspace, bulk_rows, files.runs_max)),
            );
        }
        let inner = Inner {
            tables: RwLock::new(tables),
            catalog: Mutex::new(catalog),
            sequence: AtomicU64::new(sequence),
            bulk_rows,
            files,
            clock,
            scans: Arc::default(),
            health: Health::watch(folder, &database)?,
            database,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    fn table(&self, name: &str) -> Result<Arc<Table>> {
        let tables = self
            .inner
            .tables
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        tables.get(name).cloned().ok_or_else(|| not_found(name))
    }

    /// Runs `work` on a thread that may block. If the engine stops meanwhile, that is left alone.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.inner.health.check()?;
        let inner = Arc::clone(&self.inner);
        let working = tokio::task::spawn_blocking(move || work(&inner));
        self.inner.health.or_stopped(joined(working)).await
    }
}

/// What a thread gives that may block.
async fn joined<T>(working: JoinHandle<Result<T>>) -> Result<T> {
    working.await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Internal, "the engine panicked").with_source(error))
    })
}

/// The file that the engine writes last when it makes a database, and what it writes before.
const FINISHED_MARK: &str = "version";
const LOCK_FILE: &str = "lock";
const UNFINISHED: [&str; 2] = ["0.jnl", "keyspaces"];

/// Removes what is left of a process that was killed while it made the database; the engine would stumble over it.
///
/// Nothing was acknowledged before the mark was there, and whoever is still at it holds the lock.
fn clear_unfinished(folder: &Path) -> Result<()> {
    let unfinished = UNFINISHED.map(|name| folder.join(name));
    if folder.join(FINISHED_MARK).exists() || unfinished.iter().all(|path| !path.exists()) {
        return Ok(());
    }
    let clear = || {
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(LOCK_FILE))?;
        if lock.try_lock().is_err() {
            return Err(fjall::Error::Locked);
        }
        let [journal, keyspaces] = &unfinished;
        if journal.exists() {
            std::fs::remove_file(journal)?;
        }
        if keyspaces.exists() {
            std::fs::remove_dir_all(keyspaces)?;
        }
        Ok(())
    };
    clear().map_err(|error| error::open(folder, error))
}

fn not_found(table: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no table `{table}`"))
}

/// Deletes the rows of a table that the catalog does not know: of a process that was killed while it dropped it.
fn forget_dropped(database: &Database, table: &str, files: OpenFiles) -> Result<()> {
    if database.keyspace_exists(&keyspace_name(table)) {
        let leftover = keyspace(database, table, files)?;
        let deleted = database.delete_keyspace(leftover);
        deleted.map_err(|error| error::engine(&format!("dropping the table `{table}`"), error))?;
    }
    Ok(())
}

fn keyspace_name(table: &str) -> String {
    format!("table.{table}")
}

fn keyspace(database: &Database, table: &str, files: OpenFiles) -> Result<Keyspace> {
    let options = || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(MEMTABLE_BYTES)
            .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
            // A filter tells whether a run has a key; every read here is of a range.
            .filter_policy(FilterPolicy::disabled())
            .data_block_compression_policy(CompressionPolicy::new([
                CompressionType::None,
                CompressionType::Lz4,
            ]))
            .compaction_strategy(Arc::new(
                Leveled::default().with_l0_threshold(files.runs_before_compaction),
            ))
    };
    let opened = database.keyspace(&keyspace_name(table), options);
    opened.map_err(|error| error::engine(&format!("opening the table `{table}`"), error))
}

#[async_trait]
impl Store for EmbeddedStore {
    fn capability(&self) -> Capability {
        Capability {
            persistent: true,
            enforces_limits: true,
            atomic_rows: true,
            writes: WriteShape::LARGE,
        }
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let table = self.table(table)?;
        self.blocking(move |inner| {
            let reserve = |count| inner.sequence.fetch_add(count, Ordering::SeqCst);
            let outcomes = table.apply(&inner.database, &inner.health, &batch, reserve)?;
            inner.scans.wrote(batch.bytes());
            Ok(outcomes)
        })
        .await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        let table = self.table(table)?;
        self.blocking(move |_| split::keys(&table.keyspace)).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let table = match self.table(table) {
            Ok(table) => table,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let view = View::new(&scan, &table.schema(), self.inner.clock.now());
        let cursor = Cursor::new(table, &scan, view, &self.inner.scans);
        let pages = Pages {
            inner: Arc::clone(&self.inner),
            cursor,
            ahead: None,
        };
        let pages = stream::unfold(Some(pages), |pages| async {
            let (page, pages) = pages?.next().await;
            Some((stream::iter(page), pages))
        });
        pages.flatten().boxed()
    }
}

/// The pages of a scan. While one is worked on, the next one is read, and then waits without a thread.
struct Pages {
    inner: Arc<Inner>,
    cursor: Arc<Cursor>,
    ahead: Option<JoinHandle<Result<Page>>>,
}

impl Pages {
    /// The rows of the next page, and what gives those after it.
    async fn next(mut self) -> (Vec<Result<Row>>, Option<Self>) {
        let reading = self.ahead.take().unwrap_or_else(|| self.read());
        match self.inner.health.or_stopped(joined(reading)).await {
            Err(error) => (vec![Err(error)], None),
            Ok(page) if page.is_last => (page.rows, None),
            Ok(page) => {
                self.ahead = Some(self.read());
                (page.rows, Some(self))
            }
        }
    }

    fn read(&self) -> JoinHandle<Result<Page>> {
        let cursor = Arc::clone(&self.cursor);
        tokio::task::spawn_blocking(move || Ok(cursor.page()))
    }
}

#[async_trait]
impl Admin for EmbeddedStore {
    async fn create_table(&self, schema: &TableSchema) -> Result<()> {
        let schema = schema.clone();
        self.blocking(move |inner| {
            let catalog = inner.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            if inner
                .tables
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains_key(&schema.name)
            {
                let message = format!("there is a table `{}` already", schema.name);
                return Err(Error::new(ErrorKind::AlreadyExists, message));
            }
            forget_dropped(&inner.database, &schema.name, inner.files)?;
            let keyspace = keyspace(&inner.database, &schema.name, inner.files)?;
            catalog.add(&schema)?;
            let name = schema.name.clone();
            let table = Arc::new(Table::new(
                schema,
                keyspace,
                inner.bulk_rows,
                inner.files.runs_max,
            ));
            inner
                .tables
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name, table);
            Ok(())
        })
        .await
    }

    async fn alter_table(&self, schema: &TableSchema) -> Result<()> {
        let table = self.table(&schema.name)?;
        let changes = schema.clone();
        self.blocking(move |inner| {
            let catalog = inner.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            let altered = table.schema().altered(&changes);
            catalog.add(&altered)?;
            table.set_schema(altered);
            Ok(())
        })
        .await
    }

    async fn tables(&self) -> Result<Vec<TableSchema>> {
        let tables = self
            .inner
            .tables
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(tables
            .values()
            .map(|table| (*table.schema()).clone())
            .collect())
    }

    async fn drop_table(&self, table: &str) -> Result<()> {
        let name = table.to_owned();
        self.blocking(move |inner| {
            let catalog = inner.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            let mut tables = inner.tables.write().unwrap_or_else(PoisonError::into_inner);
            let table = tables.remove(&name).ok_or_else(|| not_found(&name))?;
            catalog.remove(&name)?;
            let deleted = inner.database.delete_keyspace(table.keyspace.clone());
            deleted.map_err(|error| error::engine(&format!("dropping the table `{name}`"), error))
        })
        .await
    }
}
