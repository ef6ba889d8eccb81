//! Scans for jobs that write while they read: a slice of rows is read, the scan is closed, and what follows from the slice is written
//! before the next one is read.
//!
//! A scan that stays open while its job writes would hold back every old version of what is written, as memory in the embedded store
//! and as a stream that times out in Bigtable.

use futures::TryStreamExt as _;
use rowmill_model::Row;
use rowmill_store::{Scan, Store};

use crate::error::Error;

/// How much a slice may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SliceLimit {
    pub(crate) rows: u64,
    /// Keys and values; the last row may go beyond.
    pub(crate) bytes: usize,
}

impl SliceLimit {
    /// The limit of jobs over dead letters and facts.
    pub(crate) const DEFAULT: Self = Self {
        rows: 2_000,
        bytes: 4 << 20,
    };
}

/// Reads a scan slice by slice.
#[derive(Debug)]
pub(crate) struct Slices {
    table: &'static str,
    /// The rows that are still to be read; none at the end.
    rest: Option<Scan>,
    limit: SliceLimit,
}

impl Slices {
    pub(crate) fn new(table: &'static str, scan: Scan, limit: SliceLimit) -> Self {
        Self {
            table,
            rest: Some(scan),
            limit,
        }
    }

    /// The next rows, at least one; none at the end. No scan is open when this returns.
    pub(crate) async fn next(&mut self, store: &dyn Store) -> Result<Option<Vec<Row>>, Error> {
        let Some(scan) = self.rest.take() else {
            return Ok(None);
        };
        let most = scan.limit.unwrap_or(u64::MAX).min(self.limit.rows);
        let (mut slice, mut bytes) = (Vec::new(), 0);
        let mut rows = store.scan(self.table, scan.clone().with_limit(most));
        let mut is_over = most == 0;
        while !is_over && (slice.len() as u64) < most && bytes < self.limit.bytes {
            match rows.try_next().await? {
                Some(row) => {
                    bytes += row_bytes(&row);
                    slice.push(row);
                }
                None => is_over = true,
            }
        }
        if let Some(last) = slice.last().filter(|_| !is_over) {
            self.rest = Some(scan.rest(last.key(), slice.len() as u64));
        }
        Ok(Some(slice).filter(|slice| !slice.is_empty()))
    }
}

/// How many bytes a row's key, qualifiers and values take.
fn row_bytes(row: &Row) -> usize {
    let cells = row.cells();
    let cells = cells.map(|cell| cell.qualifier.len() + cell.value.len());
    row.key().len() + cells.sum::<usize>()
}

#[cfg(test)]
mod tests;
