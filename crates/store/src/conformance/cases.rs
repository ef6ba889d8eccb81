//! One case for each thing that a store promises.

use futures::future::join_all;
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::KeyRange;

use super::{Fixture, TABLE, outcome};
use crate::error::ErrorKind;
use crate::scan::Scan;
use crate::store::StoreExt as _;

/// Rows come in the byte order of their keys, in whatever order they were written.
pub async fn rows_come_in_key_order(fixture: Fixture) {
    fixture.create_table().await;
    let keys = ["b", "a#2", "a", "a#1", "é", "a\0", "B", "aa"];
    let cells: Vec<_> = keys.iter().map(|key| (*key, "a", "q", 0, "v")).collect();
    fixture.set(&cells).await;
    let found: Vec<_> = fixture
        .rows(Scan::all())
        .await
        .iter()
        .map(|row| row.key().to_vec())
        .collect();
    let mut expected: Vec<_> = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
    expected.sort();
    assert_eq!(found, expected);
}

/// Cells come by family, qualifier, and newest first.
pub async fn cells_come_in_order_with_the_newest_first(fixture: Fixture) {
    fixture.create_table().await;
    let cells = [
        ("k", "b", "x", 0, "1"),
        ("k", "a", "y", 1000, "2"),
        ("k", "a", "y", 3000, "3"),
        ("k", "a", "x", 0, "4"),
    ];
    fixture.set(&cells).await;
    fixture
        .check(Scan::all(), &["k a:x@0=4 a:y@3000=3 a:y@1000=2 b:x@0=1"])
        .await;
}

/// Setting a cell again replaces its value and leaves the others.
pub async fn the_same_cell_is_overwritten(fixture: Fixture) {
    fixture.create_table().await;
    fixture
        .set(&[("k", "a", "x", 1000, "old"), ("k", "a", "y", 1000, "kept")])
        .await;
    fixture.set(&[("k", "a", "x", 1000, "new")]).await;
    fixture.set(&[("k", "a", "x", 1000, "new")]).await;
    fixture
        .check(Scan::all(), &["k a:x@1000=new a:y@1000=kept"])
        .await;
}

/// Another timestamp is another version.
pub async fn versions_live_side_by_side(fixture: Fixture) {
    fixture.create_table().await;
    fixture
        .set(&[("k", "a", "x", 1000, "1"), ("k", "a", "x", 2000, "2")])
        .await;
    fixture
        .check(Scan::all(), &["k a:x@2000=2 a:x@1000=1"])
        .await;
}

/// Nothing but the length matters of keys, qualifiers and values.
pub async fn any_bytes_are_keys_qualifiers_and_values(fixture: Fixture) {
    fixture.create_table().await;
    let keys: [&[u8]; 5] = [b"\0", b"\0\0", b"\0\xff", b"\xff", b"\xff\xff\0"];
    let mut batch = MutationBatch::new();
    for key in keys {
        let mut row = batch.row(key);
        row.set("a", b"\0\xff", 0, b"");
        row.set("a", b"", 0, b"\xff\0");
        row.finish();
    }
    fixture
        .store
        .apply_all(TABLE, batch)
        .await
        .expect("applies");
    let rows = fixture.rows(Scan::all()).await;
    assert_eq!(rows.iter().map(Row::key).collect::<Vec<_>>(), keys);
    for row in rows {
        assert_eq!(row.value("a", b"\0\xff"), Some(&b""[..]));
        assert_eq!(row.value("a", b""), Some(&b"\xff\0"[..]));
    }
}

async fn letters(fixture: &Fixture) {
    fixture.create_table().await;
    fixture
        .set(&["a", "b", "ba", "bb", "c"].map(|key| (key, "a", "q", 0, "v")))
        .await;
}

async fn check_keys(fixture: &Fixture, scan: Scan, expected: &[&str]) {
    let rows = fixture.rows(scan.clone()).await;
    let keys: Vec<_> = rows
        .iter()
        .map(|row| String::from_utf8_lossy(row.key()).into_owned())
        .collect();
    assert_eq!(keys, expected, "{scan:?}");
}

fn range(start: &str, end: &str) -> KeyRange {
    KeyRange {
        start: start.into(),
        end: Some(end.into()),
    }
}

/// Ranges include their start and exclude their end.
pub async fn ranges_and_prefixes_select_rows(fixture: Fixture) {
    letters(&fixture).await;
    check_keys(&fixture, Scan::range(range("b", "bb")), &["b", "ba"]).await;
    check_keys(
        &fixture,
        Scan::range(KeyRange {
            start: b"bb".to_vec(),
            end: None,
        }),
        &["bb", "c"],
    )
    .await;
    check_keys(&fixture, Scan::prefix(b"b"), &["b", "ba", "bb"]).await;
    check_keys(&fixture, Scan::row(b"b"), &["b"]).await;
    check_keys(&fixture, Scan::row(b"x"), &[]).await;
    check_keys(&fixture, Scan::range(range("c", "a")), &[]).await;
    check_keys(&fixture, Scan::ranges(vec![]), &[]).await;
}

/// Ranges may overlap and come in any order.
pub async fn overlapping_ranges_show_a_row_once(fixture: Fixture) {
    letters(&fixture).await;
    let ranges = vec![
        range("bb", "d"),
        range("a", "b"),
        range("ba", "c"),
        range("a", "a\0"),
    ];
    check_keys(
        &fixture,
        Scan::ranges(ranges.clone()),
        &["a", "ba", "bb", "c"],
    )
    .await;
    check_keys(
        &fixture,
        Scan::ranges(ranges).reversed(),
        &["c", "bb", "ba", "a"],
    )
    .await;
}

/// Filters drop cells, and rows that have none left.
pub async fn families_qualifiers_and_times_filter_cells(fixture: Fixture) {
    fixture.create_table().await;
    fixture
        .set(&[
            ("j", "a", "x", 1000, "1"),
            ("k", "a", "x", 2000, "2"),
            ("k", "b", "x", 2000, "3"),
            ("k", "b", "y", 5000, "4"),
        ])
        .await;
    fixture
        .check(
            Scan::all().with_families(["b"]),
            &["k b:x@2000=3 b:y@5000=4"],
        )
        .await;
    fixture
        .check(Scan::all().with_qualifiers([&b"y"[..]]), &["k b:y@5000=4"])
        .await;
    fixture
        .check(Scan::all().with_time(1000, 2000), &["j a:x@1000=1"])
        .await;
    fixture
        .check(
            Scan::all().with_families(["b"]).with_time(2000, 5001),
            &["k b:x@2000=3 b:y@5000=4"],
        )
        .await;
    fixture.check(Scan::all().with_families([]), &[]).await;
}

/// `cells_per_column` counts after the other filters.
pub async fn only_the_newest_cells_of_a_column(fixture: Fixture) {
    fixture.create_table().await;
    fixture
        .set(&[
            ("k", "a", "x", 1000, "1"),
            ("k", "a", "x", 2000, "2"),
            ("k", "a", "y", 1000, "3"),
        ])
        .await;
    fixture
        .check(Scan::all().with_latest_only(), &["k a:x@2000=2 a:y@1000=3"])
        .await;
    fixture
        .check(
            Scan::all().with_latest_only().with_time(0, 2000),
            &["k a:x@1000=1 a:y@1000=3"],
        )
        .await;
}

/// A limit counts rows that are shown.
pub async fn limit_and_reverse(fixture: Fixture) {
    letters(&fixture).await;
    fixture.set(&[("0", "b", "q", 0, "v")]).await;
    let shown = || Scan::all().with_families(["a"]);
    check_keys(&fixture, shown().with_limit(2), &["a", "b"]).await;
    check_keys(&fixture, shown().reversed().with_limit(2), &["c", "bb"]).await;
    check_keys(&fixture, Scan::prefix(b"b").reversed(), &["bb", "ba", "b"]).await;
    check_keys(&fixture, shown().with_limit(0), &[]).await;
    check_keys(
        &fixture,
        shown().with_limit(100),
        &["a", "b", "ba", "bb", "c"],
    )
    .await;
}

/// Scans longer than any page lose and repeat nothing, in both directions.
pub async fn long_scans_cross_pages(fixture: Fixture) {
    fixture.create_table().await;
    let keys: Vec<String> = (0..3_000).map(|number| format!("{number:05}")).collect();
    let cells: Vec<_> = keys
        .iter()
        .map(|key| (key.as_str(), "a", "q", 0, "v"))
        .collect();
    fixture.set(&cells).await;
    let names: Vec<_> = keys.iter().map(String::as_str).collect();
    check_keys(&fixture, Scan::all(), &names).await;
    let backwards: Vec<_> = names.iter().rev().copied().collect();
    check_keys(&fixture, Scan::all().reversed(), &backwards).await;
    check_keys(&fixture, Scan::all().with_limit(1_500), &names[..1_500]).await;
}

/// Whoever asks for keys gets each row once, with one cell and no value.
pub async fn keys_only_is_one_cell_without_a_value(fixture: Fixture) {
    fixture.create_table().await;
    let cells = [
        ("r", "a", "p", 1_000, "v"),
        ("r", "a", "q", 0, "w"),
        ("s", "b", "q", 0, "x"),
    ];
    fixture.set(&cells).await;
    let rows = fixture.rows(Scan::all().with_keys_only()).await;
    let keys: Vec<_> = rows.iter().map(Row::key).collect();
    assert_eq!(keys, [b"r", b"s"]);
    for row in &rows {
        let values: Vec<_> = row.cells().map(|cell| cell.value).collect();
        assert_eq!(values, [b""]);
    }
    let of_b = Scan::all().with_families(["b"]).with_keys_only();
    assert_eq!(fixture.rows(of_b).await.len(), 1);
}

/// Parts between split keys hold every row once.
pub async fn split_keys_lose_and_repeat_nothing(fixture: Fixture) {
    fixture.create_table().await;
    let keys: Vec<String> = (0..1_000)
        .map(|number| format!("row {number:04}"))
        .collect();
    let cells: Vec<_> = keys
        .iter()
        .map(|key| (key.as_str(), "a", "q", 0, "v"))
        .collect();
    fixture.set(&cells).await;
    let mut splits = fixture
        .store
        .split_keys(TABLE)
        .await
        .expect("splitting works");
    assert!(splits.is_sorted_by(|a, b| a < b) && splits.iter().all(|key| !key.is_empty()));
    splits.insert(0, Vec::new());
    let mut rows = 0;
    for (index, start) in splits.iter().enumerate() {
        let (start, end) = (start.clone(), splits.get(index + 1).cloned());
        rows += fixture
            .rows(Scan::range(KeyRange { start, end }))
            .await
            .len();
    }
    assert_eq!(rows, keys.len());
}

/// A column, a family, a row.
pub async fn deletes(fixture: Fixture) {
    fixture.create_table().await;
    for key in ["column", "family", "row"] {
        fixture
            .set(&[
                (key, "a", "x", 0, "1"),
                (key, "a", "x", 1000, "2"),
                (key, "a", "y", 0, "3"),
                (key, "b", "x", 0, "4"),
            ])
            .await;
    }
    let mut batch = MutationBatch::new();
    let mut row = batch.row(b"column");
    row.delete_column("a", b"x");
    row.finish();
    let mut row = batch.row(b"family");
    row.delete_family("a");
    row.finish();
    let mut row = batch.row(b"row");
    row.delete_row();
    row.finish();
    let mut row = batch.row(b"nothing there");
    row.delete_row();
    row.finish();
    fixture
        .store
        .apply_all(TABLE, batch)
        .await
        .expect("applies");
    fixture
        .check(Scan::all(), &["column a:y@0=3 b:x@0=4", "family b:x@0=4"])
        .await;
    fixture.set(&[("row", "a", "x", 0, "again")]).await;
    fixture.check(Scan::row(b"row"), &["row a:x@0=again"]).await;
}

/// Within one mutation the operations apply one after the other.
pub async fn a_mutation_applies_in_its_own_order(fixture: Fixture) {
    fixture.create_table().await;
    fixture
        .set(&[("k", "a", "old", 0, "1"), ("k", "b", "old", 0, "2")])
        .await;
    for _ in 0..2 {
        let mut batch = MutationBatch::new();
        let mut row = batch.row(b"k");
        row.set("a", b"lost", 0, b"3");
        row.delete_family("a");
        row.set("a", b"new", 0, b"4");
        row.finish();
        fixture
            .store
            .apply_all(TABLE, batch)
            .await
            .expect("applies");
        fixture.check(Scan::all(), &["k a:new@0=4 b:old@0=2"]).await;
        fixture.set(&[("k", "a", "new", 0, "5")]).await;
        fixture.check(Scan::all(), &["k a:new@0=5 b:old@0=2"]).await;
    }
}

/// One bad row fails alone, and no part of it is kept.
pub async fn outcomes_come_in_order_and_good_rows_are_kept(fixture: Fixture) {
    fixture.create_table().await;
    let mut batch = MutationBatch::new();
    for (key, family) in [("z", "a"), ("bad", "nowhere"), ("y", "b")] {
        let mut row = batch.row(key.as_bytes());
        row.set("a", b"first", 0, b"1");
        row.set(family, b"q", 0, b"2");
        row.finish();
    }
    let outcomes = outcome(&fixture, batch).await;
    assert_eq!(
        outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true]
    );
    let error = outcomes[1].as_ref().expect_err("an unknown family");
    // Not a row that no table takes, but a table that lacks something.
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    if fixture.store.capability().atomic_rows {
        fixture
            .check(
                Scan::all(),
                &["y a:first@0=1 b:q@0=2", "z a:first@0=1 a:q@0=2"],
            )
            .await;
    }
}

/// Cell timestamps are whole milliseconds since 1970.
pub async fn bad_timestamps_are_refused(fixture: Fixture) {
    fixture.create_table().await;
    for timestamp in [1, 999, 1_001, -1, -1_000, i64::MIN] {
        let mut batch = MutationBatch::new();
        let mut row = batch.row(b"k");
        row.set("a", b"q", timestamp, b"v");
        row.finish();
        let outcomes = outcome(&fixture, batch).await;
        assert!(outcomes[0].is_err(), "{timestamp} is refused");
    }
    fixture.check(Scan::all(), &[]).await;
}

/// Keys, qualifiers, and mutations without operations.
pub async fn limits_are_enforced(fixture: Fixture) {
    if !fixture.store.capability().enforces_limits {
        return;
    }
    fixture.create_table().await;
    let check = async |key: usize, qualifier: usize, expected: bool| {
        let mut batch = MutationBatch::new();
        let mut row = batch.row(&vec![b'k'; key]);
        row.set("a", &vec![b'q'; qualifier], 0, b"v");
        row.finish();
        let kind = outcome(&fixture, batch)
            .await
            .remove(0)
            .map_err(|error| error.kind());
        assert_eq!(
            kind,
            if expected {
                Ok(())
            } else {
                Err(ErrorKind::InvalidArgument)
            },
            "{key} {qualifier}"
        );
    };
    check(4_096, 1, true).await;
    check(4_097, 1, false).await;
    check(0, 1, false).await;
    check(1, 16_384, true).await;
    check(1, 16_385, false).await;
    let mut batch = MutationBatch::new();
    batch.row(b"k").finish();
    assert!(outcome(&fixture, batch).await[0].is_err(), "no operation");
    for (operations, is_good) in [(100_000, true), (100_001, false)] {
        let mut batch = MutationBatch::new();
        let mut row = batch.row(b"many");
        (0..operations).for_each(|_| row.delete_column("a", b"q"));
        row.finish();
        let outcomes = outcome(&fixture, batch).await;
        assert_eq!(outcomes[0].is_ok(), is_good, "{operations}");
    }
}

/// Batches written at once all arrive.
pub async fn concurrent_writes_all_arrive(fixture: Fixture) {
    fixture.create_table().await;
    let writes = (0..8).map(|writer| {
        let mut batch = MutationBatch::new();
        for number in 0..200 {
            let mut row = batch.row(format!("{number:03}").as_bytes());
            row.set("a", format!("w{writer}").as_bytes(), 0, b"v");
            row.finish();
        }
        fixture.store.apply_all(TABLE, batch)
    });
    for written in join_all(writes).await {
        written.expect("applies");
    }
    let rows = fixture.rows(Scan::all()).await;
    assert_eq!(rows.len(), 200);
    assert!(rows.iter().all(|row| row.cells().count() == 8));
}
