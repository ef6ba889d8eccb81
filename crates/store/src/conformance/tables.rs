//! Cases about tables: that they exist, change and end, and what their rules hide.

use rowmill_model::{GcRule, MutationBatch};

use super::{FAMILIES, Fixture, TABLE};
use crate::admin::TableSchema;
use crate::error::ErrorKind;
use crate::scan::Scan;
use crate::store::StoreExt as _;

/// Tables exist between their creation and their end.
pub async fn tables_are_created_listed_and_dropped(fixture: Fixture) {
    let schema = TableSchema::with_rules(
        "t",
        [("f", GcRule::versions(3)), ("g", GcRule::age_seconds(60))],
    );
    fixture.admin.create_table(&schema).await.expect("creates");
    fixture.create_table().await;
    assert_eq!(
        fixture.admin.tables().await.expect("lists"),
        [schema.clone(), TableSchema::new(TABLE, FAMILIES)]
    );
    let again = fixture
        .admin
        .create_table(&schema)
        .await
        .expect_err("exists");
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    fixture.set(&[("k", "a", "x", 0, "1")]).await;
    fixture.admin.drop_table(TABLE).await.expect("drops");
    assert_eq!(fixture.admin.tables().await.expect("lists"), [schema]);
    fixture.create_table().await;
    fixture.check(Scan::all(), &[]).await;
}

/// Families and rules are added and changed; what is not named stays, cells and all.
pub async fn tables_are_altered(fixture: Fixture) {
    fixture.create_table().await;
    fixture
        .set(&[
            ("k", "a", "x", 2000, "2"),
            ("k", "a", "x", 1000, "1"),
            ("k", "b", "x", 0, "b"),
        ])
        .await;
    let rules = [
        ("a", GcRule::versions(1)),
        ("c", GcRule::versions(2).with_age_seconds(7_200)),
    ];
    let changes = TableSchema::with_rules(TABLE, rules);
    for _ in 0..2 {
        fixture.admin.alter_table(&changes).await.expect("alters");
    }
    let altered = TableSchema::with_rules(TABLE, [rules[0], ("b", GcRule::KEEP), rules[1]]);
    assert_eq!(fixture.admin.tables().await.expect("lists"), [altered]);
    fixture
        .set(&[("l", "c", "x", 4_102_444_800_000_000, "c")])
        .await;
    let rows = ["k a:x@2000=2 b:x@0=b", "l c:x@4102444800000000=c"];
    fixture.check(Scan::all(), &rows).await;
    let missing = fixture
        .admin
        .alter_table(&TableSchema::new("t", ["f"]))
        .await
        .expect_err("no table");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

/// Nothing is created by accident.
pub async fn unknown_tables_are_not_found(fixture: Fixture) {
    let mut batch = MutationBatch::new();
    let mut row = batch.row(b"k");
    row.set("a", b"q", 0, b"v");
    row.finish();
    let written = fixture
        .store
        .apply(TABLE, batch.into())
        .await
        .expect_err("no table");
    let scanned = fixture
        .store
        .rows(TABLE, Scan::all())
        .await
        .expect_err("no table");
    let dropped = fixture.admin.drop_table(TABLE).await.expect_err("no table");
    for error in [written, scanned, dropped] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains(TABLE), "{error}");
    }
}

/// A rule of so many versions hides the others at once.
pub async fn versions_beyond_the_rule_are_hidden(fixture: Fixture) {
    let rules = [("a", GcRule::versions(1)), ("b", GcRule::KEEP)];
    fixture
        .admin
        .create_table(&TableSchema::with_rules(TABLE, rules))
        .await
        .expect("creates");
    for family in FAMILIES {
        fixture
            .set(&[("k", family, "x", 2000, "2"), ("k", family, "x", 1000, "1")])
            .await;
    }
    fixture
        .check(Scan::all(), &["k a:x@2000=2 b:x@2000=2 b:x@1000=1"])
        .await;
    fixture
        .check(Scan::all().with_families(["a"]).with_time(0, 2000), &[])
        .await;
}

/// A rule of age hides what is older, by the time of the read.
pub async fn old_cells_are_hidden(fixture: Fixture) {
    let rules = [("a", GcRule::age_seconds(3_600)), ("b", GcRule::KEEP)];
    fixture
        .admin
        .create_table(&TableSchema::with_rules(TABLE, rules))
        .await
        .expect("creates");
    // The year 2100 is not old yet, and 1970 is.
    let young = 4_102_444_800_000_000;
    fixture
        .set(&[
            ("k", "a", "x", young, "2"),
            ("k", "a", "x", 1000, "1"),
            ("k", "b", "x", 1000, "1"),
            ("l", "a", "x", 0, "1"),
        ])
        .await;
    fixture
        .check(Scan::all(), &[&format!("k a:x@{young}=2 b:x@1000=1")])
        .await;
}
