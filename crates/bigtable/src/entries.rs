//! Rows as entries of a `MutateRows` request, straight on the wire.
//!
//! ```text
//! MutateRowsRequest  2: Entry                       Entry  1: row_key  2: Mutation
//! Mutation           1: SetCell   2: DeleteFromColumn   3: DeleteFromFamily   4: DeleteFromRow
//! SetCell            1: family_name  2: column_qualifier  3: timestamp_micros  4: value
//! ```

use std::sync::Arc;

use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::mutate_rows_request::Entry;
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::mutation::Mutation as Kind;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use rowmill_model::{Mutation, MutationBatch, RowMutation as ModelMutation};

use crate::limits::{Shape, check_count, check_key, check_qualifier, check_timestamp, check_value};
use crate::row_mutation::{RowMutation, SERVER_TIME, is_idempotent};

/// Field numbers on the way from a request to a cell.
const ENTRIES: u32 = 2;
const ROW_KEY: u32 = 1;
const MUTATIONS: u32 = 2;
const SET_CELL: u32 = 1;
const DELETE_FROM_COLUMN: u32 = 2;
const DELETE_FROM_FAMILY: u32 = 3;
const DELETE_FROM_ROW: u32 = 4;
const FAMILY: u32 = 1;
const QUALIFIER: u32 = 2;
const TIMESTAMP: u32 = 3;
const VALUE: u32 = 4;

/// Rows that a bulk write can send: encoded when a request is made of them, and again if it must be repeated.
pub(crate) trait Entries: Send + Sync + 'static {
    fn len(&self) -> usize;

    fn key(&self, index: usize) -> &[u8];

    /// What the row is; or which limit it is beyond.
    fn shape(&self, index: usize) -> Result<Shape, String>;

    /// Appends the row as a field of the request.
    fn encode(&self, index: usize, out: &mut Vec<u8>);
}

impl Entries for Vec<RowMutation> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn key(&self, index: usize) -> &[u8] {
        &self[index].key
    }

    fn shape(&self, index: usize) -> Result<Shape, String> {
        let row = &self[index];
        check(row)?;
        let mutations: usize = row
            .mutations
            .iter()
            .map(|mutation| bytes_field_len(MUTATIONS, mutation.encoded_len()))
            .sum();
        Ok(Shape {
            bytes: bytes_field_len(ROW_KEY, row.key.len()) + mutations,
            mutations: row.mutations.len(),
            is_idempotent: row.mutations.iter().all(is_idempotent),
        })
    }

    fn encode(&self, index: usize, out: &mut Vec<u8>) {
        let RowMutation { key, mutations } = self[index].clone();
        let entry = Entry {
            row_key: key,
            mutations,
            idempotency: None,
        };
        prost::encoding::message::encode(ENTRIES, &entry, out);
    }
}

/// Checks a row of public mutations against the limits.
pub(crate) fn check(row: &RowMutation) -> Result<(), String> {
    check_key(&row.key)?;
    check_count(row.mutations.len())?;
    for mutation in &row.mutations {
        match &mutation.mutation {
            Some(Kind::SetCell(cell)) => {
                check_timestamp(cell.timestamp_micros, cell.timestamp_micros == SERVER_TIME)?;
                check_qualifier(&cell.column_qualifier)?;
                check_value(&cell.value)?;
            }
            Some(Kind::DeleteFromColumn(delete)) => check_qualifier(&delete.column_qualifier)?,
            _ => {}
        }
    }
    Ok(())
}

impl Entries for Arc<MutationBatch> {
    fn len(&self) -> usize {
        MutationBatch::len(self)
    }

    fn key(&self, index: usize) -> &[u8] {
        self.get(index).key()
    }

    fn shape(&self, index: usize) -> Result<Shape, String> {
        let row = self.get(index);
        check_key(row.key())?;
        let mut shape = Shape {
            bytes: bytes_field_len(ROW_KEY, row.key().len()),
            mutations: 0,
            is_idempotent: true,
        };
        for mutation in row.mutations() {
            check_mutation(mutation)?;
            shape.mutations += 1;
            shape.bytes += bytes_field_len(MUTATIONS, kind_len(mutation));
        }
        check_count(shape.mutations)?;
        Ok(shape)
    }

    fn encode(&self, index: usize, out: &mut Vec<u8>) {
        encode_entry(self.get(index), out);
    }
}

fn check_mutation(mutation: Mutation<'_>) -> Result<(), String> {
    match mutation {
        Mutation::Set {
            qualifier,
            timestamp_micros,
            value,
            ..
        } => {
            check_timestamp(timestamp_micros, false)?;
            check_qualifier(qualifier)?;
            check_value(value)
        }
        Mutation::DeleteColumn { qualifier, .. } => check_qualifier(qualifier),
        Mutation::DeleteFamily { .. } | Mutation::DeleteRow => Ok(()),
    }
}

fn encode_entry(row: ModelMutation<'_>, out: &mut Vec<u8>) {
    let mutations: usize = row
        .mutations()
        .map(|mutation| bytes_field_len(MUTATIONS, kind_len(mutation)))
        .sum();
    let length = bytes_field_len(ROW_KEY, row.key().len()) + mutations;
    begin(ENTRIES, length, out);
    let start = out.len();
    put_bytes(ROW_KEY, row.key(), out);
    for mutation in row.mutations() {
        begin(MUTATIONS, kind_len(mutation), out);
        put_kind(mutation, out);
    }
    debug_assert!(
        out.len() - start == length,
        "an entry is as long as announced"
    );
}

/// The length of a mutation: its one field.
fn kind_len(mutation: Mutation<'_>) -> usize {
    let (field, length) = kind(mutation);
    bytes_field_len(field, length)
}

/// The field that says what kind of mutation it is, and the length of what is in it.
fn kind(mutation: Mutation<'_>) -> (u32, usize) {
    match mutation {
        Mutation::Set {
            family,
            qualifier,
            timestamp_micros,
            value,
        } => {
            let length = bytes_field_len(FAMILY, family.len())
                + optional_len(QUALIFIER, qualifier)
                + timestamp_len(timestamp_micros)
                + optional_len(VALUE, value);
            (SET_CELL, length)
        }
        Mutation::DeleteColumn { family, qualifier } => (
            DELETE_FROM_COLUMN,
            bytes_field_len(FAMILY, family.len()) + optional_len(QUALIFIER, qualifier),
        ),
        Mutation::DeleteFamily { family } => {
            (DELETE_FROM_FAMILY, bytes_field_len(FAMILY, family.len()))
        }
        Mutation::DeleteRow => (DELETE_FROM_ROW, 0),
    }
}

fn put_kind(mutation: Mutation<'_>, out: &mut Vec<u8>) {
    let (field, length) = kind(mutation);
    begin(field, length, out);
    match mutation {
        Mutation::Set {
            family,
            qualifier,
            timestamp_micros,
            value,
        } => {
            put_bytes(FAMILY, family.as_bytes(), out);
            put_optional(QUALIFIER, qualifier, out);
            if timestamp_micros != 0 {
                encode_key(TIMESTAMP, WireType::Varint, out);
                encode_varint(timestamp_micros.cast_unsigned(), out);
            }
            put_optional(VALUE, value, out);
        }
        Mutation::DeleteColumn { family, qualifier } => {
            put_bytes(FAMILY, family.as_bytes(), out);
            put_optional(QUALIFIER, qualifier, out);
        }
        Mutation::DeleteFamily { family } => put_bytes(FAMILY, family.as_bytes(), out),
        Mutation::DeleteRow => {}
    }
}

fn begin(field: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

fn put_bytes(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    begin(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// What is empty is not on the wire.
fn put_optional(field: u32, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        put_bytes(field, bytes, out);
    }
}

/// The length of a field of `length` bytes, with its key and its length.
fn bytes_field_len(field: u32, length: usize) -> usize {
    key_len(field) + encoded_len_varint(length as u64) + length
}

fn optional_len(field: u32, bytes: &[u8]) -> usize {
    if bytes.is_empty() {
        0
    } else {
        bytes_field_len(field, bytes.len())
    }
}

fn timestamp_len(micros: i64) -> usize {
    if micros == 0 {
        0
    } else {
        key_len(TIMESTAMP) + encoded_len_varint(micros.cast_unsigned())
    }
}
