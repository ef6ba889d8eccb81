//! The client against a scripted server, public conformance cases, and the emulator.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod bulk;
mod connections;
mod credentials;
mod deadlines;
mod emulator;
mod errors;
mod faults;
mod headers;
mod per_call;
mod public_cases;
mod reads;
mod scans;
mod single_rows;
mod streams;
mod tables;

use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_bigtable::testing::{FixedRandom, ManualTimer, ScriptedServer};
use rowmill_bigtable::{Client, ClientBuilder, Error, ReadRows, RowMutation};

/// A scripted server, a client of it, and the clock of both.
pub(crate) struct Harness {
    pub(crate) server: ScriptedServer,
    pub(crate) client: Client,
    pub(crate) timer: Arc<ManualTimer>,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(options: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let server = ScriptedServer::start().await;
        let timer = Arc::new(ManualTimer::default());
        let builder = Client::builder("p", "i")
            .emulator(server.address())
            .timer(timer.clone())
            .random(Arc::new(FixedRandom(0.0)))
            .channels(1);
        let client = options(builder).connect().await.unwrap();
        Self {
            server,
            client,
            timer,
        }
    }

    /// The keys of the rows of a read, and the error that ended it.
    pub(crate) async fn keys(&self, read: ReadRows) -> (Vec<String>, Option<Error>) {
        let mut rows = self.client.read_rows(read);
        let mut keys = Vec::new();
        loop {
            match rows.try_next().await {
                Ok(Some(row)) => keys.push(String::from_utf8(row.key.to_vec()).unwrap()),
                Ok(None) => return (keys, None),
                Err(error) => return (keys, Some(error)),
            }
        }
    }

    /// The keys of a read that must succeed.
    pub(crate) async fn all_keys(&self, read: ReadRows) -> Vec<String> {
        let (keys, error) = self.keys(read).await;
        assert!(error.is_none(), "{error:?}");
        keys
    }
}

/// A row mutation that sets one cell.
pub(crate) fn set(key: &str) -> RowMutation {
    RowMutation::new(key.to_owned()).set_cell("f", "q", 1_000, "v")
}

pub(crate) fn sets(keys: &[&str]) -> Vec<RowMutation> {
    keys.iter().map(|key| set(key)).collect()
}
