//! What is read: rows and their cells.

use std::sync::Arc;

use bytes::Bytes;

/// A row as the server sent it: families and columns in its order, the cells of a column newest first.
///
/// Values are slices of the message they came in, which stays in memory as long as one of them does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The row key.
    pub key: Bytes,
    /// The cells.
    pub cells: Vec<Cell>,
}

/// One version of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The column's family.
    pub family: Arc<str>,
    /// The column within the family.
    pub qualifier: Bytes,
    /// The version, in microseconds.
    pub timestamp_micros: i64,
    /// What it holds.
    pub value: Bytes,
    /// What a filter labelled it with.
    pub labels: Vec<String>,
}

impl Row {
    /// The newest value of one column.
    pub fn value(&self, family: &str, qualifier: &[u8]) -> Option<&Bytes> {
        let mut cells = self.cells.iter();
        cells
            .find(|cell| &*cell.family == family && cell.qualifier == qualifier)
            .map(|cell| &cell.value)
    }
}

/// A row as a single call answers with it.
pub(crate) fn of_proto(row: googleapis_tonic_google_bigtable_v2::google::bigtable::v2::Row) -> Row {
    let mut cells = Vec::new();
    for family in row.families {
        let name: Arc<str> = family.name.into();
        for column in family.columns {
            cells.extend(column.cells.into_iter().map(|cell| Cell {
                family: Arc::clone(&name),
                qualifier: column.qualifier.clone(),
                timestamp_micros: cell.timestamp_micros,
                value: cell.value,
                labels: cell.labels,
            }));
        }
    }
    Row {
        key: row.key,
        cells,
    }
}
