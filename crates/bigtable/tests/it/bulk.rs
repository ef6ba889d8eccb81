//! Bulk writes: cut, sent, retried by row, held back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rowmill_bigtable::proto::mutate_rows_request::Entry;
use rowmill_bigtable::proto::mutation::{
    DeleteFromColumn, DeleteFromFamily, DeleteFromRow, Mutation as Kind, SetCell,
};
use rowmill_bigtable::proto::{MutateRowsRequest, Mutation};
use rowmill_bigtable::testing::{Gate, Received, Reply, ScriptedServer};
use rowmill_bigtable::{BulkLimits, Client, Code, RetryPolicy, RowMutation, SERVER_TIME};
use rowmill_model::{MutationBatch, RowMutation as ModelMutation};
use rowmill_store::Effect;

use crate::{Harness, set, sets};

fn entries(received: &Received) -> Vec<Entry> {
    received.message::<MutateRowsRequest>().entries
}

fn keys(received: &Received) -> Vec<String> {
    let key = |entry: Entry| String::from_utf8(entry.row_key.to_vec()).unwrap();
    entries(received).into_iter().map(key).collect()
}

/// Acknowledges every row of a request.
pub(crate) fn acknowledge(received: &Received) -> Reply {
    let count = i64::try_from(entries(received).len()).unwrap();
    Reply::outcomes((0..count).map(|index| (index, Code::Ok)))
}

#[tokio::test]
async fn only_what_may_succeed_is_sent_again_and_outcomes_are_the_callers() {
    let harness = Harness::start().await;
    let server = &harness.server;
    server.push(
        "MutateRows",
        Reply::outcomes([(0, Code::Ok), (2, Code::PermissionDenied)])
            .and_outcomes([(1, Code::Unavailable), (3, Code::DeadlineExceeded)]),
    );
    server.push(
        "MutateRows",
        Reply::outcomes([(1, Code::Ok), (0, Code::Unavailable)]),
    );
    server.push("MutateRows", Reply::outcomes([(0, Code::Ok)]));
    let outcomes = harness
        .client
        .mutate_rows("t", sets(&["a", "b", "c", "d"]))
        .await;
    let codes: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().err().map(rowmill_bigtable::Error::code))
        .collect();
    assert_eq!(codes, [None, None, Some(Code::PermissionDenied), None]);
    let error = outcomes[2].as_ref().unwrap_err();
    assert_eq!(error.row_key().unwrap(), "c");
    assert_eq!(error.effect(), Effect::None);
    let sent: Vec<_> = server.requests("MutateRows").iter().map(keys).collect();
    assert_eq!(sent, [vec!["a", "b", "c", "d"], vec!["b", "d"], vec!["b"]]);
}

#[tokio::test]
async fn a_stream_that_fails_repeats_only_what_was_not_answered() {
    let harness = Harness::start().await;
    let first = Reply::outcomes([(1, Code::Ok)]);
    harness.server.push("MutateRows", first.drop_connection());
    harness.server.answer("MutateRows", acknowledge);
    let outcomes = harness
        .client
        .mutate_rows("t", sets(&["a", "b", "c"]))
        .await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let requests = harness.server.requests("MutateRows");
    assert_eq!(keys(&requests[1]), ["a", "c"]);
}

#[tokio::test]
async fn a_row_that_is_never_answered_may_have_been_written() {
    let harness = Harness::start().await;
    let reply = Reply::outcomes([(0, Code::Ok), (2, Code::Ok), (7, Code::Ok), (-1, Code::Ok)]);
    harness.server.push("MutateRows", reply);
    let outcomes = harness
        .client
        .mutate_rows("t", sets(&["a", "b", "c"]))
        .await;
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    let error = outcomes[1].as_ref().unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    assert_eq!(error.effect(), Effect::Unknown);
    assert_eq!(harness.server.requests("MutateRows").len(), 1);
}

#[tokio::test]
async fn a_failed_call_is_the_outcome_of_every_row() {
    let harness = Harness::start().await;
    let reply = Reply::new().status(Code::PermissionDenied, "no");
    harness.server.push("MutateRows", reply);
    let outcomes = harness.client.mutate_rows("t", sets(&["a", "b"])).await;
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.code(), Code::PermissionDenied);
        assert!(error.hint().unwrap().contains("roles/bigtable.user"));
    }
}

#[tokio::test]
async fn server_time_is_not_sent_twice() {
    let harness = Harness::start().await;
    harness.server.push(
        "MutateRows",
        Reply::outcomes([(0, Code::Unavailable), (1, Code::Unavailable)]),
    );
    harness.server.answer("MutateRows", acknowledge);
    let now = RowMutation::new("now").set_cell("f", "q", SERVER_TIME, "v");
    let outcomes = harness.client.mutate_rows("t", vec![now, set("b")]).await;
    let error = outcomes[0].as_ref().unwrap_err();
    assert_eq!(
        (error.code(), error.effect()),
        (Code::Unavailable, Effect::Unknown)
    );
    assert!(outcomes[1].is_ok());
    assert_eq!(keys(&harness.server.requests("MutateRows")[1]), ["b"]);
}

#[tokio::test]
async fn one_rows_invitation_is_not_anothers() {
    let harness = Harness::start().await;
    let first = Reply::outcomes([(0, Code::Unavailable)]);
    let delay = Duration::from_secs(3);
    let first = first.and_retry_after(1, Code::PermissionDenied, delay);
    harness.server.push(
        "MutateRows",
        first.and_retry_after(2, Code::Unavailable, delay / 2),
    );
    harness.server.answer("MutateRows", acknowledge);
    let now = |key: &'static str| RowMutation::new(key).set_cell("f", "q", SERVER_TIME, "v");
    let rows = vec![now("a"), now("b"), set("c")];
    let outcomes = harness.client.mutate_rows("t", rows).await;
    assert_eq!(outcomes[0].as_ref().unwrap_err().code(), Code::Unavailable);
    assert!(outcomes[1].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
    assert_eq!(keys(&harness.server.requests("MutateRows")[1]), ["b", "c"]);
    assert_eq!(harness.timer.slept(), [delay]);
}

#[tokio::test]
async fn each_row_tells_what_it_met() {
    let once = RetryPolicy {
        attempts_max: Some(1),
        ..RetryPolicy::writes()
    };
    let harness = Harness::with(|builder| builder.write_policy(once)).await;
    let reply = Reply::outcomes([(0, Code::Unavailable), (1, Code::DeadlineExceeded)]);
    harness.server.push("MutateRows", reply);
    let outcomes = harness.client.mutate_rows("t", sets(&["a", "b"])).await;
    let codes = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_err().code());
    let expected = [Code::Unavailable, Code::DeadlineExceeded];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn what_an_earlier_attempt_may_have_written_stays_unknown() {
    let harness = Harness::start().await;
    let denied = || Reply::new().status(Code::PermissionDenied, "no");
    harness
        .server
        .push("MutateRows", Reply::new().drop_connection());
    harness.server.push("MutateRows", denied());
    let outcomes = harness.client.mutate_rows("t", sets(&["a"])).await;
    let error = outcomes[0].as_ref().unwrap_err();
    assert_eq!(
        (error.code(), error.effect()),
        (Code::PermissionDenied, Effect::Unknown)
    );
    harness
        .server
        .push("MutateRow", Reply::new().drop_connection());
    harness.server.push("MutateRow", denied());
    let error = harness.client.mutate_row("t", set("a")).await.unwrap_err();
    assert_eq!(
        (error.code(), error.effect()),
        (Code::PermissionDenied, Effect::Unknown)
    );
    // What was never sent has not happened.
    harness.client.close();
    let error = harness.client.mutate_row("t", set("a")).await.unwrap_err();
    assert_eq!(
        (error.code(), error.effect()),
        (Code::Cancelled, Effect::None)
    );
}

#[tokio::test]
async fn a_batch_is_split_and_never_refused() {
    let limits = BulkLimits {
        rows_max: 3,
        bytes_max: 600,
        mutations_max: 10,
        ..BulkLimits::default()
    };
    let harness = Harness::with(|builder| builder.bulk_limits(limits)).await;
    harness.server.answer("MutateRows", acknowledge);
    let many = (0..15).fold(RowMutation::new("many"), |row, index| {
        row.set_cell("f", format!("{index}"), 0, "v")
    });
    let large = RowMutation::new("large").set_cell("f", "q", 0, vec![b'v'; 1_000]);
    let mut rows = sets(&["a", "b", "c", "d"]);
    rows.extend([many, large, set("e")]);
    let outcomes = harness.client.mutate_rows("t", rows).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let sent: BTreeSet<_> = harness
        .server
        .requests("MutateRows")
        .iter()
        .map(keys)
        .collect();
    let expected = [
        vec!["a", "b", "c"],
        vec!["d"],
        vec!["many"],
        vec!["large"],
        vec!["e"],
    ];
    let expected: BTreeSet<Vec<String>> = expected
        .into_iter()
        .map(|keys| keys.into_iter().map(str::to_owned).collect())
        .collect();
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_bad_row_fails_alone_and_is_not_sent() {
    let harness = Harness::start().await;
    harness.server.answer("MutateRows", acknowledge);
    let many = Mutation {
        mutation: Some(Kind::DeleteFromRow(DeleteFromRow {})),
    };
    let large = Bytes::from(vec![0; 90 << 20]);
    let bad = [
        (
            RowMutation::new("k")
                .set_cell("f", "a", 0, large.clone())
                .set_cell("f", "b", 0, large.clone())
                .set_cell("f", "c", 0, large),
            "at most 268369920 bytes at once",
        ),
        (
            RowMutation::new("").set_cell("f", "q", 0, "v"),
            "1 to 4096 bytes",
        ),
        (
            RowMutation::new(vec![b'k'; 4_097]).set_cell("f", "q", 0, "v"),
            "not 4097",
        ),
        (
            RowMutation::new("k").set_cell("f", "q", 1_001, "v"),
            "whole millisecond",
        ),
        (
            RowMutation::new("k").set_cell("f", "q", -2, "v"),
            "whole millisecond",
        ),
        (
            RowMutation::new("k").set_cell("f", "q", 0, vec![0; (100 << 20) + 1]),
            "at most 104857600 bytes",
        ),
        (
            RowMutation::new("k").set_cell("f", vec![0; 16_385], 0, ""),
            "at most 16384 bytes",
        ),
        (RowMutation::new("k"), "no operation"),
        (
            RowMutation {
                key: "k".into(),
                mutations: vec![many; 100_001],
            },
            "at most 100000 operations",
        ),
    ];
    for (row, text) in bad {
        let outcomes = harness
            .client
            .mutate_rows("t", vec![set("a"), row.clone(), set("z")])
            .await;
        assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{text}");
        let error = outcomes[1].as_ref().unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{text}");
        assert_eq!(error.effect(), Effect::None);
        assert_eq!(error.row_key().unwrap(), &row.key);
        assert!(error.to_string().contains(text), "{error}");
        let single = harness.client.mutate_row("t", row).await.unwrap_err();
        assert!(single.to_string().contains(text), "{single}");
    }
    for received in harness.server.requests("MutateRows") {
        assert_eq!(keys(&received), ["a", "z"]);
    }
    assert!(harness.server.requests("MutateRow").is_empty());
}

#[tokio::test]
async fn what_is_in_flight_is_bounded() {
    let limits = BulkLimits {
        rows_max: 1,
        requests_in_flight_max: 3,
        ..BulkLimits::default()
    };
    let harness = Harness::with(|builder| builder.bulk_limits(limits)).await;
    let gate = Gate::default();
    let closed = gate.clone();
    harness.server.answer("MutateRows", move |_| {
        Reply::new().wait(&closed).and_outcomes([(0, Code::Ok)])
    });
    let client = harness.client.clone();
    let keys: Vec<_> = (0..20).map(|index| set(&index.to_string())).collect();
    let writing = tokio::spawn(async move { client.mutate_rows("t", keys).await });
    harness.server.received("MutateRows", 3).await;
    // A read passes the writes that wait, which shows that nothing more of them was sent meanwhile.
    harness.server.push("ReadRows", Reply::new());
    harness.client.read_row("t", "k", None).await.unwrap();
    assert_eq!(harness.server.requests("MutateRows").len(), 3);
    gate.open();
    assert!(writing.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(harness.server.requests("MutateRows").len(), 20);
}

#[tokio::test]
async fn a_rate_is_kept_once_the_service_asks_for_it() {
    let limits = BulkLimits {
        rows_max: 1,
        requests_in_flight_max: 1,
        ..BulkLimits::default()
    };
    let harness = Harness::with(|builder| builder.bulk_limits(limits)).await;
    harness.server.answer("MutateRows", |_| {
        Reply::outcomes([(0, Code::Ok)]).rate(0.7, Duration::from_secs(10))
    });
    let rows: Vec<_> = (0..40).map(|index| set(&format!("{index:02}"))).collect();
    let outcomes = harness.client.mutate_rows("t", rows).await;
    assert!(outcomes.iter().all(Result::is_ok));
    let slept: Duration = harness.timer.slept().iter().sum();
    assert!(!harness.timer.slept().is_empty(), "requests are held back");
    assert!(
        slept < Duration::from_mins(1),
        "and not for ever: {slept:?}"
    );
}

/// The entry that the generated messages make of a row.
fn expected_entry(row: ModelMutation<'_>) -> Entry {
    let mutations = row.mutations().map(|mutation| {
        let kind = match mutation {
            rowmill_model::Mutation::Set {
                family,
                qualifier,
                timestamp_micros,
                value,
            } => Kind::SetCell(SetCell {
                family_name: family.to_owned(),
                column_qualifier: qualifier.to_vec().into(),
                timestamp_micros,
                value: value.to_vec().into(),
            }),
            rowmill_model::Mutation::DeleteColumn { family, qualifier } => {
                Kind::DeleteFromColumn(DeleteFromColumn {
                    family_name: family.to_owned(),
                    column_qualifier: qualifier.to_vec().into(),
                    time_range: None,
                })
            }
            rowmill_model::Mutation::DeleteFamily { family } => {
                Kind::DeleteFromFamily(DeleteFromFamily {
                    family_name: family.to_owned(),
                })
            }
            rowmill_model::Mutation::DeleteRow => Kind::DeleteFromRow(DeleteFromRow {}),
        };
        Mutation {
            mutation: Some(kind),
        }
    });
    Entry {
        row_key: row.key().to_vec().into(),
        mutations: mutations.collect(),
        idempotency: None,
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Set(usize, i64, usize),
    DeleteColumn(usize),
    DeleteFamily,
    DeleteRow,
}

fn operation() -> impl Strategy<Value = Operation> {
    // Lengths around the sizes where a length takes another byte.
    let length = prop_oneof![0..4_usize, 120..135_usize, 16_380..16_385_usize];
    let time = prop_oneof![
        Just(0),
        1..100_i64,
        1_541_022_000_000..1_541_022_000_100_i64
    ];
    prop_oneof![
        (length.clone(), time, length.clone()).prop_map(|(qualifier, millis, value)| {
            Operation::Set(qualifier, millis * 1_000, value)
        }),
        length.prop_map(Operation::DeleteColumn),
        Just(Operation::DeleteFamily),
        Just(Operation::DeleteRow),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(48), ..ProptestConfig::default() })]

    /// What is encoded by hand is what the generated messages mean, row for row.
    #[test]
    fn batches_go_to_the_wire_as_they_are(rows in prop::collection::vec((0..3_usize, prop::collection::vec(operation(), 1..5)), 1..8)) {
        let mut batch = MutationBatch::new();
        for (index, (family, operations)) in rows.into_iter().enumerate() {
            let family = ["f", "event_data", &"g".repeat(130)][family].to_owned();
            let mut row = batch.row(format!("key-{index}").as_bytes());
            for operation in operations {
                match operation {
                    Operation::Set(qualifier, time, value) => row.set(&family, &vec![b'q'; qualifier], time, &vec![b'v'; value]),
                    Operation::DeleteColumn(qualifier) => row.delete_column(&family, &vec![b'q'; qualifier]),
                    Operation::DeleteFamily => row.delete_family(&family),
                    Operation::DeleteRow => row.delete_row(),
                }
            }
            row.finish();
        }
        let batch = Arc::new(batch);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sent = runtime.block_on(async {
            let server = ScriptedServer::start().await;
            server.answer("MutateRows", acknowledge);
            let client = Client::builder("p", "i").emulator(server.address()).channels(1).connect().await.unwrap();
            let outcomes = client.mutate_batch("t", Arc::clone(&batch)).await;
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
            server.requests("MutateRows").iter().flat_map(entries).collect::<Vec<_>>()
        });
        let expected: Vec<_> = batch.iter().map(expected_entry).collect();
        prop_assert_eq!(sent, expected);
    }
}

/// Rows of which each is a request, at a rate that lets a few of them go before the deadline.
async fn slowed(seconds: u64) -> Harness {
    let limits = BulkLimits {
        rows_max: 1,
        requests_in_flight_max: 4,
        ..BulkLimits::default()
    };
    let writes = RetryPolicy::writes().within(Duration::from_secs(seconds));
    let harness = Harness::with(|builder| builder.bulk_limits(limits).write_policy(writes)).await;
    let timer = harness.timer.clone();
    harness.server.answer("MutateRows", move |_| {
        timer.advance(Duration::from_millis(50));
        Reply::outcomes([(0, Code::Ok)]).rate(0.7, Duration::from_secs(1))
    });
    harness
}

fn many(count: usize) -> Vec<RowMutation> {
    (0..count)
        .map(|index| set(&format!("{index:04}")))
        .collect()
}

#[tokio::test]
async fn requests_that_are_not_sent_take_no_turns_from_those_that_follow() {
    let harness = slowed(20).await;
    for round in 1..4 {
        let outcomes = harness.client.mutate_rows("t", many(400)).await;
        let sent = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!((10..400).contains(&sent), "round {round}: {sent} were sent");
        let failed: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        let is_late = |error: &rowmill_bigtable::Error| error.code() == Code::DeadlineExceeded;
        assert!(failed.iter().all(is_late));
        // Four were in flight at the deadline, at most; the others were never sent.
        let unknown = failed
            .iter()
            .filter(|error| error.effect() == Effect::Unknown);
        assert!(unknown.count() <= 4);
    }
    // Each call waits for its own turns only.
    let slept: Duration = harness.timer.slept().iter().sum();
    assert!(slept <= Duration::from_secs(3 * 21), "{slept:?}");
    let few = harness.client.mutate_rows("t", many(5)).await;
    assert!(few.iter().all(Result::is_ok), "{few:?}");
}
