//! Making a store in a new or an empty folder.
//!
//! It is made whole in a folder of its own inside the new one, because a folder that somebody prepared, as a mounted volume, cannot
//! be replaced. Then its parts are moved to their places one by one, and the record, which is the mark of a store, is the last.
//! Whoever dies meanwhile leaves a folder that is no store. The next one goes on with the moving if the inner store is whole, and
//! begins another one beside it if it is not. Nothing is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use rowmill_store::{Error, ErrorKind, Result};

use crate::catalog::{self, Catalog};
use crate::folder::{
    LOCK, META_KEYSPACE, PROGRESS, RECORD, State, create_private, io_error, journal_records,
    make_private_dir, record_of, restrict_all, sync_dir,
};

/// What the name of an inner folder begins with.
const INNER: &str = ".rowmill-new-";

/// What a fresh file system holds.
const OF_FILE_SYSTEMS: [&str; 1] = ["lost+found"];

/// Makes a store in `folder`, if there is none.
pub(crate) fn make(folder: &Path) -> Result<()> {
    if folder.join(RECORD).exists() {
        return Ok(());
    }
    let failed = |error: std::io::Error| io_error("making a store in", folder, &error);
    make_folder(folder).map_err(failed)?;
    let _only_maker = lock_folder(folder).map_err(failed)?;
    // Another maker may have finished while this one waited.
    if folder.join(RECORD).exists() {
        return Ok(());
    }
    let inner = match begun(folder).map_err(failed)? {
        Begun::Whole(inner) => inner,
        Begun::Nothing => build(folder)?,
        Begun::Foreign(name) => {
            let message = format!(
                "the folder {} is no store, and not empty: it has `{name}`",
                folder.display()
            );
            let hint =
                "name a new or an empty folder, or copy the missing parts of the store again";
            return Err(Error::new(ErrorKind::NotFound, message).with_hint(hint));
        }
    };
    move_in(&inner, folder).map_err(failed)
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|it| !it.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    match make_private_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    sync_dir(parent)
}

/// Waits until nobody else makes a store in the folder.
#[cfg(unix)]
fn lock_folder(folder: &Path) -> std::io::Result<File> {
    let folder = File::open(folder)?;
    folder.lock()?;
    Ok(folder)
}

#[cfg(not(unix))]
fn lock_folder(folder: &Path) -> std::io::Result<File> {
    let lock = create_private(&folder.join(".rowmill-making"))?;
    lock.lock()?;
    Ok(lock)
}

/// What a folder without a record holds.
enum Begun {
    Nothing,
    /// A whole inner store, whose parts were to be moved.
    Whole(PathBuf),
    /// Something else.
    Foreign(String),
}

fn begun(folder: &Path) -> std::io::Result<Begun> {
    let mut foreign = None;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(INNER) {
            if entry.path().join(RECORD).is_file() {
                return Ok(Begun::Whole(entry.path()));
            }
        } else if !OF_FILE_SYSTEMS.contains(&name.as_str()) {
            foreign = Some(name);
        }
    }
    Ok(foreign.map_or(Begun::Nothing, Begun::Foreign))
}

/// Makes a whole store in an inner folder. If that fails, what was made of it goes.
fn build(folder: &Path) -> Result<PathBuf> {
    let failed = |error: std::io::Error| io_error("making a store in", folder, &error);
    let inner = tempfile::Builder::new().prefix(INNER).tempdir_in(folder);
    let inner = inner.map_err(failed)?;
    let path = inner.path();
    let database = crate::open::builder(path).open();
    let database = database.map_err(|error| crate::error::open(folder, error))?;
    let catalog = Catalog::make(&database)?;
    let names = BTreeMap::from([
        (META_KEYSPACE, String::new()),
        (catalog.id(), catalog::KEYSPACE.to_owned()),
    ]);
    drop((catalog, database));
    for name in [LOCK, PROGRESS] {
        create_private(&path.join(name)).map_err(failed)?;
    }
    restrict_all(path).map_err(failed)?;
    let mut record = record_of(path, &names, &BTreeSet::new(), State::Closed)?;
    record.journals = journal_records(path)?;
    record.write(path).map_err(failed)?;
    Ok(inner.keep())
}

/// Moves the parts of the inner store to their places, the record last.
fn move_in(inner: &Path, folder: &Path) -> std::io::Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(inner)? {
        names.push(entry?.file_name());
    }
    let (record, parts): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name == RECORD);
    for (names, moved) in [(parts, "part"), (record, "record")] {
        for name in names {
            let place = folder.join(&name);
            if place.exists() {
                let what = format!("there is a {moved} `{}` already", place.display());
                return Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, what));
            }
            std::fs::rename(inner.join(&name), place)?;
        }
        sync_dir(folder)?;
    }
    // It is empty now. Nothing is lost if it stays.
    std::fs::remove_dir(inner).ok();
    Ok(())
}
