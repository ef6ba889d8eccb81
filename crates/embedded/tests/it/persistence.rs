//! What was acknowledged outlives the process, also one that is killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rowmill_embedded::EmbeddedStore;
use rowmill_model::MutationBatch;
use rowmill_store::{
    Admin as _, ErrorKind, MemoryStore, Scan, StoreExt as _, SystemClock, TableSchema,
};

fn batch(rows: std::ops::Range<u32>, value: &str) -> MutationBatch {
    let mut batch = MutationBatch::new();
    for row in rows {
        let mut row = batch.row(format!("{row:06}").as_bytes());
        row.set("f", b"q", 0, value.as_bytes());
        row.finish();
    }
    batch
}

async fn open(folder: &Path, bulk_rows: usize) -> EmbeddedStore {
    let store =
        EmbeddedStore::open_or_create_with(folder, bulk_rows, Arc::new(SystemClock)).unwrap();
    if store.tables().await.unwrap().is_empty() {
        store
            .create_table(&TableSchema::new("t", ["f", "g"]))
            .await
            .unwrap();
    }
    store
}

/// Rows written by one opening and changed by the next, through the journal and as sorted runs in turn.
#[tokio::test(flavor = "multi_thread")]
async fn later_openings_win() {
    let folder = tempfile::tempdir().unwrap();
    for (round, bulk_rows) in [1, 1_000, 1, 1_000].into_iter().enumerate() {
        let store = open(folder.path(), bulk_rows).await;
        let mut other = MutationBatch::new();
        let mut row = other.row(b"000001");
        row.set("f", b"q", 0, b"between");
        row.set("g", b"q", 0, round.to_string().as_bytes());
        row.finish();
        store.apply_all("t", batch(0..100, "first")).await.unwrap();
        store.apply_all("t", other).await.unwrap();
        assert_eq!(
            store
                .row("t", b"000001")
                .await
                .unwrap()
                .unwrap()
                .value("f", b"q"),
            Some(&b"between"[..])
        );
        store
            .apply_all("t", batch(0..100, &format!("round {round}")))
            .await
            .unwrap();
        drop(store);
        let store = open(folder.path(), bulk_rows).await;
        let rows = store.rows("t", Scan::all()).await.unwrap();
        assert_eq!(rows.len(), 100);
        assert!(
            rows.iter()
                .all(|row| row.value("f", b"q") == Some(format!("round {round}").as_bytes()))
        );
    }
}

/// Deleting the last of a row takes its entries away, so that a table that rows come to and leave does not grow.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_deleted_row() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1_000).await;
    let deletion = |column: bool| {
        let mut batch = MutationBatch::new();
        let mut row = batch.row(b"000001");
        if column {
            row.delete_column("f", b"q");
        } else {
            row.delete_row();
        }
        row.finish();
        batch
    };
    for column in [true, false] {
        let mut other = batch(1..2, "set");
        let mut row = other.row(b"000001");
        row.set("g", b"q", 0, b"another");
        row.finish();
        store.apply_all("t", other).await.unwrap();
        store.apply_all("t", deletion(column)).await.unwrap();
        // The one column was not all.
        assert_eq!(
            store.count("t", Scan::all()).await.unwrap(),
            u64::from(column)
        );
    }
    // Set and deleted by one batch: the deletion is not the one that finds nothing.
    let mut both = batch(1..2, "set");
    both.append(&deletion(false));
    store.apply_all("t", both).await.unwrap();
    assert_eq!(store.count("t", Scan::all()).await.unwrap(), 0);
    store.apply_all("t", deletion(true)).await.unwrap();
    drop(store);
    let database = fjall::Database::builder(folder.path()).open().unwrap();
    let entries = database.keyspace("table.t", Default::default).unwrap();
    assert_eq!(entries.iter().count(), 0);
}

/// How long a value is that is stored in one entry, in two, and in several.
const LENGTHS: [usize; 4] = [10, 65_500, 70_000, 300_000];

/// What is done to one row: a value of a length set under a cell timestamp, or all of it deleted.
#[derive(Debug, Clone)]
enum Change {
    Set { length: usize, millis: i64 },
    Delete,
}

impl Change {
    fn write(&self, batch: &mut MutationBatch, row: u8, number: usize) {
        let mut row = batch.row(&[b'r', row]);
        match self {
            Self::Set { length, millis } => {
                let value = format!("{number:010}").repeat(length.div_ceil(10));
                row.set("f", b"q", millis * 1_000, &value.as_bytes()[..*length]);
            }
            Self::Delete => row.delete_row(),
        }
        row.finish();
    }
}

fn change() -> impl Strategy<Value = (u8, Change)> {
    let set = (select(&LENGTHS[..]), 0..2_i64)
        .prop_map(|(length, millis)| Change::Set { length, millis });
    (0..3_u8, prop_oneof![4 => set, 1 => Just(Change::Delete)])
}

async fn apply_all(
    stores: (&EmbeddedStore, &MemoryStore),
    changes: &[(u8, Change)],
    number: &mut usize,
) {
    let mut batch = MutationBatch::new();
    for (row, change) in changes {
        *number += 1;
        change.write(&mut batch, *row, *number);
    }
    stores.0.apply_all("t", batch.clone()).await.unwrap();
    stores.1.apply_all("t", batch).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Values that are stored in pieces, overwritten by longer and shorter ones and deleted, in the journal and in sorted runs in turn.
    #[test]
    fn long_values_are_as_in_memory(rounds in vec((vec(change(), 1..4), any::<bool>()), 1..6)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let expected = MemoryStore::new();
            expected.create_table(&TableSchema::new("t", ["f", "g"])).await.unwrap();
            let mut number = 0;
            for (changes, in_runs) in rounds {
                let store = open(folder.path(), if in_runs { 1 } else { 1_000 }).await;
                apply_all((&store, &expected), &changes, &mut number).await;
                for scan in [Scan::all(), Scan::all().reversed()] {
                    let found = store.rows("t", scan.clone()).await.unwrap();
                    assert_eq!(found, expected.rows("t", scan).await.unwrap());
                }
            }
            let report = EmbeddedStore::check(folder.path(), &|| false, &mut |damage| panic!("{damage:?}"));
            assert_eq!(report.unwrap().damaged, 0);
            // Nothing is left of rows that are deleted, nor of the pieces of values that were there before.
            let store = open(folder.path(), 1_000).await;
            let deletions: Vec<_> = (0..3).map(|row| (row, Change::Delete)).collect();
            apply_all((&store, &expected), &deletions, &mut number).await;
            drop(store);
            let database = fjall::Database::builder(folder.path()).open().unwrap();
            let entries = database.keyspace("table.t", Default::default).unwrap();
            assert_eq!(entries.iter().count(), 0);
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path(), 1).await;
    let error = EmbeddedStore::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(
        error.to_string().contains("is open in another process"),
        "{error}"
    );
}

/// The child of the test below, when this variable names its folder.
const CHILD_FOLDER: &str = "ROWMILL_EMBEDDED_TEST_FOLDER";

/// Writes batches without end and prints the number of each that is acknowledged, if started as a child.
#[tokio::test(flavor = "multi_thread")]
async fn child_writes_until_killed() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how a test tells its child process that it is one"
    )]
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
        return;
    };
    let store = open(Path::new(&folder), 100).await;
    for number in 0..u32::MAX {
        // Sorted runs and journal writes in turn.
        let rows = if number % 2 == 0 { 200 } else { 20 };
        store
            .apply_all("t", batch(number * 1_000..number * 1_000 + rows, "v"))
            .await
            .unwrap();
        println!("acknowledged {number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_batches_survive_a_kill() {
    for kill_after in [1, 4, 25] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "persistence::child_writes_until_killed",
                "--nocapture",
            ])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged: Vec<u32> = Vec::new();
        for line in lines {
            let line = line.unwrap();
            if let Some((_, number)) = line.split_once("acknowledged ") {
                acknowledged.push(number.parse().unwrap());
            }
            if acknowledged.len() == kill_after {
                // SIGKILL: the process gets no chance to finish anything.
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        let store = EmbeddedStore::open(folder.path()).unwrap();
        for number in acknowledged {
            let expected = if number % 2 == 0 { 200 } else { 20 };
            let prefix = format!("{number:03}");
            assert_eq!(
                store
                    .count("t", Scan::prefix(prefix.as_bytes()))
                    .await
                    .unwrap(),
                expected,
                "batch {number}"
            );
        }
    }
}
