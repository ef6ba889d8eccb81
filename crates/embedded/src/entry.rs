//! A row mutation as an entry of the tree.
//!
//! ```text
//! key    row key, 00 as 00 FF | 00 01 | shape:u64be
//! value  sequence:u64be | operations
//! ```
//!
//! The end mark sorts before every continuation of a row key, so entries sort as their rows do, and a row's entries stand
//! together.

use bytes::Bytes;
use rowmill_model::{Mutation, RowMutation};
use xxhash_rust::xxh3::Xxh3;

const ESCAPE: u8 = 0xff;
const END: [u8; 2] = [0, 1];
const SHAPE_BYTES: usize = 8;
const SEQUENCE_BYTES: usize = 8;

/// The key of the entry that a mutation becomes.
pub(crate) fn key(mutation: RowMutation<'_>) -> Vec<u8> {
    let mut key = Vec::with_capacity(mutation.key().len() + END.len() + SHAPE_BYTES);
    push_key(&mut key, mutation);
    key
}

/// Appends the key of the entry that a mutation becomes.
pub(crate) fn push_key(out: &mut Vec<u8>, mutation: RowMutation<'_>) {
    push_row_key(out, mutation.key());
    out.extend_from_slice(&END);
    out.extend_from_slice(&shape(mutation).to_be_bytes());
}

/// The value of the entry that a mutation becomes, applied as number `sequence`.
pub(crate) fn value(mutation: RowMutation<'_>, sequence: u64) -> Vec<u8> {
    let mut value = Vec::with_capacity(SEQUENCE_BYTES + mutation.ops().len());
    value.extend_from_slice(&sequence.to_be_bytes());
    value.extend_from_slice(mutation.ops());
    value
}

/// The sequence number and the operations of an entry's value.
pub(crate) fn split_value(value: &Bytes) -> Option<(u64, Bytes)> {
    let sequence = u64::from_be_bytes(*value.first_chunk()?);
    Some((sequence, value.slice(SEQUENCE_BYTES..)))
}

/// The escaped row key of an entry's key, which is the same for all entries of a row.
pub(crate) fn escaped_row_key(key: &[u8]) -> Option<&[u8]> {
    let rest = key.len().checked_sub(END.len() + SHAPE_BYTES)?;
    Some(&key[..rest])
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
    for &byte in row_key {
        out.push(byte);
        if byte == 0 {
            out.push(ESCAPE);
        }
    }
}

/// A hash of what a mutation decides: the cells it sets and deletes, but not what it sets them to.
///
/// A cell in something that the same mutation deletes first is decided by that deletion.
fn shape(mutation: RowMutation<'_>) -> u64 {
    let mut hash = Xxh3::new();
    let mut deleted_families: Vec<&str> = Vec::new();
    for operation in mutation.mutations() {
        match operation {
            Mutation::Set {
                family,
                qualifier,
                timestamp_micros,
                ..
            } => {
                if !deleted_families.contains(&family) {
                    add(&mut hash, b's', family, qualifier);
                    hash.update(&timestamp_micros.to_be_bytes());
                }
            }
            Mutation::DeleteColumn { family, qualifier } => {
                if !deleted_families.contains(&family) {
                    add(&mut hash, b'c', family, qualifier);
                }
            }
            Mutation::DeleteFamily { family } => {
                deleted_families.push(family);
                add(&mut hash, b'f', family, b"");
            }
            Mutation::DeleteRow => {
                // Everything in the row is decided, whatever comes before and after.
                return ROW_SHAPE;
            }
        }
    }
    hash.digest()
}

/// The shape of a mutation that deletes its row.
const ROW_SHAPE: u64 = 0;

fn add(hash: &mut Xxh3, kind: u8, family: &str, qualifier: &[u8]) {
    hash.update(&[kind]);
    hash.update(&(family.len() as u64).to_be_bytes());
    hash.update(family.as_bytes());
    hash.update(&(qualifier.len() as u64).to_be_bytes());
    hash.update(qualifier);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rowmill_model::MutationBatch;

    use super::{escaped_row_key, key, unescape};

    fn entry_key(row_key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut batch = MutationBatch::new();
        let mut row = batch.row(row_key);
        row.set("f", b"q", 0, value);
        row.finish();
        key(batch.get(0))
    }

    proptest! {
        #[test]
        fn entries_sort_as_their_rows(a in "[\0\u{1}a]{0,5}", b in "[\0\u{1}a]{0,5}") {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            prop_assert_eq!(entry_key(a, b"").cmp(&entry_key(b, b"")), a.cmp(b));
            prop_assert_eq!(unescape(escaped_row_key(&entry_key(a, b"")).unwrap()), a);
        }
    }

    #[test]
    fn a_shape_is_what_is_decided() {
        assert_eq!(entry_key(b"k", b"old"), entry_key(b"k", b"new"));
        let shape = |write: &dyn Fn(&mut rowmill_model::RowWriter<'_>)| {
            let mut batch = MutationBatch::new();
            let mut row = batch.row(b"k");
            write(&mut row);
            row.finish();
            key(batch.get(0))
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
