//! Single-row writes and samples.

use rowmill_bigtable::proto::mutation::{DeleteFromRow, Mutation as Kind};
use rowmill_bigtable::proto::read_modify_write_rule::Rule;
use rowmill_bigtable::proto::{
    Cell, CheckAndMutateRowRequest, CheckAndMutateRowResponse, Column, Family, MutateRowRequest,
    Mutation, ReadModifyWriteRowRequest, ReadModifyWriteRowResponse, ReadModifyWriteRule, Row,
    SampleRowKeysResponse,
};
use rowmill_bigtable::testing::Reply;
use rowmill_bigtable::{Checked, Code, RowMutation, SERVER_TIME, filter};
use rowmill_store::Effect;

use crate::{Harness, set};

#[tokio::test]
async fn a_row_is_written_as_it_is_given() {
    let harness = Harness::start().await;
    harness
        .server
        .push("MutateRow", Reply::new().status(Code::Unavailable, "x"));
    harness.server.push("MutateRow", Reply::new().message(&()));
    let row = set("a\0b\u{ff}").delete_column("f", "old").delete_row();
    harness.client.mutate_row("t", row.clone()).await.unwrap();
    let requests = harness.server.requests("MutateRow");
    assert_eq!(requests.len(), 2);
    let request: MutateRowRequest = requests[1].message();
    assert_eq!(request.table_name, "projects/p/instances/i/tables/t");
    assert_eq!(
        (request.row_key, request.mutations),
        (row.key, row.mutations)
    );
}

#[tokio::test]
async fn a_write_with_server_time_is_not_sent_twice() {
    let harness = Harness::start().await;
    harness
        .server
        .push("MutateRow", Reply::new().status(Code::Unavailable, "x"));
    let row = RowMutation::new("k").set_cell("f", "q", SERVER_TIME, "v");
    let error = harness.client.mutate_row("t", row).await.unwrap_err();
    assert_eq!(
        (error.code(), error.effect()),
        (Code::Unavailable, Effect::Unknown)
    );
    assert_eq!(error.row_key().unwrap(), "k");
    assert_eq!(harness.server.requests("MutateRow").len(), 1);
}

#[tokio::test]
async fn a_conditional_write_tells_which_way_it_went_and_is_not_sent_twice() {
    let harness = Harness::start().await;
    for predicate_matched in [true, false] {
        harness.server.push(
            "CheckAndMutateRow",
            Reply::new().message(&CheckAndMutateRowResponse { predicate_matched }),
        );
    }
    let delete = Mutation {
        mutation: Some(Kind::DeleteFromRow(DeleteFromRow {})),
    };
    let set = set("k").mutations;
    let check = || {
        let predicate = Some(filter::family("f"));
        let matched = vec![delete.clone()];
        harness
            .client
            .check_and_mutate_row("t", "k", predicate, matched, set.clone())
    };
    assert_eq!(check().await.unwrap(), Checked::Matched);
    assert_eq!(check().await.unwrap(), Checked::NotMatched);
    let request: CheckAndMutateRowRequest =
        harness.server.requests("CheckAndMutateRow")[0].message();
    assert_eq!(request.true_mutations, std::slice::from_ref(&delete));
    assert_eq!(request.false_mutations, set);
    assert_eq!(request.predicate_filter, Some(filter::family("f")));

    harness.server.push(
        "CheckAndMutateRow",
        Reply::new().status(Code::Unavailable, "x"),
    );
    let error = check().await.unwrap_err();
    assert_eq!(
        (error.code(), error.effect()),
        (Code::Unavailable, Effect::Unknown)
    );
    assert_eq!(harness.server.requests("CheckAndMutateRow").len(), 3);
}

#[tokio::test]
async fn a_counted_write_gives_the_row_as_it_is_then() {
    let harness = Harness::start().await;
    let column = Column {
        qualifier: "count".into(),
        cells: vec![Cell {
            timestamp_micros: 1_000,
            value: 42_i64.to_be_bytes().to_vec().into(),
            labels: Vec::new(),
        }],
    };
    let row = Row {
        key: "k".into(),
        families: vec![Family {
            name: "f".into(),
            columns: vec![column],
        }],
    };
    harness.server.push(
        "ReadModifyWriteRow",
        Reply::new().message(&ReadModifyWriteRowResponse { row: Some(row) }),
    );
    let rule = ReadModifyWriteRule {
        family_name: "f".into(),
        column_qualifier: "count".into(),
        rule: Some(Rule::IncrementAmount(2)),
    };
    let rules = vec![rule.clone()];
    let changed = harness
        .client
        .read_modify_write_row("t", "k", rules.clone())
        .await
        .unwrap();
    assert_eq!(
        changed.value("f", b"count").unwrap()[..],
        42_i64.to_be_bytes()
    );
    let request: ReadModifyWriteRowRequest =
        harness.server.requests("ReadModifyWriteRow")[0].message();
    assert_eq!(request.rules, rules);

    harness
        .server
        .push("ReadModifyWriteRow", Reply::new().drop_connection());
    let failed = harness.client.read_modify_write_row("t", "k", rules).await;
    assert_eq!(failed.unwrap_err().code(), Code::Unavailable);
    assert_eq!(harness.server.requests("ReadModifyWriteRow").len(), 2);
}

#[tokio::test]
async fn samples_are_of_one_attempt() {
    let harness = Harness::start().await;
    let sample = |key: &'static str, offset_bytes| SampleRowKeysResponse {
        row_key: key.into(),
        offset_bytes,
    };
    let first = Reply::new().message(&sample("old", 1));
    harness
        .server
        .push("SampleRowKeys", first.status(Code::Unavailable, "x"));
    let second = Reply::new()
        .message(&sample("m", 10))
        .message(&sample("", 20));
    harness.server.push("SampleRowKeys", second);
    let samples = harness.client.sample_row_keys("t").await.unwrap();
    assert_eq!(samples, [sample("m", 10), sample("", 20)]);
}

#[tokio::test]
async fn what_is_beyond_a_limit_is_not_sent() {
    let harness = Harness::start().await;
    let client = &harness.client;
    let bad = RowMutation::new("k")
        .set_cell("f", "q", 1_001, "v")
        .mutations;
    let rule = ReadModifyWriteRule {
        family_name: "f".into(),
        column_qualifier: vec![0; 16_385].into(),
        rule: None,
    };
    for error in [
        client
            .check_and_mutate_row("t", "k", None, vec![], bad)
            .await
            .unwrap_err(),
        client
            .check_and_mutate_row("t", "", None, vec![], vec![])
            .await
            .unwrap_err(),
        client
            .read_modify_write_row("t", "", vec![])
            .await
            .unwrap_err(),
        client
            .read_modify_write_row("t", "k", vec![rule])
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    }
    assert!(harness.server.requests("CheckAndMutateRow").is_empty());
    assert!(harness.server.requests("ReadModifyWriteRow").is_empty());
}
