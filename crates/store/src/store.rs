//! The trait of a store, and what can be made of it.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use rowmill_model::{MutationBatch, Row};

use crate::error::Result;
use crate::scan::Scan;

/// A store of rows.
#[async_trait]
pub trait Store: Debug + Send + Sync + 'static {
    /// What callers and the conformance suite may rely on.
    fn capability(&self) -> Capability;

    /// Applies row mutations, each atomic, in any order, and gives one outcome for each, in the batch's order.
    ///
    /// What is acknowledged is kept, as far as [`Capability::persistent`] says. An error of the whole call says of every
    /// row what [`Error::effect`](crate::Error::effect) says. The batch is shared, so that it can be tried again, or its
    /// memory used for the next one.
    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>>;

    /// Keys, in order, at which the table may be split into parts of about one size, so that they can be read side by side; none where
    /// it is small. They need not be those of rows.
    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>>;

    /// The rows a scan asks for, in key order. Rows without a cell to show are left out.
    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>>;
}

/// Whatever holds a store is one, so that wrappers can wear each other.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store + ?Sized> Store for Arc<S> {
    fn capability(&self) -> Capability {
        (**self).capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        (**self).apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        (**self).split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        (**self).scan(table, scan)
    }
}

/// What a store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// What is acknowledged outlives the process.
    pub persistent: bool,
    /// Limits of Bigtable on keys, qualifiers and values are enforced.
    pub enforces_limits: bool,
    /// A mutation that fails leaves no part of itself.
    pub atomic_rows: bool,
    /// How writes keep the store busy.
    pub writes: WriteShape,
}

/// How a store likes to be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteShape {
    /// How many bytes make a good batch.
    pub batch_bytes: usize,
    /// How many batches at once keep the store busy.
    pub batches_in_flight: usize,
}

impl WriteShape {
    /// Large batches one after the other, as suits a disk.
    pub const LARGE: Self = Self {
        batch_bytes: 18 << 20,
        batches_in_flight: 1,
    };
}

/// What can be made of a store's required methods.
#[async_trait]
pub trait StoreExt: Store {
    /// Applies a batch; the first row that failed is the error.
    async fn apply_all<B>(&self, table: &str, batch: B) -> Result<()>
    where
        B: Into<Arc<MutationBatch>> + Send,
    {
        let batch = batch.into();
        if batch.is_empty() {
            return Ok(());
        }
        self.apply(table, batch).await?.into_iter().collect()
    }

    /// All rows of a scan at once; for scans that are known to be small.
    async fn rows(&self, table: &str, scan: Scan) -> Result<Vec<Row>> {
        self.scan(table, scan).try_collect().await
    }

    /// One row.
    async fn row(&self, table: &str, key: &[u8]) -> Result<Option<Row>> {
        self.scan(table, Scan::row(key).with_limit(1))
            .try_next()
            .await
    }

    /// How many rows a scan finds.
    async fn count(&self, table: &str, scan: Scan) -> Result<u64> {
        self.scan(table, scan)
            .try_fold(0, |count, _| async move { Ok(count + 1) })
            .await
    }
}

impl<S: Store + ?Sized> StoreExt for S {}
