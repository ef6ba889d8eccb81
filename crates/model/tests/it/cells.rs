//! Values, mutations, rows and events: what is written is read back.

use std::borrow::Cow;

use proptest::prelude::*;
use rowmill_model::arbitrary::{Operation, mutation, type_of, value};
use rowmill_model::{
    Event, Mutation, MutationBatch, Pipeline, Provenance, Row, RowMutation, StoredEvent, TABLES,
    Value, ValueType,
};
use rowmill_rowkey::{FactKey, Timestamp};

static FAMILIES: [&str; 2] = ["a", "long family name"];

proptest! {
    #[test]
    fn values_come_back(value in value()) {
        let mut bytes = Vec::new();
        value.encode_into(&mut bytes);
        prop_assert_eq!(bytes.len(), value.encoded_len());
        prop_assert_eq!(Value::decode(type_of(&value).unwrap(), &bytes).unwrap(), value);
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        for value_type in ValueType::ALL {
            if let Ok(value) = Value::decode(value_type, &bytes) {
                let mut again = Vec::new();
                value.encode_into(&mut again);
                prop_assert_eq!(&again, &bytes);
            }
        }
    }

    /// Mutations of one batch, copied into another, say what was written, operation by operation.
    #[test]
    fn mutations_come_back(mutations in prop::collection::vec(mutation(&FAMILIES), 0..8)) {
        let mut written = MutationBatch::new();
        for mutation in &mutations {
            written.row(b"dropped without being finished").set("a", b"q", 0, b"v");
            mutation.write(&mut written);
        }
        let mut batch = MutationBatch::new();
        batch.append(&written);
        written.iter().for_each(|mutation| batch.push(mutation));
        prop_assert_eq!(batch.len(), 2 * mutations.len());
        for (found, expected) in batch.iter().zip(mutations.iter().chain(&mutations)) {
            prop_assert_eq!(found.key(), &expected.key);
            let operations: Vec<_> = found.mutations().map(owned).collect();
            prop_assert_eq!(&operations, &expected.operations);
            prop_assert!(RowMutation::from_bytes(found.key(), found.ops()).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_operations_or_an_error(ops in prop::collection::vec(0_u8..9, 0..30)) {
        if let Ok(mutation) = RowMutation::from_bytes(b"k", &ops) {
            let _ = mutation.mutations().count();
        }
        let _ = Row::from_bytes(b"k".to_vec().into(), ops.into());
    }

    #[test]
    fn events_come_back(
        texts in prop::collection::vec(prop::option::of(".{0,8}"), 3),
        length in prop::option::of(-1e9_f64..1e9),
        micros in 0_i64..2_000_000_000_000_000,
        unknown in prop::collection::btree_map("[a-z]{1,6}", "[0-9]{1,3}", 0..4),
        warned in any::<bool>(),
    ) {
        let pipeline = pipeline();
        let event = Event {
            user_id: texts[0].clone().map(Cow::Owned),
            timestamp: Timestamp::from_micros(micros).unwrap(),
            event_type: texts[1].clone().map(Cow::Owned),
            event_id: "e1".into(),
            values: vec![length.map_or(Value::Null, Value::Float), texts[2].clone().map_or(Value::Null, |t| Value::String(t.into()))],
            unknown: unknown.into_iter().filter(|(name, _)| pipeline.field_index(name).is_none()).map(|(name, json)| (name.into(), json.into())).collect(),
        };
        let key = FactKey::new("u", event.timestamp, "e1").encode().unwrap();
        let now = Timestamp::from_micros(7).unwrap();
        let provenance = Provenance { source: "f:1@0", batch: "run", ingested_at: now, schema_version: "v" };
        let warnings = if warned { "[\"late\"]" } else { "" };
        let mut batch = MutationBatch::new();
        event.write_fact(&pipeline, &key, &provenance, warnings, &mut batch);
        // The cells are in a row's order, so a store may keep them as they are.
        let row = Row::from_bytes(key.into(), batch.get(0).ops().to_vec().into()).unwrap();
        prop_assert!(row.cells().all(|cell| cell.timestamp_micros == micros / 1_000 * 1_000));
        let stored = StoredEvent::read(&row, &pipeline).unwrap();
        prop_assert_eq!(stored.event, event);
        prop_assert_eq!((stored.warned, stored.warnings.as_str()), (warned, warnings));
        prop_assert_eq!((stored.source, stored.batch, stored.ingested_at), ("f:1@0".into(), "run".into(), now));
    }
}

fn pipeline() -> Pipeline {
    let text = "[pipeline]\nname = 'p'\n[event]\nuser_id = 'u'\ntimestamp = 't'\n[fields]\nlength = { type = 'float' }\nsong = { type = 'string' }";
    Pipeline::parse(text).unwrap()
}

fn owned(mutation: Mutation<'_>) -> Operation {
    let family = |name: &str| FAMILIES.into_iter().find(|family| *family == name).unwrap();
    match mutation {
        Mutation::Set {
            family: name,
            qualifier,
            timestamp_micros,
            value,
        } => Operation::Set(
            family(name),
            qualifier.to_vec(),
            timestamp_micros,
            value.to_vec(),
        ),
        Mutation::DeleteColumn {
            family: name,
            qualifier,
        } => Operation::DeleteColumn(family(name), qualifier.to_vec()),
        Mutation::DeleteFamily { family: name } => Operation::DeleteFamily(family(name)),
        Mutation::DeleteRow => Operation::DeleteRow,
    }
}

/// An event of nothing but a key still has a row in the timeline.
#[test]
fn an_event_without_values_is_still_there() {
    let event = Event {
        user_id: None,
        timestamp: Timestamp::from_micros(-5_000).unwrap(),
        event_type: None,
        event_id: "e".into(),
        values: vec![Value::Null, Value::Null],
        unknown: vec![],
    };
    let mut batch = MutationBatch::new();
    event.write_timeline(
        b"k",
        &[("length".into(), rowmill_model::Slot::Field(0))],
        &mut batch,
    );
    let row = Row::from_bytes(b"k".to_vec().into(), batch.get(0).ops().to_vec().into()).unwrap();
    let cells: Vec<_> = row
        .cells()
        .map(|cell| (cell.qualifier.len(), cell.timestamp_micros))
        .collect();
    // Before 1970 there are no cell timestamps.
    assert_eq!(cells, [(0, 0)]);
}

/// The encodings are a contract with everything else that reads the tables.
#[test]
fn golden_values() {
    let check = |value: Value<'_>, expected: &[u8]| {
        let mut bytes = Vec::new();
        value.encode_into(&mut bytes);
        assert_eq!(bytes, expected);
    };
    check(
        Value::Int(-2),
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe],
    );
    check(Value::Float(1.5), &[0x3f, 0xf8, 0, 0, 0, 0, 0, 0]);
    check(Value::Bool(true), &[1]);
    check(
        Value::Timestamp(Timestamp::from_micros(258).unwrap()),
        &[0, 0, 0, 0, 0, 0, 1, 2],
    );
    check(Value::String("é".into()), "é".as_bytes());
}

#[test]
fn tables_are_those_of_the_contract() {
    let shown: Vec<_> = TABLES
        .iter()
        .map(|table| {
            format!(
                "{}: {}",
                table.name,
                table
                    .families
                    .iter()
                    .map(|f| f.name)
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "events_fact: event_data metadata quality",
            "events_timeline: event",
            "events_aggregate: daily_stats hourly_stats metadata weekly_stats",
            "dead_letters: letter",
            "pipeline_state: state",
        ]
    );
}
