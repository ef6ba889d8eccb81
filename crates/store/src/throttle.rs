//! A store that is written to no faster than it should be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;
use rowmill_model::{MutationBatch, Row};

use crate::error::Result;
use crate::scan::Scan;
use crate::store::{Capability, Store};
use crate::timer::{SystemTimer, Timer};

/// Writes no more rows a second than it is told. A batch goes as a whole, and those after it wait for as long as it would have
/// taken row by row.
#[derive(Debug)]
pub struct Throttle<S> {
    inner: S,
    rows_per_second: f64,
    timer: Arc<dyn Timer>,
    /// When the next batch may go.
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

    /// How long a batch of `rows` must wait, counting it as gone.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a batch has fewer than 2^52 rows"
    )]
    fn wait_for(&self, rows: usize) -> Duration {
        const LONGEST_SECONDS: f64 = 86_400.0;
        let now = self.timer.now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let start = next.map_or(now, |next| next.max(now));
        let takes = (rows as f64 / self.rows_per_second).min(LONGEST_SECONDS);
        *next = Some(start + Duration::from_secs_f64(takes));
        start - now
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for Throttle<S> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let wait = self.wait_for(batch.len());
        if !wait.is_zero() {
            self.timer.sleep(wait).await;
        }
        self.inner.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        self.inner.scan(table, scan)
    }
}
