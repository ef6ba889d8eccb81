//! A store's scans: what the server is asked to filter, and what is left to the view.

use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::gc_rule::Rule;
use googleapis_tonic_google_bigtable_admin_v2::google::bigtable::admin::v2::{
    ColumnFamily, GcRule, Table,
};
use rowmill_bigtable::BigtableStore;
use rowmill_bigtable::proto::ReadRowsRequest;
use rowmill_bigtable::proto::row_filter::Filter;
use rowmill_bigtable::testing::{Reply, chunk};
use rowmill_rowkey::KeyRange;
use rowmill_store::{Scan, StoreExt as _};

use crate::Harness;

/// The table `t` with families, each with a rule of versions or none.
pub(crate) fn table<'a>(families: impl IntoIterator<Item = (&'a str, Option<i32>)>) -> Reply {
    let family = |(name, versions): (&str, Option<i32>)| {
        let gc_rule = versions.map(|versions| GcRule {
            rule: Some(Rule::MaxNumVersions(versions)),
        });
        let family = ColumnFamily {
            gc_rule,
            ..ColumnFamily::default()
        };
        (name.to_owned(), family)
    };
    Reply::new().message(&Table {
        name: "projects/p/instances/i/tables/t".to_owned(),
        column_families: families.into_iter().map(family).collect(),
        ..Table::default()
    })
}

const ONE: [(&str, Option<i32>); 2] = [("f", Some(1)), ("g", Some(1))];
const NONE: [(&str, Option<i32>); 2] = [("f", None), ("g", None)];
const MIXED: [(&str, Option<i32>); 2] = [("f", Some(1)), ("g", None)];

/// The filters and the limit that a scan of a table with those families sends; none if nothing is sent.
async fn sent(families: [(&str, Option<i32>); 2], scan: Scan) -> Option<String> {
    let harness = Harness::start().await;
    harness.server.push("GetTable", table(families));
    harness
        .server
        .answer("ReadRows", |_| Reply::rows(["a", "b"]));
    let store = BigtableStore::new(harness.client.clone());
    let rows = store.rows("t", scan.clone()).await.unwrap();
    assert!(scan.limit.is_none_or(|limit| rows.len() as u64 <= limit));
    let requests = harness.server.requests("ReadRows");
    let request: ReadRowsRequest = requests.first()?.message();
    let filters = match request.filter.and_then(|filter| filter.filter) {
        Some(Filter::Chain(chain)) => chain
            .filters
            .into_iter()
            .filter_map(|it| it.filter)
            .collect(),
        one => Vec::from_iter(one),
    };
    let show = |filter: &Filter| match filter {
        Filter::FamilyNameRegexFilter(pattern) => format!("family {pattern}"),
        Filter::ColumnQualifierRegexFilter(pattern) => {
            format!("column {}", String::from_utf8_lossy(pattern))
        }
        Filter::CellsPerColumnLimitFilter(cells) => format!("newest {cells}"),
        Filter::TimestampRangeFilter(range) => format!(
            "time {}..{}",
            range.start_timestamp_micros, range.end_timestamp_micros
        ),
        other => format!("{other:?}"),
    };
    let shown: Vec<_> = filters.iter().map(show).collect();
    Some(format!(
        "{}; limit {}",
        shown.join(", "),
        request.rows_limit
    ))
}

#[tokio::test]
async fn what_is_safe_is_left_to_the_server() {
    let all = Scan::all;
    for (families, scan, expected) in [
        (ONE, all(), "newest 1; limit 0"),
        (ONE, all().with_latest_only(), "newest 1; limit 0"),
        // A filter that lets everything through is not sent.
        (NONE, all(), "; limit 0"),
        (NONE, all().with_families(["f", "g"]), "; limit 0"),
        (NONE, all().with_latest_only(), "newest 1; limit 0"),
        (
            NONE,
            all()
                .with_families(["g"])
                .with_qualifiers([&b"c"[..]])
                .with_latest_only(),
            "family g, column c, newest 1; limit 0",
        ),
        (ONE, all().with_limit(2), "family f|g, newest 1; limit 2"),
        (
            ONE,
            all().with_families(["g"]).with_latest_only().with_limit(1),
            "family g, newest 1; limit 1",
        ),
        // Versions are counted before times are looked at.
        (
            ONE,
            all().with_time(1_000, 3_000),
            "newest 1, time 1000..3000; limit 0",
        ),
        (
            ONE,
            all().with_time(1_001, 2_001).with_limit(1),
            "family f|g, newest 1, time 1000..3000; limit 0",
        ),
        (
            ONE,
            all().with_qualifiers([&b"a.b"[..], b"c"]),
            "column a\\.b|c, newest 1; limit 0",
        ),
        (
            ONE,
            all().with_qualifiers([&b"\xff"[..]]).with_limit(1),
            "family f|g, newest 1; limit 0",
        ),
        // Cells of a family that came later must not count, as the one cell of a row or as a row.
        (
            NONE,
            all().with_keys_only(),
            "family f|g, CellsPerRowLimitFilter(1), StripValueTransformer(true); limit 0",
        ),
        // Families with different rules: the view counts versions, times and rows.
        (
            MIXED,
            all().with_time(1_000, 3_000).with_limit(2),
            "family f|g; limit 0",
        ),
        (
            MIXED,
            all().with_families(["f"]).with_limit(2),
            "family f, newest 1; limit 2",
        ),
    ] {
        let sent = sent(families, scan.clone()).await;
        assert_eq!(sent.as_deref(), Some(expected), "{scan:?}");
    }
}

#[tokio::test]
async fn what_cannot_show_anything_is_not_asked() {
    for scan in [
        Scan::all().with_limit(0),
        Scan::all().with_families(["h"]),
        Scan::all().with_time(2_000, 2_000),
        Scan::all().with_time(-5, 0),
        Scan::ranges(vec![]),
    ] {
        assert_eq!(sent(ONE, scan.clone()).await, None, "{scan:?}");
    }
}

#[tokio::test]
async fn many_ranges_go_in_several_requests_of_at_most_a_mebibyte() {
    let harness = Harness::start().await;
    harness.server.push("GetTable", table(ONE));
    harness.server.answer("ReadRows", |_| Reply::new());
    let store = BigtableStore::new(harness.client.clone());
    let key = |number: usize| format!("{number:04}").repeat(250).into_bytes();
    let ranges: Vec<_> = (0..2_000)
        .map(|number| KeyRange::single(key(number)))
        .collect();
    store.rows("t", Scan::ranges(ranges)).await.unwrap();
    let requests = harness.server.requests("ReadRows");
    assert!(requests.len() > 2);
    let mut asked = 0;
    for request in requests {
        assert!(request.body().len() < 1 << 20);
        asked += request
            .message::<ReadRowsRequest>()
            .rows
            .unwrap()
            .row_ranges
            .len();
    }
    assert_eq!(asked, 2_000);
}

#[tokio::test]
async fn cells_come_in_a_rows_order_and_once() {
    let harness = Harness::start().await;
    harness.server.push("GetTable", table(MIXED));
    let cell = |family: &str, timestamp_micros| {
        let mut cell = chunk("k", "v");
        cell.family_name = Some(family.to_owned());
        cell.timestamp_micros = timestamp_micros;
        cell.row_status = None;
        cell
    };
    let mut last = cell("f", 1_000);
    last.row_status = chunk("", "").row_status;
    let chunks = vec![
        cell("g", 2_000),
        cell("g", 2_000),
        cell("g", 1_000),
        cell("f", 3_000),
        last,
    ];
    harness.server.push("ReadRows", Reply::new().chunks(chunks));
    let store = BigtableStore::new(harness.client.clone());
    let row = store.row("t", b"k").await.unwrap().unwrap();
    let cells: Vec<_> = row
        .cells()
        .map(|cell| (cell.family, cell.timestamp_micros))
        .collect();
    // The family `f` keeps one version.
    assert_eq!(cells, [("f", 3_000), ("g", 2_000), ("g", 1_000)]);
}
