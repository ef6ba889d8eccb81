//! The embedded store passes the suite, through the journal and in sorted runs, and survives what it must.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod folder;
mod persistence;

mod journal {
    use rowmill_store::conformance::Fixture;

    fn open() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        Fixture::new(rowmill_embedded::EmbeddedStore::open_or_create(folder.path()).unwrap())
            .keeping(folder)
    }

    rowmill_store::conformance_tests!(open());
}

/// The same with every batch written as a sorted run.
mod sorted_runs {
    use std::sync::Arc;

    use rowmill_embedded::EmbeddedStore;
    use rowmill_store::SystemClock;
    use rowmill_store::conformance::Fixture;

    fn open() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        Fixture::new(
            EmbeddedStore::open_or_create_with(folder.path(), 1, Arc::new(SystemClock)).unwrap(),
        )
        .keeping(folder)
    }

    rowmill_store::conformance_tests!(open());
}
