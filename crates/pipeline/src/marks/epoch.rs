//! The epoch: a count of the aggregations that have begun, in a row of `pipeline_state` of its own.

use std::collections::BTreeSet;

use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::AGGREGATE_EPOCH_KEY;
use rowmill_store::{Store, StoreExt as _};

use crate::error::Error;

/// The aggregations that began last: each is a cell, named by a number and the process.
///
/// A new epoch's number is larger than all that its process read, and takes the place of exactly these. So no two epochs are equal, two
/// that begin at once both stay, and the largest number never becomes smaller, although nothing is written on a condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    cells: BTreeSet<Vec<u8>>,
}

impl Epoch {
    /// The number of digits, so that names are in the order of their numbers.
    const DIGITS: usize = 20;

    /// The current one.
    pub(crate) async fn read(store: &dyn Store) -> Result<Self, Error> {
        let row = store.row(table::STATE, AGGREGATE_EPOCH_KEY).await?;
        Ok(row.as_ref().map(Self::of_row).unwrap_or_default())
    }

    /// That of a row which was read.
    pub(super) fn of_row(row: &Row) -> Self {
        let cells = row.cells().map(|cell| cell.qualifier.to_vec());
        Self {
            cells: cells.collect(),
        }
    }

    /// Begins a new one, after the marks were read and before any event is.
    pub(super) async fn begin(store: &dyn Store, process: &str) -> Result<Self, Error> {
        let before = Self::read(store).await?;
        let number = before.number() + 1;
        let name = format!("{number:0width$} {process}", width = Self::DIGITS).into_bytes();
        let mut batch = MutationBatch::new();
        let mut row = batch.row(AGGREGATE_EPOCH_KEY);
        for cell in &before.cells {
            row.delete_column(family::STATE, cell);
        }
        row.set(family::STATE, &name, 0, b"");
        row.finish();
        store.apply_all(table::STATE, batch).await?;
        Ok(Self {
            cells: BTreeSet::from([name]),
        })
    }

    /// The number of aggregations that began; none of a store that was emptied.
    pub(super) fn number(&self) -> u64 {
        let last = self.cells.last();
        let digits = last.and_then(|cell| cell.get(..Self::DIGITS));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        digits.map_or(0, |digits| digits.parse().unwrap_or(0))
    }

    /// Fails if the store has forgotten that this one began.
    pub(crate) async fn check(&self, store: &dyn Store) -> Result<(), Error> {
        Self::read(store).await?.check_after(self)
    }

    /// Fails if this one was there before the other, which was read before.
    pub(super) fn check_after(&self, earlier: &Self) -> Result<(), Error> {
        if self.number() < earlier.number() {
            return Err(Error::forgot("the count of aggregations"));
        }
        Ok(())
    }
}
