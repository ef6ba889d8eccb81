//! Opening a store: to write to it, to read it, or to make it first.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use fjall::{CompressionType, Database, DatabaseBuilder, KeyspaceCreateOptions};
use rowmill_store::{Clock, Error, ErrorKind, Result, SystemClock};

use crate::catalog::Catalog;
use crate::error;
use crate::folder::{self, Held, Inspection, Written};
use crate::health::Health;
use crate::make;
use crate::mirror::{self, Mirror};
use crate::open_files::OpenFiles;
use crate::store::{EmbeddedStore, Inner, keyspace, keyspace_name};
use crate::table::{BULK_ROWS, Table};

/// Memory the engine may use for blocks it has read.
const CACHE_BYTES: u64 = 16 << 20;

/// How a store is open, and what is held for as long as it is.
#[derive(Debug)]
pub(crate) enum Access {
    /// Alone, to write.
    Writing(Held),
    /// Beside other readers, from a mirror.
    Reading {
        /// The store itself.
        folder: PathBuf,
        _mirror: Mirror,
        _lock: Option<File>,
    },
}

impl Access {
    /// The folder to be written to, if the store was opened for that.
    pub(crate) fn for_writing(&self) -> Result<&Held> {
        match self {
            Self::Writing(held) => Ok(held),
            Self::Reading { .. } => Err(Error::new(
                ErrorKind::InvalidArgument,
                "the store is open for reading only",
            )),
        }
    }
}

impl EmbeddedStore {
    /// Opens the store in `folder` to read and write. One process at a time can do so. It is an error if there is none.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_to_write(folder.as_ref(), BULK_ROWS, Arc::new(SystemClock))
    }

    /// Opens the store in `folder` to read and write, and makes it first in a folder that is new or empty.
    pub fn open_or_create(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_or_create_with(folder.as_ref(), BULK_ROWS, Arc::new(SystemClock))
    }

    /// The same, writing batches of `bulk_rows` rows and more as sorted runs, by `clock`.
    pub fn open_or_create_with(
        folder: &Path,
        bulk_rows: usize,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        make::make(folder)?;
        Self::open_to_write(folder, bulk_rows, clock)
    }

    /// Opens the store in `folder` to read it, without changing a byte of it, as it may be on a read-only file system. Any number of
    /// processes can do so at a time, and none writes to it meanwhile.
    ///
    /// What was last written, in the journals, is copied to a folder among the temporary files.
    pub fn open_read_only(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        folder::Record::read(folder)?;
        let lock = folder::lock_shared(folder)?;
        let parts = folder::inspect(folder)?;
        let (database, mirror) = open_mirror(folder, &parts)?;
        let catalog = Catalog::open(&database)?;
        let access = Access::Reading {
            folder: folder.to_owned(),
            _mirror: mirror,
            _lock: lock,
        };
        Self::of(
            folder,
            database,
            catalog,
            access,
            BULK_ROWS,
            0,
            Arc::new(SystemClock),
        )
    }

    fn open_to_write(folder: &Path, bulk_rows: usize, clock: Arc<dyn Clock>) -> Result<Self> {
        // A folder that is no store gets no lock.
        folder::Record::read(folder)?;
        let lock = folder::lock_exclusive(folder)?;
        let parts = folder::inspect(folder)?;
        if !parts.evicted.is_empty() {
            drop(open_mirror(folder, &parts)?);
        }
        let engine_lock = folder::create_private(&folder.join(folder::ENGINE_LOCK));
        engine_lock.map_err(|error| folder::io_error("opening the store in", folder, &error))?;
        let held = Held::begin(folder, lock, &parts)?;
        let database = builder(folder).open();
        let database = database.map_err(|error| error::open(folder, error))?;
        let catalog = Catalog::open(&database)?;
        let before = held.before(&database);
        // Every opening numbers its mutations above those of all before it.
        let sequence = u64::from(catalog.count_opening()?) << 40;
        held.acknowledge(catalog.id(), before, Written::Journal)?;
        note_keyspaces(&database, &held, None)?;
        let access = Access::Writing(held);
        Self::of(
            folder, database, catalog, access, bulk_rows, sequence, clock,
        )
    }

    fn of(
        folder: &Path,
        database: Database,
        catalog: Catalog,
        access: Access,
        bulk_rows: usize,
        sequence: u64,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let files = OpenFiles::by_process_limit();
        let mut tables = BTreeMap::new();
        for schema in catalog.tables()? {
            if !database.keyspace_exists(&keyspace_name(&schema.name)) {
                let what = format!("it has no files of the table `{}`", schema.name);
                return Err(folder::damaged(folder, &what));
            }
            let keyspace = keyspace(&database, &schema.name, files)?;
            let name = schema.name.clone();
            let table = Table::new(schema, keyspace, bulk_rows, files.runs_max);
            tables.insert(name, Arc::new(table));
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
            access,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

/// How the engine is opened for writing.
pub(crate) fn builder(folder: &Path) -> DatabaseBuilder<Database> {
    Database::builder(folder)
        .cache_size(CACHE_BYTES)
        .max_cached_files(Some(OpenFiles::by_process_limit().cached))
        // With two threads the engine's first one spins for as long as the second one merges runs.
        .worker_threads(1)
        // The journal is read once at most, and soon removed.
        .journal_compression(CompressionType::None)
}

/// Opens the engine on a mirror of the store, without threads that would write there.
pub(crate) fn open_mirror(folder: &Path, parts: &Inspection) -> Result<(Database, Mirror)> {
    let mirror = Mirror::of(folder, parts)?;
    let database = builder(mirror.path()).worker_threads_unchecked(0).open();
    let database = database.map_err(|error| error::open(folder, error))?;
    mirror::check_evicted(folder, &parts.evicted, &database)?;
    Ok((database, mirror))
}

/// Notes which keyspaces there are, except the one that is about to be dropped.
pub(crate) fn note_keyspaces(
    database: &Database,
    folder: &Held,
    dropping: Option<u64>,
) -> Result<()> {
    let mut names = BTreeMap::new();
    for name in database.list_keyspace_names() {
        let keyspace = database.keyspace(&name, KeyspaceCreateOptions::default);
        let keyspace = keyspace.map_err(|error| error::engine("opening a table", error))?;
        names.insert(keyspace.id(), name.to_string());
    }
    folder.keyspaces(names, dropping)
}
