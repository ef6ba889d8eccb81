//! Rows that something else wrote, or damaged: whatever reads whole tables goes on without them, and lists them.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;
use proptest::prelude::*;
use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_pipeline::{
    Control, Depth, Error, ExportFormat, ExportReport, ExportTable, LetterFilter, RebuildOptions,
    Scope, Stages, UserQuery, VerifyAggregatesOptions, VerifyOptions, aggregate, export, letters,
    rebuild_timeline, user_events, verify, verify_aggregates,
};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::watched::Watched;
use crate::{aggregate_pending, aggregation, generated, ingest_all, memory_store, now, stages};

/// A key, and the family, the qualifier and the value of a cell.
type Foreign<'a> = (Vec<u8>, &'a str, &'a [u8], &'a [u8]);

/// The family, the qualifier and the value of a cell.
type ForeignCell<'a> = (&'a str, &'a [u8], &'a [u8]);

/// Some rows of each table, and the stages that made them.
struct Fixture {
    stages: Arc<Stages>,
    store: Arc<dyn Store>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(events: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stages = stages(&[]);
        let store = memory_store().await.store;
        let path = generated(folder.path(), "a.jsonl", events, 1);
        ingest_all(&stages, &store, &[&path], "run").await.unwrap();
        aggregate_pending(&stages, &store).await.unwrap();
        // One more, so that hours await aggregation.
        let late = generated(folder.path(), "b.jsonl", 20, 2);
        ingest_all(&stages, &store, &[&late], "run 2")
            .await
            .unwrap();
        Self {
            stages,
            store,
            _folder: folder,
        }
    }

    async fn export(&self, what: ExportTable) -> (ExportReport, Vec<String>) {
        let (mut out, control) = (Vec::new(), Control::default());
        let format = ExportFormat::Jsonl;
        let report = export(&self.stages, &*self.store, what, format, &mut out, &control).await;
        let text = String::from_utf8(out).unwrap();
        (report.unwrap(), text.lines().map(str::to_owned).collect())
    }

    /// The keys of the letters that are listed, and how many rows hold none.
    async fn letters(&self) -> (BTreeSet<String>, u64) {
        let mut found = letters(&*self.store, &LetterFilter::default()).unwrap();
        let mut keys = BTreeSet::new();
        while let Some(letter) = found.next().await.unwrap() {
            keys.insert(letter.key);
        }
        (keys, found.unreadable().count)
    }

    /// Every difference that verifying in all its ways finds, as text.
    async fn differences(&self) -> Vec<String> {
        let control = Control::default();
        let mut differences = Vec::new();
        for depth in [Depth::Store, Depth::Full, Depth::Sample(50)] {
            let options = VerifyOptions {
                depth,
                ..VerifyOptions::default()
            };
            let report = verify(&self.stages, &self.store, &options, &control).await;
            differences.extend(report.unwrap().differences);
        }
        let all = VerifyAggregatesOptions::default();
        let report = verify_aggregates(&self.stages, &self.store, &all, &control).await;
        differences.extend(report.unwrap().differences);
        let text =
            |it: rowmill_pipeline::Difference| format!("{} {}: {}", it.table, it.key, it.problem);
        differences.into_iter().map(text).collect()
    }

    async fn put(&self, name: &str, key: &[u8], cells: &[ForeignCell<'_>]) {
        let mut batch = MutationBatch::new();
        let mut row = batch.row(key);
        for (family, qualifier, value) in cells {
            row.set(family, qualifier, 0, value);
        }
        row.finish();
        self.store.apply_all(name, batch).await.unwrap();
    }
}

/// Rows that are none of ours stop no aggregation, of whatever kind, and are left where they are.
#[tokio::test(flavor = "multi_thread")]
async fn aggregation_goes_on_past_foreign_rows() {
    let foreign: [(&'static str, &[u8], &str); 9] = [
        (table::AGGREGATE, b"zzz", family::DAILY_STATS),
        (table::AGGREGATE, b"a", family::DAILY_STATS),
        (table::AGGREGATE, b"\x01odd", family::DAILY_STATS),
        (table::AGGREGATE, b"u1#foreign#x", family::DAILY_STATS),
        (
            table::AGGREGATE,
            b"_partial#day.x.0#2025-03-03zz",
            family::METADATA,
        ),
        (table::STATE, b"pending#x", family::STATE),
        (table::TIMELINE, b"00#2018-11-01T00#zz", family::EVENT),
        (table::TIMELINE, b"00#0000", family::EVENT),
        (table::TIMELINE, b"zzz", family::EVENT),
    ];
    let fixture = Fixture::new(200).await;
    for (name, key, family) in foreign {
        fixture.put(name, key, &[(family, b"x", b"y")]).await;
    }
    let (stages, store) = (&fixture.stages, &fixture.store);
    let control = Control::default();
    for scope in [Scope::Pending, Scope::All] {
        aggregate(stages, store, &aggregation(scope), &control)
            .await
            .unwrap();
    }
    let options = RebuildOptions::new(now());
    rebuild_timeline(stages, store, &options, &control)
        .await
        .unwrap();
    aggregate(stages, store, &aggregation(Scope::All), &control)
        .await
        .unwrap();
    let passed_over = control.unreadable();
    for (name, key, _) in foreign {
        assert!(
            store.row(name, key).await.unwrap().is_some(),
            "{}",
            key.escape_ascii()
        );
        // Those that stand where nothing is read are not met.
        let is_met = name != table::TIMELINE && key != b"_partial#day.x.0#2025-03-03zz";
        let shown = key.escape_ascii().to_string();
        let is_listed = passed_over
            .rows
            .iter()
            .any(|row| (row.table, &row.key) == (name, &shown));
        assert!(is_listed || !is_met, "{shown}: {passed_over:?}");
    }
    // Nothing else is missing.
    let all = VerifyAggregatesOptions::default();
    let report = verify_aggregates(stages, store, &all, &control)
        .await
        .unwrap();
    let mut others = report.differences.iter().map(|it| it.key.as_bytes());
    assert!(
        others.all(|key| foreign
            .iter()
            .any(|(_, it, _)| it.escape_ascii().to_string().as_bytes() == key)),
        "{report:?}"
    );
}

/// A question about one user reads no row of another, and goes on past those of the user that hold no event.
#[tokio::test(flavor = "multi_thread")]
async fn a_users_events_are_shown_past_rows_that_hold_none() {
    let fixture = Fixture::new(200).await;
    let rows = fixture.store.rows(table::FACT, Scan::all()).await.unwrap();
    let user = |row: &Row| {
        let key = rowmill_rowkey::FactKey::decode(row.key()).unwrap();
        key.user_id.into_owned()
    };
    let (own, other) = (user(&rows[0]), user(&rows[rows.len() - 1]));
    assert_ne!(own, other);
    let ask = async |user_id: &str| {
        let query = UserQuery {
            user_id: Some(user_id.to_owned()),
            from: None,
            to: None,
            limit: None,
        };
        let found = user_events(&fixture.stages, &*fixture.store, &query).unwrap();
        let found: Vec<_> = found.collect().await;
        let is_row = |it: &&Result<_, Error>| matches!(it, Err(Error::Row(_)));
        let unreadable = found.iter().filter(is_row).count();
        (found.iter().filter(|it| it.is_ok()).count(), unreadable)
    };
    let (before, of_other) = (ask(&own).await, ask(&other).await);
    for id in ["a", "b"] {
        let key = format!("{own}#00000000000000000001#{id}").into_bytes();
        let cells: [(&str, &[u8], &[u8]); 1] = [(family::EVENT_DATA, b"status", b"ab")];
        fixture.put(table::FACT, &key, &cells).await;
    }
    assert_eq!(ask(&own).await, (before.0, 2));
    assert_eq!(ask(&other).await, of_other);
}

/// Rows as they were found in the wild: each alone used to stop everything that scanned its table.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_rows_are_passed_over_and_listed() {
    let fixture = Fixture::new(200).await;
    let (facts, _) = fixture.export(ExportTable::Facts).await;
    let data = family::EVENT_DATA;
    let user = |user: &str| format!("{user}#09222846744073709551#e").into_bytes();
    let rows: [Foreign<'_>; 7] = [
        (user("py1"), data, b"status", b"ab"),
        (user("py2"), data, b"song", b"\xff\xfe"),
        (user("py3"), data, b"status", b""),
        (user("py4"), data, b"not \xff text", b"x"),
        (user("py5"), data, b"length", b"123456789"),
        (b"py6#nodate#e".to_vec(), data, b"song", b"x"),
        (b"\x00\xff\x80\x81".to_vec(), data, b"song", b"x"),
    ];
    for (key, family, qualifier, value) in &rows {
        fixture
            .put(table::FACT, key, &[(family, qualifier, value)])
            .await;
    }
    let (report, _) = fixture.export(ExportTable::Facts).await;
    assert_eq!((report.rows, report.unreadable.count), (facts.rows, 7));
    let listed: Vec<_> = report
        .unreadable
        .rows
        .iter()
        .map(|row| format!("{}: {}", row.key, row.problem))
        .collect();
    let expected = [
        r"\x00\xff\x80\x81: holds no valid ",
        "py1#09222846744073709551#e: holds no valid status: a cell of 2 bytes holds no int",
        "py2#09222846744073709551#e: holds no valid song: a cell of 2 bytes holds no string",
        "py3#09222846744073709551#e: holds no valid status: a cell of 0 bytes holds no int",
        "py4#09222846744073709551#e: holds no valid not \u{fffd} text: ",
        "py5#09222846744073709551#e: holds no valid length: a cell of 9 bytes holds no float",
        "py6#nodate#e: holds no valid ",
    ];
    for (listed, expected) in listed.iter().zip(expected) {
        assert!(listed.starts_with(expected), "{listed}");
    }
    let differences = fixture.differences().await;
    for row in &report.unreadable.rows {
        let is_listed = |it: &&String| it.starts_with(&format!("events_fact {}: ", row.key));
        assert!(
            differences.iter().filter(is_listed).count() >= 2,
            "{row:?}: {differences:#?}"
        );
    }
}

/// A damaged note or ledger is a difference, not the end.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_state_is_listed() {
    let fixture = Fixture::new(100).await;
    let state: [&[u8]; 6] = [
        b"deleted#00",
        b"resolved#x",
        b"run#r",
        b"file#f",
        b"pending#x",
        b"plan#aggregate",
    ];
    for key in state {
        let qualifiers: [&[u8]; 4] = [b"deleted", b"resolved", b"ledger", b"plan"];
        let cells = qualifiers.map(|qualifier| (family::STATE, qualifier, &b"{"[..]));
        fixture.put(table::STATE, key, &cells).await;
    }
    let differences = fixture.differences().await;
    for key in ["deleted#00", "resolved#x", "run#r", "file#f"] {
        let is_listed = |it: &String| it.starts_with(&format!("pipeline_state {key}: "));
        assert!(differences.iter().any(is_listed), "{key}: {differences:#?}");
    }
    let (report, lines) = fixture.export(ExportTable::Aggregates).await;
    assert!(lines.len() > 100);
    assert_eq!(report.unreadable.rows[0].key, "plan#aggregate");
}

/// One change of one table.
#[derive(Debug, Clone)]
enum Change {
    /// A cell of a row that is there becomes these bytes.
    Cell {
        row: usize,
        cell: usize,
        value: Vec<u8>,
    },
    /// A row that is there has one more column.
    Column {
        row: usize,
        qualifier: Vec<u8>,
        value: Vec<u8>,
    },
    /// A row's key becomes another, made of it.
    Key {
        row: usize,
        cut: usize,
        end: Vec<u8>,
    },
    /// There is one more row.
    Row {
        key: Vec<u8>,
        qualifier: Vec<u8>,
        value: Vec<u8>,
    },
}

const TABLES: [(&str, &str); 5] = [
    (table::FACT, family::EVENT_DATA),
    (table::TIMELINE, family::EVENT),
    (table::AGGREGATE, family::DAILY_STATS),
    (table::DEAD_LETTERS, family::LETTER),
    (table::STATE, family::STATE),
];

fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), length)
}

fn change() -> impl Strategy<Value = Change> {
    let any = any::<usize>;
    // Eight bytes are numbers and times, some of which nothing may hold.
    let value = || {
        prop_oneof![
            bytes(0..10),
            bytes(8..9),
            Just(f64::NAN.to_be_bytes().to_vec())
        ]
    };
    prop_oneof![
        (any(), any(), value()).prop_map(|(row, cell, value)| Change::Cell { row, cell, value }),
        (any(), bytes(1..6), value()).prop_map(|(row, qualifier, value)| Change::Column {
            row,
            qualifier,
            value
        }),
        (any(), any(), bytes(0..4)).prop_map(|(row, cut, end)| Change::Key { row, cut, end }),
        (bytes(1..9), bytes(1..6), value()).prop_map(|(key, qualifier, value)| Change::Row {
            key,
            qualifier,
            value
        }),
    ]
}

/// Makes a change, and gives the keys of the rows that it concerns.
async fn make(store: &Arc<dyn Store>, name: &str, of: &str, change: &Change) -> Vec<Vec<u8>> {
    let rows = store.rows(name, Scan::all()).await.unwrap();
    let nth = |row: &usize| &rows[row % rows.len()];
    let mut batch = MutationBatch::new();
    let keys = match change {
        Change::Cell { row, cell, value } => {
            let row = nth(row);
            let cells: Vec<_> = row.cells().collect();
            let cell = cells[cell % cells.len()];
            let mut changed = batch.row(row.key());
            changed.set(cell.family, cell.qualifier, cell.timestamp_micros, value);
            changed.finish();
            vec![row.key().to_vec()]
        }
        Change::Column {
            row,
            qualifier,
            value,
        } => {
            let mut changed = batch.row(nth(row).key());
            changed.set(of, qualifier, 0, value);
            changed.finish();
            vec![nth(row).key().to_vec()]
        }
        Change::Key { row, cut, end } => {
            let row = nth(row);
            let key = [&row.key()[..cut % row.key().len()], end, b"!"].concat();
            let mut gone = batch.row(row.key());
            gone.delete_row();
            gone.finish();
            restore(&mut batch, &key, Some(row));
            vec![row.key().to_vec(), key]
        }
        Change::Row {
            key,
            qualifier,
            value,
        } => {
            let mut added = batch.row(key);
            added.set(of, qualifier, 0, value);
            added.finish();
            vec![key.clone()]
        }
    };
    store.apply_all(name, batch).await.unwrap();
    keys
}

/// Makes a row what it was.
fn restore(batch: &mut MutationBatch, key: &[u8], was: Option<&Row>) {
    let mut row = batch.row(key);
    row.delete_row();
    for cell in was.iter().flat_map(|row| row.cells()) {
        row.set(
            cell.family,
            cell.qualifier,
            cell.timestamp_micros,
            cell.value,
        );
    }
    row.finish();
}

/// Whatever one cell or one key of any table holds, everything that reads whole tables comes to its end, and shows every other row.
#[test]
fn one_damaged_row_hides_no_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let fixture = runtime.block_on(Fixture::new(60));
    let (facts, aggregates, of_letters) = runtime.block_on(async {
        let facts = fixture.export(ExportTable::Facts).await.1;
        let aggregates = fixture.export(ExportTable::Aggregates).await.1;
        (facts, aggregates, fixture.letters().await.0)
    });
    let config = ProptestConfig::with_cases(120);
    let cases = (0..TABLES.len(), change());
    proptest!(config, |((of_table, change) in cases)| runtime.block_on(async {
        let (name, family) = TABLES[of_table];
        let before = fixture.store.rows(name, Scan::all()).await.unwrap();
        let keys = make(&fixture.store, name, family, &change).await;
        // A row gives one line of facts, and of aggregates one for each hour, the day and the week.
        let is_missing = |line: &&String, lines: &[String]| !lines.contains(line);
        let (report, lines) = fixture.export(ExportTable::Facts).await;
        assert!(report.unreadable.count <= 1, "{report:?}");
        assert!(facts.iter().filter(|line| is_missing(line, &lines)).count() <= 1);
        let (report, lines) = fixture.export(ExportTable::Aggregates).await;
        assert!(report.unreadable.count <= 1, "{report:?}");
        let missing: Vec<_> = aggregates.iter().filter(|line| is_missing(line, &lines)).collect();
        assert!(missing.len() <= 26 && (name == table::AGGREGATE || missing.is_empty()), "{missing:?}");
        let (shown, unreadable) = fixture.letters().await;
        assert!(unreadable <= 1 && of_letters.difference(&shown).count() <= 1);
        fixture.differences().await;
        let mut batch = MutationBatch::new();
        for key in keys {
            restore(&mut batch, &key, before.iter().find(|row| row.key() == key));
        }
        fixture.store.apply_all(name, batch).await.unwrap();
        assert_eq!(fixture.store.rows(name, Scan::all()).await.unwrap(), before);
    }));
}

/// Events that another input gave, at other times of their users, are looked for together, not one by one.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_stand_elsewhere_take_few_scans() {
    let folder = tempfile::tempdir().unwrap();
    let stages = stages(&[]);
    let store = memory_store().await.store;
    let line = |number: u64, ts: u64| {
        format!(
            r#"{{"userId":"{}","ts":{ts},"page":"Home","sessionId":{number},"itemInSession":1,"level":"paid"}}"#,
            number % 7
        )
    };
    let write = |name: &str, ts: u64| {
        let lines: Vec<_> = (0..400).map(|number| line(number, ts + number)).collect();
        let path = folder.path().join(name);
        std::fs::write(&path, lines.join("\n")).unwrap();
        path
    };
    let (first, second) = (write("a.jsonl", 1_000_000), write("b.jsonl", 2_000_000));
    ingest_all(&stages, &store, &[&first, &second], "run")
        .await
        .unwrap();
    assert_eq!(store.count(table::FACT, Scan::all()).await.unwrap(), 400);
    let watched = Watched::new(&store);
    let as_store: Arc<dyn Store> = watched.clone();
    let options = VerifyOptions {
        depth: Depth::Sample(400),
        ..VerifyOptions::default()
    };
    let control = Control::default();
    let report = verify(&stages, &as_store, &options, &control)
        .await
        .unwrap();
    assert!(report.is_proved(), "{report:?}");
    let scans = watched.seen().scans[table::FACT];
    assert!(scans < 10, "{scans} scans");

    // Of what is gone, as many are listed as there may be, and all are counted.
    let mut batch = MutationBatch::new();
    for row in store.rows(table::FACT, Scan::all()).await.unwrap() {
        let mut gone = batch.row(row.key());
        gone.delete_row();
        gone.finish();
    }
    store.apply_all(table::FACT, batch).await.unwrap();
    let report = verify(&stages, &as_store, &options, &control)
        .await
        .unwrap();
    let of_facts = report
        .differences
        .iter()
        .filter(|it| it.table == table::FACT);
    assert_eq!(of_facts.count(), 100);
    assert_eq!(report.more, 700, "of each file all are missing");
}

/// A letter whose cells are not those of its key would lead jobs astray that go by keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_under_another_key_is_none() {
    let fixture = Fixture::new(200).await;
    let (keys, _) = fixture.letters().await;
    let key = keys.first().unwrap();
    let row = fixture
        .store
        .row(table::DEAD_LETTERS, key.as_bytes())
        .await
        .unwrap()
        .unwrap();
    let mut batch = MutationBatch::new();
    restore(&mut batch, format!("x{key}").as_bytes(), Some(&row));
    fixture
        .store
        .apply_all(table::DEAD_LETTERS, batch)
        .await
        .unwrap();
    assert_eq!(fixture.letters().await, (keys, 1));
}
