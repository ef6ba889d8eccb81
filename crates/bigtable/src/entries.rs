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
use prost::encoding::encoded_len_varint;
use rowmill_model::{Mutation, MutationBatch};
use rowmill_store::limits::{
    check_count, check_key, check_qualifier, check_timestamp, check_value,
};
use rowmill_store::{TableSchema, check_mutation};

use crate::limits::Shape;
use crate::row_mutation::{RowMutation, SERVER_TIME, is_idempotent};

/// Field numbers on the way from a request to a cell. All are below 16, so that a field's key is one byte.
const ENTRIES: u8 = 2;
const ROW_KEY: u8 = 1;
const MUTATIONS: u8 = 2;
const SET_CELL: u8 = 1;
const DELETE_FROM_COLUMN: u8 = 2;
const DELETE_FROM_FAMILY: u8 = 3;
const DELETE_FROM_ROW: u8 = 4;
const FAMILY: u8 = 1;
const QUALIFIER: u8 = 2;
const TIMESTAMP: u8 = 3;
const VALUE: u8 = 4;

/// Wire types, the lowest bits of a field's key.
const VARINT: u8 = 0;
const LENGTH_DELIMITED: u8 = 2;

/// Rows that a bulk write can send: encoded when a request is made of them, and again if it must be repeated.
pub(crate) trait Entries: Send + Sync + 'static {
    fn len(&self) -> usize;

    fn key(&self, index: usize) -> &[u8];

    /// What the row is; or which limit it is beyond.
    fn shape(&self, index: usize) -> Result<Shape, String>;

    /// Appends the row, of that shape, as a field of the request.
    fn encode(&self, index: usize, shape: Shape, out: &mut Vec<u8>);
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
        Ok(Shape {
            bytes: bytes(row),
            mutations: row.mutations.len(),
            is_idempotent: row.mutations.iter().all(is_idempotent),
        })
    }

    fn encode(&self, index: usize, _: Shape, out: &mut Vec<u8>) {
        let RowMutation { key, mutations } = self[index].clone();
        let entry = Entry {
            row_key: key,
            mutations,
            idempotency: None,
        };
        prost::encoding::message::encode(ENTRIES.into(), &entry, out);
    }
}

/// Checks a row of public mutations against the limits.
pub(crate) fn check(row: &RowMutation) -> Result<(), String> {
    check_key(&row.key)?;
    check_count(row.mutations.len())?;
    for mutation in &row.mutations {
        match &mutation.mutation {
            Some(Kind::SetCell(cell)) => {
                if cell.timestamp_micros != SERVER_TIME {
                    check_timestamp(cell.timestamp_micros)?;
                }
                check_qualifier(&cell.column_qualifier)?;
                check_value(&cell.value)?;
            }
            Some(Kind::DeleteFromColumn(delete)) => check_qualifier(&delete.column_qualifier)?,
            _ => {}
        }
    }
    Ok(())
}

/// The bytes of a row's mutations on the wire.
pub(crate) fn bytes(row: &RowMutation) -> usize {
    let mutations = row.mutations.iter();
    let lengths = mutations.map(|mutation| field_len(mutation.encoded_len()));
    field_len(row.key.len()) + lengths.sum::<usize>()
}

/// A batch in rowmill's compact form.
pub(crate) struct BatchEntries {
    pub(crate) batch: Arc<MutationBatch>,
    /// The table whose families the rows must keep to, if it is known.
    pub(crate) schema: Option<Arc<TableSchema>>,
}

impl BatchEntries {
    /// Checks a mutation, and gives the family that it names. That of the mutation before was looked up already.
    fn check<'a>(
        &self,
        mutation: Mutation<'a>,
        before: Option<&'a str>,
    ) -> Result<Option<&'a str>, String> {
        let Some(family) = check_mutation(mutation)? else {
            return Ok(before);
        };
        match &self.schema {
            Some(schema) if before != Some(family) && schema.rule(family).is_none() => {
                Err(format!("{UNKNOWN_FAMILY} `{family}`"))
            }
            _ => Ok(Some(family)),
        }
    }
}

/// How the problem of a row begins that names a family which its table does not have.
pub(crate) const UNKNOWN_FAMILY: &str = "unknown family";

impl Entries for BatchEntries {
    fn len(&self) -> usize {
        self.batch.len()
    }

    fn key(&self, index: usize) -> &[u8] {
        self.batch.get(index).key()
    }

    fn shape(&self, index: usize) -> Result<Shape, String> {
        let row = self.batch.get(index);
        check_key(row.key())?;
        let mut shape = Shape {
            bytes: field_len(row.key().len()),
            mutations: 0,
            is_idempotent: true,
        };
        let mut family = None;
        for mutation in row.mutations() {
            family = self.check(mutation, family)?;
            shape.mutations += 1;
            shape.bytes += field_len(field_len(content_len(mutation)));
        }
        check_count(shape.mutations)?;
        Ok(shape)
    }

    fn encode(&self, index: usize, shape: Shape, out: &mut Vec<u8>) {
        let row = self.batch.get(index);
        put_start(ENTRIES, shape.bytes, out);
        let start = out.len();
        put_bytes(ROW_KEY, row.key(), out);
        for mutation in row.mutations() {
            put_mutation(mutation, out);
        }
        debug_assert!(
            out.len() - start == shape.bytes,
            "an entry is as long as announced"
        );
    }
}

/// The length of a mutation's content: of what is in the one field that says what kind it is.
fn content_len(mutation: Mutation<'_>) -> usize {
    match mutation {
        Mutation::Set {
            family,
            qualifier,
            timestamp_micros,
            value,
        } => {
            field_len(family.len())
                + optional_len(qualifier)
                + timestamp_len(timestamp_micros)
                + optional_len(value)
        }
        Mutation::DeleteColumn { family, qualifier } => {
            field_len(family.len()) + optional_len(qualifier)
        }
        Mutation::DeleteFamily { family } => field_len(family.len()),
        Mutation::DeleteRow => 0,
    }
}

fn put_mutation(mutation: Mutation<'_>, out: &mut Vec<u8>) {
    let length = content_len(mutation);
    put_start(MUTATIONS, field_len(length), out);
    match mutation {
        Mutation::Set {
            family,
            qualifier,
            timestamp_micros,
            value,
        } => {
            put_start(SET_CELL, length, out);
            put_bytes(FAMILY, family.as_bytes(), out);
            put_optional(QUALIFIER, qualifier, out);
            if timestamp_micros != 0 {
                out.push(TIMESTAMP << 3 | VARINT);
                put_varint(timestamp_micros.cast_unsigned(), out);
            }
            put_optional(VALUE, value, out);
        }
        Mutation::DeleteColumn { family, qualifier } => {
            put_start(DELETE_FROM_COLUMN, length, out);
            put_bytes(FAMILY, family.as_bytes(), out);
            put_optional(QUALIFIER, qualifier, out);
        }
        Mutation::DeleteFamily { family } => {
            put_start(DELETE_FROM_FAMILY, length, out);
            put_bytes(FAMILY, family.as_bytes(), out);
        }
        Mutation::DeleteRow => put_start(DELETE_FROM_ROW, length, out),
    }
}

/// The key and the length of a field, before its `length` bytes.
fn put_start(field: u8, length: usize, out: &mut Vec<u8>) {
    out.push(field << 3 | LENGTH_DELIMITED);
    put_varint(length as u64, out);
}

fn put_bytes(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    put_start(field, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// What is empty is not on the wire.
fn put_optional(field: u8, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        put_bytes(field, bytes, out);
    }
}

/// Seven bits a byte, lowest first. Gathered before it is appended, which is several times faster than byte by byte.
fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    if value < 0x80 {
        out.push(value.to_le_bytes()[0]);
        return;
    }
    let mut bytes = [0; 10];
    let mut length = 0;
    while value >= 0x80 {
        bytes[length] = value.to_le_bytes()[0] | 0x80;
        value >>= 7;
        length += 1;
    }
    bytes[length] = value.to_le_bytes()[0];
    out.extend_from_slice(&bytes[..=length]);
}

/// The length of a field of `length` bytes, with its key and its length.
fn field_len(length: usize) -> usize {
    let length_len = if length < 0x80 {
        1
    } else {
        encoded_len_varint(length as u64)
    };
    1 + length_len + length
}

fn optional_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() {
        0
    } else {
        field_len(bytes.len())
    }
}

fn timestamp_len(micros: i64) -> usize {
    if micros == 0 {
        0
    } else {
        1 + encoded_len_varint(micros.cast_unsigned())
    }
}
