//! Stores by URI.

use std::path::Path;
use std::sync::Arc;

use rowmill_embedded::EmbeddedStore;
use rowmill_model::TABLES;
use rowmill_store::{Admin, AdminExt as _, MemoryStore, Store};

use crate::error::Error;

/// A store with its tables.
#[derive(Debug, Clone)]
pub struct OpenStore {
    /// The rows.
    pub store: Arc<dyn Store>,
    /// The tables.
    pub admin: Arc<dyn Admin>,
}

impl OpenStore {
    fn of<S: Store + Admin>(store: S) -> Self {
        let store = Arc::new(store);
        Self {
            store: store.clone(),
            admin: store,
        }
    }
}

/// Opens the store that `uri` names, if there is one: for whoever only reads, and would find nothing in a new one.
pub async fn open_existing_store(uri: &str) -> Result<OpenStore, Error> {
    match uri.strip_prefix("file:") {
        Some(path) if !path.is_empty() && !Path::new(path).exists() => {
            let problem = "there is no such folder; `rowmill ingest` makes it".to_owned();
            Err(Error::StoreUri {
                uri: uri.to_owned(),
                problem,
            })
        }
        _ => open_store(uri).await,
    }
}

/// Opens the store that `uri` names, `memory:` or `file:PATH`, with rowmill's tables, which are created if missing.
pub async fn open_store(uri: &str) -> Result<OpenStore, Error> {
    let problem = |problem: &str| {
        Err(Error::StoreUri {
            uri: uri.to_owned(),
            problem: problem.to_owned(),
        })
    };
    let opened = match uri.split_once(':') {
        Some(("memory", "")) => OpenStore::of(MemoryStore::new()),
        Some(("file", "")) => return problem("it has no path, as in file:rowmill-data"),
        Some(("file", path)) if Path::new(path).is_file() => {
            return problem("it is a file, and a store is a folder");
        }
        Some(("file", path)) => OpenStore::of(EmbeddedStore::open(path)?),
        Some(("bigtable", _)) => return problem("this version has no Bigtable client yet"),
        _ => return problem("a store is memory: or file:PATH"),
    };
    opened.admin.ensure_tables(&TABLES).await?;
    Ok(opened)
}
