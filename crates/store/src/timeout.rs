//! A store that does not wait for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{BoxStream, Stream, StreamExt as _};
use rowmill_model::{MutationBatch, Row};

use crate::error::{Error, ErrorKind, Result};
use crate::scan::Scan;
use crate::store::{Capability, Store};
use crate::timer::{SystemTimer, Timer, Wait, moment_after};

/// Gives up a write, or the wait for the next row of a scan, that takes longer than a limit. What was given up may be tried again;
/// a write may have taken effect.
#[derive(Debug, Clone)]
pub struct Timeout<S> {
    inner: S,
    limit: Duration,
    timer: Arc<dyn Timer>,
}

impl<S: Store> Timeout<S> {
    /// A store that answers within `limit` or fails. [`Duration::MAX`] is no limit.
    pub fn new(inner: S, limit: Duration) -> Self {
        Self::with_timer(inner, limit, Arc::new(SystemTimer))
    }

    /// The same by `timer`.
    pub fn with_timer(inner: S, limit: Duration, timer: Arc<dyn Timer>) -> Self {
        Self {
            inner,
            limit,
            timer,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for Timeout<S> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let deadline = self.timer.until(moment_after(self.timer.now(), self.limit));
        tokio::select! {
            biased;
            outcomes = self.inner.apply(table, batch) => outcomes,
            () = deadline => Err(late(table, self.limit).with_unknown_effect()),
        }
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        let deadline = self.timer.until(moment_after(self.timer.now(), self.limit));
        tokio::select! {
            biased;
            keys = self.inner.split_keys(table) => keys,
            () = deadline => Err(late(table, self.limit)),
        }
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let rows = Timed {
            rows: self.inner.scan(table, scan),
            table: table.to_owned(),
            limit: self.limit,
            timer: Arc::clone(&self.timer),
            deadline: None,
            is_over: false,
        };
        rows.boxed()
    }
}

fn late(table: &str, limit: Duration) -> Error {
    let message = format!("`{table}` did not answer within {limit:?}");
    Error::new(ErrorKind::Unavailable, message)
}

/// Rows, each of which comes within a limit. Only where one is waited for is there a deadline, so that rows that are there cost nothing.
struct Timed {
    rows: BoxStream<'static, Result<Row>>,
    table: String,
    limit: Duration,
    timer: Arc<dyn Timer>,
    deadline: Option<Wait>,
    is_over: bool,
}

impl Stream for Timed {
    type Item = Result<Row>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Row>>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        if let Poll::Ready(next) = this.rows.poll_next_unpin(context) {
            this.deadline = None;
            return Poll::Ready(next);
        }
        let (timer, limit) = (&this.timer, this.limit);
        let deadline = this
            .deadline
            .get_or_insert_with(|| timer.until(moment_after(timer.now(), limit)));
        if deadline.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        this.is_over = true;
        Poll::Ready(Some(Err(late(&this.table, limit))))
    }
}
