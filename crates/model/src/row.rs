//! What is read from a table: a row's key and its cells, in one buffer each.

use std::fmt;

use bytes::Bytes;

use crate::mutation::{InvalidMutation, Mutation, MutationBatch, Mutations};

/// A row: its key and its cells, ordered by family, qualifier, and newest first.
///
/// The cells are the bytes of the mutation that would write them, so a store can hand out what it keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    key: Bytes,
    cells: Bytes,
}

impl Row {
    /// A row of bytes that a store kept. Fails if they are not the cells of a row, in a row's order.
    pub fn from_bytes(key: Bytes, cells: Bytes) -> Result<Self, InvalidMutation> {
        Self::from_bytes_if(key, cells, |_, _| true)?.ok_or(InvalidMutation)
    }

    /// The same, if every one of its cells is wanted, each of which is asked for with the one before it; none if any is not.
    pub fn from_bytes_if(
        key: Bytes,
        cells: Bytes,
        mut is_wanted: impl for<'c> FnMut(Option<&Cell<'c>>, &Cell<'c>) -> bool,
    ) -> Result<Option<Self>, InvalidMutation> {
        let mut mutations = Mutations::new(&cells);
        let mut previous: Option<Cell<'_>> = None;
        let mut all = true;
        for mutation in mutations.by_ref() {
            let cell = Cell::of(mutation).ok_or(InvalidMutation)?;
            if previous.is_some_and(|previous| !previous.sorts_before(&cell)) {
                return Err(InvalidMutation);
            }
            all = all && is_wanted(previous.as_ref(), &cell);
            previous = Some(cell);
        }
        if mutations.is_broken() {
            return Err(InvalidMutation);
        }
        Ok(all.then_some(Self { key, cells }))
    }

    /// The row key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// How many bytes its key and its cells take.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.cells.len()
    }

    /// The cells in order.
    pub fn cells(&self) -> Cells<'_> {
        Cells(Mutations::new(&self.cells))
    }

    /// The newest value of one column.
    pub fn value(&self, family: &str, qualifier: &[u8]) -> Option<&[u8]> {
        self.cells()
            .find(|cell| cell.family == family && cell.qualifier == qualifier)
            .map(|cell| cell.value)
    }

    /// The newest value of one column as [`Bytes`]. A long value is not copied, but shares the memory of the row.
    pub fn value_bytes(&self, family: &str, qualifier: &[u8]) -> Option<Bytes> {
        const COPIED_BYTES_MAX: usize = 64 << 10;
        let value = self.value(family, qualifier)?;
        Some(if value.len() > COPIED_BYTES_MAX {
            self.cells.slice_ref(value)
        } else {
            Bytes::copy_from_slice(value)
        })
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", String::from_utf8_lossy(&self.key))?;
        f.debug_list().entries(self.cells()).finish()
    }
}

/// One cell of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The cell's family.
    pub family: &'a str,
    /// The cell's column within the family.
    pub qualifier: &'a [u8],
    /// The cell's version, in microseconds.
    pub timestamp_micros: i64,
    /// What it holds.
    pub value: &'a [u8],
}

impl<'a> Cell<'a> {
    fn of(mutation: Mutation<'a>) -> Option<Self> {
        match mutation {
            Mutation::Set {
                family,
                qualifier,
                timestamp_micros,
                value,
            } => Some(Self {
                family,
                qualifier,
                timestamp_micros,
                value,
            }),
            _ => None,
        }
    }

    fn sorts_before(&self, other: &Self) -> bool {
        // Most often they are of one family, named once.
        if std::ptr::eq(self.family, other.family) && self.qualifier < other.qualifier {
            return true;
        }
        (self.family, self.qualifier, other.timestamp_micros)
            < (other.family, other.qualifier, self.timestamp_micros)
    }
}

impl fmt::Debug for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy;
        write!(
            f,
            "{}:{}@{}={:?}",
            self.family,
            text(self.qualifier),
            self.timestamp_micros,
            text(self.value)
        )
    }
}

/// The cells of a row, in order.
#[derive(Debug, Clone)]
pub struct Cells<'a>(Mutations<'a>);

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    fn next(&mut self) -> Option<Cell<'a>> {
        self.0.next().and_then(Cell::of)
    }
}

/// Builds a row from cells that come in order.
#[derive(Debug)]
pub struct RowBuilder {
    key: Bytes,
    batch: MutationBatch,
}

impl RowBuilder {
    /// The row of `key` with `cells`, which must come ordered by family, qualifier, and newest first; none without cells.
    pub fn build<'a>(
        key: impl Into<Bytes>,
        cells: impl IntoIterator<Item = Cell<'a>>,
    ) -> Option<Row> {
        let mut builder = Self {
            key: key.into(),
            batch: MutationBatch::new(),
        };
        let mut writer = builder.batch.row(&[]);
        let mut previous: Option<Cell<'_>> = None;
        for cell in cells {
            debug_assert!(
                previous.is_none_or(|previous| previous.sorts_before(&cell)),
                "cells come in order"
            );
            writer.set(
                cell.family,
                cell.qualifier,
                cell.timestamp_micros,
                cell.value,
            );
            previous = Some(cell);
        }
        previous?;
        writer.finish();
        let cells = Bytes::copy_from_slice(builder.batch.get(0).ops());
        Some(Row {
            key: builder.key,
            cells,
        })
    }
}
