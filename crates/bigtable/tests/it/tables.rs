//! Tables, over the same connection.

use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::gc_rule::{
    Intersection, Rule, Union,
};
use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::modify_column_families_request::modification::Mod;
use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::{
    ColumnFamily, GcRule as ProtoRule, ListTablesRequest, ListTablesResponse,
    ModifyColumnFamiliesRequest, Table,
};
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

fn table(name: &str) -> Table {
    Table {
        name: format!("projects/p/instances/i/tables/{name}"),
        ..Table::default()
    }
}

#[tokio::test]
async fn tables_come_from_all_pages() {
    let harness = Harness::start().await;
    for (names, next_page_token) in [(["c", "a"], "more"), (["d", "b"], "")] {
        let page = ListTablesResponse {
            tables: names.map(table).to_vec(),
            next_page_token: next_page_token.to_owned(),
        };
        harness
            .server
            .push("ListTables", Reply::new().message(&page));
    }
    let names = harness.client.table_admin().table_names().await.unwrap();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let tokens: Vec<_> = harness
        .server
        .requests("ListTables")
        .iter()
        .map(|request| request.message::<ListTablesRequest>().page_token)
        .collect();
    assert_eq!(tokens, ["", "more"]);
}

fn of(rule: Rule) -> ProtoRule {
    ProtoRule { rule: Some(rule) }
}

fn versions(count: i32) -> ProtoRule {
    of(Rule::MaxNumVersions(count))
}

fn age(seconds: i64) -> ProtoRule {
    of(Rule::MaxAge(prost_types::Duration { seconds, nanos: 0 }))
}

#[tokio::test]
async fn rules_are_read_for_what_they_are() {
    let union = |rules| of(Rule::Union(Union { rules }));
    let both = of(Rule::Intersection(Intersection {
        rules: vec![versions(1), age(60)],
    }));
    for (rule, expected) in [
        (None, GcRule::KEEP),
        (Some(versions(3)), GcRule::versions(3)),
        (Some(age(60)), GcRule::age_seconds(60)),
        (
            Some(union(vec![versions(2), union(vec![age(60), versions(1)])])),
            GcRule::versions(1).with_age_seconds(60),
        ),
        // What needs both, rowmill does not make: it hides nothing by it, and says that there is such a rule.
        (Some(both.clone()), GcRule::OTHER),
        (
            Some(union(vec![versions(2), both])),
            GcRule {
                is_other: true,
                ..GcRule::versions(2)
            },
        ),
    ] {
        let harness = Harness::start().await;
        let family = ColumnFamily {
            gc_rule: rule,
            ..ColumnFamily::default()
        };
        let mut described = table("t");
        described.column_families.insert("f".to_owned(), family);
        harness
            .server
            .push("GetTable", Reply::new().message(&described));
        let schema = harness.client.table_admin().table("t").await.unwrap();
        assert_eq!(schema, TableSchema::with_rules("t", [("f", expected)]));
    }
}

#[tokio::test]
async fn only_what_differs_is_altered() {
    let harness = Harness::start().await;
    let mut described = table("t");
    for (name, rule) in [
        ("same", versions(1)),
        ("other", versions(1)),
        ("more", age(1)),
    ] {
        let family = ColumnFamily {
            gc_rule: Some(rule),
            ..ColumnFamily::default()
        };
        described.column_families.insert(name.to_owned(), family);
    }
    let described = Reply::new().message(&described);
    harness
        .server
        .answer("GetTable", move |_| described.clone());
    harness
        .server
        .push("ModifyColumnFamilies", Reply::new().message(&table("t")));
    let both = GcRule::versions(2).with_age_seconds(60);
    let wanted = TableSchema::with_rules(
        "t",
        [
            ("same", GcRule::versions(1)),
            ("other", both),
            ("new", GcRule::KEEP),
        ],
    );
    let admin = harness.client.table_admin();
    admin.alter_table(&wanted).await.unwrap();
    let request: ModifyColumnFamiliesRequest =
        harness.server.requests("ModifyColumnFamilies")[0].message();
    let changes: Vec<_> = request
        .modifications
        .iter()
        .map(|change| match change.r#mod.as_ref().unwrap() {
            Mod::Create(family) => format!("create {} {:?}", change.id, family.gc_rule),
            Mod::Update(family) => {
                let rule = Some(of(Rule::Union(Union {
                    rules: vec![versions(2), age(60)],
                })));
                assert_eq!(family.gc_rule, rule);
                format!("update {}", change.id)
            }
            Mod::Drop(_) => format!("drop {}", change.id),
        })
        .collect();
    assert_eq!(changes, ["create new None", "update other"]);
    // Nothing differs: nothing is sent.
    let same = TableSchema::with_rules("t", [("same", GcRule::versions(1))]);
    admin.alter_table(&same).await.unwrap();
    assert_eq!(harness.server.requests("ModifyColumnFamilies").len(), 1);
}
