//! The suite that every store passes, to be run by whoever writes one.
//!
//! ```text
//! // tests/it/main.rs of a store
//! rowmill_store::conformance_tests!(fixture());
//!
//! fn fixture() -> rowmill_store::conformance::Fixture {
//!     Fixture::new(MyStore::open_somewhere_fresh())
//! }
//! ```
//!
//! Each case stands once, in [`cases`], [`open_scans`], [`tables`] or [`random`], and becomes one `#[test]` in each store's own tests. A case that
//! needs what not every store does asks its [`Capability`](crate::Capability), never its name.

pub mod cases;
pub mod open_scans;
pub mod random;
pub mod tables;

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use rowmill_model::{MutationBatch, Row};

use crate::admin::{Admin, TableSchema};
use crate::error::Result;
use crate::scan::Scan;
use crate::store::{Store, StoreExt as _};

/// A fresh, empty store, and whatever must live as long as it does.
#[derive(Debug)]
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its tables.
    pub admin: Arc<dyn Admin>,
    _keep: Option<Box<dyn Any + Send>>,
}

/// The table that cases use, with the families [`FAMILIES`], which keep everything.
pub const TABLE: &str = "things";
/// The families of [`TABLE`].
pub const FAMILIES: [&str; 2] = ["a", "b"];

impl Fixture {
    /// The fixture of a store that is its own admin.
    pub fn new<S: Store + Admin>(store: S) -> Self {
        let store = Arc::new(store);
        Self {
            store: store.clone(),
            admin: store,
            _keep: None,
        }
    }

    /// The fixture of a store whose tables `admin` manages.
    pub fn of(store: Arc<dyn Store>, admin: Arc<dyn Admin>) -> Self {
        Self {
            store,
            admin,
            _keep: None,
        }
    }

    /// The same fixture, keeping `thing` for as long.
    pub fn keeping(self, thing: impl Any + Send) -> Self {
        Self {
            _keep: Some(Box::new(thing)),
            ..self
        }
    }

    pub(crate) async fn create_table(&self) {
        self.admin
            .create_table(&TableSchema::new(TABLE, FAMILIES))
            .await
            .expect("creates the table");
    }

    /// Sets single cells: key, family, qualifier, timestamp, value.
    pub(crate) async fn set(&self, cells: &[(&str, &str, &str, i64, &str)]) {
        let mut batch = MutationBatch::new();
        for (key, family, qualifier, timestamp, value) in cells {
            let mut row = batch.row(key.as_bytes());
            row.set(family, qualifier.as_bytes(), *timestamp, value.as_bytes());
            row.finish();
        }
        self.store
            .apply_all(TABLE, batch)
            .await
            .expect("applies the batch");
    }

    pub(crate) async fn rows(&self, scan: Scan) -> Vec<Row> {
        self.store.rows(TABLE, scan).await.expect("scans")
    }

    /// Rows as `key family:qualifier@timestamp=value …`.
    pub(crate) async fn check(&self, scan: Scan, expected: &[&str]) {
        let rows = self.rows(scan.clone()).await;
        let shown: Vec<_> = rows.iter().map(show).collect();
        assert_eq!(shown, expected, "{scan:?}");
    }
}

fn show(row: &Row) -> String {
    let text = String::from_utf8_lossy;
    let mut shown = text(row.key()).into_owned();
    for cell in row.cells() {
        let (qualifier, value) = (text(cell.qualifier), text(cell.value));
        shown += &format!(
            " {}:{qualifier}@{}={value}",
            cell.family, cell.timestamp_micros
        );
    }
    shown
}

/// Runs one case to its end, if there is a store to run it on: with one thread that may block, so that no store can need a second one.
pub fn run<F: Future<Output = ()>>(
    open: impl Future<Output = Option<Fixture>>,
    case: impl FnOnce(Fixture) -> F,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .expect("starts a runtime");
    runtime.block_on(async {
        if let Some(fixture) = open.await {
            case(fixture).await;
        }
    });
}

/// The outcome of one row that is expected to fail.
pub(crate) async fn outcome(fixture: &Fixture, batch: MutationBatch) -> Vec<Result<()>> {
    fixture
        .store
        .apply(TABLE, Arc::new(batch))
        .await
        .expect("applies the batch")
}

/// A `#[test]` for each case of the suite, on the store that the expression opens: a [`Fixture`]; or, after `async`, a future
/// of one, which may find that there is none and say so.
#[macro_export]
macro_rules! conformance_tests {
    (async $open:expr) => {
        $crate::conformance_tests!(@all $open);
    };
    ($open:expr) => {
        $crate::conformance_tests!(@all async { Some($open) });
    };
    (@all $open:expr) => {
        $crate::conformance_tests!(@cases $open;
            cases::rows_come_in_key_order,
            cases::cells_come_in_order_with_the_newest_first,
            cases::the_same_cell_is_overwritten,
            cases::versions_live_side_by_side,
            cases::any_bytes_are_keys_qualifiers_and_values,
            cases::ranges_and_prefixes_select_rows,
            cases::overlapping_ranges_show_a_row_once,
            cases::families_qualifiers_and_times_filter_cells,
            cases::only_the_newest_cells_of_a_column,
            cases::limit_and_reverse,
            cases::long_scans_cross_pages,
            cases::keys_only_is_one_cell_without_a_value,
            cases::split_keys_lose_and_repeat_nothing,
            cases::deletes,
            cases::a_mutation_applies_in_its_own_order,
            cases::outcomes_come_in_order_and_good_rows_are_kept,
            cases::bad_timestamps_are_refused,
            cases::limits_are_enforced,
            tables::versions_beyond_the_rule_are_hidden,
            tables::old_cells_are_hidden,
            tables::tables_are_created_listed_and_dropped,
            tables::tables_are_altered,
            tables::unknown_tables_are_not_found,
            cases::concurrent_writes_all_arrive,
            open_scans::many_open_scans_are_read_in_any_order,
            open_scans::a_scan_goes_on_while_rows_are_written,
            random::any_mutations_leave_what_the_model_says,
        );
    };
    (@cases $open:expr; $($module:ident :: $case:ident),* $(,)?) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::run($open, $crate::conformance::$module::$case);
            }
        )*
    };
}
