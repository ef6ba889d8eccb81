//! A store that does not wait for ever.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use rowmill_model::{MutationBatch, Row};

use crate::error::{Error, ErrorKind, Result};
use crate::scan::Scan;
use crate::store::{Capability, Store};
use crate::timer::{SystemTimer, Timer};

/// Gives up a write, or the wait for the next row of a scan, that takes longer than a limit. What was given up may be tried again;
/// a write may have taken effect.
#[derive(Debug, Clone)]
pub struct Timeout<S> {
    inner: S,
    limit: Duration,
    timer: Arc<dyn Timer>,
}

impl<S: Store> Timeout<S> {
    /// A store that answers within `limit` or fails.
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

/// What `answer` gives within `limit`.
async fn within<T>(
    timer: &dyn Timer,
    limit: Duration,
    table: &str,
    answer: impl Future<Output = T>,
) -> Result<T> {
    let deadline = timer.until(timer.now() + limit);
    tokio::select! {
        biased;
        answer = answer => Ok(answer),
        () = deadline => {
            let message = format!("`{table}` did not answer within {limit:?}");
            Err(Error::new(ErrorKind::Unavailable, message))
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
        let write = self.inner.apply(table, batch);
        within(&*self.timer, self.limit, table, write)
            .await
            .map_err(Error::with_unknown_effect)?
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let rows = self.inner.scan(table, scan);
        let (timer, limit, table) = (Arc::clone(&self.timer), self.limit, table.to_owned());
        stream::unfold(Some(rows), move |rows| {
            let (timer, table) = (Arc::clone(&timer), table.clone());
            async move {
                let mut rows = rows?;
                match within(&*timer, limit, &table, rows.next()).await {
                    Ok(next) => Some((next?, Some(rows))),
                    Err(error) => Some((Err(error), None)),
                }
            }
        })
        .boxed()
    }
}
