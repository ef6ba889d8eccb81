//! Reading rows: entries of the tree, grouped by row, merged, and filtered.

use bytes::Bytes;
use fjall::{Iter, Keyspace};
use rowmill_model::{InvalidMutation, Row, RowBuilder, RowMutation};
use rowmill_rowkey::KeyRange;
use rowmill_store::{Error, ErrorKind, Result, RowCells, View};
use smallvec::SmallVec;

use crate::entry;
use crate::error;

/// The rows of one range, in key order or against it.
pub(crate) struct Rows {
    entries: Iter,
    reverse: bool,
    /// The first entry of the next row.
    ahead: Option<Entry>,
    view: View,
}

struct Entry {
    key: Bytes,
    sequence: u64,
    ops: Bytes,
}

/// The entries of a row: most often one.
type Group = SmallVec<[Entry; 1]>;

impl Entry {
    fn row(&self) -> &[u8] {
        entry::escaped_row_key(&self.key).expect("checked when it was read")
    }
}

impl Rows {
    pub(crate) fn new(keyspace: &Keyspace, range: &KeyRange, reverse: bool, view: View) -> Self {
        let bound = |key: &[u8]| {
            let mut bound = Vec::with_capacity(key.len());
            entry::push_row_key(&mut bound, key);
            bound
        };
        let start = bound(&range.start);
        let entries = match &range.end {
            Some(end) => keyspace.range(start..bound(end)),
            None => keyspace.range(start..),
        };
        Self {
            entries,
            reverse,
            ahead: None,
            view,
        }
    }

    fn next_entry(&mut self) -> Result<Option<Entry>> {
        let guard = if self.reverse {
            self.entries.next_back()
        } else {
            self.entries.next()
        };
        let Some(guard) = guard else { return Ok(None) };
        let (key, value) = guard
            .into_inner()
            .map_err(|error| error::engine("reading a row", error))?;
        let (key, value) = (Bytes::from(key), Bytes::from(value));
        let parts = entry::escaped_row_key(&key).and(entry::split_value(&value));
        let (sequence, ops) = parts.ok_or_else(|| corrupt(&key))?;
        Ok(Some(Entry { key, sequence, ops }))
    }

    /// All entries of the next row.
    fn next_group(&mut self) -> Result<Group> {
        let first = match self.ahead.take() {
            Some(entry) => Some(entry),
            None => self.next_entry()?,
        };
        let mut group: Group = first.into_iter().collect();
        if group.is_empty() {
            return Ok(group);
        }
        while let Some(entry) = self.next_entry()? {
            if entry.row() != group[0].row() {
                self.ahead = Some(entry);
                break;
            }
            group.push(entry);
        }
        Ok(group)
    }

    /// The row of a group; none if it has no cells to show.
    fn row(&self, mut group: Group) -> std::result::Result<Option<Row>, InvalidMutation> {
        let key = row_key(&group[0].key);
        // One entry that only sets cells is the row as it stands, unless something of it is hidden.
        if group.len() == 1
            && let Ok(Some(row)) = self.view.whole(key.clone(), group[0].ops.clone())
        {
            return Ok(Some(row));
        }
        group.sort_unstable_by_key(|entry| entry.sequence);
        let mut cells = RowCells::default();
        for entry in &group {
            cells.apply(RowMutation::from_bytes(&key, &entry.ops)?);
        }
        Ok(RowBuilder::build(key, self.view.select(cells.iter())))
    }
}

/// The row key of an entry's key: a slice of it, unless it was escaped.
fn row_key(key: &Bytes) -> Bytes {
    let escaped = entry::escaped_row_key(key).expect("checked when it was read");
    if escaped.contains(&0) {
        entry::unescape(escaped).into()
    } else {
        key.slice(..escaped.len())
    }
}

fn corrupt(key: &[u8]) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "the entry {:?} cannot be read",
            String::from_utf8_lossy(key)
        ),
    )
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        loop {
            let group = match self.next_group() {
                Ok(group) if group.is_empty() => return None,
                Ok(group) => group,
                Err(error) => return Some(Err(error)),
            };
            let key = group[0].key.clone();
            match self.row(group) {
                Ok(Some(row)) => return Some(Ok(row)),
                Ok(None) => {}
                Err(InvalidMutation) => return Some(Err(corrupt(&key))),
            }
        }
    }
}
