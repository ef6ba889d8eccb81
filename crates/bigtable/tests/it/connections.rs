//! Connections: many calls at once, closing, losing, warming and replacing them.

use std::time::Duration;

use futures::TryStreamExt as _;
use futures::future::join_all;
use rowmill_bigtable::proto::PingAndWarmRequest;
use rowmill_bigtable::testing::{Gate, Reply, ScriptedServer};
use rowmill_bigtable::{BulkLimits, Client, Code, ReadRows, RetryPolicy};

use crate::{Harness, set, sets};

#[tokio::test]
async fn five_calls_at_once_reach_the_server_at_once() {
    let harness = Harness::start().await;
    let gate = Gate::default();
    let closed = gate.clone();
    harness
        .server
        .answer("ReadRows", move |_| Reply::new().wait(&closed));
    let calls = tokio::spawn({
        let client = harness.client.clone();
        async move { join_all((0..5).map(|_| client.read_row("t", "k", None))).await }
    });
    // All five are there while none has been answered.
    harness.server.received("ReadRows", 5).await;
    gate.open();
    assert!(calls.await.unwrap().iter().all(Result::is_ok));
}

#[tokio::test]
async fn closing_refuses_new_calls_and_lets_the_others_finish() {
    let harness = Harness::start().await;
    let gate = Gate::default();
    harness
        .server
        .push("ReadRows", Reply::rows(["a"]).wait(&gate).and_rows(["b"]));
    let client = harness.client.clone();
    let mut rows = client.read_rows(ReadRows::new("t"));
    assert_eq!(rows.try_next().await.unwrap().unwrap().key, "a");
    harness.client.close();
    harness.client.close();
    let refused = [
        client.read_row("t", "k", None).await.map(drop),
        client.mutate_row("t", set("k")).await,
        client.mutate_rows("t", sets(&["k"])).await.remove(0),
        client.sample_row_keys("t").await.map(drop),
        client.table_admin().tables().await.map(drop),
    ];
    for outcome in refused {
        assert_eq!(outcome.unwrap_err().code(), Code::Cancelled);
    }
    gate.open();
    assert_eq!(rows.try_next().await.unwrap().unwrap().key, "b");
    assert!(rows.try_next().await.unwrap().is_none());
    assert_eq!(harness.server.requests("ReadRows").len(), 1);
    assert!(harness.server.requests("MutateRow").is_empty());
}

#[tokio::test]
async fn what_has_begun_is_retried_also_after_closing() {
    let limits = BulkLimits {
        rows_max: 1,
        requests_in_flight_max: 1,
        ..BulkLimits::default()
    };
    let harness = Harness::with(|builder| builder.bulk_limits(limits)).await;
    let gate = Gate::default();
    let busy = || Reply::new().wait(&gate).status(Code::Unavailable, "busy");
    harness.server.push("ReadRows", busy());
    harness.server.push("ReadRows", Reply::rows(["k"]));
    harness.server.push("MutateRows", busy());
    harness
        .server
        .answer("MutateRows", |_| Reply::outcomes([(0, Code::Ok)]));
    let (reader, writer) = (harness.client.clone(), harness.client.clone());
    let read = tokio::spawn(async move { reader.read_row("t", "k", None).await });
    let written =
        tokio::spawn(async move { writer.mutate_rows("t", sets(&["a", "b", "c"])).await });
    harness.server.received("ReadRows", 1).await;
    harness.server.received("MutateRows", 1).await;
    harness.client.close();
    gate.open();
    assert!(read.await.unwrap().unwrap().is_some());
    assert!(written.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(harness.server.requests("MutateRows").len(), 4);
}

#[tokio::test]
async fn a_connection_that_goes_away_is_replaced_for_new_calls() {
    let harness = Harness::start().await;
    let gate = Gate::default();
    harness.server.push(
        "ReadRows",
        Reply::rows(["a"]).go_away().wait(&gate).and_rows(["b"]),
    );
    harness.server.push("ReadRows", Reply::rows(["c"]));
    let mut rows = harness.client.read_rows(ReadRows::new("t"));
    rows.try_next().await.unwrap().unwrap();
    // The call in flight goes on, over the connection that it is on.
    gate.open();
    assert_eq!(rows.try_next().await.unwrap().unwrap().key, "b");
    assert!(rows.try_next().await.unwrap().is_none());
    assert_eq!(harness.all_keys(ReadRows::new("t")).await, ["c"]);
    let connections: Vec<_> = harness
        .server
        .requests("ReadRows")
        .iter()
        .map(|request| request.connection)
        .collect();
    assert_eq!(connections, [0, 1]);
}

#[tokio::test]
async fn calls_spread_over_the_channels() {
    let harness = Harness::with(|builder| builder.channels(3)).await;
    let gate = Gate::default();
    let closed = gate.clone();
    harness
        .server
        .answer("ReadRows", move |_| Reply::new().wait(&closed));
    let client = harness.client.clone();
    let calls =
        tokio::spawn(
            async move { join_all((0..9).map(|_| client.read_row("t", "k", None))).await },
        );
    let requests = harness.server.received("ReadRows", 9).await;
    gate.open();
    calls.await.unwrap();
    for connection in 0..3 {
        let of_connection = requests.iter().filter(|it| it.connection == connection);
        assert_eq!(of_connection.count(), 3);
    }
}

#[tokio::test]
async fn every_connection_is_warmed_before_it_is_used() {
    let harness = Harness::with(|builder| builder.channels(2).app_profile("profile")).await;
    let pings = harness.server.requests("PingAndWarm");
    assert_eq!(pings.len(), 2);
    let expected = PingAndWarmRequest {
        name: "projects/p/instances/i".to_owned(),
        app_profile_id: "profile".to_owned(),
    };
    assert_eq!(pings[0].message::<PingAndWarmRequest>(), expected);
    let cold = Harness::with(|builder| builder.warm_up(false)).await;
    assert!(cold.server.requests("PingAndWarm").is_empty());
    // A server that does not know the call, or is busy, or does not let this caller ping does not keep calls from being made; one
    // that has no such instance does.
    for (code, is_good) in [
        (Code::Unimplemented, true),
        (Code::Unavailable, true),
        (Code::PermissionDenied, true),
        (Code::NotFound, false),
    ] {
        let server = ScriptedServer::start().await;
        server.push("PingAndWarm", Reply::new().status(code, "x"));
        let builder = Client::builder("p", "i").emulator(server.address());
        let connected = builder.channels(1).connect().await;
        assert_eq!(connected.is_ok(), is_good, "{code:?}");
    }
}

#[tokio::test]
async fn a_ping_that_hangs_does_not_hang_the_client() {
    let server = ScriptedServer::start().await;
    server.push("PingAndWarm", Reply::new().message(&()).hang());
    server.push("PingAndWarm", Reply::new().hang());
    let timer = std::sync::Arc::new(rowmill_bigtable::testing::ManualTimer::default());
    let builder = Client::builder("p", "i").emulator(server.address());
    let connecting = tokio::spawn(builder.timer(timer.clone()).channels(2).connect());
    server.received("PingAndWarm", 2).await;
    timer.advance(Duration::from_secs(11));
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_are_replaced_before_the_server_closes_them() {
    let day = Duration::from_hours(24);
    let patient = RetryPolicy {
        attempt_timeout: day,
        operation_timeout: day,
        ..RetryPolicy::scans()
    };
    let harness = Harness::with(|builder| builder.channels(2).scan_policy(patient)).await;
    let server = &harness.server;
    let gate = Gate::default();
    server.push("ReadRows", Reply::rows(["a"]).wait(&gate).and_rows(["b"]));
    let mut rows = harness.client.read_rows(ReadRows::new("t"));
    rows.try_next().await.unwrap().unwrap();

    let minute = Duration::from_mins(1);
    harness.timer.advance(39 * minute);
    server.push("ReadRows", Reply::new());
    harness.client.read_row("t", "k", None).await.unwrap();
    assert_eq!(server.requests("PingAndWarm").len(), 2, "too early");
    harness.timer.advance(12 * minute);
    server.received("PingAndWarm", 4).await;
    // The call on an old connection is not disturbed; new ones take the new connections.
    gate.open();
    assert_eq!(rows.try_next().await.unwrap().unwrap().key, "b");
    assert!(rows.try_next().await.unwrap().is_none());
    drop(rows);
    loop {
        server.push("ReadRows", Reply::new());
        harness.client.read_row("t", "k", None).await.unwrap();
        let last = server.requests("ReadRows").pop().unwrap();
        if last.connection >= 2 {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_that_names_it() {
    let builder = Client::builder("p", "i").emulator("127.0.0.1:1");
    let error = builder.connect().await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}
