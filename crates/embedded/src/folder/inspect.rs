//! Looking at a store before the engine does: every part has to be there, and nothing that the engine would take for its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use rowmill_store::{Error, ErrorKind, Result};

use super::journal::walk;
use super::record::{JournalRecord, KeyspaceRecord};
use super::tree::TableFile;
use super::{
    COPIED_WHILE_OPEN, CURRENT, ENGINE_FORMAT, ENGINE_VERSION, KEYSPACES, META_KEYSPACE, Progress,
    Record, State, TABLES, Tree, absent, damaged, foreign, hash_prefix, io_error, open_to_read,
    read_tree, read_whole,
};

/// The parts of a whole store.
#[derive(Debug)]
pub(crate) struct Inspection {
    pub(crate) record: Record,
    /// The trees of all keyspaces that are not being dropped.
    pub(crate) trees: BTreeMap<u64, Tree>,
    /// How far each journal goes.
    pub(crate) journals: BTreeMap<u64, JournalRecord>,
    /// Journals that are gone. Each was removed by the engine once its batches were in tables, or else by somebody.
    pub(crate) evicted: Evicted,
}

/// For each journal and keyspace the number of a batch that has to be in a table.
pub(crate) type Evicted = BTreeMap<u64, BTreeMap<u64, u64>>;

/// Looks at the store in `folder`, whose lock is held, and changes nothing.
pub(crate) fn inspect(folder: &Path) -> Result<Inspection> {
    let record = Record::read(folder)?;
    check_engine_version(folder)?;
    if record.is_copy_of_open(folder) {
        tracing::warn!(store = %folder.display(), "{COPIED_WHILE_OPEN}");
    }
    let progress = match record.state {
        State::Closed => Progress::default(),
        State::Open => Progress::read(folder)?,
    };
    let trees = trees(folder, &record, &progress)?;
    let (journals, evicted) = journals(folder, &record, &progress)?;
    Ok(Inspection {
        record,
        trees,
        journals,
        evicted,
    })
}

fn check_engine_version(folder: &Path) -> Result<()> {
    let version = read_whole(folder, ENGINE_VERSION)?;
    match version.as_slice() {
        ENGINE_FORMAT => Ok(()),
        [b'F', b'J', b'L', other] => {
            let message = format!(
                "the engine's files in {} have the format {other}, and this version of rowmill reads format 3",
                folder.display()
            );
            Err(Error::new(ErrorKind::Corrupt, message)
                .with_hint("use the version of rowmill that made the store"))
        }
        _ => Err(damaged(folder, "its `version` cannot be read")),
    }
}

/// The trees of the record's keyspaces, and of those that came since.
fn trees(folder: &Path, record: &Record, progress: &Progress) -> Result<BTreeMap<u64, Tree>> {
    let found = keyspace_folders(folder)?;
    let newest = record.keyspaces.keys().max().copied().unwrap_or(0);
    let mut trees = BTreeMap::new();
    for (keyspace, known) in &record.keyspaces {
        let tree = read_tree(folder, *keyspace)?;
        check_age(folder, *keyspace, &tree, known, record.state, progress)?;
        check_tables(folder, *keyspace, &tree, Some(known), record.state)?;
        trees.insert(*keyspace, tree);
    }
    for keyspace in found {
        if trees.contains_key(&keyspace) {
            continue;
        }
        if record.dropped.contains(&keyspace) {
            // It may still be whole, and the catalog may still name it.
            if let Ok(tree) = read_tree(folder, keyspace) {
                trees.insert(keyspace, tree);
            }
            continue;
        }
        if record.state == State::Closed || keyspace < newest {
            let name = format!("{KEYSPACES}/{keyspace}");
            return Err(foreign(folder, &name));
        }
        if let Some(tree) = unfinished(folder, keyspace)? {
            check_tables(folder, keyspace, &tree, None, record.state)?;
            trees.insert(keyspace, tree);
        }
    }
    Ok(trees)
}

/// The tree of a keyspace that was being made when a process died, if it was made so far. Nothing is in it.
fn unfinished(folder: &Path, keyspace: u64) -> Result<Option<Tree>> {
    let path = folder.join(KEYSPACES).join(keyspace.to_string());
    let of_engine = |name: &String| {
        let is_manifest = || {
            let number = name.strip_prefix('v').map(str::parse::<u64>);
            matches!(number, Some(Ok(_)))
        };
        let is_file = || path.join(name).is_file();
        name == TABLES
            || is_file() && (name == CURRENT || is_manifest() || name.starts_with(".tmp"))
    };
    let is_engines = names(folder, &path)?.iter().all(of_engine);
    let tree = if path.join(CURRENT).exists() {
        Some(read_tree(folder, keyspace)?)
    } else {
        None
    };
    let is_empty = tree.as_ref().is_none_or(|tree| tree.tables.is_empty());
    if is_engines && is_empty && table_files(folder, keyspace)?.is_empty() {
        return Ok(tree);
    }
    let name = format!("{KEYSPACES}/{keyspace}");
    Err(foreign(folder, &name))
}

/// The numbers of the folders in `keyspaces`. The engine panics at other names.
fn keyspace_folders(folder: &Path) -> Result<BTreeSet<u64>> {
    let path = folder.join(KEYSPACES);
    let mut found = BTreeSet::new();
    for name in names(folder, &path)? {
        let is_folder = path.join(&name).is_dir();
        match name.parse() {
            Ok(keyspace) if is_folder => {
                found.insert(keyspace);
            }
            _ if !is_folder => {}
            _ => {
                let name = format!("{KEYSPACES}/{name}");
                return Err(foreign(folder, &name));
            }
        }
    }
    Ok(found)
}

fn names(folder: &Path, path: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(path).map_err(|error| {
        if absent(&error) {
            let name = path.strip_prefix(folder).unwrap_or(path);
            return damaged(folder, &format!("it has no `{}`", name.display()));
        }
        io_error("reading", path, &error)
    })?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: std::io::Result<_> = names.collect();
    names.map_err(|error| io_error("reading", path, &error))
}

/// A manifest is the one that was there when the store was closed, or not older than what was acknowledged since.
fn check_age(
    folder: &Path,
    keyspace: u64,
    tree: &Tree,
    known: &KeyspaceRecord,
    state: State,
    progress: &Progress,
) -> Result<()> {
    let is_right = match state {
        State::Closed => {
            tree.version == known.version && format!("{:032x}", tree.checksum) == known.checksum
        }
        State::Open => {
            let acknowledged = progress.versions.get(&keyspace).copied().unwrap_or(0);
            tree.version >= known.version.max(acknowledged)
        }
    };
    if is_right {
        return Ok(());
    }
    let what = format!(
        "`{KEYSPACES}/{keyspace}/{CURRENT}` is of another time than the rest of it (manifest {}, not {})",
        tree.version, known.version
    );
    Err(damaged(folder, &what))
}

/// Every table file is there. In the engine's own keyspaces, by which it removes others, each is read from end to end.
fn check_tables(
    folder: &Path,
    keyspace: u64,
    tree: &Tree,
    known: Option<&KeyspaceRecord>,
    state: State,
) -> Result<()> {
    for table in &tree.tables {
        let name = format!("{KEYSPACES}/{keyspace}/{TABLES}/{}", table.id);
        let path = folder.join(&name);
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if absent(&error) => {
                return Err(damaged(folder, &format!("it has no `{name}`")));
            }
            Err(error) => return Err(io_error("reading", &path, &error)),
        };
        let is_catalog = known.is_some_and(|known| known.name == crate::catalog::KEYSPACE);
        let is_whole = metadata.is_file()
            && metadata.len() > 0
            && (keyspace != META_KEYSPACE && !is_catalog || is_sound(folder, keyspace, table)?);
        if !is_whole {
            return Err(damaged(folder, &format!("its `{name}` cannot be read")));
        }
    }
    check_names(folder, keyspace, tree, known, state)
}

/// Whether a table file has the checksum that the manifest says.
fn is_sound(folder: &Path, keyspace: u64, table: &TableFile) -> Result<bool> {
    let name = format!("{KEYSPACES}/{keyspace}/{TABLES}/{}", table.id);
    let path = folder.join(name);
    let file = open_to_read(folder, &path)?;
    let checksum = super::checksum(&file);
    let checksum = checksum.map_err(|error| io_error("reading", &path, &error))?;
    Ok(checksum == table.checksum)
}

/// Nothing that the engine would remove, or stumble over, is somebody else's.
fn check_names(
    folder: &Path,
    keyspace: u64,
    tree: &Tree,
    known: Option<&KeyspaceRecord>,
    state: State,
) -> Result<()> {
    let foreign = |name: &str| {
        let name = format!("{KEYSPACES}/{keyspace}/{name}");
        Err(foreign(folder, &name))
    };
    let place = folder.join(KEYSPACES).join(keyspace.to_string());
    for name in names(folder, &place)? {
        let number = name.strip_prefix('v').map(str::parse::<u64>);
        if matches!(number, Some(Err(_))) && !place.join(&name).is_dir() {
            return foreign(&name);
        }
    }
    let named: BTreeSet<u64> = tree.tables.iter().map(|table| table.id).collect();
    for (name, number) in table_files(folder, keyspace)? {
        let is_known = number.is_some_and(|number| {
            let leftovers = known.map(|known| &known.leftovers);
            named.contains(&number)
                || state == State::Open
                || leftovers.is_some_and(|leftovers| leftovers.contains(&number))
        });
        if !is_known {
            return foreign(&format!("{TABLES}/{name}"));
        }
    }
    Ok(())
}

/// The names in a keyspace's folder of tables, with their numbers; without what the engine passes over.
pub(crate) fn table_files(folder: &Path, keyspace: u64) -> Result<Vec<(String, Option<u64>)>> {
    let path = folder
        .join(KEYSPACES)
        .join(keyspace.to_string())
        .join(TABLES);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let is_passed_over = |name: &String| name == ".DS_Store" || name.starts_with("._");
    let names = names(folder, &path)?.into_iter();
    let names = names.filter(|name| !is_passed_over(name));
    Ok(names
        .map(|name| {
            let number = name.parse().ok().filter(|_| path.join(&name).is_file());
            (name, number)
        })
        .collect())
}

/// How far the journals go, and which ones are gone.
fn journals(
    folder: &Path,
    record: &Record,
    progress: &Progress,
) -> Result<(BTreeMap<u64, JournalRecord>, Evicted)> {
    let found = journal_files(folder)?;
    let mut walks = BTreeMap::new();
    for journal in &found {
        walks.insert(*journal, journal_walk(folder, *journal, record, progress)?);
    }
    let mut evicted = Evicted::new();
    for (journal, known) in &record.journals {
        if !found.contains(journal) {
            evicted.insert(*journal, known.reached.clone());
        }
    }
    for (journal, reached) in &progress.journals {
        if !found.contains(journal) {
            evicted.entry(*journal).or_default().extend(reached.clone());
        }
    }
    let missing = evicted.keys().next().copied();
    let gap = found
        .iter()
        .zip(found.iter().skip(1))
        .find(|(one, next)| *one + 1 != **next);
    let missing = match (record.state, missing, gap) {
        (_, _, Some((one, _))) => Some(one + 1),
        (State::Closed, missing, None) => missing,
        (State::Open, missing, None) => missing.filter(|_| found.is_empty()),
    };
    if let Some(missing) = missing {
        return Err(damaged(folder, &format!("it has no `{missing}.jnl`")));
    }
    if found.is_empty() {
        return Err(damaged(folder, "it has no journal"));
    }
    Ok((walks, evicted))
}

fn journal_files(folder: &Path) -> Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for name in names(folder, folder)? {
        let Some((number, _)) = name.rsplit_once('.').filter(|(_, end)| {
            // The engine takes it whichever way it is written.
            end.eq_ignore_ascii_case("jnl")
        }) else {
            continue;
        };
        match number.parse::<u64>() {
            Ok(journal) if name == format!("{journal}.jnl") && folder.join(&name).is_file() => {
                found.insert(journal);
            }
            _ => {
                return Err(foreign(folder, &name));
            }
        }
    }
    Ok(found)
}

/// Walks over a journal, which has to go as far as is known.
fn journal_walk(
    folder: &Path,
    journal: u64,
    record: &Record,
    progress: &Progress,
) -> Result<JournalRecord> {
    let name = format!("{journal}.jnl");
    let path = folder.join(&name);
    let file = open_to_read(folder, &path)?;
    let failed = |error| io_error("reading", &path, &error);
    let known = record.journals.get(&journal);
    if known.is_none() && record.state == State::Closed {
        return Err(foreign(folder, &name));
    }
    if let Some(known) = known {
        let hash = hash_prefix(&file, known.bytes).map_err(failed)?;
        if hash.map(|hash| format!("{hash:016x}")) != Some(known.checksum.clone()) {
            return Err(cut(folder, &file, &name, known.bytes));
        }
    }
    let walk = walk(&file).map_err(failed)?;
    if walk.is_damaged {
        let what = format!("its `{name}` cannot be read beyond byte {}", walk.bytes);
        return Err(damaged(folder, &what));
    }
    if record.state == State::Closed && known.is_some_and(|known| walk.bytes != known.bytes) {
        let what =
            format!("its `{name}` goes on after the store was closed: it is of another time");
        return Err(damaged(folder, &what));
    }
    let least = progress.journals.get(&journal).into_iter().flatten();
    let is_short = least
        .into_iter()
        .any(|(keyspace, least)| walk.reached.get(keyspace).is_none_or(|it| it < least));
    if is_short {
        let what = format!(
            "its `{name}` lacks what was acknowledged; it can be read up to byte {}",
            walk.bytes
        );
        return Err(damaged(folder, &what));
    }
    let hash = hash_prefix(&file, walk.bytes).map_err(failed)?;
    Ok(JournalRecord {
        bytes: walk.bytes,
        checksum: format!("{:016x}", hash.unwrap_or_default()),
        reached: walk.reached,
    })
}

fn cut(folder: &Path, file: &File, name: &str, bytes: u64) -> Error {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let what = if length < bytes {
        format!("its `{name}` has {length} bytes of at least {bytes}")
    } else {
        format!("its `{name}` is not what it was when the store was closed")
    };
    damaged(folder, &what)
}
