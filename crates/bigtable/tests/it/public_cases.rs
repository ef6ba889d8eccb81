//! Public test cases of Bigtable clients, where `ROWMILL_CONFORMANCE` points to them.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::TryStreamExt as _;
use rowmill_bigtable::proto::read_rows_response::CellChunk;
use rowmill_bigtable::proto::read_rows_response::cell_chunk::RowStatus;
use rowmill_bigtable::proto::row_range::{EndKey, StartKey};
use rowmill_bigtable::proto::{MutateRowsRequest, ReadRowsRequest, RowRange, RowSet};
use rowmill_bigtable::testing::Reply;
use rowmill_bigtable::{Code, ReadRows, RetryPolicy, Row};
use serde_json::Value;

use crate::{Harness, sets};

/// A file of cases; none, said on standard error, if there is no such file.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
#[expect(
    clippy::disallowed_methods,
    reason = "tests find public cases through the environment"
)]
fn cases(file: &str) -> Option<Value> {
    let Some(folder) = std::env::var_os("ROWMILL_CONFORMANCE") else {
        eprintln!("skipped: the public cases of {file} (ROWMILL_CONFORMANCE is not set)");
        return None;
    };
    let text = std::fs::read_to_string(PathBuf::from(folder).join(file)).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value)).unwrap()
}

fn cell_chunk(json: &Value) -> CellChunk {
    let row_status = if json["commitRow"] == true {
        Some(RowStatus::CommitRow(true))
    } else if json["resetRow"] == true {
        Some(RowStatus::ResetRow(true))
    } else {
        None
    };
    CellChunk {
        row_key: decoded(&json["rowKey"]).into(),
        family_name: json["familyName"].as_str().map(str::to_owned),
        qualifier: json["qualifier"]
            .is_string()
            .then(|| decoded(&json["qualifier"])),
        timestamp_micros: text(&json["timestampMicros"]).parse().unwrap_or(0),
        labels: json["labels"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|label| text(label).to_owned())
            .collect(),
        value: decoded(&json["value"]).into(),
        value_size: i32::try_from(json["valueSize"].as_i64().unwrap_or(0)).unwrap(),
        row_status,
    }
}

/// Key, family, qualifier, timestamp, value, label of each cell.
fn cells(rows: &[Row]) -> Vec<String> {
    let cell = |row: &Row| -> Vec<String> {
        let key = String::from_utf8_lossy(&row.key).into_owned();
        let show = |cell: &rowmill_bigtable::Cell| {
            format!(
                "{key} {} {} {} {} {}",
                cell.family,
                String::from_utf8_lossy(&cell.qualifier),
                cell.timestamp_micros,
                String::from_utf8_lossy(&cell.value),
                cell.labels.join(",")
            )
        };
        row.cells.iter().map(show).collect()
    };
    rows.iter().flat_map(cell).collect()
}

#[tokio::test]
async fn chunks_become_rows() {
    let Some(cases) = cases("readrows.json") else {
        return;
    };
    let cases = cases["readRowsTests"].as_array().unwrap();
    assert_eq!(cases.len(), 48);
    let harness = Harness::start().await;
    for case in cases {
        let name = text(&case["description"]);
        let chunks: Vec<_> = case["chunks"]
            .as_array()
            .unwrap()
            .iter()
            .map(cell_chunk)
            .collect();
        let results = case["results"].as_array().cloned().unwrap_or_default();
        let fails = results.iter().any(|result| result["error"] == true);
        let expected: Vec<_> = results
            .iter()
            .filter(|result| result["error"] != true)
            .map(|result| {
                format!(
                    "{} {} {} {} {} {}",
                    text(&result["rowKey"]),
                    text(&result["familyName"]),
                    text(&result["qualifier"]),
                    result["timestampMicros"].as_str().unwrap_or("0"),
                    text(&result["value"]),
                    text(&result["label"])
                )
            })
            .collect();
        let one_by_one = chunks.iter().fold(Reply::new(), |reply, chunk| {
            reply.chunks(vec![chunk.clone()])
        });
        let split = (1..chunks.len()).map(|at| {
            let (head, tail) = chunks.split_at(at);
            Reply::new().chunks(head.to_vec()).chunks(tail.to_vec())
        });
        let whole = Reply::new().chunks(chunks.clone());
        for reply in [whole, one_by_one].into_iter().chain(split) {
            harness.server.push("ReadRows", reply);
            let mut stream = harness.client.read_rows(ReadRows::new("t"));
            let mut rows = Vec::new();
            let failed = loop {
                match stream.try_next().await {
                    Ok(Some(row)) => rows.push(row),
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            assert_eq!(failed, fails, "{name}");
            assert_eq!(cells(&rows), expected, "{name}");
        }
    }
}

fn row_range(json: &Value) -> RowRange {
    let key = |name: &str| json[name].as_str().map(|key| Bytes::from(key.to_owned()));
    let start_key = key("startKeyClosed")
        .map(StartKey::StartKeyClosed)
        .or(key("startKeyOpen").map(StartKey::StartKeyOpen));
    let end_key = key("endKeyClosed")
        .map(EndKey::EndKeyClosed)
        .or(key("endKeyOpen").map(EndKey::EndKeyOpen));
    RowRange { start_key, end_key }
}

fn row_set(json: &Value) -> RowSet {
    let list = |name: &str| json[name].as_array().cloned().unwrap_or_default();
    RowSet {
        row_keys: list("rowKeys")
            .iter()
            .map(|key| text(key).to_owned().into())
            .collect(),
        row_ranges: list("rowRanges").iter().map(row_range).collect(),
    }
}

fn strings(json: &Value) -> Vec<&str> {
    json.as_array().unwrap().iter().map(text).collect()
}

fn code(json: &Value) -> Code {
    Code::from_i32(i32::try_from(json.as_i64().unwrap()).unwrap())
}

fn policy(base: RetryPolicy, case: &Value) -> RetryPolicy {
    let retries = u32::try_from(case["max_retries"].as_u64().unwrap()).unwrap();
    RetryPolicy {
        attempts_max: Some(retries + 1),
        ..base
    }
}

#[tokio::test]
async fn reads_resume() {
    let Some(cases) = cases("read-rows-retry-test.json") else {
        return;
    };
    let cases = cases["tests"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let name = text(&case["name"]);
        let scans = policy(RetryPolicy::scans(), case);
        let harness = Harness::with(|builder| builder.scan_policy(scans)).await;
        for response in case["responses"].as_array().unwrap() {
            let rows = response["row_keys"].as_array().into_iter().flatten();
            let reply = Reply::rows(rows.map(text));
            harness.server.push(
                "ReadRows",
                if response["end_with_error"].is_null() {
                    reply
                } else {
                    reply.status(code(&response["end_with_error"]), "told to")
                },
            );
        }
        // The caller asked for what the first request shows.
        let expected = case["request_options"].as_array().unwrap();
        let request = ReadRowsRequest {
            table_name: "t".to_owned(),
            rows: Some(row_set(&expected[0])),
            rows_limit: expected[0]["rowsLimit"].as_i64().unwrap_or(0),
            ..ReadRowsRequest::default()
        };
        let (keys, error) = harness.keys(request.into()).await;
        let read = case["row_keys_read"].as_array().unwrap();
        let expected_keys: Vec<_> = read.iter().flat_map(strings).collect();
        assert_eq!(keys, expected_keys, "{name}");
        assert_eq!(
            error.map(|error| error.code()),
            (!case["error"].is_null()).then(|| code(&case["error"])),
            "{name}"
        );
        let requests = harness.server.requests("ReadRows");
        assert_eq!(requests.len(), expected.len(), "{name}");
        for (request, expected) in requests.iter().zip(expected) {
            let request: ReadRowsRequest = request.message();
            assert_eq!(request.rows, Some(row_set(expected)), "{name}");
            let limit = expected["rowsLimit"].as_i64().unwrap_or(0);
            assert_eq!(request.rows_limit, limit, "{name}");
        }
    }
}

#[tokio::test]
async fn bulk_writes_retry_by_row() {
    let Some(cases) = cases("mutate-rows-retry-test.json") else {
        return;
    };
    let cases = cases["tests"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let name = text(&case["name"]);
        let writes = policy(RetryPolicy::writes(), case);
        let harness = Harness::with(|builder| builder.write_policy(writes)).await;
        for response in case["responses"].as_array().unwrap() {
            let outcomes = response["entry_codes"].as_array().into_iter().flatten();
            let reply = Reply::outcomes((0..).zip(outcomes.map(code)));
            // 429 is the HTTP status of a call that never got through.
            let is_lost = response["code"] == 429;
            harness.server.push(
                "MutateRows",
                if is_lost {
                    Reply::new().status(Code::Unavailable, "told to")
                } else {
                    reply
                },
            );
        }
        let rows = case["mutations_request"].as_array().unwrap();
        let keys: Vec<_> = rows.iter().map(|row| text(&row["key"])).collect();
        let outcomes = harness.client.mutate_rows("t", sets(&keys)).await;
        let failed: Vec<_> = (0..keys.len() as u64)
            .filter(|index| outcomes[usize::try_from(*index).unwrap()].is_err())
            .collect();
        let errors = case["errors"].as_array().into_iter().flatten();
        let expected: Vec<_> = errors
            .map(|error| error["index_in_mutations_request"].as_u64().unwrap())
            .collect();
        assert_eq!(failed, expected, "{name}");
        let sent: Vec<Vec<_>> = harness
            .server
            .requests("MutateRows")
            .iter()
            .map(|request| {
                let entries = request.message::<MutateRowsRequest>().entries.into_iter();
                entries
                    .map(|entry| String::from_utf8(entry.row_key.to_vec()).unwrap())
                    .collect()
            })
            .collect();
        let batches = case["mutation_batches_invoked"].as_array().unwrap();
        let expected: Vec<_> = batches.iter().map(strings).collect();
        assert_eq!(sent, expected, "{name}");
    }
}
