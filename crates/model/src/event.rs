//! One event: values in the slots of its pipeline file, its rows in two tables, and back.

use std::borrow::Cow;

use rowmill_rowkey::{FactKey, Timestamp};

use crate::columns::{fact, family};
use crate::mutation::{MutationBatch, RowWriter};
use crate::pipeline::Pipeline;
use crate::row::{Cell, Row};
use crate::value::{Value, ValueType};

/// An event that passed transformation: everything that its rows need, text borrowed from the input where it can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// Whose it is; none if the pipeline file keeps such events under a placeholder.
    pub user_id: Option<Cow<'a, str>>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What kind of event it is.
    pub event_type: Option<Cow<'a, str>>,
    /// Which of the user's events of that time it is.
    pub event_id: Cow<'a, str>,
    /// A value for each of [`Pipeline::fields`], in that order.
    pub values: Vec<Value<'a>>,
    /// Fields that the schema does not name, by their stored name, as JSON text; ordered by name.
    pub unknown: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// Which value of an event: how rules, dimensions and measures name it, resolved once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The user.
    UserId,
    /// The kind of event.
    EventType,
    /// The event's identity.
    EventId,
    /// The event's time.
    Timestamp,
    /// One of [`Pipeline::fields`].
    Field(usize),
}

impl Slot {
    /// The names of the slots every event has.
    pub const BUILT_IN: [(&'static str, Self); 4] = [
        (fact::USER_ID, Self::UserId),
        (fact::EVENT_TYPE, Self::EventType),
        (fact::EVENT_ID, Self::EventId),
        (fact::TIMESTAMP, Self::Timestamp),
    ];
}

impl Event<'_> {
    /// The value in a slot; null if the event has none.
    pub fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            Slot::UserId => self.user_id.as_deref().map_or(Value::Null, text),
            Slot::EventType => self.event_type.as_deref().map_or(Value::Null, text),
            Slot::EventId => text(&self.event_id),
            Slot::Timestamp => Value::Timestamp(self.timestamp),
            Slot::Field(index) => self.values[index].borrow(),
        }
    }
}

fn text(text: &str) -> Value<'_> {
    Value::String(Cow::Borrowed(text))
}

/// Where a fact row comes from: what its `metadata` family says beside the event itself.
#[derive(Debug, Clone, Copy)]
pub struct Provenance<'a> {
    /// The record's place, `file:line@offset`.
    pub source: &'a str,
    /// The run that writes it.
    pub batch: &'a str,
    /// When that run began.
    pub ingested_at: Timestamp,
    /// Fingerprint of the pipeline file.
    pub schema_version: &'a str,
}

impl Event<'_> {
    /// Adds the event's row of `events_fact`. `warnings` is a JSON array, or empty.
    ///
    /// Every cell carries the event's own time, so writing the same event again writes the same cells.
    pub fn write_fact(
        &self,
        pipeline: &Pipeline,
        key: &[u8],
        provenance: &Provenance<'_>,
        warnings: &str,
        batch: &mut MutationBatch,
    ) {
        let time = self.timestamp.cell_micros();
        let mut row = batch.row(key);
        let mut cells = row.cells(family::EVENT_DATA, time);
        let mut unknown = self.unknown.iter().peekable();
        for (field, value) in pipeline.fields.iter().zip(&self.values) {
            while let Some((name, json)) = unknown.next_if(|(name, _)| **name < *field.name) {
                cells.set(name.as_bytes(), json.as_bytes());
            }
            if !value.is_null() {
                let write = |out: &mut Vec<u8>| value.encode_into(out);
                cells.set_with(field.name.as_bytes(), value.encoded_len(), write);
            }
        }
        for (name, json) in unknown {
            cells.set(name.as_bytes(), json.as_bytes());
        }
        let mut cells = row.cells(family::METADATA, time);
        cells.set(fact::BATCH.as_bytes(), provenance.batch.as_bytes());
        cells.set(fact::EVENT_ID.as_bytes(), self.event_id.as_bytes());
        if let Some(event_type) = &self.event_type {
            cells.set(fact::EVENT_TYPE.as_bytes(), event_type.as_bytes());
        }
        cells.set(
            fact::INGESTED_AT.as_bytes(),
            &provenance.ingested_at.micros().to_be_bytes(),
        );
        cells.set(
            fact::SCHEMA_VERSION.as_bytes(),
            provenance.schema_version.as_bytes(),
        );
        cells.set(fact::SOURCE.as_bytes(), provenance.source.as_bytes());
        cells.set(
            fact::TIMESTAMP.as_bytes(),
            &self.timestamp.micros().to_be_bytes(),
        );
        if let Some(user_id) = &self.user_id {
            cells.set(fact::USER_ID.as_bytes(), user_id.as_bytes());
        }
        let mut cells = row.cells(family::QUALITY, time);
        cells.set(
            fact::STATUS.as_bytes(),
            if warnings.is_empty() { b"ok" } else { b"warn" },
        );
        if !warnings.is_empty() {
            cells.set(fact::WARNINGS.as_bytes(), warnings.as_bytes());
        }
        row.finish();
    }

    /// Adds the event's row of `events_timeline`, with the values of `columns` only, which are ordered by name.
    pub fn write_timeline(
        &self,
        key: &[u8],
        columns: &[(String, Slot)],
        batch: &mut MutationBatch,
    ) {
        let row = batch.row(key);
        self.fill_timeline(row, columns);
    }

    /// The same over whatever the row has, also of other columns.
    pub fn rewrite_timeline(
        &self,
        key: &[u8],
        columns: &[(String, Slot)],
        batch: &mut MutationBatch,
    ) {
        let mut row = batch.row(key);
        row.delete_family(family::EVENT);
        self.fill_timeline(row, columns);
    }

    fn fill_timeline(&self, mut row: RowWriter<'_>, columns: &[(String, Slot)]) {
        let time = self.timestamp.cell_micros();
        let mut cells = row.cells(family::EVENT, time);
        let mut is_empty = true;
        for (name, slot) in columns {
            let value = self.value(*slot);
            if !value.is_null() {
                is_empty = false;
                let write = |out: &mut Vec<u8>| value.encode_into(out);
                cells.set_with(name.as_bytes(), value.encoded_len(), write);
            }
        }
        if is_empty {
            // A row without a cell does not exist, and this event must be counted.
            cells.set(b"", b"");
        }
        row.finish();
    }
}

/// An event as it was read back from `events_fact`.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// The event.
    pub event: Event<'static>,
    /// Whether it was stored with warnings.
    pub warned: bool,
    /// The warnings, as a JSON array; empty if there are none.
    pub warnings: String,
    /// The record's place, `file:line@offset`.
    pub source: String,
    /// The run that wrote it.
    pub batch: String,
    /// When that run began.
    pub ingested_at: Timestamp,
    /// Fingerprint of the pipeline file that made the row.
    pub schema_version: String,
}

/// A row of `events_fact` that does not fit the pipeline file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {key:?} holds no valid {column}: {problem}")]
pub struct EventReadError {
    /// The row.
    pub key: String,
    /// The column, or the part of the key.
    pub column: String,
    /// What is wrong with it.
    pub problem: String,
}

impl StoredEvent {
    /// The event of a row. Columns that the pipeline file does not name come back as unknown fields.
    pub fn read(row: &Row, pipeline: &Pipeline) -> Result<Self, EventReadError> {
        let error = |column: &str, problem: String| EventReadError {
            key: String::from_utf8_lossy(row.key()).into_owned(),
            column: column.to_owned(),
            problem,
        };
        let key = FactKey::decode(row.key())
            .map_err(|source| error(source.part().name(), source.to_string()))?;
        let mut stored = Self {
            event: Event {
                user_id: None,
                timestamp: key.timestamp,
                event_type: None,
                event_id: Cow::Owned(key.event_id.into_owned()),
                values: vec![Value::Null; pipeline.fields.len()],
                unknown: Vec::new(),
            },
            warned: false,
            warnings: String::new(),
            source: String::new(),
            batch: String::new(),
            ingested_at: key.timestamp,
            schema_version: String::new(),
        };
        for cell in row.cells() {
            let name = String::from_utf8_lossy(cell.qualifier);
            stored
                .read_cell(&cell, pipeline)
                .map_err(|problem| error(&name, problem))?;
        }
        Ok(stored)
    }

    fn read_cell(&mut self, cell: &Cell<'_>, pipeline: &Pipeline) -> Result<(), String> {
        let decode =
            |value_type| Value::decode(value_type, cell.value).map_err(|error| error.to_string());
        let text = || decode(ValueType::String).map(|value| value.to_text().into_owned());
        let name = std::str::from_utf8(cell.qualifier).map_err(|error| error.to_string())?;
        match (cell.family, name) {
            (family::EVENT_DATA, name) => match pipeline.field_index(name) {
                Some(index) => {
                    self.event.values[index] =
                        decode(pipeline.fields[index].value_type)?.into_owned()
                }
                None => self
                    .event
                    .unknown
                    .push((Cow::Owned(name.to_owned()), Cow::Owned(text()?))),
            },
            (family::METADATA, fact::BATCH) => self.batch = text()?,
            (family::METADATA, fact::EVENT_TYPE) => {
                self.event.event_type = Some(Cow::Owned(text()?))
            }
            (family::METADATA, fact::SCHEMA_VERSION) => self.schema_version = text()?,
            (family::METADATA, fact::SOURCE) => self.source = text()?,
            (family::METADATA, fact::USER_ID) => self.event.user_id = Some(Cow::Owned(text()?)),
            (family::METADATA, fact::INGESTED_AT) => {
                if let Value::Timestamp(time) = decode(ValueType::Timestamp)? {
                    self.ingested_at = time;
                }
            }
            (family::QUALITY, fact::STATUS) => self.warned = cell.value == b"warn",
            (family::QUALITY, fact::WARNINGS) => self.warnings = text()?,
            _ => {}
        }
        Ok(())
    }
}
