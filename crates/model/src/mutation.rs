//! What is written to a table: a batch of row mutations in one arena.
//!
//! A row mutation is two byte strings, its key and its operations. An operation names its family and its cell timestamp
//! only when they differ from the operation before, so the twenty cells of an event share one of each:
//!
//! ```text
//! family     01 len:u8 name                     the family of what follows
//! timestamp  02 micros:i64be                    the cell timestamp of what follows
//! set        03 len:varint qualifier len:varint value
//! delete     04 len:varint qualifier            all versions of one column
//! delete     05                                 all cells of the family
//! delete     06                                 the whole row
//! ```

use std::fmt;

/// Cell timestamps are whole milliseconds, in microseconds.
pub const TIMESTAMP_MICROS_STEP: i64 = 1_000;

const FAMILY: u8 = 1;
const TIMESTAMP: u8 = 2;
const SET: u8 = 3;
const DELETE_COLUMN: u8 = 4;
const DELETE_FAMILY: u8 = 5;
const DELETE_ROW: u8 = 6;

/// Row mutations in the order they were added, all in one buffer.
///
/// Each is applied as a whole or not at all; there is no promise between two of them, so everything that must happen to
/// a row together belongs into one.
#[derive(Clone, Default)]
pub struct MutationBatch {
    bytes: Vec<u8>,
    rows: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    key_start: usize,
    ops_start: usize,
    end: usize,
}

impl MutationBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for `rows` mutations and `bytes` bytes.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            rows: Vec::with_capacity(rows),
        }
    }

    /// Starts a mutation of the row `key`.
    pub fn row(&mut self, key: &[u8]) -> RowWriter<'_> {
        let key_start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let ops_start = self.bytes.len();
        RowWriter {
            batch: self,
            key_start,
            ops_start,
            family: None,
            timestamp: None,
        }
    }

    /// How many row mutations there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of all keys and operations together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The mutation at `index`.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, index: usize) -> RowMutation<'_> {
        let span = self.rows[index];
        RowMutation {
            key: &self.bytes[span.key_start..span.ops_start],
            ops: &self.bytes[span.ops_start..span.end],
        }
    }

    /// The mutations in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowMutation<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Appends a copy of one mutation.
    pub fn push(&mut self, mutation: RowMutation<'_>) {
        let key_start = self.bytes.len();
        self.bytes.extend_from_slice(mutation.key);
        let ops_start = self.bytes.len();
        self.bytes.extend_from_slice(mutation.ops);
        self.rows.push(Span {
            key_start,
            ops_start,
            end: self.bytes.len(),
        });
    }

    /// Makes room for so many mutations and bytes more, and no more than that.
    pub fn reserve_exact(&mut self, rows: usize, bytes: usize) {
        self.rows.reserve_exact(rows);
        self.bytes.reserve_exact(bytes);
    }

    /// Appends copies of all mutations of `other`.
    pub fn append(&mut self, other: &Self) {
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.rows.extend(other.rows.iter().map(|span| Span {
            key_start: span.key_start + shift,
            ops_start: span.ops_start + shift,
            end: span.end + shift,
        }));
    }

    /// Forgets all mutations and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }
}

impl fmt::Debug for MutationBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Writes the operations of one row mutation into its batch. Dropped without [`RowWriter::finish`] it leaves no trace.
#[derive(Debug)]
pub struct RowWriter<'a> {
    batch: &'a mut MutationBatch,
    key_start: usize,
    ops_start: usize,
    /// Where the current family's name lies in the arena.
    family: Option<(usize, usize)>,
    timestamp: Option<i64>,
}

impl RowWriter<'_> {
    /// Sets one cell. `timestamp_micros` must be a whole millisecond and not negative, or stores refuse the row.
    ///
    /// # Panics
    /// If `family` is longer than 255 bytes.
    pub fn set(&mut self, family: &str, qualifier: &[u8], timestamp_micros: i64, value: &[u8]) {
        self.cells(family, timestamp_micros).set(qualifier, value);
    }

    /// Starts a run of cells of one family and one timestamp, which are stated once.
    ///
    /// # Panics
    /// If `family` is longer than 255 bytes.
    pub fn cells(&mut self, family: &str, timestamp_micros: i64) -> CellWriter<'_> {
        self.use_family(family);
        let out = &mut self.batch.bytes;
        if self.timestamp != Some(timestamp_micros) {
            self.timestamp = Some(timestamp_micros);
            out.push(TIMESTAMP);
            out.extend_from_slice(&timestamp_micros.to_be_bytes());
        }
        CellWriter(out)
    }

    /// Deletes all versions of one column.
    pub fn delete_column(&mut self, family: &str, qualifier: &[u8]) {
        self.use_family(family);
        self.batch.bytes.push(DELETE_COLUMN);
        push_bytes(&mut self.batch.bytes, qualifier);
    }

    /// Deletes all cells of one family.
    pub fn delete_family(&mut self, family: &str) {
        self.use_family(family);
        self.batch.bytes.push(DELETE_FAMILY);
    }

    /// Deletes the whole row.
    pub fn delete_row(&mut self) {
        self.batch.bytes.push(DELETE_ROW);
    }

    /// Bytes of the row's key and operations so far.
    pub fn bytes(&self) -> usize {
        self.batch.bytes.len() - self.key_start
    }

    /// Adds the mutation to the batch.
    pub fn finish(self) {
        let end = self.batch.bytes.len();
        self.batch.rows.push(Span {
            key_start: self.key_start,
            ops_start: self.ops_start,
            end,
        });
    }

    fn use_family(&mut self, family: &str) {
        let out = &mut self.batch.bytes;
        if self
            .family
            .is_some_and(|(start, end)| &out[start..end] == family.as_bytes())
        {
            return;
        }
        out.push(FAMILY);
        out.push(u8::try_from(family.len()).expect("a family name has at most 255 bytes"));
        let start = out.len();
        out.extend_from_slice(family.as_bytes());
        self.family = Some((start, out.len()));
    }
}

/// Sets cells of one family and one timestamp.
#[derive(Debug)]
pub struct CellWriter<'a>(&'a mut Vec<u8>);

impl CellWriter<'_> {
    /// Sets one cell.
    pub fn set(&mut self, qualifier: &[u8], value: &[u8]) {
        self.set_with(qualifier, value.len(), |out| out.extend_from_slice(value));
    }

    /// Sets one cell whose value of `value_bytes` bytes `write` appends.
    pub fn set_with(
        &mut self,
        qualifier: &[u8],
        value_bytes: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.0.push(SET);
        push_bytes(self.0, qualifier);
        push_varint(self.0, value_bytes);
        let start = self.0.len();
        write(self.0);
        debug_assert!(
            self.0.len() - start == value_bytes,
            "a cell's value is as long as announced"
        );
    }
}

impl Drop for RowWriter<'_> {
    fn drop(&mut self) {
        let kept = self.batch.rows.last().map_or(0, |span| span.end);
        self.batch.bytes.truncate(kept);
    }
}

/// One row mutation: a key, and operations in the format of this module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RowMutation<'a> {
    key: &'a [u8],
    ops: &'a [u8],
}

impl<'a> RowMutation<'a> {
    /// A mutation of bytes that may come from anywhere.
    pub fn from_bytes(key: &'a [u8], ops: &'a [u8]) -> Result<Self, InvalidMutation> {
        let mut mutations = Mutations::new(ops);
        while mutations.next().is_some() {}
        if mutations.failed {
            Err(InvalidMutation)
        } else {
            Ok(Self { key, ops })
        }
    }

    /// The row key.
    pub fn key(self) -> &'a [u8] {
        self.key
    }

    /// The operations' bytes, as a store may keep them.
    pub fn ops(self) -> &'a [u8] {
        self.ops
    }

    /// The operations one by one.
    pub fn mutations(self) -> Mutations<'a> {
        Mutations::new(self.ops)
    }
}

impl fmt::Debug for RowMutation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", String::from_utf8_lossy(self.key))?;
        f.debug_list().entries(self.mutations()).finish()
    }
}

/// One operation on one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation<'a> {
    /// Sets one cell.
    Set {
        /// The cell's family.
        family: &'a str,
        /// The cell's column within the family.
        qualifier: &'a [u8],
        /// The cell's version, in microseconds.
        timestamp_micros: i64,
        /// What it holds.
        value: &'a [u8],
    },
    /// Deletes all versions of one column.
    DeleteColumn {
        /// The column's family.
        family: &'a str,
        /// The column within the family.
        qualifier: &'a [u8],
    },
    /// Deletes all cells of one family.
    DeleteFamily {
        /// The family.
        family: &'a str,
    },
    /// Deletes the whole row.
    DeleteRow,
}

/// The operations of one row mutation, in order.
#[derive(Debug, Clone)]
pub struct Mutations<'a> {
    rest: &'a [u8],
    family: &'a str,
    timestamp_micros: i64,
    failed: bool,
}

impl<'a> Mutations<'a> {
    pub(crate) fn new(ops: &'a [u8]) -> Self {
        Self {
            rest: ops,
            family: "",
            timestamp_micros: 0,
            failed: false,
        }
    }

    /// Whether it ended at bytes that are no operation.
    pub(crate) fn is_broken(&self) -> bool {
        self.failed
    }

    /// The next operation; `Err` if the bytes are none.
    fn step(&mut self) -> Result<Option<Mutation<'a>>, InvalidMutation> {
        loop {
            let Some((&tag, rest)) = self.rest.split_first() else {
                return Ok(None);
            };
            self.rest = rest;
            match tag {
                FAMILY => {
                    let length = take(&mut self.rest, 1)?[0];
                    let name = take(&mut self.rest, usize::from(length))?;
                    self.family = std::str::from_utf8(name).map_err(|_| InvalidMutation)?;
                }
                TIMESTAMP => {
                    let micros = take(&mut self.rest, 8)?;
                    self.timestamp_micros =
                        i64::from_be_bytes(micros.try_into().expect("eight bytes were taken"));
                }
                SET => {
                    let qualifier = take_bytes(&mut self.rest)?;
                    let value = take_bytes(&mut self.rest)?;
                    let (family, timestamp_micros) = (self.family, self.timestamp_micros);
                    return Ok(Some(Mutation::Set {
                        family,
                        qualifier,
                        timestamp_micros,
                        value,
                    }));
                }
                DELETE_COLUMN => {
                    let qualifier = take_bytes(&mut self.rest)?;
                    return Ok(Some(Mutation::DeleteColumn {
                        family: self.family,
                        qualifier,
                    }));
                }
                DELETE_FAMILY => {
                    return Ok(Some(Mutation::DeleteFamily {
                        family: self.family,
                    }));
                }
                DELETE_ROW => return Ok(Some(Mutation::DeleteRow)),
                _ => return Err(InvalidMutation),
            }
        }
    }
}

impl<'a> Iterator for Mutations<'a> {
    type Item = Mutation<'a>;

    fn next(&mut self) -> Option<Mutation<'a>> {
        self.step().unwrap_or_else(|InvalidMutation| {
            self.failed = true;
            self.rest = &[];
            None
        })
    }
}

/// Bytes that are no operations of a row mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no row mutation")]
pub struct InvalidMutation;

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// LEB128: seven bits a byte, lowest first.
fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], InvalidMutation> {
    let (taken, tail) = rest.split_at_checked(count).ok_or(InvalidMutation)?;
    *rest = tail;
    Ok(taken)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], InvalidMutation> {
    // Nearly all are short.
    if let Some((&count @ ..0x80, tail)) = rest.split_first() {
        *rest = tail;
        return take(rest, usize::from(count));
    }
    let mut count = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = take(rest, 1)?[0];
        count |= usize::from(byte & 0x7f)
            .checked_shl(shift)
            .ok_or(InvalidMutation)?;
        if byte < 0x80 {
            return take(rest, count);
        }
    }
    Err(InvalidMutation)
}
