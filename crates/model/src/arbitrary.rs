//! Proptest strategies: valid values, mutations and rows of any shape.

use proptest::prelude::*;
use rowmill_rowkey::Timestamp;

use crate::mutation::MutationBatch;
use crate::value::{Value, ValueType};

/// Any value but null.
pub fn value() -> impl Strategy<Value = Value<'static>> {
    let micros = Timestamp::MIN.micros()..=Timestamp::MAX.micros();
    prop_oneof![
        any::<String>().prop_map(|text| Value::String(text.into())),
        any::<i64>().prop_map(Value::Int),
        any::<f64>()
            .prop_filter("a float is finite", |float| float.is_finite())
            .prop_map(Value::Float),
        any::<bool>().prop_map(Value::Bool),
        micros
            .prop_map(|micros| Value::Timestamp(Timestamp::from_micros(micros).expect("in range"))),
        any::<String>().prop_map(|text| Value::Json(text.into())),
    ]
}

/// The type of a value that is not null.
pub fn type_of(value: &Value<'_>) -> Option<ValueType> {
    match value {
        Value::Null => None,
        Value::String(_) => Some(ValueType::String),
        Value::Int(_) => Some(ValueType::Int),
        Value::Float(_) => Some(ValueType::Float),
        Value::Bool(_) => Some(ValueType::Bool),
        Value::Timestamp(_) => Some(ValueType::Timestamp),
        Value::Json(_) => Some(ValueType::Json),
    }
}

/// One operation of a row mutation, owning its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets one cell: family, qualifier, timestamp, value.
    Set(&'static str, Vec<u8>, i64, Vec<u8>),
    /// Deletes a column.
    DeleteColumn(&'static str, Vec<u8>),
    /// Deletes a family.
    DeleteFamily(&'static str),
    /// Deletes the row.
    DeleteRow,
}

/// A row mutation, owning its parts: a key and at least one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedMutation {
    /// The row.
    pub key: Vec<u8>,
    /// What happens to it, in order.
    pub operations: Vec<Operation>,
}

impl OwnedMutation {
    /// Adds the mutation to a batch.
    pub fn write(&self, batch: &mut MutationBatch) {
        let mut row = batch.row(&self.key);
        for operation in &self.operations {
            match operation {
                Operation::Set(family, qualifier, timestamp, value) => {
                    row.set(family, qualifier, *timestamp, value)
                }
                Operation::DeleteColumn(family, qualifier) => row.delete_column(family, qualifier),
                Operation::DeleteFamily(family) => row.delete_family(family),
                Operation::DeleteRow => row.delete_row(),
            }
        }
        row.finish();
    }
}

/// Row mutations on few rows, columns and versions, so that they meet; `families` are those of the table.
pub fn mutation(families: &'static [&'static str]) -> impl Strategy<Value = OwnedMutation> {
    let key = prop_oneof![
        4 => prop::sample::select(vec![&b"a"[..], b"a\0", b"a\0\0", b"ab", b"b#1", b"\xff", b"\xff\xff"]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    let operations = prop::collection::vec(operation(families), 1..6);
    (key, operations).prop_map(|(key, operations)| OwnedMutation { key, operations })
}

fn operation(families: &'static [&'static str]) -> impl Strategy<Value = Operation> {
    let family = prop::sample::select(families);
    let qualifier =
        prop::sample::select(vec![&b""[..], b"q", b"q\0", b"r"]).prop_map(<[u8]>::to_vec);
    let timestamp = (0_i64..4).prop_map(|step| step * 1_000);
    let value = prop::collection::vec(any::<u8>(), 0..4);
    let set = (family.clone(), qualifier.clone(), timestamp, value);
    prop_oneof![
        8 => set.prop_map(|(family, qualifier, time, value)| Operation::Set(family, qualifier, time, value)),
        1 => (family.clone(), qualifier).prop_map(|(family, qualifier)| Operation::DeleteColumn(family, qualifier)),
        1 => family.prop_map(Operation::DeleteFamily),
        1 => Just(Operation::DeleteRow),
    ]
}
