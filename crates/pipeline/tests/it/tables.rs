//! Tables as the pipeline file says: what differs is told, then made so, once.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use rowmill_model::columns::table;
use rowmill_model::{GcRule, Pipeline, Value};
use rowmill_pipeline::{
    StoreUri, TypedColumn, apply_changes, create_missing_tables, narrower_rules, open_store,
    plan_tables, typed_columns, wanted_tables,
};
use rowmill_store::{Admin, Scan, TableSchema};

use crate::{aggregate_pending, generated, ingest_all, memory_store, stages};

fn pipeline(retention: &str) -> Pipeline {
    let text = include_str!("../../../../examples/listens.toml");
    Pipeline::parse(&format!("{text}\n{retention}")).unwrap()
}

/// The changes from what there is to what the retention says, made and then gone.
async fn check(admin: &dyn Admin, retention: &str, expected: &[&str]) {
    let wanted = wanted_tables(&pipeline(retention));
    let changes = plan_tables(admin, &wanted).await.unwrap();
    let shown: Vec<_> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(shown, expected, "{retention:?}");
    apply_changes(admin, &wanted, &changes).await.unwrap();
    assert_eq!(plan_tables(admin, &wanted).await.unwrap(), []);
}

#[tokio::test]
async fn rules_by_which_a_store_keeps_less_are_found() {
    let opened = open_store(&StoreUri::Memory).await.unwrap();
    let admin = &*opened.admin;
    let file = pipeline("[retention]\nevents_timeline = '30d'");
    let missing = narrower_rules(admin, &file).await.unwrap_err();
    assert!(
        missing.to_string().contains("no tables events_fact, "),
        "{missing}"
    );
    create_missing_tables(admin, &file).await.unwrap();
    assert_eq!(narrower_rules(admin, &file).await.unwrap(), []);
    let day = 86_400;
    for (found, is_narrower) in [
        (GcRule::KEEP, false),
        (GcRule::versions(1), false),
        (GcRule::versions(2).with_age_seconds(30 * day), false),
        (GcRule::versions(1).with_age_seconds(400 * day), false),
        (GcRule::versions(1).with_age_seconds(29 * day), true),
        (GcRule::OTHER, true),
    ] {
        let theirs = TableSchema::with_rules("events_timeline", [("event", found)]);
        admin.alter_table(&theirs).await.unwrap();
        let rules = narrower_rules(admin, &file).await.unwrap();
        assert_eq!(!rules.is_empty(), is_narrower, "{found}: {rules:?}");
    }
    let shown = narrower_rules(admin, &file).await.unwrap()[0].to_string();
    assert_eq!(
        shown,
        "~ events_timeline.event: another rule -> 1 version, 30 days"
    );
}

#[tokio::test]
async fn what_differs_is_told_and_made_so() {
    let folder = tempfile::tempdir().unwrap();
    for uri in [
        StoreUri::Memory,
        StoreUri::File(folder.path().join("store")),
    ] {
        let opened = open_store(&uri).await.unwrap();
        let admin = &*opened.admin;
        admin
            .create_table(&TableSchema::new("theirs", ["x"]))
            .await
            .unwrap();
        let half = TableSchema::with_rules(
            "events_fact",
            [("event_data", GcRule::KEEP), ("more", GcRule::KEEP)],
        );
        admin.create_table(&half).await.unwrap();
        check(
            admin,
            "[retention.events_fact]\nquality = '36h'\nevent_data = '400d'\nmetadata = '400d'",
            &[
                "~ events_fact.event_data: keep all -> 1 version, 400 days",
                "+ events_fact.metadata: 1 version, 400 days",
                "+ events_fact.quality: 1 version, 36 hours",
                "+ events_timeline\n+   event: 1 version",
                "+ events_aggregate\n+   daily_stats: 1 version\n+   hourly_stats: 1 version\n+   metadata: 1 version\n+   weekly_stats: 1 version",
                "+ dead_letters\n+   letter: 1 version",
                "+ pipeline_state\n+   state: 1 version",
            ],
        )
        .await;
        check(
            admin,
            "[retention]\nevents_fact = '400d'\nevents_timeline = '60d'",
            &[
                "~ events_fact.quality: 1 version, 36 hours -> 1 version, 400 days",
                "~ events_timeline.event: 1 version -> 1 version, 60 days",
            ],
        )
        .await;
        check(
            admin,
            "",
            &[
                "~ events_fact.event_data: 1 version, 400 days -> 1 version",
                "~ events_fact.metadata: 1 version, 400 days -> 1 version",
                "~ events_fact.quality: 1 version, 400 days -> 1 version",
                "~ events_timeline.event: 1 version, 60 days -> 1 version",
            ],
        )
        .await;
        // What nobody asked for stays.
        let tables = admin.tables().await.unwrap();
        assert!(tables.iter().any(|table| table.name == "theirs"));
        let fact = tables
            .iter()
            .find(|table| table.name == "events_fact")
            .unwrap();
        assert_eq!(fact.rule("more"), Some(GcRule::KEEP));
    }
}

#[tokio::test]
async fn what_may_drop_cells_is_known() {
    let opened = open_store(&StoreUri::Memory).await.unwrap();
    let admin = &*opened.admin;
    let plan = async |retention: &str| {
        let wanted = wanted_tables(&pipeline(retention));
        let changes = plan_tables(admin, &wanted).await.unwrap();
        apply_changes(admin, &wanted, &changes).await.unwrap();
        changes
            .iter()
            .any(rowmill_pipeline::TableChange::may_drop_cells)
    };
    assert!(!plan("").await);
    assert!(plan("[retention]\nevents_fact = '400d'").await);
    assert!(!plan("[retention]\nevents_fact = '500d'").await);
    assert!(plan("[retention]\nevents_fact = '499d'").await);
    assert!(!plan("").await);
}

/// What other engines are told of a column is how its cells can be read, and no column of a fact is left out.
#[tokio::test(flavor = "multi_thread")]
async fn columns_hold_what_is_said_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let (stages, store) = (stages(&[]), memory_store().await.store);
    let file = generated(folder.path(), "plays.jsonl", 500, 3);
    ingest_all(&stages, &store, &[&file], "run").await.unwrap();
    aggregate_pending(&stages, &store).await.unwrap();
    let columns = typed_columns(&stages);
    let name = |it: &TypedColumn| (it.table, it.family, it.qualifier.clone());
    let mut unseen: HashSet<_> = columns.iter().map(name).collect();
    for table in [table::FACT, table::AGGREGATE] {
        let rows = store.scan(table, Scan::all());
        for row in rows.try_collect::<Vec<_>>().await.unwrap() {
            let key = String::from_utf8_lossy(row.key());
            let has_own = ["_sessions#", "_top#"]
                .iter()
                .any(|own| key.starts_with(own));
            for cell in row.cells().filter(|_| !has_own) {
                let is_it = |column: &&TypedColumn| {
                    (column.table, column.family) == (table, cell.family)
                        && column.qualifier.as_bytes() == cell.qualifier
                };
                let Some(column) = columns.iter().find(is_it) else {
                    let name = String::from_utf8_lossy(cell.qualifier);
                    assert_eq!(table, table::AGGREGATE, "{}:{name}", cell.family);
                    continue;
                };
                let value = Value::decode(column.value_type, cell.value);
                assert!(value.is_ok(), "{column:?} of {key}: {value:?}");
                unseen.remove(&name(column));
            }
        }
    }
    assert!(unseen.is_empty(), "{unseen:?}");
}
