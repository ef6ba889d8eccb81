//! A store that counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use rowmill_model::{MutationBatch, Row};

use crate::error::{ErrorKind, Result};
use crate::scan::Scan;
use crate::store::{Capability, Store};
use crate::timer::{SystemTimer, Timer};

/// Counts what goes to a store and comes from it.
#[derive(Debug, Clone)]
pub struct Metered<S> {
    inner: S,
    meter: Meter,
    timer: Arc<dyn Timer>,
}

/// The counts of a [`Metered`] store. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counts: Mutex<Counts>,
    /// Counted for each row by itself, which must cost next to nothing.
    rows_read: AtomicU64,
}

/// What a store did so far. Every row that was sent was written or failed: `sent = written + failed`, once no write is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches written, successfully or not.
    pub writes: u64,
    /// Rows in them.
    pub rows_sent: u64,
    /// Their keys and operations, in bytes.
    pub bytes_sent: u64,
    /// Rows that were acknowledged.
    pub rows_written: u64,
    /// Rows that were not, by kind of error.
    pub rows_failed: BTreeMap<ErrorKind, u64>,
    /// How long writes took, together.
    pub write_time: Duration,
    /// Scans begun.
    pub scans: u64,
    /// Rows that scans gave.
    pub rows_read: u64,
    /// Scans that ended with an error, by its kind.
    pub scans_failed: BTreeMap<ErrorKind, u64>,
}

impl Meter {
    /// The counts so far.
    pub fn counts(&self) -> Counts {
        let counts = self.with(|counts| counts.clone());
        Counts {
            rows_read: self.0.rows_read.load(Ordering::Relaxed),
            ..counts
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.0.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Store> Metered<S> {
    /// A store that counts into `meter`.
    pub fn new(inner: S, meter: Meter) -> Self {
        Self::with_timer(inner, meter, Arc::new(SystemTimer))
    }

    /// The same, telling the time by `timer`.
    pub fn with_timer(inner: S, meter: Meter, timer: Arc<dyn Timer>) -> Self {
        Self {
            inner,
            meter,
            timer,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for Metered<S> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let (rows, bytes) = (batch.len() as u64, batch.bytes() as u64);
        let begun = self.timer.now();
        let outcomes = self.inner.apply(table, batch).await;
        let took = self.timer.now() - begun;
        self.meter.with(|counts| {
            counts.writes += 1;
            counts.rows_sent += rows;
            counts.bytes_sent += bytes;
            counts.write_time += took;
            match &outcomes {
                Ok(outcomes) => {
                    for outcome in outcomes {
                        match outcome {
                            Ok(()) => counts.rows_written += 1,
                            Err(error) => *counts.rows_failed.entry(error.kind()).or_default() += 1,
                        }
                    }
                }
                Err(error) => *counts.rows_failed.entry(error.kind()).or_default() += rows,
            }
        });
        outcomes
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let meter = self.meter.clone();
        meter.with(|counts| counts.scans += 1);
        let rows = self.inner.scan(table, scan);
        let counted = rows.inspect(move |row| match row {
            Ok(_) => {
                meter.0.rows_read.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => meter.with(|counts| {
                *counts.scans_failed.entry(error.kind()).or_default() += 1;
            }),
        });
        counted.boxed()
    }
}
