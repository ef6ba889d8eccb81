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
    groups: Groups,
    view: View,
}

/// One row of the table, as a scan meets it.
pub(crate) struct Visited {
    pub(crate) key: Bytes,
    /// None if the row has no cell that the scan shows.
    pub(crate) row: Option<Row>,
}

/// The entries of one range, row by row.
struct Groups {
    entries: Iter,
    reverse: bool,
    /// The first entry of the next row.
    ahead: Option<Entry>,
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

impl Groups {
    fn new(keyspace: &Keyspace, range: &KeyRange, reverse: bool) -> Self {
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

    /// All entries of the next row; none at the end.
    fn next(&mut self) -> Result<Group> {
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
}

impl Rows {
    pub(crate) fn new(keyspace: &Keyspace, range: &KeyRange, reverse: bool, view: View) -> Self {
        let groups = Groups::new(keyspace, range, reverse);
        Self { groups, view }
    }

    /// The next row that the range holds, shown or not; none at its end.
    pub(crate) fn next(&mut self) -> Result<Option<Visited>> {
        let group = self.groups.next()?;
        let Some(first) = group.first() else {
            return Ok(None);
        };
        let key = row_key(&first.key);
        let row = self.row(group).map_err(|_| corrupt(&key))?;
        Ok(Some(Visited { key, row }))
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
        let cells = cells(&key, &mut group)?;
        // A key of its own: a slice would keep the whole block that it was read with, of which little may be shown.
        let key = Bytes::copy_from_slice(&key);
        Ok(RowBuilder::build(key, self.view.select(cells.iter())))
    }
}

/// The cells that the entries of a row amount to.
fn cells(key: &[u8], group: &mut Group) -> std::result::Result<RowCells, InvalidMutation> {
    group.sort_unstable_by_key(|entry| entry.sequence);
    let mut cells = RowCells::default();
    for entry in group {
        cells.apply(RowMutation::from_bytes(key, &entry.ops)?);
    }
    Ok(cells)
}

/// The keys of all entries of a row, if nothing is left of it after one more mutation: then they can go, and it need not be written.
pub(crate) fn emptied_by(
    keyspace: &Keyspace,
    mutation: RowMutation<'_>,
) -> Result<Option<Vec<Bytes>>> {
    let range = KeyRange::single(mutation.key().to_vec());
    let mut group = Groups::new(keyspace, &range, false).next()?;
    let mut cells = cells(mutation.key(), &mut group).map_err(|_| corrupt(mutation.key()))?;
    cells.apply(mutation);
    let is_empty = cells.iter().next().is_none();
    Ok(is_empty.then(|| group.into_iter().map(|entry| entry.key).collect()))
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
