//! The memory store passes the suite, and ranges are joined rightly.

mod memory {
    use rowmill_store::MemoryStore;
    use rowmill_store::conformance::Fixture;

    rowmill_store::conformance_tests!(Fixture::new(MemoryStore::new()));
}

mod scan {
    use proptest::prelude::*;
    use rowmill_rowkey::KeyRange;
    use rowmill_store::Scan;

    fn range() -> impl Strategy<Value = KeyRange> {
        let key = prop::collection::vec(0_u8..4, 0..3);
        (key.clone(), prop::option::of(key)).prop_map(|(start, end)| KeyRange { start, end })
    }

    proptest! {
        #[test]
        fn joined_ranges_hold_the_same_keys(ranges in prop::collection::vec(range(), 0..6), key in prop::collection::vec(0_u8..4, 0..4)) {
            let joined = Scan::ranges(ranges.clone()).joined_ranges();
            let inside = ranges.iter().any(|range| range.contains(&key));
            prop_assert_eq!(joined.iter().filter(|range| range.contains(&key)).count(), usize::from(inside));
            for pair in joined.windows(2) {
                prop_assert!(pair[0].end.as_ref().unwrap() < &pair[1].start);
            }
        }
    }
}

mod time {
    use std::sync::Arc;

    use rowmill_model::{GcRule, MutationBatch};
    use rowmill_rowkey::Timestamp;
    use rowmill_store::{Admin as _, ManualClock, MemoryStore, Scan, StoreExt as _, TableSchema};

    #[tokio::test]
    async fn cells_expire_as_the_clock_goes_on() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let clock = Arc::new(ManualClock::new(at(100)));
        let store = MemoryStore::with_clock(clock.clone());
        let schema = TableSchema::with_rules("t", [("f", GcRule::age_seconds(60))]);
        store.create_table(&schema).await.unwrap();
        let mut batch = MutationBatch::new();
        let mut row = batch.row(b"k");
        row.set("f", b"q", at(90).micros(), b"v");
        row.finish();
        store.apply_all("t", batch).await.unwrap();
        for (now, rows) in [(100, 1), (150, 1), (151, 0), (149, 1)] {
            clock.set(at(now));
            assert_eq!(
                store.count("t", Scan::all()).await.unwrap(),
                rows,
                "at {now}"
            );
        }
    }
}
