//! What a person reads when something is wrong: the resource, the role, the command.

use rowmill_bigtable::testing::Reply;
use rowmill_bigtable::{BigtableStore, Client, Code};
use rowmill_store::{ErrorKind, Scan, Store as _, StoreExt as _};

use crate::{Harness, set};

#[tokio::test]
async fn each_failure_names_the_resource_and_what_helps() {
    let resource = "projects/p/instances/i/tables/t";
    for (code, hints) in [
        (Code::NotFound, vec!["cbt listinstances", "cbt ls"]),
        (
            Code::PermissionDenied,
            vec!["roles/bigtable.user", resource, "gcloud auth list"],
        ),
        (
            Code::Unauthenticated,
            vec!["gcloud auth application-default login"],
        ),
    ] {
        let harness = Harness::start().await;
        harness.server.answer("MutateRow", move |_| {
            Reply::new().status(code, "the server's words")
        });
        let error = harness.client.mutate_row("t", set("k")).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(resource) && text.contains("the server's words"),
            "{text}"
        );
        for hint in hints {
            assert!(error.hint().unwrap().contains(hint), "{error:?}");
        }
    }
}

#[tokio::test]
async fn the_role_is_the_least_that_would_do() {
    let harness = Harness::start().await;
    for method in ["ReadRows", "CreateTable", "ListTables"] {
        let denied = Reply::new().status(Code::PermissionDenied, "no");
        harness.server.push(method, denied);
    }
    let admin = harness.client.table_admin();
    let schema = rowmill_store::TableSchema::new("t", ["f"]);
    for (error, role) in [
        (
            harness.client.read_row("t", "k", None).await.unwrap_err(),
            "roles/bigtable.reader",
        ),
        (
            admin.create_table(&schema).await.unwrap_err(),
            "roles/bigtable.admin",
        ),
        (
            admin.table_names().await.unwrap_err(),
            "roles/bigtable.reader",
        ),
    ] {
        assert!(error.hint().unwrap().contains(role), "{error:?}");
    }
}

#[tokio::test]
async fn the_stores_error_keeps_kind_hint_and_cause() {
    let harness = Harness::start().await;
    let denied = Reply::new().status(Code::PermissionDenied, "no");
    harness.server.push("GetTable", denied);
    let store = BigtableStore::new(harness.client.clone());
    let error = store.rows("t", Scan::all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hint().unwrap().contains("roles/bigtable.reader"));
    let missing = Reply::new().status(Code::NotFound, "no");
    harness.server.push("GetTable", missing);
    let error = store.rows("t", Scan::all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("rowmill tables create"));
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_before_connecting() {
    for (project, instance) in [("", "i"), ("p", ""), ("p/q", "i"), ("p", "i j")] {
        let builder = Client::builder(project, instance).emulator("127.0.0.1:1");
        let error = builder.connect().await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    }
    for endpoint in [
        "",
        "ftp ://x",
        "http://",
        "ftp://127.0.0.1:1",
        "127.0.0.1:1",
    ] {
        let builder = Client::builder("p", "i").endpoint(endpoint);
        let error = builder
            .credentials(crate::credentials::fixed())
            .connect()
            .await;
        assert_eq!(
            error.unwrap_err().code(),
            Code::InvalidArgument,
            "{endpoint:?}"
        );
    }
}

#[tokio::test]
async fn a_table_that_cannot_be_looked_at_does_not_undo_what_was_written() {
    let harness = Harness::start().await;
    harness.server.push("GetTable", table_with("f"));
    harness.server.push(
        "GetTable",
        Reply::new().status(Code::PermissionDenied, "no"),
    );
    harness
        .server
        .answer("MutateRows", crate::bulk::acknowledge);
    let store = BigtableStore::new(harness.client.clone());
    let mut batch = rowmill_model::MutationBatch::new();
    for (key, family) in [("a", "f"), ("b", "g")] {
        let mut row = batch.row(key.as_bytes());
        row.set(family, b"q", 0, b"v");
        row.finish();
    }
    let outcomes = store.apply("t", batch.into()).await.unwrap();
    assert!(outcomes[0].is_ok());
    let error = outcomes[1].as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("unknown family `g`"), "{error}");
}

/// Which of its rows makes a request invalid is not known, so none is refused for good.
#[tokio::test]
async fn a_request_that_is_refused_as_a_whole_blames_no_row() {
    let harness = Harness::start().await;
    harness.server.push("GetTable", table_with("f"));
    let refused = Reply::new().status(Code::InvalidArgument, "no such thing");
    harness.server.push("MutateRows", refused);
    let store = BigtableStore::new(harness.client.clone());
    let mut batch = rowmill_model::MutationBatch::new();
    for key in ["a", "b"] {
        let mut row = batch.row(key.as_bytes());
        row.set("f", b"q", 0, b"v");
        row.finish();
    }
    for outcome in store.apply("t", batch.into()).await.unwrap() {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.to_string().contains("no such thing"), "{error}");
    }
}

#[tokio::test]
async fn a_family_that_is_new_is_found() {
    let harness = Harness::start().await;
    harness.server.push("GetTable", table_with("f"));
    harness.server.push("GetTable", table_with("g"));
    harness
        .server
        .answer("MutateRows", crate::bulk::acknowledge);
    let store = BigtableStore::new(harness.client.clone());
    let mut batch = rowmill_model::MutationBatch::new();
    let mut row = batch.row(b"a");
    row.set("g", b"q", 0, b"v");
    row.finish();
    let outcomes = store.apply("t", batch.into()).await.unwrap();
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    assert_eq!(harness.server.requests("MutateRows").len(), 1);
}

/// The table `t` with one family, as the service describes it.
fn table_with(family: &str) -> Reply {
    crate::scans::table([(family, None)])
}
