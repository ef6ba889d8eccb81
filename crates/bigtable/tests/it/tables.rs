//! Tables, over the same connection.

use rowmill_bigtable::Code;
use rowmill_bigtable::testing::Reply;
use rowmill_model::GcRule;
use rowmill_store::TableSchema;

use crate::Harness;

#[tokio::test]
async fn what_must_not_happen_twice_is_sent_once() {
    let harness = Harness::start().await;
    let admin = harness.client.table_admin();
    let busy = || Reply::new().status(Code::Unavailable, "x");
    for method in ["CreateTable", "DeleteTable", "GetTable", "ListTables"] {
        harness.server.push(method, busy());
    }
    let schema = TableSchema::with_rules("t", [("f", GcRule::versions(1))]);
    let created = admin.create_table(&schema).await.unwrap_err();
    assert_eq!(created.resource(), "projects/p/instances/i/tables/t");
    admin.delete_table("t").await.unwrap_err();
    assert_eq!(harness.server.requests("CreateTable").len(), 1);
    assert_eq!(harness.server.requests("DeleteTable").len(), 1);
    // Questions are asked again.
    harness
        .server
        .push("GetTable", Reply::new().status(Code::NotFound, "x"));
    assert_eq!(admin.table("t").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(harness.server.requests("GetTable").len(), 2);
    let request = &harness.server.requests("GetTable")[0];
    let routing = "name=projects%2Fp%2Finstances%2Fi%2Ftables%2Ft";
    assert_eq!(request.header("x-goog-request-params"), [routing]);
    // One after the other, over the connection of the rows.
    assert_eq!(harness.server.connections(), 1);
}
