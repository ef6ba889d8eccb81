//! A store opened for reading, without a byte of it being changed.
//!
//! The engine cannot read without writing: it cuts the journal at its last batch, removes what is left over, and keeps a lock. So
//! it is given a folder of its own among the temporary files, with copies of what it changes (the journals and the manifests)
//! and links to the table files, which it only reads. The copies are as large as what was last written, not as the store: the
//! engine keeps at most 512 MiB in journals, and most often under 64.

use std::path::Path;

use fjall::AbstractTree as _;
use rowmill_store::Result;
use tempfile::TempDir;

use crate::folder::{
    CURRENT, ENGINE_FORMAT, ENGINE_LOCK, ENGINE_VERSION, Evicted, Inspection, KEYSPACES,
    META_KEYSPACE, TABLES, Tree, copy_prefix, create_private, damaged, io_error, make_private_dir,
    open_to_read,
};

/// The folder that the engine is given. Removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Mirror {
    folder: TempDir,
}

impl Mirror {
    /// Mirrors the store in `folder`, whose lock is held and whose parts were looked at.
    pub(crate) fn of(folder: &Path, parts: &Inspection) -> Result<Self> {
        let failed = |error: std::io::Error| {
            io_error(
                "copying the store's journal to a temporary folder in",
                &std::env::temp_dir(),
                &error,
            )
        };
        let original = folder
            .canonicalize()
            .map_err(|error| io_error("opening", folder, &error))?;
        let mirror = tempfile::Builder::new().prefix("rowmill-").tempdir();
        let mirror = Self {
            folder: mirror.map_err(failed)?,
        };
        let place = mirror.path();
        std::fs::write(place.join(ENGINE_VERSION), ENGINE_FORMAT).map_err(failed)?;
        create_private(&place.join(ENGINE_LOCK)).map_err(failed)?;
        for (journal, known) in &parts.journals {
            let name = format!("{journal}.jnl");
            let file = open_to_read(&original, &original.join(&name))?;
            copy_prefix(&file, &place.join(&name), known.bytes).map_err(failed)?;
        }
        make_private_dir(&place.join(KEYSPACES)).map_err(failed)?;
        for (keyspace, tree) in &parts.trees {
            mirror_tree(&original, place, *keyspace, tree).map_err(failed)?;
        }
        Ok(mirror)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn mirror_tree(original: &Path, place: &Path, keyspace: u64, tree: &Tree) -> std::io::Result<()> {
    let name = Path::new(KEYSPACES).join(keyspace.to_string());
    let (from, to) = (original.join(&name), place.join(&name));
    make_private_dir(&to)?;
    make_private_dir(&to.join(TABLES))?;
    for table in &tree.tables {
        let name = Path::new(TABLES).join(table.id.to_string());
        link(&from.join(&name), &to.join(&name))?;
    }
    let manifest = format!("v{}", tree.version);
    for name in [manifest.as_str(), CURRENT] {
        std::fs::write(to.join(name), std::fs::read(from.join(name))?)?;
    }
    Ok(())
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

#[cfg(not(unix))]
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::hard_link(from, to).or_else(|_| std::fs::copy(from, to).map(|_| ()))
}

/// Checks that journals which are gone were removed by the engine: then all that was in them is in tables.
pub(crate) fn check_evicted(
    folder: &Path,
    evicted: &Evicted,
    database: &fjall::Database,
) -> Result<()> {
    let mut keyspaces = std::collections::BTreeMap::new();
    for name in database.list_keyspace_names() {
        let keyspace = database
            .keyspace(&name, fjall::KeyspaceCreateOptions::default)
            .map_err(|error| crate::error::open(folder, error))?;
        keyspaces.insert(keyspace.id(), keyspace);
    }
    for (journal, reached) in evicted {
        for (keyspace, least) in reached {
            let Some(found) = keyspaces.get(keyspace) else {
                continue;
            };
            debug_assert_ne!(*keyspace, META_KEYSPACE, "it has no journal");
            let persisted = found.tree.get_highest_persisted_seqno();
            if persisted.is_none_or(|persisted| persisted < *least) {
                return Err(damaged(folder, &format!("it has no `{journal}.jnl`")));
            }
        }
    }
    Ok(())
}
