//! Processes of a test whose calls to a store are made in any order that the test says.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _};
use futures::task::noop_waker;
use rowmill_model::{MutationBatch, Row};
use rowmill_store::{Capability, Result, Scan, Store};

use crate::error::Error;

/// A store each call to which waits for a permit.
#[derive(Debug)]
struct Gated {
    inner: Arc<dyn Store>,
    permit: Arc<AtomicBool>,
}

impl Gated {
    fn pass(permit: Arc<AtomicBool>) -> impl Future<Output = ()> {
        poll_fn(move |_| {
            if permit.swap(false, Ordering::Relaxed) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }
}

#[async_trait]
impl Store for Gated {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        Self::pass(Arc::clone(&self.permit)).await;
        self.inner.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let (inner, table) = (Arc::clone(&self.inner), table.to_owned());
        let pass = Self::pass(Arc::clone(&self.permit));
        stream::once(pass.map(move |()| inner.scan(&table, scan)))
            .flatten()
            .boxed()
    }
}

/// A process of the test: with each permit it makes one call to the store.
pub(crate) struct Process {
    permit: Arc<AtomicBool>,
    work: Option<BoxFuture<'static, ()>>,
}

impl Process {
    /// A process that does some work on a store.
    pub(crate) fn new<F>(store: &Arc<dyn Store>, work: impl FnOnce(Arc<dyn Store>) -> F) -> Self
    where
        F: Future<Output = std::result::Result<(), Error>> + Send + 'static,
    {
        let permit = Arc::new(AtomicBool::new(false));
        let gated = Gated {
            inner: Arc::clone(store),
            permit: Arc::clone(&permit),
        };
        let work = work(Arc::new(gated));
        Self {
            permit,
            work: Some(work.map(|done| done.unwrap()).boxed()),
        }
    }

    /// Makes the next call, and what follows until the one after it.
    pub(crate) fn step(&mut self) {
        self.permit.store(true, Ordering::Relaxed);
        let waker = noop_waker();
        if let Some(work) = &mut self.work
            && work.poll_unpin(&mut Context::from_waker(&waker)).is_ready()
        {
            self.work = None;
        }
    }

    /// Whether it has come to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.work.is_none()
    }
}
