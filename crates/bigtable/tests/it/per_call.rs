//! What a call may ask for: a deadline and a policy of its own; and how long a server may stay silent.

use std::time::Duration;

use futures::TryStreamExt as _;
use rowmill_bigtable::proto::read_modify_write_rule::Rule;
use rowmill_bigtable::proto::{ReadModifyWriteRule, ReadRowsRequest};
use rowmill_bigtable::testing::{Gate, Reply};
use rowmill_bigtable::{Client, Code, Error, ReadRows, RetryPolicy, RowMutation, SERVER_TIME};
use rowmill_store::Effect;

use crate::{Harness, set, sets};

const SECOND: Duration = Duration::from_secs(1);

/// Every call there is, by the name of its method.
const METHODS: [&str; 8] = [
    "ReadRows",
    "MutateRow",
    "MutateRows",
    "CheckAndMutateRow",
    "ReadModifyWriteRow",
    "SampleRowKeys",
    "ListTables",
    "DeleteTable",
];

async fn call(client: &Client, method: &str) -> Result<(), Error> {
    let rule = ReadModifyWriteRule {
        family_name: "f".to_owned(),
        column_qualifier: "q".into(),
        rule: Some(Rule::IncrementAmount(1)),
    };
    let delete = RowMutation::new("k").delete_row().mutations;
    match method {
        "ReadRows" => client.read_row("t", "k", None).await.map(drop),
        "MutateRow" => client.mutate_row("t", set("k")).await,
        "MutateRows" => client.mutate_rows("t", sets(&["k"])).await.remove(0),
        "CheckAndMutateRow" => client
            .check_and_mutate_row("t", "k", None, delete, vec![])
            .await
            .map(drop),
        "ReadModifyWriteRow" => client
            .read_modify_write_row("t", "k", vec![rule])
            .await
            .map(drop),
        "SampleRowKeys" => client.sample_row_keys("t").await.map(drop),
        "ListTables" => client.table_admin().table_names().await.map(drop),
        "DeleteTable" => client.table_admin().delete_table("t").await,
        _ => unreachable!("{method}"),
    }
}

#[tokio::test]
async fn every_call_takes_a_deadline_of_its_own() {
    let harness = Harness::start().await;
    let hasty = harness.client.with_timeout(2 * SECOND);
    for method in METHODS {
        harness.server.push(method, Reply::new().hang());
        let client = hasty.clone();
        let calling = tokio::spawn(async move { call(&client, method).await });
        harness.server.received(method, 1).await;
        harness.timer.advance(3 * SECOND);
        let error = calling.await.unwrap().unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{method}");
        assert_eq!(harness.server.requests(method).len(), 1, "{method}");
    }
}

#[tokio::test]
async fn with_no_time_left_nothing_is_sent() {
    let harness = Harness::start().await;
    let late = harness.client.with_timeout(Duration::ZERO);
    for method in METHODS {
        let error = call(&late, method).await.unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{method}");
        if method.contains("Mutate") || method.contains("Write") {
            assert_eq!(error.effect(), Effect::None, "{method}");
        }
        assert!(harness.server.requests(method).is_empty(), "{method}");
    }
}

#[tokio::test]
async fn every_call_takes_a_policy_but_what_must_not_happen_twice_does_not() {
    let harness = Harness::start().await;
    let thrice = RetryPolicy {
        attempts_max: Some(3),
        ..RetryPolicy::reads()
    };
    let client = harness.client.with_policy(thrice);
    for method in METHODS {
        harness
            .server
            .answer(method, |_| Reply::new().status(Code::Aborted, "x"));
        let error = call(&client, method).await.unwrap_err();
        assert_eq!(error.code(), Code::Aborted, "{method}");
        let expected = match method {
            "CheckAndMutateRow" | "ReadModifyWriteRow" | "DeleteTable" => 1,
            _ => 3,
        };
        assert_eq!(harness.server.requests(method).len(), expected, "{method}");
    }
    let server_time = RowMutation::new("k").set_cell("f", "q", SERVER_TIME, "v");
    client.mutate_row("t", server_time).await.unwrap_err();
    assert_eq!(harness.server.requests("MutateRow").len(), 4);
    // The client itself goes on as it did.
    harness
        .server
        .push("ReadRows", Reply::new().status(Code::Unavailable, "x"));
    harness.server.push("ReadRows", Reply::rows(["k"]));
    assert!(
        harness
            .client
            .read_row("t", "k", None)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_reads_own_wish_goes_before_the_clients() {
    let harness = Harness::start().await;
    let once = RetryPolicy {
        attempts_max: Some(1),
        ..RetryPolicy::reads()
    };
    let busy = || Reply::new().status(Code::Unavailable, "x");
    harness.server.push("ReadRows", busy());
    let read = ReadRows::new("t").with_policy(once);
    let patient = harness.client.with_policy(RetryPolicy::scans());
    let failed = patient.read_rows(read).try_next().await;
    assert_eq!(failed.unwrap_err().code(), Code::Unavailable);
    harness.server.push("ReadRows", Reply::new().hang());
    let mut rows = patient.read_rows(ReadRows::new("t").with_timeout(SECOND));
    let reading = tokio::spawn(async move { rows.try_next().await });
    harness.server.received("ReadRows", 2).await;
    harness.timer.advance(2 * SECOND);
    let error = reading.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
}

/// After how long without a word another attempt is made of a read; none if not within an hour.
async fn patience(read: ReadRows) -> Option<u32> {
    let harness = Harness::start().await;
    harness.server.push("ReadRows", Reply::new().hang());
    harness.server.answer("ReadRows", |_| Reply::rows(["k"]));
    let mut rows = harness.client.read_rows(read);
    let reading = tokio::spawn(async move { rows.try_next().await });
    harness.server.received("ReadRows", 1).await;
    for seconds in 1..3_600 {
        harness.timer.advance(SECOND);
        // The clock wakes the read, which then asks again.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        if reading.is_finished() || harness.server.requests("ReadRows").len() > 1 {
            reading.await.unwrap().unwrap().unwrap();
            return Some(seconds);
        }
    }
    None
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_long() {
    for (read, least, most) in [
        (ReadRows::new("t").limit(10), 20, 30),
        (ReadRows::new("t").row("k"), 20, 30),
        (ReadRows::new("t").prefix("k"), 300, 330),
        (ReadRows::new("t").limit(1_001), 300, 330),
    ] {
        let seconds = patience(read.clone()).await.unwrap();
        assert!((least..most).contains(&seconds), "{read:?}: {seconds}");
    }
}

#[tokio::test]
async fn silence_within_an_answer_is_resumed_behind_the_last_row() {
    let harness = Harness::start().await;
    harness.server.push("ReadRows", Reply::rows(["a"]).hang());
    harness.server.push("ReadRows", Reply::rows(["b"]));
    let mut rows = harness.client.read_rows(ReadRows::new("t"));
    rows.try_next().await.unwrap().unwrap();
    let reading = tokio::spawn(async move { rows.try_next().await });
    while harness.server.requests("ReadRows").len() < 2 {
        harness.timer.advance(10 * SECOND);
        tokio::task::yield_now().await;
    }
    assert_eq!(reading.await.unwrap().unwrap().unwrap().key, "b");
    let second: ReadRowsRequest = harness.server.requests("ReadRows")[1].message();
    assert_eq!(second.rows.unwrap().row_ranges.len(), 1);
}

#[tokio::test]
async fn a_reader_that_takes_its_time_is_no_silence() {
    let harness = Harness::start().await;
    let gate = Gate::default();
    let reply = Reply::rows(["a"]).wait(&gate).and_rows(["b"]);
    harness.server.push("ReadRows", reply);
    let mut rows = harness.client.read_rows(ReadRows::new("t"));
    rows.try_next().await.unwrap().unwrap();
    harness.timer.advance(20 * 60 * SECOND);
    gate.open();
    assert_eq!(rows.try_next().await.unwrap().unwrap().key, "b");
    assert_eq!(harness.server.requests("ReadRows").len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_too_large_leaves_it_open_what_happened() {
    let harness = Harness::start().await;
    for method in ["MutateRow", "CheckAndMutateRow", "ReadModifyWriteRow"] {
        harness.server.push(method, Reply::new().too_large());
        let error = call(&harness.client, method).await.unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange, "{method}");
        assert_eq!(error.effect(), Effect::Unknown, "{method}");
    }
}
