//! Reading a whole table in parts, side by side.

use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rowmill_rowkey::KeyRange;
use rowmill_store::Store;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::error::Error;

/// How many parts are read at once.
const PARTS_AT_ONCE: usize = 4;

/// The ranges that a table falls into.
pub(crate) async fn parts(store: &dyn Store, table: &str) -> Result<Vec<KeyRange>, Error> {
    let mut starts = vec![Vec::new()];
    starts.extend(store.split_keys(table).await?);
    let ends = starts.iter().skip(1).cloned().map(Some).chain([None]);
    let range = |(start, end): (&Vec<u8>, _)| KeyRange {
        start: start.clone(),
        end,
    };
    Ok(starts.iter().zip(ends).map(range).collect())
}

/// Does `work` on each part of a table, some at once, and gives what each came to.
pub(crate) async fn each_part<T, W, F>(
    store: &Arc<dyn Store>,
    table: &str,
    work: W,
) -> Result<Vec<T>, Error>
where
    T: Send + 'static,
    W: Fn(KeyRange) -> F,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let parts = parts(&**store, table).await?;
    let works: Vec<_> = parts.into_iter().map(work).collect();
    let works = stream::iter(works).map(spawned);
    works.buffered(PARTS_AT_ONCE).try_collect().await
}

/// Does work that waits for others on a thread of its own. The runtime's threads for what blocks are few, and the store needs one to make
/// what is waited for happen.
pub(crate) fn on_own_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, Error> {
    let (sender, done) = oneshot::channel();
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name(format!("rowmill:{name}"));
    let started = thread.spawn(move || {
        let _entered = runtime.enter();
        // Nobody asks what became of work that was given up.
        sender.send(work()).ok();
    });
    started.map_err(|source| Error::Thread { source })?;
    Ok(done)
}

/// Lets the runtime do work beside others', for as long as somebody waits for it.
pub(crate) async fn spawned<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    // A set ends its tasks when it is dropped.
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    let done = tasks.join_next().await.expect("there is one task");
    done.expect("the task does not panic, and nobody else ends it")
}
