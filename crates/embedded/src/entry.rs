//! A row mutation as an entry of the tree.
//!
//! ```text
//! key    row key, 00 as 00 FF | 00 01 | shape:u64be
//! value  sequence:u64be | operations
//! ```
//!
//! The end mark sorts before every continuation of a row key, so entries sort as their rows do, and a row's entries stand
//! together.
//!
//! Merging sorted runs holds one entry of each run in memory, so no entry may be large. A mutation with long operations is stored in pieces, which
//! stand after the row's other entries. Pieces of a mutation that was replaced by a shorter one may be left over: their sequence number is
//! another.
//!
//! ```text
//! value  sequence:u64be | 00 | pieces:u16be
//! key    row key, 00 as 00 FF | 00 02 | piece:u16be, from 1 | FF FF | shape:u64be
//! value  sequence:u64be | part of the operations
//! ```

use std::ops::Range;

use bytes::Bytes;
use rowmill_model::{Mutation, RowMutation};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

const ESCAPE: u8 = 0xff;
const END: [u8; 2] = [0, 1];
const END_BEFORE_PIECE: [u8; 2] = [0, 2];
/// No end mark, so that the end of a piece's key is not taken for that of a mutation's.
const AFTER_PIECE: [u8; 2] = [0xff, 0xff];
const SHAPE_BYTES: usize = 8;
const SEQUENCE_BYTES: usize = 8;

/// No operations begin with it.
const IN_PIECES: u8 = 0;
/// Operations of more bytes are stored in pieces of so many, or in as many pieces as a key can number.
const PIECE_BYTES: usize = 64 << 10;

/// The entries that a mutation becomes: the first one, and then its pieces, if its operations are long.
pub(crate) struct Entries<'a> {
    mutation: RowMutation<'a>,
    pieces: u16,
    piece_bytes: usize,
}

impl<'a> Entries<'a> {
    pub(crate) fn new(mutation: RowMutation<'a>) -> Self {
        let bytes = mutation.ops().len();
        let piece_bytes = PIECE_BYTES.max(bytes.div_ceil(usize::from(u16::MAX)));
        let pieces = if bytes > PIECE_BYTES {
            bytes.div_ceil(piece_bytes)
        } else {
            0
        };
        Self {
            mutation,
            pieces: u16::try_from(pieces).expect("pieces that a key can number"),
            piece_bytes,
        }
    }

    /// The numbers of the entries.
    pub(crate) fn numbers(&self) -> std::ops::RangeInclusive<u16> {
        0..=self.pieces
    }

    /// Appends the key of an entry, given the mutation's [shape](Shapes).
    pub(crate) fn push_key(&self, out: &mut Vec<u8>, number: u16, shape: u64) {
        push_row_key(out, self.mutation.key());
        if number == 0 {
            out.extend_from_slice(&END);
        } else {
            out.extend_from_slice(&END_BEFORE_PIECE);
            out.extend_from_slice(&number.to_be_bytes());
            out.extend_from_slice(&AFTER_PIECE);
        }
        out.extend_from_slice(&shape.to_be_bytes());
    }

    /// The value of an entry, when the mutation is applied as number `sequence`.
    pub(crate) fn value(&self, number: u16, sequence: u64) -> Vec<u8> {
        let ops = self.mutation.ops();
        let in_pieces;
        let rest = if self.pieces == 0 {
            ops
        } else if number == 0 {
            let [high, low] = self.pieces.to_be_bytes();
            in_pieces = [IN_PIECES, high, low];
            &in_pieces
        } else {
            &ops[self.piece(number)]
        };
        [&sequence.to_be_bytes(), rest].concat()
    }

    fn piece(&self, number: u16) -> Range<usize> {
        let start = (usize::from(number) - 1) * self.piece_bytes;
        start..self.mutation.ops().len().min(start + self.piece_bytes)
    }
}

/// An entry's key, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The length of the escaped row key, in bytes. All entries of a row share it.
    pub(crate) row_bytes: usize,
    /// The number of the piece; 0 if it is none.
    pub(crate) number: u16,
    pub(crate) shape: u64,
}

impl Place {
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        let (rest, shape) = key.split_last_chunk::<SHAPE_BYTES>()?;
        let (before, mark) = rest.split_last_chunk()?;
        let (row, number) = match *mark {
            END => (before, 0),
            AFTER_PIECE => {
                let (rest, number) = before.split_last_chunk()?;
                let row = rest.strip_suffix(&END_BEFORE_PIECE)?;
                (row, u16::from_be_bytes(*number))
            }
            _ => return None,
        };
        Some(Self {
            row_bytes: row.len(),
            number,
            shape: u64::from_be_bytes(*shape),
        })
    }
}

/// The sequence number of an entry's value, and the operations or what is there of them.
pub(crate) fn split_value(value: &Bytes) -> Option<(u64, Bytes)> {
    let sequence = u64::from_be_bytes(*value.first_chunk()?);
    Some((sequence, value.slice(SEQUENCE_BYTES..)))
}

/// The number of pieces, if the operations are stored in pieces.
pub(crate) fn pieces(ops: &[u8]) -> Option<u16> {
    match ops {
        [IN_PIECES, high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// The row key that was escaped.
pub(crate) fn unescape(escaped: &[u8]) -> Vec<u8> {
    let mut row_key = Vec::with_capacity(escaped.len());
    let mut after_zero = false;
    for &byte in escaped {
        if !(after_zero && byte == ESCAPE) {
            row_key.push(byte);
        }
        after_zero = byte == 0;
    }
    row_key
}

/// Appends a row key, escaped: also the bound of a range of entries at that row.
pub(crate) fn push_row_key(out: &mut Vec<u8>, row_key: &[u8]) {
    if !row_key.contains(&0) {
        out.extend_from_slice(row_key);
        return;
    }
    for &byte in row_key {
        out.push(byte);
        if byte == 0 {
            out.push(ESCAPE);
        }
    }
}

/// Tells shapes: hashes of what mutations decide, the cells they set and delete, but not what they set them to.
///
/// A cell in something that the same mutation deletes first is decided by that deletion.
#[derive(Default)]
pub(crate) struct Shapes {
    /// The bytes to hash, collected: hashing them at once takes half the time of many small updates.
    decided: Vec<u8>,
}

/// The shape of a mutation that deletes its row.
const ROW_SHAPE: u64 = 0;

impl Shapes {
    /// The shape of a mutation.
    pub(crate) fn of(&mut self, mutation: RowMutation<'_>) -> u64 {
        self.decided.clear();
        let mut deleted_families: SmallVec<[&str; 4]> = SmallVec::new();
        for operation in mutation.mutations() {
            match operation {
                Mutation::Set {
                    family,
                    qualifier,
                    timestamp_micros,
                    ..
                } => {
                    if !deleted_families.contains(&family) {
                        self.add(b's', family, qualifier);
                        self.decided
                            .extend_from_slice(&timestamp_micros.to_be_bytes());
                    }
                }
                Mutation::DeleteColumn { family, qualifier } => {
                    if !deleted_families.contains(&family) {
                        self.add(b'c', family, qualifier);
                    }
                }
                Mutation::DeleteFamily { family } => {
                    deleted_families.push(family);
                    self.add(b'f', family, b"");
                }
                // Everything in the row is decided, whatever comes before and after.
                Mutation::DeleteRow => return ROW_SHAPE,
            }
        }
        xxh3_64(&self.decided)
    }

    fn add(&mut self, kind: u8, family: &str, qualifier: &[u8]) {
        let decided = &mut self.decided;
        decided.push(kind);
        decided.extend_from_slice(&(family.len() as u64).to_be_bytes());
        decided.extend_from_slice(family.as_bytes());
        decided.extend_from_slice(&(qualifier.len() as u64).to_be_bytes());
        decided.extend_from_slice(qualifier);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rowmill_model::MutationBatch;

    use xxhash_rust::xxh3::{Xxh3, xxh3_64};

    use super::{Entries, PIECE_BYTES, Place, Shapes, pieces, split_value, unescape};

    fn key(batch: &MutationBatch) -> Vec<u8> {
        let mut key = Vec::new();
        let shape = Shapes::default().of(batch.get(0));
        Entries::new(batch.get(0)).push_key(&mut key, 0, shape);
        key
    }

    fn batch(row_key: &[u8], value: &[u8]) -> MutationBatch {
        let mut batch = MutationBatch::new();
        let mut row = batch.row(row_key);
        row.set("f", b"q", 0, value);
        row.finish();
        batch
    }

    fn entry_key(row_key: &[u8], value: &[u8]) -> Vec<u8> {
        key(&batch(row_key, value))
    }

    proptest! {
        #[test]
        fn entries_sort_as_their_rows(a in "[\0\u{1}a]{0,5}", b in "[\0\u{1}a]{0,5}") {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            prop_assert_eq!(entry_key(a, b"").cmp(&entry_key(b, b"")), a.cmp(b));
            let key = entry_key(a, b"");
            let place = Place::of(&key).unwrap();
            prop_assert_eq!(place.number, 0);
            prop_assert_eq!(unescape(&key[..place.row_bytes]), a);
        }

        #[test]
        fn pieces_stand_behind_their_row_and_are_the_operations(
            a in "[\0\u{1}\u{2}\u{ff}a]{0,5}", b in "[\0\u{1}\u{2}\u{ff}a]{0,5}", bytes in PIECE_BYTES - 20..4 * PIECE_BYTES,
        ) {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            let batch = batch(a, &vec![7; bytes]);
            let entries = Entries::new(batch.get(0));
            let shape = Shapes::default().of(batch.get(0));
            let ops = batch.get(0).ops();
            let mut joined = Vec::new();
            for number in entries.numbers() {
                let mut key = Vec::new();
                entries.push_key(&mut key, number, shape);
                let place = Place::of(&key).unwrap();
                prop_assert_eq!((unescape(&key[..place.row_bytes]), place.number), (a.to_vec(), number));
                prop_assert_eq!(key.cmp(&entry_key(b, b"")), a.cmp(b).then(number.cmp(&0)));
                let value = entries.value(number, 5).into();
                let (sequence, part) = split_value(&value).unwrap();
                prop_assert!(sequence == 5 && part.len() <= PIECE_BYTES);
                match pieces(&part) {
                    Some(count) => prop_assert_eq!((number, count), (0, *entries.numbers().end())),
                    None => joined.extend_from_slice(&part),
                }
            }
            prop_assert_eq!(joined, ops);
        }
    }

    /// Stores on disk hold them.
    #[test]
    fn shapes_stay_as_they_are() {
        let mut batch = batch(b"k", b"v");
        let mut row = batch.row(b"k");
        row.delete_column("fam", b"c");
        row.delete_family("g");
        row.set("g", b"q", 0, b"v");
        row.finish();
        let mut shapes = Shapes::default();
        assert_eq!(shapes.of(batch.get(0)), 16_754_000_153_284_510_449);
        assert_eq!(
            shapes.of(batch.get(1)),
            xxh3_64(
                b"c\0\0\0\0\0\0\0\x03fam\0\0\0\0\0\0\0\x01cf\0\0\0\0\0\0\0\x01g\0\0\0\0\0\0\0\0"
            )
        );
        let mut pieces = Xxh3::new();
        let length = 1_u64.to_be_bytes();
        for piece in [&b"s"[..], &length, b"f", &length, b"q", &[0; 8]] {
            pieces.update(piece);
        }
        assert_eq!(shapes.of(batch.get(0)), pieces.digest());
    }

    #[test]
    fn a_shape_is_what_is_decided() {
        assert_eq!(entry_key(b"k", b"old"), entry_key(b"k", b"new"));
        let shape = |write: &dyn Fn(&mut rowmill_model::RowWriter<'_>)| {
            let mut batch = MutationBatch::new();
            let mut row = batch.row(b"k");
            write(&mut row);
            row.finish();
            key(&batch)
        };
        let one = shape(&|row| row.set("f", b"q", 0, b""));
        assert_ne!(one, shape(&|row| row.set("f", b"q", 1000, b"")));
        assert_ne!(one, shape(&|row| row.set("f", b"r", 0, b"")));
        let wiped = shape(&|row| row.delete_family("f"));
        assert_eq!(
            wiped,
            shape(&|row| {
                row.delete_family("f");
                row.set("f", b"q", 0, b"");
            })
        );
        assert_ne!(
            wiped,
            shape(&|row| {
                row.delete_family("f");
                row.set("g", b"q", 0, b"");
            })
        );
    }
}
