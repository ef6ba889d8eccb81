//! From cell chunks to rows: the state machine of the `ReadRows` protocol.
//!
//! A row comes as chunks, over any number of messages. A chunk names its row, family and qualifier only where they differ from
//! the chunk before; a value may be split over several; a row counts when it is committed, and what came of it before a reset
//! does not. Keys come in one direction, across all attempts of a read. Anything else is an error, never a row.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::ReadRowsResponse;
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::read_rows_response::CellChunk;
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::read_rows_response::cell_chunk::RowStatus;

use crate::row::{Cell, Row};

/// Assembles the rows of one read.
#[derive(Debug)]
pub(crate) struct Assembler {
    reversed: bool,
    /// The last key that was committed, or said to be scanned.
    last_key: Option<Bytes>,
    row: Option<Row>,
    column: Option<Column>,
    /// A cell whose value is not complete.
    split: Option<Split>,
    /// Families that were seen, so that their cells share a name.
    families: Vec<Arc<str>>,
}

/// What a chunk that names no column belongs to.
#[derive(Debug)]
struct Column {
    family: Arc<str>,
    qualifier: Bytes,
}

#[derive(Debug)]
struct Split {
    timestamp_micros: i64,
    labels: Vec<String>,
    value: BytesMut,
}

/// A stream that is not what the protocol says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server broke the ReadRows protocol: {problem}")]
pub(crate) struct ProtocolError {
    problem: String,
}

fn broken<T>(problem: impl Into<String>) -> Result<T, ProtocolError> {
    Err(ProtocolError {
        problem: problem.into(),
    })
}

impl Assembler {
    pub(crate) fn new(reversed: bool) -> Self {
        Self {
            reversed,
            last_key: None,
            row: None,
            column: None,
            split: None,
            families: Vec::new(),
        }
    }

    /// The last key that need not be read again.
    pub(crate) fn last_key(&self) -> Option<&Bytes> {
        self.last_key.as_ref()
    }

    /// Takes a message, and appends the rows that it completes.
    pub(crate) fn take(
        &mut self,
        message: ReadRowsResponse,
        rows: &mut Vec<Row>,
    ) -> Result<(), ProtocolError> {
        for chunk in message.chunks {
            if let Some(row) = self.chunk(chunk)? {
                rows.push(row);
            }
        }
        if message.last_scanned_row_key.is_empty() {
            return Ok(());
        }
        if self.row.is_some() {
            return broken("a scanned key within a row");
        }
        self.skip(message.last_scanned_row_key)
    }

    /// Passes over a key that has no row to show.
    pub(crate) fn skip(&mut self, key: Bytes) -> Result<(), ProtocolError> {
        self.check_order(&key)?;
        self.last_key = Some(key);
        Ok(())
    }

    /// The stream ended: no row may be open.
    pub(crate) fn finish(&self) -> Result<(), ProtocolError> {
        match &self.row {
            None => Ok(()),
            Some(row) => broken(format!(
                "the stream ended within the row {:?}",
                String::from_utf8_lossy(&row.key)
            )),
        }
    }

    /// Forgets a row that was cut off with its stream; the next attempt begins with it.
    pub(crate) fn restart(&mut self) {
        self.row = None;
        self.column = None;
        self.split = None;
    }

    fn chunk(&mut self, chunk: CellChunk) -> Result<Option<Row>, ProtocolError> {
        if let Some(RowStatus::ResetRow(true)) = chunk.row_status {
            self.reset(&chunk)?;
            return Ok(None);
        }
        let commits = chunk.row_status == Some(RowStatus::CommitRow(true));
        if self.split.is_some() {
            self.continue_cell(&chunk, commits)?;
        } else {
            self.begin_cell(chunk, commits)?;
        }
        if commits { Ok(self.commit()) } else { Ok(None) }
    }

    fn reset(&mut self, chunk: &CellChunk) -> Result<(), ProtocolError> {
        if self.row.is_none() {
            return broken("a reset outside a row");
        }
        let is_bare = chunk.row_key.is_empty()
            && chunk.family_name.is_none()
            && chunk.qualifier.is_none()
            && chunk.timestamp_micros == 0
            && chunk.labels.is_empty()
            && chunk.value.is_empty();
        if !is_bare {
            return broken("a reset with a cell");
        }
        self.restart();
        Ok(())
    }

    /// A chunk that begins a cell, and perhaps a row.
    fn begin_cell(&mut self, chunk: CellChunk, commits: bool) -> Result<(), ProtocolError> {
        self.enter_row(&chunk)?;
        self.enter_column(chunk.family_name, chunk.qualifier)?;
        if chunk.value_size > 0 {
            if commits {
                return broken("a commit within a cell");
            }
            // The announced size is the server's word; memory is taken for what really comes.
            self.split = Some(Split {
                timestamp_micros: chunk.timestamp_micros,
                labels: chunk.labels,
                value: BytesMut::from(&chunk.value[..]),
            });
            return Ok(());
        }
        self.push_cell(chunk.timestamp_micros, chunk.labels, chunk.value)
    }

    /// A chunk with more of a cell's value, perhaps the last of it.
    fn continue_cell(&mut self, chunk: &CellChunk, commits: bool) -> Result<(), ProtocolError> {
        let is_bare = chunk.row_key.is_empty()
            && chunk.family_name.is_none()
            && chunk.qualifier.is_none()
            && chunk.timestamp_micros == 0
            && chunk.labels.is_empty();
        if !is_bare {
            return broken("a new cell within a split value");
        }
        let split = self.split.as_mut().expect("the caller saw it");
        split.value.extend_from_slice(&chunk.value);
        if chunk.value_size > 0 {
            return if commits {
                broken("a commit within a cell")
            } else {
                Ok(())
            };
        }
        let Split {
            timestamp_micros,
            labels,
            value,
        } = self.split.take().expect("it was there a moment ago");
        self.push_cell(timestamp_micros, labels, value.freeze())
    }

    fn enter_row(&mut self, chunk: &CellChunk) -> Result<(), ProtocolError> {
        match &self.row {
            Some(row) if chunk.row_key.is_empty() || chunk.row_key == row.key => Ok(()),
            Some(row) => broken(format!(
                "the row {:?} was not committed before {:?}",
                String::from_utf8_lossy(&row.key),
                String::from_utf8_lossy(&chunk.row_key)
            )),
            None if chunk.row_key.is_empty() => broken("a new row without a key"),
            None if chunk.family_name.is_none() || chunk.qualifier.is_none() => {
                broken("a new row without a family and a qualifier")
            }
            None => {
                self.check_order(&chunk.row_key)?;
                self.row = Some(Row {
                    key: chunk.row_key.clone(),
                    cells: Vec::new(),
                });
                Ok(())
            }
        }
    }

    fn enter_column(
        &mut self,
        family: Option<String>,
        qualifier: Option<Vec<u8>>,
    ) -> Result<(), ProtocolError> {
        match (family, qualifier, &mut self.column) {
            (Some(_), None, _) => broken("a new family without a qualifier"),
            (Some(family), Some(qualifier), _) => {
                self.column = Some(Column {
                    family: self.shared_name(&family),
                    qualifier: qualifier.into(),
                });
                Ok(())
            }
            (None, Some(qualifier), Some(column)) => {
                column.qualifier = qualifier.into();
                Ok(())
            }
            (None, None, Some(_)) => Ok(()),
            (None, _, None) => broken("a cell without a family"),
        }
    }

    fn shared_name(&mut self, family: &str) -> Arc<str> {
        if let Some(name) = self.families.iter().find(|name| &***name == family) {
            return Arc::clone(name);
        }
        let name: Arc<str> = family.into();
        self.families.push(Arc::clone(&name));
        name
    }

    fn push_cell(
        &mut self,
        timestamp_micros: i64,
        labels: Vec<String>,
        value: Bytes,
    ) -> Result<(), ProtocolError> {
        let (Some(row), Some(column)) = (&mut self.row, &self.column) else {
            return broken("a cell outside a row");
        };
        row.cells.push(Cell {
            family: Arc::clone(&column.family),
            qualifier: column.qualifier.clone(),
            timestamp_micros,
            value,
            labels,
        });
        Ok(())
    }

    fn commit(&mut self) -> Option<Row> {
        let row = self.row.take()?;
        self.column = None;
        self.last_key = Some(row.key.clone());
        Some(row)
    }

    fn check_order(&self, key: &Bytes) -> Result<(), ProtocolError> {
        let Some(last) = &self.last_key else {
            return Ok(());
        };
        let (is_next, order) = if self.reversed {
            (key < last, "decreasing")
        } else {
            (key > last, "increasing")
        };
        if is_next {
            return Ok(());
        }
        broken(format!(
            "row keys must be {order}, and {:?} came after {:?}",
            String::from_utf8_lossy(key),
            String::from_utf8_lossy(last)
        ))
    }
}

#[cfg(test)]
mod tests;
