//! The memory store and every wrapper pass the suite; ranges are joined rightly; waiting takes no time.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod chaos;
mod wrappers;

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

        /// What is left of a scan after a row holds exactly the keys beyond it.
        #[test]
        fn the_rest_of_a_scan_lies_beyond_its_last_row(
            ranges in prop::collection::vec(range(), 0..4),
            last in prop::collection::vec(0_u8..4, 0..4),
            key in prop::collection::vec(0_u8..4, 0..4),
            reverse in any::<bool>(),
        ) {
            let scan = Scan { reverse, ..Scan::ranges(ranges).with_limit(5) };
            let holds = |scan: &Scan| scan.ranges.iter().any(|range| !range.is_empty() && range.contains(&key));
            let beyond = if reverse { key < last } else { key > last };
            let rest = scan.rest(&last, 2);
            prop_assert_eq!(holds(&rest), holds(&scan) && beyond);
            prop_assert_eq!(rest.limit, Some(3));
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
