use proptest::prelude::*;
use rowmill_model::{MutationBatch, Row};
use rowmill_store::{Admin as _, MemoryStore, Scan, StoreExt as _, TableSchema};

use super::{SliceLimit, Slices};

async fn filled(rows: &[(u8, usize)]) -> MemoryStore {
    let store = MemoryStore::new();
    let schema = TableSchema::new("t", ["f"]);
    store.create_table(&schema).await.expect("makes the table");
    let mut batch = MutationBatch::new();
    for (key, length) in rows {
        let mut row = batch.row(&[*key]);
        row.set("f", b"q", 0, &vec![0; *length]);
        row.finish();
    }
    store.apply_all("t", batch).await.expect("writes");
    store
}

proptest! {
    /// Slices give the rows of the scan, each once and in order, also when every row that was read is deleted before the next slice; and
    /// none is larger than it may be.
    #[test]
    fn slices_are_the_scan(
        rows in prop::collection::vec((any::<u8>(), 0_usize..50), 0..60),
        limit in (1_u64..8, 1_usize..200),
        scan_limit in prop::option::of(0_u64..40),
        deletes in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
        runtime.block_on(async {
            let store = filled(&rows).await;
            let scan = Scan { limit: scan_limit, ..Scan::all() };
            let expected = store.rows("t", scan.clone()).await.expect("reads");
            let limit = SliceLimit { rows: limit.0, bytes: limit.1 };
            let mut slices = Slices::new("t", scan, limit);
            let mut found = Vec::new();
            while let Some(slice) = slices.next(&store).await.expect("reads") {
                assert!(slice.len() as u64 <= limit.rows);
                let before_last: usize = slice[..slice.len() - 1].iter().map(Row::bytes).sum();
                assert!(before_last < limit.bytes);
                let mut batch = MutationBatch::new();
                for row in slice.iter().filter(|_| deletes) {
                    let mut deleted = batch.row(row.key());
                    deleted.delete_row();
                    deleted.finish();
                }
                store.apply_all("t", batch).await.expect("deletes");
                found.extend(slice);
            }
            assert_eq!(found, expected);
        });
    }
}
