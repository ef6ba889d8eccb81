//! Marks: which hours await aggregation, and because of what.
//!
//! Each mark is a cell of its own in the row of its hour, named by what made it and never used again. So whoever aggregates clears
//! exactly the marks that it saw before it read, and one that is made meanwhile stays.

use std::collections::{BTreeMap, BTreeSet};

use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, table};
use rowmill_rowkey::{Hour, PendingKey};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::error::Error;

/// The marks of each hour.
pub(crate) type Marks = BTreeMap<Hour, BTreeSet<Vec<u8>>>;

/// Marks hours as awaiting aggregation. `name` must be the mark's own.
pub(crate) async fn mark(
    store: &dyn Store,
    name: &str,
    hours: &BTreeSet<Hour>,
) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    for hour in hours {
        let mut row = batch.row(&PendingKey(*hour).encode());
        row.set(family::STATE, name.as_bytes(), 0, b"");
        row.finish();
    }
    store.apply_all(table::STATE, batch).await?;
    Ok(())
}

/// All marks there are.
pub(crate) async fn marks(store: &dyn Store) -> Result<Marks, Error> {
    let scan = Scan::range(PendingKey::all());
    let mut marks = Marks::new();
    for row in store.rows(table::STATE, scan).await? {
        let key = PendingKey::decode(row.key()).map_err(|error| Error::Row(error.to_string()))?;
        let names = row.cells().map(|cell| cell.qualifier.to_vec());
        marks.insert(key.0, names.collect());
    }
    Ok(marks)
}

/// Clears these marks, and no others.
pub(crate) async fn clear<'a>(
    store: &dyn Store,
    marks: impl IntoIterator<Item = (&'a Hour, &'a BTreeSet<Vec<u8>>)>,
) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    for (hour, names) in marks {
        let mut row = batch.row(&PendingKey(*hour).encode());
        for name in names {
            row.delete_column(family::STATE, name);
        }
        row.finish();
    }
    store.apply_all(table::STATE, batch).await?;
    Ok(())
}
