//! What every call carries: features, routing, identity, cookies.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use prost::Message as _;
use rowmill_bigtable::proto::{FeatureFlags, SampleRowKeysResponse};
use rowmill_bigtable::testing::Reply;
use rowmill_bigtable::{Code, ReadRows};

use crate::{Harness, set, sets};

/// One call of every method.
async fn call_everything(harness: &Harness) {
    let client = &harness.client;
    // What came of them does not matter here.
    let _row = client.read_row("t", "k", None).await;
    let _rows = harness.keys(ReadRows::new("t")).await;
    let _written = client.mutate_row("t", set("k")).await;
    let _outcomes = client.mutate_rows("t", sets(&["k"])).await;
    let _checked = client
        .check_and_mutate_row("t", "k", None, vec![], vec![])
        .await;
    let _changed = client.read_modify_write_row("t", "k", vec![]).await;
    let _samples = client.sample_row_keys("t").await;
}

const METHODS: [&str; 6] = [
    "ReadRows",
    "MutateRow",
    "MutateRows",
    "CheckAndMutateRow",
    "ReadModifyWriteRow",
    "SampleRowKeys",
];

#[tokio::test]
async fn every_call_says_where_it_goes_and_what_the_client_can_do() {
    let harness = Harness::with(|builder| builder.app_profile("my profile")).await;
    call_everything(&harness).await;
    for method in METHODS.iter().chain(&["PingAndWarm"]) {
        let requests = harness.server.requests(method);
        assert!(!requests.is_empty(), "{method}");
        for request in requests {
            let routing = if *method == "PingAndWarm" {
                "name=projects%2Fp%2Finstances%2Fi&app_profile_id=my%20profile"
            } else {
                "table_name=projects%2Fp%2Finstances%2Fi%2Ftables%2Ft&app_profile_id=my%20profile"
            };
            assert_eq!(request.header("x-goog-request-params"), [routing]);
            assert_eq!(request.header("x-goog-api-client").len(), 1, "{method}");
            let features = request.header("bigtable-features");
            assert_eq!(features.len(), 1, "{method}");
            let flags = URL_SAFE.decode(features[0]).unwrap();
            let expected = FeatureFlags {
                reverse_scans: true,
                mutate_rows_rate_limit: true,
                mutate_rows_rate_limit2: true,
                last_scanned_row_responses: true,
                routing_cookie: true,
                retry_info: true,
                ..FeatureFlags::default()
            };
            assert_eq!(FeatureFlags::decode(&flags[..]).unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn a_call_without_an_app_profile_routes_by_the_default_one() {
    let harness = Harness::start().await;
    harness.server.push("ReadRows", Reply::new());
    harness.client.read_row("t", "k", None).await.unwrap();
    let request = &harness.server.requests("ReadRows")[0];
    let routing = "table_name=projects%2Fp%2Finstances%2Fi%2Ftables%2Ft&app_profile_id=";
    assert_eq!(request.header("x-goog-request-params"), [routing]);
}

#[tokio::test]
async fn cookies_come_back_on_the_next_attempts_newest_first() {
    let harness = Harness::start().await;
    let server = &harness.server;
    let busy = || Reply::new().header("x-goog-cbt-cookie-a", "from-headers");
    for method in ["ReadRows", "MutateRow", "MutateRows", "SampleRowKeys"] {
        server.push(
            method,
            busy().status_with(
                Code::Unavailable,
                &[("x-goog-cbt-cookie-b", "from-trailers"), ("x-other", "no")],
            ),
        );
        server.push(
            method,
            Reply::new().status_with(Code::Unavailable, &[("x-goog-cbt-cookie-b", "newer")]),
        );
    }
    server.push("ReadRows", Reply::new());
    server.push("MutateRow", Reply::new().message(&()));
    server.push("MutateRows", Reply::outcomes([(0, Code::Ok)]));
    server.push(
        "SampleRowKeys",
        Reply::new().message(&SampleRowKeysResponse::default()),
    );
    let client = &harness.client;
    client.read_row("t", "k", None).await.unwrap();
    client.mutate_row("t", set("k")).await.unwrap();
    client
        .mutate_rows("t", sets(&["k"]))
        .await
        .remove(0)
        .unwrap();
    assert_eq!(client.sample_row_keys("t").await.unwrap().len(), 1);
    for method in ["ReadRows", "MutateRow", "MutateRows", "SampleRowKeys"] {
        let seen: Vec<_> = server
            .requests(method)
            .iter()
            .map(|request| {
                let of = |name| request.header(name).join(",");
                format!(
                    "{} {} {}",
                    of("x-goog-cbt-cookie-a"),
                    of("x-goog-cbt-cookie-b"),
                    of("x-other")
                )
            })
            .collect();
        let expected = ["  ", "from-headers from-trailers ", "from-headers newer "];
        assert_eq!(seen, expected, "{method}");
    }
    // Another operation starts without them.
    server.push("ReadRows", Reply::new());
    client.read_row("t", "k", None).await.unwrap();
    let last = server.requests("ReadRows").pop().unwrap();
    assert!(last.header("x-goog-cbt-cookie-a").is_empty());
}

#[tokio::test]
async fn a_bulk_write_whose_stream_ends_well_keeps_its_cookies_too() {
    let harness = Harness::start().await;
    let first = Reply::outcomes([(0, Code::Unavailable)]).header("x-goog-cbt-cookie-a", "early");
    let late = [("x-goog-cbt-cookie-b", "late")];
    harness
        .server
        .push("MutateRows", first.status_with(Code::Ok, &late));
    harness
        .server
        .push("MutateRows", Reply::outcomes([(0, Code::Ok)]));
    let outcomes = harness.client.mutate_rows("t", sets(&["k"])).await;
    assert!(outcomes[0].is_ok());
    let second = &harness.server.requests("MutateRows")[1];
    assert_eq!(second.header("x-goog-cbt-cookie-a"), ["early"]);
    assert_eq!(second.header("x-goog-cbt-cookie-b"), ["late"]);
}

#[tokio::test]
async fn a_cookie_before_the_rows_is_kept_when_the_stream_fails_later() {
    let harness = Harness::start().await;
    harness.server.push(
        "ReadRows",
        Reply::new()
            .header("x-goog-cbt-cookie-a", "early")
            .and_rows(["a"])
            .status(Code::Unavailable, "x"),
    );
    harness.server.push("ReadRows", Reply::rows(["b"]));
    harness.all_keys(ReadRows::new("t")).await;
    let second = &harness.server.requests("ReadRows")[1];
    assert_eq!(second.header("x-goog-cbt-cookie-a"), ["early"]);
}
