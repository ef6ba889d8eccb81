//! Reading rows: entries of the tree, grouped by row, merged, and filtered.

use bytes::{Bytes, BytesMut};
use fjall::{Iter, Keyspace};
use rowmill_model::{InvalidMutation, Mutation, Row, RowBuilder, RowMutation};
use rowmill_rowkey::KeyRange;
use rowmill_store::{Error, ErrorKind, Result, RowCells, View};
use smallvec::SmallVec;

use crate::entry::{self, Place};
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

/// Memory for the operations of long mutations, which are put together from their pieces. It is used again once the rows are gone that
/// they became: one that is looked at, one that was read ahead, and the next one.
#[derive(Default)]
pub(crate) struct Joined {
    buffers: [BytesMut; 3],
    /// The buffer that was used last.
    latest: usize,
}

impl Joined {
    fn join(&mut self, pieces: &[&Bytes]) -> Bytes {
        self.latest = (self.latest + 1) % self.buffers.len();
        let buffer = &mut self.buffers[self.latest];
        buffer.reserve(pieces.iter().map(|it| it.len()).sum());
        pieces
            .iter()
            .for_each(|piece| buffer.extend_from_slice(piece));
        buffer.split().freeze()
    }
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
    place: Place,
    sequence: u64,
    /// The operations, or the part of them that the entry holds.
    ops: Bytes,
}

/// The entries of a row: most often one.
type Group = SmallVec<[Entry; 1]>;

impl Entry {
    fn row(&self) -> &[u8] {
        &self.key[..self.place.row_bytes]
    }

    fn is_whole(&self) -> bool {
        self.place.number == 0 && entry::pieces(&self.ops).is_none()
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
        let parts = Place::of(&key).zip(entry::split_value(&value));
        let (place, (sequence, ops)) = parts.ok_or_else(|| corrupt(&key))?;
        Ok(Some(Entry {
            key,
            place,
            sequence,
            ops,
        }))
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
    pub(crate) fn next(&mut self, joined: &mut Joined) -> Result<Option<Visited>> {
        let group = self.groups.next()?;
        let Some(first) = group.first() else {
            return Ok(None);
        };
        let key = row_key(first);
        let row = whole(group, joined).and_then(|group| self.row(&key, group));
        let row = row.map_err(|_| corrupt(&key))?;
        Ok(Some(Visited { key, row }))
    }

    /// The row of a group; none if it has no cells to show.
    fn row(
        &self,
        key: &Bytes,
        mut group: Group,
    ) -> std::result::Result<Option<Row>, InvalidMutation> {
        // One entry that only sets cells is the row as it stands, unless something of it is hidden.
        if group.len() == 1
            && let Ok(Some(row)) = self.view.whole(key.clone(), group[0].ops.clone())
        {
            return Ok(Some(row));
        }
        let cells = cells(key, &mut group)?;
        // A key of its own: a slice would keep the whole block that it was read with, of which little may be shown.
        let key = Bytes::copy_from_slice(key);
        Ok(RowBuilder::build(key, self.view.select(cells.iter())))
    }
}

/// The entries of a row with their operations put together, and without pieces that are left over.
fn whole(group: Group, joined: &mut Joined) -> std::result::Result<Group, InvalidMutation> {
    if group.iter().all(Entry::is_whole) {
        return Ok(group);
    }
    let (mut entries, mut pieces): (Group, Group) =
        group.into_iter().partition(|it| it.place.number == 0);
    pieces.sort_unstable_by_key(|it| it.place.number);
    for entry in &mut entries {
        let Some(count) = entry::pieces(&entry.ops) else {
            continue;
        };
        let is_its =
            |it: &&Entry| it.place.shape == entry.place.shape && it.sequence == entry.sequence;
        let its: SmallVec<[&Bytes; 8]> = pieces.iter().filter(is_its).map(|it| &it.ops).collect();
        if its.len() != usize::from(count) {
            return Err(InvalidMutation);
        }
        entry.ops = joined.join(&its);
    }
    if entries.is_empty() {
        return Err(InvalidMutation);
    }
    Ok(entries)
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

/// The keys of all entries of a row, if nothing is left of it after one more mutation, which sets nothing: then they can go, and it need not
/// be written.
pub(crate) fn emptied_by(
    keyspace: &Keyspace,
    mutation: RowMutation<'_>,
) -> Result<Option<Vec<Bytes>>> {
    let range = KeyRange::single(mutation.key().to_vec());
    let group = Groups::new(keyspace, &range, false).next()?;
    if group.is_empty() {
        return Ok(Some(Vec::new()));
    }
    // Keys of their own: a slice would keep the whole block that it was read with.
    let keys = group.iter().map(|entry| Bytes::copy_from_slice(&entry.key));
    let keys = keys.collect();
    // Whatever is in the row, it need not be put together.
    if mutation.mutations().any(|it| it == Mutation::DeleteRow) {
        return Ok(Some(keys));
    }
    let cells = whole(group, &mut Joined::default())
        .and_then(|mut group| cells(mutation.key(), &mut group));
    let mut cells = cells.map_err(|_| corrupt(mutation.key()))?;
    cells.apply(mutation);
    let is_empty = cells.iter().next().is_none();
    Ok(is_empty.then_some(keys))
}

/// The row key of an entry: a slice of its key, unless it was escaped.
fn row_key(entry: &Entry) -> Bytes {
    if entry.row().contains(&0) {
        entry::unescape(entry.row()).into()
    } else {
        entry.key.slice(..entry.place.row_bytes)
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
