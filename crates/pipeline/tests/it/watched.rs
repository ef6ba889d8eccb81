//! A store that is watched: which scans are open when something is written, and how many rows go to each table.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use rowmill_model::{MutationBatch, Row};
use rowmill_store::{Capability, Result, Scan, Store};

#[derive(Debug)]
pub(crate) struct Watched {
    inner: Arc<dyn Store>,
    open: Arc<AtomicUsize>,
    seen: Mutex<Seen>,
}

/// What was seen so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Writes while a scan was open.
    pub(crate) writes_within_scans: u64,
    /// The largest write, in bytes.
    pub(crate) bytes_max: usize,
    /// Rows written, by table.
    pub(crate) rows: BTreeMap<String, u64>,
    /// Scans begun, by table.
    pub(crate) scans: BTreeMap<String, u64>,
}

impl Watched {
    pub(crate) fn new(inner: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            open: Arc::default(),
            seen: Mutex::default(),
        })
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

/// An open scan.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Store for Watched {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        {
            let mut seen = self.seen.lock().unwrap();
            seen.writes_within_scans += u64::from(self.open.load(Ordering::SeqCst) > 0);
            seen.bytes_max = seen.bytes_max.max(batch.bytes());
            *seen.rows.entry(table.to_owned()).or_default() += batch.len() as u64;
        }
        self.inner.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        *self
            .seen
            .lock()
            .unwrap()
            .scans
            .entry(table.to_owned())
            .or_default() += 1;
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&self.open));
        let rows = self.inner.scan(table, scan);
        rows.inspect(move |_| {
            let _ = &open;
        })
        .boxed()
    }
}
