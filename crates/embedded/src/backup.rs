//! Copying a store to another folder, which is then a store as well.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::PoisonError;

use rowmill_store::{Error, ErrorKind, Result};

use crate::check::stopped;
use crate::folder::{
    self, CURRENT, ENGINE_FORMAT, ENGINE_LOCK, ENGINE_VERSION, KEYSPACES, LOCK, PROGRESS, State,
    TABLES, TableFile, copy_prefix, create_private, damaged, io_error, journal_records,
    make_private_dir, open_to_read, record_of, sync_dir,
};
use crate::open::{Access, open_mirror};
use crate::store::EmbeddedStore;

/// How often a part is looked at again that the engine removed meanwhile, because it merged it into another.
const ATTEMPTS: u32 = 100;

/// What a backup holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// Its table files and journals.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl EmbeddedStore {
    /// Copies the store in `folder`, which nobody writes to, to the folder `to`, which must not exist or be empty.
    ///
    /// Every table file is compared with its checksum on the way: of a damaged store there is no backup. Nothing is left of one that
    /// is to stop.
    pub fn back_up_folder(
        folder: impl AsRef<Path>,
        to: impl AsRef<Path>,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<BackupReport> {
        let folder = folder.as_ref();
        folder::Record::read(folder)?;
        let _lock = folder::lock_shared(folder)?;
        let parts = folder::inspect(folder)?;
        if !parts.evicted.is_empty() {
            open_mirror(folder, &parts)?;
        }
        let names = parts.record.keyspaces.iter();
        let names = names.map(|(id, known)| (*id, known.name.clone())).collect();
        let others = parts
            .trees
            .keys()
            .filter(|id| !parts.record.keyspaces.contains_key(id));
        copy(
            folder,
            to.as_ref(),
            &names,
            &others.copied().collect(),
            is_stopped,
        )
    }

    /// Copies this store, as it is now, to the folder `to`, which must not exist or be empty. Writers wait meanwhile.
    pub async fn back_up(&self, to: impl AsRef<Path>) -> Result<BackupReport> {
        let to = to.as_ref().to_owned();
        self.blocking(move |inner| {
            let held = match &inner.access {
                Access::Writing(held) => held,
                Access::Reading { folder, .. } => {
                    return Self::back_up_folder(folder, to, &|| false);
                }
            };
            let _catalog = inner.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            let tables = inner.tables.read().unwrap_or_else(PoisonError::into_inner);
            let _paused: Vec<_> = tables.values().map(|table| table.pause()).collect();
            copy(held.path(), &to, &held.names(), &BTreeSet::new(), &|| false)
        })
        .await
    }
}

/// Copies a store that nobody writes to, while the engine may still move what is in journals to tables and merge these.
///
/// Journals come first: what leaves them meanwhile is then in both.
fn copy(
    from: &Path,
    to: &Path,
    names: &BTreeMap<u64, String>,
    others: &BTreeSet<u64>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<BackupReport> {
    let failed = |error: std::io::Error| io_error("writing a backup to", to, &error);
    if to
        .read_dir()
        .map_or(to.exists(), |mut entries| entries.next().is_some())
    {
        let message = format!("there is something in {} already", to.display());
        return Err(Error::new(ErrorKind::AlreadyExists, message)
            .with_hint("name a folder that does not exist"));
    }
    let parent = to.parent().filter(|it| !it.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    if is_within(parent, from).map_err(failed)? {
        let message = format!("{} is inside the store itself", to.display());
        return Err(
            Error::new(ErrorKind::AlreadyExists, message).with_hint("name a folder outside of it")
        );
    }
    std::fs::create_dir_all(parent).map_err(failed)?;
    let unfinished = tempfile::Builder::new()
        .prefix(".rowmill-backup-")
        .tempdir_in(parent);
    let unfinished = unfinished.map_err(failed)?;
    let place = unfinished.path();
    let mut report = BackupReport::default();
    copy_journals(from, place, &mut report)?;
    make_private_dir(&place.join(KEYSPACES)).map_err(failed)?;
    for keyspace in names.keys().chain(others) {
        copy_tree(from, place, *keyspace, &mut report, is_stopped)?;
    }
    for name in [ENGINE_LOCK, LOCK, PROGRESS] {
        create_private(&place.join(name)).map_err(failed)?;
    }
    folder::write_atomic(place, ENGINE_VERSION, ENGINE_FORMAT).map_err(failed)?;
    let mut record = record_of(place, names, others, State::Closed)?;
    record.journals = journal_records(place)?;
    sync_dir(&place.join(KEYSPACES)).map_err(failed)?;
    record.write(place).map_err(failed)?;
    std::fs::rename(place, to).map_err(failed)?;
    // It has another name now.
    let _moved = unfinished.keep();
    sync_dir(parent).map_err(failed)?;
    Ok(report)
}

/// True if `folder`, which need not exist yet, is the store's folder or lies inside it.
fn is_within(folder: &Path, store: &Path) -> std::io::Result<bool> {
    let store = store.canonicalize()?;
    let known = folder.ancestors().find(|it| it.exists());
    let known = match known {
        Some(known) if !known.as_os_str().is_empty() => known.canonicalize()?,
        _ => std::env::current_dir()?,
    };
    Ok(known.starts_with(store))
}

fn copy_journals(from: &Path, to: &Path, report: &mut BackupReport) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let mut copied = BackupReport::default();
        match copy_journals_once(from, to, &mut copied) {
            Ok(()) => {
                report.files += copied.files;
                report.bytes += copied.bytes;
                return Ok(());
            }
            // The engine removed one, whose batches are in tables now.
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(error),
        }
    }
    Err(damaged(from, "its journals come and go"))
}

fn copy_journals_once(from: &Path, to: &Path, report: &mut BackupReport) -> Result<()> {
    let failed = |error: std::io::Error| io_error("writing a backup to", to, &error);
    for (journal, known) in journal_records(from)? {
        let name = format!("{journal}.jnl");
        let file = open_to_read(from, &from.join(&name))?;
        // One of an earlier attempt is of this same backup.
        let place = to.join(&name);
        if place.exists() {
            std::fs::remove_file(&place).map_err(failed)?;
        }
        copy_prefix(&file, &place, known.bytes).map_err(failed)?;
        report.files += 1;
        report.bytes += known.bytes;
    }
    Ok(())
}

fn copy_tree(
    from: &Path,
    to: &Path,
    keyspace: u64,
    report: &mut BackupReport,
    is_stopped: &dyn Fn() -> bool,
) -> Result<()> {
    let failed = |error: std::io::Error| io_error("writing a backup to", to, &error);
    let place = Path::new(KEYSPACES).join(keyspace.to_string());
    make_private_dir(&to.join(&place)).map_err(failed)?;
    make_private_dir(&to.join(&place).join(TABLES)).map_err(failed)?;
    let mut copied = BTreeMap::new();
    for attempt in 1..=ATTEMPTS {
        match copy_tree_once(from, to, keyspace, &mut copied, is_stopped) {
            Ok(()) => break,
            // The engine merged it into another, and another manifest names that.
            Err(error) if error.kind() == ErrorKind::Corrupt && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
    report.files += copied.len() as u64;
    report.bytes += copied.values().sum::<u64>();
    Ok(())
}

/// Copies the tables that the manifest names now, and then the manifest.
fn copy_tree_once(
    from: &Path,
    to: &Path,
    keyspace: u64,
    copied: &mut BTreeMap<u64, u64>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<()> {
    let failed = |error: std::io::Error| io_error("writing a backup to", to, &error);
    let place = Path::new(KEYSPACES).join(keyspace.to_string());
    let tree = folder::read_tree(from, keyspace)?;
    let manifest = format!("v{}", tree.version);
    let current = folder::read_whole(from, &place.join(CURRENT).to_string_lossy())?;
    let contents = folder::read_whole(from, &place.join(&manifest).to_string_lossy())?;
    if folder::read_tree(from, keyspace)? != tree {
        return Err(damaged(from, "its manifests come and go"));
    }
    for table in &tree.tables {
        if is_stopped() {
            return Err(stopped());
        }
        if let Entry::Vacant(place_of) = copied.entry(table.id) {
            let name = place.join(TABLES).join(table.id.to_string());
            place_of.insert(copy_table(from, to, &name, *table)?);
        }
    }
    for (name, contents) in [(manifest.as_str(), contents), (CURRENT, current)] {
        folder::write_atomic(&to.join(&place), name, &contents).map_err(failed)?;
    }
    // Tables of an earlier manifest are no part of it.
    let named: BTreeSet<u64> = tree.tables.iter().map(|table| table.id).collect();
    let extra: Vec<u64> = copied
        .keys()
        .filter(|id| !named.contains(id))
        .copied()
        .collect();
    for id in extra {
        std::fs::remove_file(to.join(&place).join(TABLES).join(id.to_string())).map_err(failed)?;
        copied.remove(&id);
    }
    sync_dir(&to.join(&place).join(TABLES)).map_err(failed)
}

/// Copies a table file, which has to match its checksum.
fn copy_table(from: &Path, to: &Path, name: &Path, table: TableFile) -> Result<u64> {
    let file = open_to_read(from, &from.join(name))?;
    let failed = |error: std::io::Error| io_error("writing a backup to", to, &error);
    let bytes = file.metadata().map_err(failed)?.len();
    let place = to.join(name);
    if place.exists() {
        std::fs::remove_file(&place).map_err(failed)?;
    }
    copy_prefix(&file, &place, bytes).map_err(failed)?;
    let copy = open_to_read(to, &place)?;
    if folder::checksum(&copy).map_err(failed)? != table.checksum {
        let what = format!("its `{}` does not match its checksum", name.display());
        return Err(Error::new(
            ErrorKind::Internal,
            format!("the store in {} is damaged: {what}", from.display()),
        )
        .with_hint("`rowmill store check` says what is damaged; use an earlier backup"));
    }
    Ok(bytes)
}
