//! Scans for jobs that write while they read: a slice of rows is read, the scan is closed, and what follows from the slice is written
//! before the next one is read.
//!
//! A scan that stays open while its job writes holds back old versions of what is written, and in Bigtable it is a stream that times out.

use std::fmt;

use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use rowmill_model::Row;
use rowmill_store::{Result as StoreResult, Scan, Store};

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
pub(crate) struct Slices {
    table: &'static str,
    /// The rows that are still to be read; none once all are.
    rest: Option<Scan>,
    limit: SliceLimit,
    open: Option<Open>,
}

/// A scan of as many rows as a slice may have. It is over after one slice, unless its rows are so large that they are several.
struct Open {
    rows: BoxStream<'static, StoreResult<Row>>,
    last: Vec<u8>,
    count: u64,
}

impl fmt::Debug for Slices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut slices = f.debug_struct("Slices");
        slices.field("rest", &self.rest).finish_non_exhaustive()
    }
}

impl Slices {
    pub(crate) fn new(table: &'static str, scan: Scan, limit: SliceLimit) -> Self {
        Self {
            table,
            rest: Some(scan),
            limit,
            open: None,
        }
    }

    /// The next rows, at least one; none at the end. No scan is open when this returns, unless the slice ends because of its bytes:
    /// opening a scan of large rows again for each few of them would read as many as there are sorted runs.
    pub(crate) async fn next(&mut self, store: &dyn Store) -> Result<Option<Vec<Row>>, Error> {
        let Some(scan) = &self.rest else {
            return Ok(None);
        };
        let most = scan.limit.unwrap_or(u64::MAX).min(self.limit.rows);
        let mut open = match self.open.take() {
            Some(open) => open,
            None => Open {
                rows: store.scan(self.table, scan.clone().with_limit(most)),
                last: Vec::new(),
                count: 0,
            },
        };
        let (mut slice, mut bytes) = (Vec::new(), 0);
        while open.count < most {
            // Also at the end of the table: a scan that asks for more than there is ends by itself.
            let Some(row) = open.rows.try_next().await? else {
                self.rest = None;
                return Ok(Some(slice).filter(|slice| !slice.is_empty()));
            };
            bytes += row.bytes();
            open.count += 1;
            open.last.clear();
            open.last.extend_from_slice(row.key());
            slice.push(row);
            if bytes >= self.limit.bytes && open.count < most {
                self.open = Some(open);
                return Ok(Some(slice));
            }
        }
        self.rest = (most > 0).then(|| scan.rest(&open.last, open.count));
        Ok(Some(slice).filter(|slice| !slice.is_empty()))
    }
}

#[cfg(test)]
mod tests;
