//! Reads: assembled, resumed, limited, reversed.

use bytes::Bytes;
use futures::TryStreamExt as _;
use proptest::prelude::*;
use rowmill_bigtable::proto::row_range::{EndKey, StartKey};
use rowmill_bigtable::proto::{ReadRowsRequest, RowRange, RowSet};
use rowmill_bigtable::testing::{Reply, ScriptedServer, chunk};
use rowmill_bigtable::{Client, Code, ReadRows};
use rowmill_rowkey::KeyRange;

use crate::Harness;

fn requests(server: &ScriptedServer) -> Vec<ReadRowsRequest> {
    let requests = server.requests("ReadRows");
    requests
        .iter()
        .map(rowmill_bigtable::testing::Received::message)
        .collect()
}

/// The row set of a request, shown as `key key [start..end)`.
fn shown(request: &ReadRowsRequest) -> String {
    let text = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
    let Some(rows) = &request.rows else {
        return "all".to_owned();
    };
    let keys = rows.row_keys.iter().map(text);
    let ranges = rows.row_ranges.iter().map(|range| {
        let start = match &range.start_key {
            None => "(".to_owned(),
            Some(StartKey::StartKeyClosed(key)) => format!("[{}", text(key)),
            Some(StartKey::StartKeyOpen(key)) => format!("({}", text(key)),
        };
        let end = match &range.end_key {
            None => ")".to_owned(),
            Some(EndKey::EndKeyClosed(key)) => format!("{}]", text(key)),
            Some(EndKey::EndKeyOpen(key)) => format!("{})", text(key)),
        };
        format!("{start}..{end}")
    });
    keys.chain(ranges).collect::<Vec<_>>().join(" ")
}

fn range(start: &str, end: &str) -> KeyRange {
    KeyRange {
        start: start.into(),
        end: Some(end.into()),
    }
}

#[tokio::test]
async fn a_lost_connection_is_resumed() {
    let harness = Harness::start().await;
    harness
        .server
        .push("ReadRows", Reply::rows(["a", "b"]).drop_connection());
    harness.server.push("ReadRows", Reply::rows(["c"]));
    assert_eq!(harness.all_keys(ReadRows::new("t")).await, ["a", "b", "c"]);
    let shown: Vec<_> = requests(&harness.server).iter().map(shown).collect();
    assert_eq!(shown, ["all", "(b..)"]);
    assert_eq!(harness.server.connections(), 2);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_will_not_is_told() {
    for (reply, is_retried) in [
        (Reply::rows(["a"]).status(Code::Unavailable, "x"), true),
        (Reply::rows(["a"]).status(Code::DeadlineExceeded, "x"), true),
        (Reply::rows(["a"]).status(Code::Aborted, "x"), true),
        (Reply::rows(["a"]).truncated(), true),
        (Reply::rows(["a"]).go_away().drop_connection(), true),
        (
            Reply::rows(["a"]).status(Code::Internal, "Received RST_STREAM"),
            true,
        ),
        (Reply::rows(["a"]).status(Code::Internal, "x"), false),
        (Reply::rows(["a"]).status(Code::Unknown, "x"), false),
        (Reply::rows(["a"]).status(Code::Cancelled, "x"), false),
        (
            Reply::rows(["a"]).status(Code::ResourceExhausted, "x"),
            false,
        ),
        (
            Reply::rows(["a"]).status(Code::PermissionDenied, "x"),
            false,
        ),
    ] {
        let harness = Harness::start().await;
        harness.server.push("ReadRows", reply.clone());
        harness.server.push("ReadRows", Reply::rows(["b"]));
        let (keys, error) = harness.keys(ReadRows::new("t")).await;
        assert_eq!(error.is_none(), is_retried, "{reply:?}: {error:?}");
        let expected: &[&str] = if is_retried { &["a", "b"] } else { &["a"] };
        assert_eq!(keys, expected, "{reply:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_or_ends_without_a_status_is_no_end() {
    let harness = Harness::start().await;
    for reply in [Reply::new().truncated(), Reply::new().reset()] {
        harness.server.push("ReadRows", reply.clone());
        harness.server.push("ReadRows", reply);
    }
    harness.server.push("ReadRows", Reply::rows(["a"]));
    assert_eq!(harness.all_keys(ReadRows::new("t")).await, ["a"]);
}

#[tokio::test]
async fn a_scanned_key_moves_the_resume_point_and_is_no_row() {
    let harness = Harness::start().await;
    let first = Reply::rows(["a"]).scanned("q");
    harness
        .server
        .push("ReadRows", first.status(Code::Unavailable, "x"));
    harness.server.push("ReadRows", Reply::rows(["z"]));
    let read = ReadRows::new("t").limit(2);
    assert_eq!(harness.all_keys(read).await, ["a", "z"]);
    let requests = requests(&harness.server);
    assert_eq!(shown(&requests[1]), "(q..)");
    assert_eq!((requests[0].rows_limit, requests[1].rows_limit), (2, 1));
}

#[tokio::test]
async fn a_reverse_scan_resumes_from_its_end() {
    let harness = Harness::start().await;
    let first = Reply::rows(["z", "y"]).scanned("m");
    harness
        .server
        .push("ReadRows", first.status(Code::Unavailable, "x"));
    harness.server.push("ReadRows", Reply::rows(["a"]));
    let read = ReadRows::new("t").reversed();
    assert_eq!(harness.all_keys(read).await, ["z", "y", "a"]);
    let requests = requests(&harness.server);
    assert!(requests.iter().all(|request| request.reversed));
    assert_eq!(shown(&requests[1]), "(..m)");
}

#[tokio::test]
async fn keys_out_of_order_are_an_error() {
    for (reversed, replies, word) in [
        (false, vec![Reply::rows(["a", "c", "b"])], "increasing"),
        (
            false,
            vec![Reply::rows(["a", "c"]).and_rows(["b"])],
            "increasing",
        ),
        (
            false,
            vec![
                Reply::rows(["a", "c"]).status(Code::Unavailable, "x"),
                Reply::rows(["b"]),
            ],
            "increasing",
        ),
        (true, vec![Reply::rows(["c", "a", "b"])], "decreasing"),
        (false, vec![Reply::rows(["a", "a"])], "increasing"),
    ] {
        let harness = Harness::start().await;
        for reply in replies {
            harness.server.push("ReadRows", reply);
        }
        let read = ReadRows::new("t");
        let read = if reversed { read.reversed() } else { read };
        let (keys, error) = harness.keys(read).await;
        let error = error.unwrap();
        assert_eq!(error.code(), Code::Internal);
        assert!(error.to_string().contains(word), "{error}");
        assert!(!keys.is_empty(), "rows before the error are rows");
    }
}

#[tokio::test]
async fn a_row_without_its_commit_is_an_error_and_no_row() {
    let harness = Harness::start().await;
    let mut open = chunk("b", "v");
    open.row_status = None;
    harness
        .server
        .push("ReadRows", Reply::rows(["a"]).chunks(vec![open]));
    let (keys, error) = harness.keys(ReadRows::new("t")).await;
    assert_eq!(keys, ["a"]);
    assert_eq!(error.unwrap().code(), Code::Internal);
}

#[tokio::test]
async fn a_row_cut_off_by_a_failure_is_read_again_from_its_start() {
    let harness = Harness::start().await;
    let mut open = chunk("b", "half");
    open.row_status = None;
    let first = Reply::rows(["a"]).chunks(vec![open]);
    harness.server.push("ReadRows", first.drop_connection());
    harness.server.push("ReadRows", Reply::rows(["b"]));
    let mut rows = harness.client.read_rows(ReadRows::new("t"));
    rows.try_next().await.unwrap().unwrap();
    let row = rows.try_next().await.unwrap().unwrap();
    assert_eq!(
        (row.cells.len(), &row.cells[0].value[..]),
        (1, &b"value"[..])
    );
    assert!(rows.try_next().await.unwrap().is_none());
    assert_eq!(shown(&requests(&harness.server)[1]), "(a..)");
}

#[tokio::test]
async fn a_failure_after_the_last_row_does_not_matter() {
    let harness = Harness::start().await;
    harness.server.push(
        "ReadRows",
        Reply::rows(["a", "b"]).status(Code::Internal, "x"),
    );
    assert_eq!(
        harness.all_keys(ReadRows::new("t").limit(2)).await,
        ["a", "b"]
    );
    assert_eq!(requests(&harness.server).len(), 1);
}

#[tokio::test]
async fn when_nothing_is_left_nothing_is_sent() {
    for read in [
        ReadRows::new("t").row("a").row("b"),
        ReadRows::new("t").range(&range("a", "b\0")),
    ] {
        let harness = Harness::start().await;
        let reply = Reply::rows(["a", "b"]).status(Code::Unavailable, "x");
        harness.server.push("ReadRows", reply);
        assert_eq!(harness.all_keys(read).await, ["a", "b"]);
        assert_eq!(requests(&harness.server).len(), 1);
    }
}

#[tokio::test]
async fn what_has_no_keys_is_not_sent() {
    let harness = Harness::start().await;
    let empty = [
        range("a", ""),
        range("b", "a"),
        range("a", "a"),
        range("", ""),
    ];
    for range in &empty {
        let read = ReadRows::new("t").range(range);
        assert!(harness.all_keys(read).await.is_empty(), "{range:?}");
    }
    let all_of_them = empty.iter().fold(ReadRows::new("t"), ReadRows::range);
    assert!(harness.all_keys(all_of_them.clone()).await.is_empty());
    let none = ReadRows::new("t").limit(0);
    assert!(harness.all_keys(none).await.is_empty());
    assert!(requests(&harness.server).is_empty());
    // Beside others they add nothing.
    harness.server.push("ReadRows", Reply::rows(["k"]));
    let read = all_of_them
        .row("k")
        .range(&range("x", "y"))
        .limit(0)
        .limit(5);
    assert_eq!(harness.all_keys(read).await, ["k"]);
    let request = &requests(&harness.server)[0];
    assert_eq!(
        (request.rows_limit, shown(request).as_str()),
        (5, "k [x..y)")
    );
}

#[tokio::test]
async fn the_first_request_is_the_callers() {
    let harness = Harness::start().await;
    harness.server.push("ReadRows", Reply::new());
    let asked = ReadRowsRequest {
        table_name: "projects/p/instances/i/tables/t".to_owned(),
        rows: Some(RowSet::default()),
        ..ReadRowsRequest::default()
    };
    harness.all_keys(asked.clone().into()).await;
    harness.server.push("ReadRows", Reply::new());
    harness.all_keys(ReadRows::new("t")).await;
    let requests = requests(&harness.server);
    assert_eq!(requests[0], asked);
    assert_eq!(
        requests[1],
        ReadRowsRequest {
            rows: None,
            ..asked
        }
    );
}

#[tokio::test]
async fn one_row_is_asked_for_as_one() {
    let harness = Harness::start().await;
    harness.server.push("ReadRows", Reply::rows(["k"]));
    harness.server.push("ReadRows", Reply::new());
    let found = harness.client.read_row("t", "k", None).await.unwrap();
    assert_eq!(found.unwrap().value("f", b"q").unwrap(), "value");
    assert_eq!(harness.client.read_row("t", "l", None).await.unwrap(), None);
    let request = &requests(&harness.server)[0];
    assert_eq!((request.rows_limit, shown(request).as_str()), (1, "k"));
}

#[tokio::test]
async fn a_row_too_large_is_named_and_the_rest_follows() {
    let harness = Harness::start().await;
    harness
        .server
        .push("ReadRows", Reply::rows(["a"]).large_row("b"));
    harness.server.push("ReadRows", Reply::rows(["c"]));
    let mut rows = harness.client.read_rows(ReadRows::new("t"));
    assert_eq!(rows.try_next().await.unwrap().unwrap().key, "a");
    let error = rows.try_next().await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert_eq!(error.row_key().unwrap(), "b");
    assert_eq!(rows.try_next().await.unwrap().unwrap().key, "c");
    assert!(rows.try_next().await.unwrap().is_none());
    assert_eq!(shown(&requests(&harness.server)[1]), "(b..)");
}

#[tokio::test]
async fn a_dropped_stream_cancels_its_call() {
    let harness = Harness::start().await;
    harness.server.push("ReadRows", Reply::rows(["a"]).hang());
    let mut rows = harness.client.read_rows(ReadRows::new("t"));
    rows.try_next().await.unwrap().unwrap();
    drop(rows);
    // The reply would hang for ever.
    harness.server.idle().await;
}

/// Keys of one or two letters.
fn key() -> impl Strategy<Value = String> {
    "[a-d]{1,2}"
}

fn bounds() -> impl Strategy<Value = RowRange> {
    let start = prop_oneof![
        Just(None),
        key().prop_map(|key| Some(StartKey::StartKeyClosed(key.into()))),
        key().prop_map(|key| Some(StartKey::StartKeyOpen(key.into()))),
    ];
    let end = prop_oneof![
        Just(None),
        key().prop_map(|key| Some(EndKey::EndKeyClosed(key.into()))),
        key().prop_map(|key| Some(EndKey::EndKeyOpen(key.into()))),
    ];
    (start, end).prop_map(|(start_key, end_key)| RowRange { start_key, end_key })
}

fn in_range(key: &[u8], range: &RowRange) -> bool {
    let after = match &range.start_key {
        None => true,
        Some(StartKey::StartKeyClosed(start)) => key >= start,
        Some(StartKey::StartKeyOpen(start)) => key > start,
    };
    let before = match &range.end_key {
        None => true,
        Some(EndKey::EndKeyClosed(end)) => key <= end,
        Some(EndKey::EndKeyOpen(end)) => key < end,
    };
    after && before
}

/// What a server that has all keys of one or two letters would send, whole.
fn server_rows(request: &ReadRowsRequest) -> Vec<String> {
    let letters = ["a", "b", "c", "d"];
    let mut keys: Vec<String> = letters.map(str::to_owned).to_vec();
    for first in letters {
        keys.extend(letters.map(|second| format!("{first}{second}")));
    }
    keys.sort();
    if request.reversed {
        keys.reverse();
    }
    let rows = request.rows.clone().unwrap_or_default();
    let is_all = rows.row_keys.is_empty() && rows.row_ranges.is_empty();
    let is_asked = |key: &String| {
        is_all
            || rows.row_keys.iter().any(|asked| asked == key.as_bytes())
            || rows
                .row_ranges
                .iter()
                .any(|range| in_range(key.as_bytes(), range))
    };
    let limit = match request.rows_limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap(),
    };
    keys.into_iter().filter(is_asked).take(limit).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(64), ..ProptestConfig::default() })]

    /// Wherever a read is cut, and however often, its rows are those of one that was not.
    #[test]
    fn a_read_cut_anywhere_gives_the_same_rows(
        keys in prop::collection::vec(key(), 0..4),
        ranges in prop::collection::vec(bounds(), 0..4),
        limit in prop_oneof![Just(0), 1..12_i64],
        reversed: bool,
        cuts in prop::collection::vec(0..4_usize, 0..6),
    ) {
        let request = ReadRowsRequest {
            table_name: "t".to_owned(),
            rows: Some(RowSet { row_keys: keys.into_iter().map(Bytes::from).collect(), row_ranges: ranges }),
            rows_limit: limit,
            reversed,
            ..ReadRowsRequest::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (read, expected) = runtime.block_on(async {
            let server = ScriptedServer::start().await;
            let cuts = std::sync::Mutex::new(cuts);
            server.answer("ReadRows", move |received| {
                let rows = server_rows(&received.message());
                match cuts.lock().unwrap().pop() {
                    None => Reply::rows(rows.iter().map(String::as_str)),
                    Some(cut) => {
                        let rows = rows.iter().take(cut).map(String::as_str);
                        Reply::rows(rows).status(Code::Unavailable, "cut")
                    }
                }
            });
            let client = Client::builder("p", "i").emulator(server.address()).channels(1).connect().await.unwrap();
            let rows: Vec<_> = client.read_rows(request.clone().into()).try_collect().await.unwrap();
            let keys: Vec<_> = rows.iter().map(|row| String::from_utf8(row.key.to_vec()).unwrap()).collect();
            (keys, server_rows(&request))
        });
        prop_assert_eq!(read, expected);
    }
}
