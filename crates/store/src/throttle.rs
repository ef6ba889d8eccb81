//! A store that is written to no faster than it should be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;
use rowmill_model::{MutationBatch, Row};
use tokio::sync::Mutex;

use crate::error::Result;
use crate::scan::Scan;
use crate::store::{Capability, Store};
use crate::timer::{SystemTimer, Timer, moment_after};

/// Writes no more rows a second than it is told. A batch goes as a whole, and those after it wait for as long as it would have
/// taken row by row.
#[derive(Debug)]
pub struct Throttle<S> {
    inner: S,
    rows_per_second: f64,
    timer: Arc<dyn Timer>,
    /// When the next batch may go. Held by the one whose turn it is.
    next: Mutex<Option<Instant>>,
}

impl<S: Store> Throttle<S> {
    /// A store that takes `rows_per_second` at most.
    ///
    /// # Panics
    /// If that is not more than zero.
    pub fn new(inner: S, rows_per_second: f64) -> Self {
        Self::with_timer(inner, rows_per_second, Arc::new(SystemTimer))
    }

    /// The same by `timer`.
    ///
    /// # Panics
    /// If `rows_per_second` is not more than zero.
    pub fn with_timer(inner: S, rows_per_second: f64, timer: Arc<dyn Timer>) -> Self {
        assert!(rows_per_second > 0.0, "a rate of zero never ends");
        Self {
            inner,
            rows_per_second,
            timer,
            next: Mutex::default(),
        }
    }

    /// Waits until a batch of `rows` may go, and counts it as gone. A batch that is given up while it waits leaves its turn to the others.
    async fn turn(&self, rows: usize) {
        let mut next = self.next.lock().await;
        let wait = next.map_or(Duration::ZERO, |next| {
            next.saturating_duration_since(self.timer.now())
        });
        if !wait.is_zero() {
            self.timer.sleep(wait).await;
        }
        let now = self.timer.now();
        let start = next.map_or(now, |next| next.max(now));
        *next = Some(moment_after(start, self.takes(rows)));
    }

    /// How long a batch takes at this rate.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a batch has fewer than 2^52 rows"
    )]
    fn takes(&self, rows: usize) -> Duration {
        const LONGEST_SECONDS: f64 = 86_400.0;
        let seconds = (rows as f64 / self.rows_per_second).min(LONGEST_SECONDS);
        Duration::from_secs_f64(seconds)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for Throttle<S> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        self.turn(batch.len()).await;
        self.inner.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        self.inner.scan(table, scan)
    }
}
