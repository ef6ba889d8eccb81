//! Many reads open at once: one that nobody reads stops no other.

use std::time::Duration;

use futures::TryStreamExt as _;
use rowmill_bigtable::proto::ReadRowsResponse;
use rowmill_bigtable::testing::{Emulator, Gate, Reply, ScriptedServer, chunk};
use rowmill_bigtable::{BigtableStore, Client, Code, ReadRows, RowMutation, RowStream};
use rowmill_store::{Admin as _, TableSchema};

use crate::Harness;
use crate::emulator::connect;

/// A runtime that is as poor in threads as a small machine's.
fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(1);
    runtime.enable_all().build().unwrap()
}

/// A reply of `rows` rows, each with a value of `bytes` bytes and in a message of its own.
fn large(rows: usize, bytes: usize) -> Reply {
    let value = "v".repeat(bytes);
    (0..rows).fold(Reply::new(), |reply, row| {
        reply.message(&ReadRowsResponse {
            chunks: vec![chunk(&format!("{row:08}"), &value)],
            ..ReadRowsResponse::default()
        })
    })
}

/// Opens so many reads and takes the first row of each.
async fn open(client: &Client, count: usize) -> Vec<RowStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut rows = client.read_rows(ReadRows::new("t"));
        rows.try_next().await.unwrap().unwrap();
        streams.push(rows);
    }
    streams
}

/// Reads the last stream to its end, then the others, those in the middle first; gives how many rows each had left.
async fn read_in_another_order(mut streams: Vec<RowStream>) -> Vec<usize> {
    let mut counts = Vec::new();
    while let Some(mut rows) = streams.pop() {
        let mut count = 0;
        while rows.try_next().await.unwrap().is_some() {
            count += 1;
        }
        counts.push(count);
        let middle = streams.len() / 2;
        if middle > 0 {
            let last = streams.len() - 1;
            streams.swap(middle, last);
        }
    }
    counts
}

/// Fails, instead of hanging, where a stream stands still.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    let limit = Duration::from_mins(2);
    tokio::time::timeout(limit, work).await.expect("it goes on")
}

#[test]
fn streams_that_nobody_reads_do_not_stop_another() {
    const STREAMS: usize = 64;
    runtime().block_on(async {
        let server = ScriptedServer::start().await;
        // 9 MiB each: more than any buffer between the two.
        let reply = large(9, 1 << 20);
        server.answer("ReadRows", move |_| reply.clone());
        let builder = Client::builder("p", "i").emulator(server.address());
        let client = builder.connect().await.unwrap();
        let streams = soon(open(&client, STREAMS)).await;
        assert_eq!(soon(read_in_another_order(streams)).await, [8; STREAMS]);
        assert_eq!(
            server.requests("ReadRows").len(),
            STREAMS,
            "no attempt was repeated"
        );
    });
}

#[test]
fn small_messages_that_nobody_reads_do_not_end_the_connection() {
    const STREAMS: usize = 12;
    runtime().block_on(async {
        let server = ScriptedServer::start().await;
        let reply = large(20_000, 20);
        server.answer("ReadRows", move |_| reply.clone());
        let builder = Client::builder("p", "i").emulator(server.address());
        let client = builder.channels(1).connect().await.unwrap();
        let mut streams = soon(open(&client, STREAMS)).await;
        let last = streams.split_off(STREAMS - 1);
        assert_eq!(soon(read_in_another_order(last)).await, [19_999]);
        assert_eq!(server.connections(), 1);
        assert_eq!(server.requests("ReadRows").len(), STREAMS);
    });
}

#[tokio::test]
async fn calls_beyond_what_a_connection_carries_get_another() {
    let harness = Harness::start().await;
    let gate = Gate::default();
    let closed = gate.clone();
    harness.server.answer("ReadRows", move |_| {
        Reply::rows(["a"]).wait(&closed).and_rows(["b"])
    });
    // The server takes 100 calls of a connection and lets the others wait.
    let streams = soon(open(&harness.client, 250)).await;
    assert!(harness.server.open_connections() >= 3);
    harness
        .server
        .answer("MutateRow", |_| Reply::new().message(&()));
    soon(harness.client.mutate_row("t", crate::set("k")))
        .await
        .unwrap();
    gate.open();
    assert_eq!(soon(read_in_another_order(streams)).await, [1; 250]);
    // What is not needed any more closes, once there is a call that could have used it.
    let closing = async {
        while harness.server.open_connections() > 1 {
            harness
                .client
                .mutate_row("t", crate::set("k"))
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
    };
    soon(closing).await;
}

#[tokio::test]
async fn the_window_of_a_stream_has_bounds() {
    for bytes in [0, (64 << 10) - 1, (16 << 20) + 1, u32::MAX] {
        let builder = Client::builder("p", "i").emulator("127.0.0.1:1");
        let error = builder.stream_window_bytes(bytes).connect().await;
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.to_string().contains("65536 to 16777216"), "{error}");
    }
}

#[test]
fn the_emulator_is_read_in_any_order() {
    const STREAMS: usize = 64;
    const ROWS: usize = 18;
    runtime().block_on(async {
        let Some(emulator) = Emulator::start("many open reads").await else {
            return;
        };
        let client = connect(&emulator).await;
        let store = BigtableStore::new(client.clone());
        let table = TableSchema::new("t", ["f"]);
        store.create_table(&table).await.unwrap();
        let value = vec![b'v'; 512 << 10];
        let row = |row| RowMutation::new(format!("{row:08}")).set_cell("f", "q", 0, value.clone());
        let written = client.mutate_rows("t", (0..ROWS).map(row).collect()).await;
        assert!(written.iter().all(Result::is_ok));
        let streams = soon(open(&client, STREAMS)).await;
        let counts = soon(read_in_another_order(streams)).await;
        assert_eq!(counts, [ROWS - 1; STREAMS]);
    });
}
