//! One deadline over attempts, backoff and body; delays that the server asks for.

use std::time::Duration;

use futures::TryStreamExt as _;
use rowmill_bigtable::testing::{FixedRandom, Reply};
use rowmill_bigtable::{Backoff, BulkLimits, Client, Code, ReadRows, RetryPolicy};

use crate::{Harness, set, sets};

const SECOND: Duration = Duration::from_secs(1);

fn within(seconds: u32) -> RetryPolicy {
    RetryPolicy::reads().within(SECOND * seconds)
}

async fn harness(seconds: u32) -> Harness {
    Harness::with(|builder| {
        builder
            .read_policy(within(seconds))
            .scan_policy(within(seconds))
            .write_policy(RetryPolicy::writes().within(SECOND * seconds))
            .single_write_policy(RetryPolicy::never().within(SECOND * seconds))
    })
    .await
}

#[tokio::test]
async fn a_silent_server_is_code_4_at_the_deadline() {
    let harness = harness(5).await;
    for method in ["ReadRows", "MutateRow", "MutateRows", "SampleRowKeys"] {
        harness.server.push(method, Reply::new().hang());
        let (client, timer) = (harness.client.clone(), harness.timer.clone());
        let call = tokio::spawn(async move {
            match method {
                "ReadRows" => client.read_row("t", "k", None).await.map(drop),
                "MutateRow" => client.mutate_row("t", set("k")).await,
                "SampleRowKeys" => client.sample_row_keys("t").await.map(drop),
                _ => client.mutate_rows("t", sets(&["k"])).await.remove(0),
            }
        });
        harness.server.received(method, 1).await;
        timer.advance(SECOND * 6);
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{method}");
        assert_eq!(harness.server.requests(method).len(), 1, "{method}");
    }
}

#[tokio::test]
async fn the_deadline_holds_within_the_body_too() {
    let harness = harness(5).await;
    harness.server.push("ReadRows", Reply::rows(["a"]).hang());
    let mut rows = harness.client.read_rows(ReadRows::new("t"));
    rows.try_next().await.unwrap().unwrap();
    harness.timer.advance(SECOND * 6);
    let error = rows.try_next().await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn attempts_and_backoff_count_too() {
    let harness = harness(5).await;
    harness.server.answer("ReadRows", |_| {
        Reply::new().status(Code::Unavailable, "busy")
    });
    let error = harness.client.read_row("t", "k", None).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(error.to_string().contains("busy"), "{error}");
    let slept = harness.timer.slept();
    let delays: Vec<_> = slept.iter().map(Duration::as_millis).collect();
    assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1_280]);
    assert_eq!(harness.server.requests("ReadRows").len(), 9);
}

#[tokio::test]
async fn a_bulk_write_ends_with_code_4_for_each_row_that_was_not_acknowledged() {
    let harness = harness(2).await;
    harness.server.push(
        "MutateRows",
        Reply::outcomes([(0, Code::Ok), (2, Code::Unavailable)]),
    );
    harness.server.push(
        "MutateRows",
        Reply::outcomes([(0, Code::Ok), (1, Code::Unavailable)]).status(Code::Unavailable, "x"),
    );
    harness.server.answer("MutateRows", |_| {
        Reply::new().status(Code::Unavailable, "x")
    });
    let outcomes = harness
        .client
        .mutate_rows("t", sets(&["a", "b", "c", "d"]))
        .await;
    let codes: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().err().map(rowmill_bigtable::Error::code))
        .collect();
    // Without an outcome on a good stream: b and d. Told to wait, and never taken: c.
    assert_eq!(codes[0], None);
    assert_eq!(codes[1], Some(Code::Internal));
    assert_eq!(codes[2], None);
    assert_eq!(codes[3], Some(Code::Internal));
    let outcomes = harness.client.mutate_rows("t", sets(&["e", "f"])).await;
    for outcome in outcomes {
        assert_eq!(outcome.unwrap_err().code(), Code::DeadlineExceeded);
    }
}

#[tokio::test]
async fn a_slow_attempt_is_followed_by_another() {
    let policy = RetryPolicy {
        attempt_timeout: SECOND,
        ..within(60)
    };
    let harness = Harness::with(|builder| builder.read_policy(policy)).await;
    harness.server.push("ReadRows", Reply::new().hang());
    harness.server.push("ReadRows", Reply::rows(["k"]));
    let client = harness.client.clone();
    let call = tokio::spawn(async move { client.read_row("t", "k", None).await });
    harness.server.received("ReadRows", 1).await;
    harness.timer.advance(SECOND * 2);
    assert!(call.await.unwrap().unwrap().is_some());
}

#[tokio::test]
async fn retry_info_makes_any_code_retryable_and_sets_the_delay() {
    let harness = harness(60).await;
    for method in ["ReadRows", "MutateRow", "CheckAndMutateRow"] {
        let server = &harness.server;
        server.push(
            method,
            Reply::new().retry_after(Code::FailedPrecondition, SECOND * 2),
        );
        server.push(method, Reply::new().status(Code::Unavailable, "x"));
        server.push(method, Reply::new().retry_after(Code::Internal, SECOND * 3));
    }
    let error = harness.client.read_row("t", "k", None);
    harness.server.push("ReadRows", Reply::rows(["k"]));
    error.await.unwrap();
    let millis: Vec<_> = harness
        .timer
        .slept()
        .iter()
        .map(Duration::as_millis)
        .collect();
    // The failure between the two that name a delay falls back to ordinary backoff.
    assert_eq!(millis, [2_000, 20, 3_000]);

    harness.server.push("MutateRow", Reply::new().message(&()));
    harness.client.mutate_row("t", set("k")).await.unwrap();

    // What must not happen twice is repeated at the server's invitation, and not otherwise.
    let checked = harness
        .client
        .check_and_mutate_row("t", "k", None, vec![], vec![])
        .await;
    assert_eq!(checked.unwrap_err().code(), Code::Unavailable);
    assert_eq!(harness.server.requests("CheckAndMutateRow").len(), 2);
}

#[tokio::test]
async fn no_delay_goes_beyond_the_deadline() {
    let harness = harness(5).await;
    let reply = Reply::new().retry_after(Code::Unavailable, SECOND * 10);
    harness.server.push("ReadRows", reply);
    let error = harness.client.read_row("t", "k", None).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(harness.timer.slept().is_empty());
    assert_eq!(harness.server.requests("ReadRows").len(), 1);
}

#[tokio::test]
async fn a_bulk_write_has_one_deadline_for_all_its_requests() {
    let limits = BulkLimits {
        rows_max: 1,
        requests_in_flight_max: 1,
        ..BulkLimits::default()
    };
    let writes = RetryPolicy::writes().within(SECOND * 5);
    let harness = Harness::with(|builder| builder.bulk_limits(limits).write_policy(writes)).await;
    harness.server.answer("MutateRows", |_| {
        Reply::new().status(Code::Unavailable, "x")
    });
    let outcomes = harness
        .client
        .mutate_rows("t", sets(&["a", "b", "c", "d"]))
        .await;
    for outcome in &outcomes {
        let error = outcome.as_ref().unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded);
    }
    let slept: Duration = harness.timer.slept().iter().sum();
    assert!(slept <= SECOND * 5, "{slept:?}");
}

#[tokio::test]
async fn durations_without_end_are_no_harm() {
    let forever = RetryPolicy {
        message_timeout: Duration::MAX,
        attempt_timeout: Duration::MAX,
        operation_timeout: Duration::MAX,
        ..RetryPolicy::reads()
    };
    // With any chance: where it is 0, the age of a connection is only ever shortened.
    let harness = Harness::with(|builder| {
        builder
            .read_policy(forever)
            .refresh_after(Duration::MAX)
            .random(std::sync::Arc::new(FixedRandom(0.9)))
    })
    .await;
    let longest = Duration::from_secs(i64::MAX as u64);
    let reply = Reply::new().retry_after(Code::Unavailable, longest);
    harness.server.push("ReadRows", reply);
    let error = harness.client.read_row("t", "k", None).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    harness.server.push(
        "MutateRows",
        Reply::outcomes([(0, Code::Ok)]).rate(0.5, longest),
    );
    harness
        .client
        .mutate_rows("t", sets(&["k"]))
        .await
        .remove(0)
        .unwrap();
}

#[tokio::test]
async fn progress_begins_the_count_of_attempts_anew() {
    let policy = RetryPolicy {
        attempts_max: Some(2),
        ..within(60)
    };
    let harness = Harness::with(|builder| builder.scan_policy(policy)).await;
    for key in ["a", "b", "c"] {
        let server = &harness.server;
        server.push(
            "ReadRows",
            Reply::rows([key]).status(Code::Unavailable, "x"),
        );
        server.push("ReadRows", Reply::new().status(Code::Unavailable, "x"));
    }
    harness.server.push("ReadRows", Reply::rows(["d"]));
    let keys = harness.all_keys(ReadRows::new("t")).await;
    assert_eq!(keys, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn policies_that_cannot_be_meant_are_refused() {
    let writes = RetryPolicy::writes();
    let below = RetryPolicy {
        operation_timeout: SECOND,
        ..writes.clone()
    };
    let none = RetryPolicy {
        attempts_max: Some(0),
        ..writes.clone()
    };
    let zero = writes.within(Duration::ZERO);
    for (policy, text) in [
        (below, "below the attempt timeout"),
        (none, "no attempts"),
        (zero, "is zero"),
    ] {
        let builder = Client::builder("p", "i").emulator("127.0.0.1:1");
        let error = builder.write_policy(policy).connect().await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn backoff_doubles_up_to_its_end_with_up_to_half_as_much_more() {
    let backoff = Backoff::default();
    let end = Duration::from_mins(1);
    for attempts in 1..200 {
        let shortest = Duration::from_millis(10).saturating_mul(1 << (attempts - 1).min(20));
        assert_eq!(backoff.delay(attempts, 0.0), shortest.min(end));
        assert_eq!(backoff.delay(attempts, 1.0), (shortest * 3 / 2).min(end));
    }
}
