//! The store: a folder, its tables, and the two traits.

use std::collections::BTreeMap;
use std::fmt;
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
    Admin, Capability, Clock, Error, ErrorKind, Result, Scan, Store, TableSchema, View, WriteShape,
};
use tokio::task::JoinHandle;

use crate::catalog::Catalog;
use crate::cursor::{Cursor, OpenScans, Page};
use crate::error;
use crate::folder::{Held, Written};
use crate::health::Health;
use crate::open::{self, Access};
use crate::open_files::OpenFiles;
use crate::split;
use crate::table::Table;

/// How large a table's latest journal writes may grow in memory before they become a sorted run.
const MEMTABLE_BYTES: u64 = 8 << 20;

/// How many bytes of rows are compressed and read together.
const BLOCK_BYTES: u32 = 16 << 10;

/// A store in a folder. Clones are the same store.
#[derive(Clone)]
pub struct EmbeddedStore {
    pub(crate) inner: Arc<Inner>,
}

/// The parts of an open store, in the order in which they are dropped.
pub(crate) struct Inner {
    pub(crate) tables: RwLock<BTreeMap<String, Arc<Table>>>,
    /// Held while tables come and go.
    pub(crate) catalog: Mutex<Catalog>,
    pub(crate) sequence: AtomicU64,
    pub(crate) bulk_rows: usize,
    pub(crate) files: OpenFiles,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) scans: Arc<OpenScans>,
    /// Ends before the database does, which it holds.
    pub(crate) health: Health,
    pub(crate) database: Database,
    pub(crate) access: Access,
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
    fn table(&self, name: &str) -> Result<Arc<Table>> {
        let tables = self
            .inner
            .tables
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        tables.get(name).cloned().ok_or_else(|| not_found(name))
    }

    /// Runs `work` on a thread that may block. If the engine stops meanwhile, that is left alone.
    pub(crate) async fn blocking<T: Send + 'static>(
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

fn not_found(table: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no table `{table}`"))
        .with_hint("`rowmill tables create` makes it")
}

/// Deletes the rows of a table that the catalog does not know: of a process that was killed while it dropped it.
fn forget_dropped(database: &Database, folder: &Held, table: &str, files: OpenFiles) -> Result<()> {
    if database.keyspace_exists(&keyspace_name(table)) {
        let leftover = keyspace(database, table, files)?;
        open::note_keyspaces(database, folder, Some(leftover.id()))?;
        let deleted = database.delete_keyspace(leftover);
        deleted.map_err(|error| error::engine(&format!("dropping the table `{table}`"), error))?;
    }
    Ok(())
}

pub(crate) fn keyspace_name(table: &str) -> String {
    format!("table.{table}")
}

pub(crate) fn keyspace(database: &Database, table: &str, files: OpenFiles) -> Result<Keyspace> {
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
            let folder = inner.access.for_writing()?;
            let reserve = |count| inner.sequence.fetch_add(count, Ordering::SeqCst);
            let outcomes = table.apply(&inner.database, folder, &inner.health, &batch, reserve)?;
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
            let folder = inner.access.for_writing()?;
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
            forget_dropped(&inner.database, folder, &schema.name, inner.files)?;
            let keyspace = keyspace(&inner.database, &schema.name, inner.files)?;
            // Before the catalog names the table, it is known what there has to be of it.
            open::note_keyspaces(&inner.database, folder, None)?;
            let before = folder.before(&inner.database);
            catalog.add(&schema)?;
            folder.acknowledge(catalog.id(), before, Written::Journal)?;
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
            let folder = inner.access.for_writing()?;
            let catalog = inner.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            let altered = table.schema().altered(&changes);
            let before = folder.before(&inner.database);
            catalog.add(&altered)?;
            folder.acknowledge(catalog.id(), before, Written::Journal)?;
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
            let folder = inner.access.for_writing()?;
            let catalog = inner.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            let mut tables = inner.tables.write().unwrap_or_else(PoisonError::into_inner);
            let table = tables.remove(&name).ok_or_else(|| not_found(&name))?;
            open::note_keyspaces(&inner.database, folder, Some(table.keyspace.id()))?;
            let before = folder.before(&inner.database);
            catalog.remove(&name)?;
            folder.acknowledge(catalog.id(), before, Written::Journal)?;
            let deleted = inner.database.delete_keyspace(table.keyspace.clone());
            deleted.map_err(|error| error::engine(&format!("dropping the table `{name}`"), error))
        })
        .await
    }
}
