//! What aggregation sees of one event.

use rowmill_model::columns::family;
use rowmill_model::{Event, Row, Slot, Value};
use rowmill_rowkey::{FactKey, Hour, SESSIONS_DIMENSION, TOTAL_VALUE, TimelineKey, Timestamp};

use smallvec::SmallVec;

use crate::bucket::Sample;
use crate::distinct::DistinctHash;
use crate::measure::Measured;
use crate::plan::{Dimension, DimensionPlan, Plan, push_joined};

/// What aggregation sees of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation<'a> {
    /// When it happened.
    pub timestamp: Timestamp,
    pub(crate) values: SmallVec<[Value<'a>; 6]>,
}

impl Observation<'_> {
    /// The clock hour it counts in.
    pub fn hour(&self) -> Hour {
        self.timestamp.hour()
    }
}

/// A row of the timeline that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the timeline row {key:?} holds {problem}")]
pub struct PlanError {
    key: String,
    problem: String,
}

impl Plan {
    /// What a timeline row says.
    pub fn observe<'a>(&self, row: &'a Row) -> Result<Observation<'a>, PlanError> {
        let error = |problem: String| PlanError {
            key: String::from_utf8_lossy(row.key()).into_owned(),
            problem,
        };
        // Bucket and hour follow from the fact's key, and cost as much to check as to make.
        let fact = TimelineKey::fact_bytes(row.key()).and_then(FactKey::decode);
        let fact = fact.map_err(|it| error(it.to_string()))?;
        let mut values = SmallVec::from_elem(Value::Null, self.slots.len());
        // Cells come by name, as columns do.
        let mut columns = self.columns.iter().peekable();
        for cell in row.cells().filter(|cell| cell.family == family::EVENT) {
            while columns
                .next_if(|column| column.name.as_bytes() < cell.qualifier)
                .is_some()
            {}
            let column = columns.next_if(|column| column.name.as_bytes() == cell.qualifier);
            if let Some(column) = column {
                values[column.value] = Value::decode(column.value_type, cell.value)
                    .map_err(|it| error(format!("no valid `{}`: {it}", column.name)))?;
            }
        }
        for (value, slot) in values.iter_mut().zip(&self.slots) {
            match slot {
                Slot::UserId if Some(&*fact.user_id) != self.placeholder.as_deref() => {
                    *value = Value::String(fact.user_id.clone());
                }
                Slot::EventId => *value = Value::String(fact.event_id.clone()),
                Slot::Timestamp => *value = Value::Timestamp(fact.timestamp),
                Slot::UserId | Slot::EventType | Slot::Field(_) => {}
            }
        }
        Ok(Observation {
            timestamp: fact.timestamp,
            values,
        })
    }

    /// What an event says: the same as its timeline row.
    pub fn observe_event<'a>(&self, event: &'a Event<'_>) -> Observation<'a> {
        Observation {
            timestamp: event.timestamp,
            values: self.slots.iter().map(|slot| event.value(*slot)).collect(),
        }
    }

    /// Whether an event counts for a value of a dimension; for sessions, whether it is in one.
    pub fn counts(&self, dimension: &str, value: &str, observation: &Observation<'_>) -> bool {
        if let Some(sessions) = &self.sessions
            && dimension == SESSIONS_DIMENSION
        {
            return value == TOTAL_VALUE && !observation.values[sessions.value].is_null();
        }
        let mut text = String::new();
        let of_name = |it: &&Dimension| it.name == dimension;
        let dimension = self.dimensions.iter().find(of_name);
        dimension.is_some_and(|it| self.value_of(it, observation, &mut text) && text == value)
    }

    /// Works out what the event adds to its buckets.
    pub(crate) fn sample(&self, observation: &Observation<'_>, sample: &mut Sample) {
        let measured = self.measured.iter();
        sample.measures.clear();
        sample
            .measures
            .extend(measured.map(|value| Measured::of(&observation.values[*value])));
        let counted = self.counted.iter();
        sample.distinct.clear();
        sample
            .distinct
            .extend(counted.map(|value| hash(&observation.values[*value])));
    }

    /// Puts the event's value of a dimension into `text`; false if it has none, or is not to be counted.
    pub(crate) fn value_of(
        &self,
        dimension: &Dimension,
        observation: &Observation<'_>,
        text: &mut String,
    ) -> bool {
        text.clear();
        let values = &observation.values;
        // A condition that says nothing of an event, for want of a value, does not hold for it.
        let holds = |filter: &rowmill_expression::Expression| {
            filter.test(&self.event(observation)).unwrap_or(false)
        };
        if !dimension.filter.as_ref().is_none_or(holds) {
            return false;
        }
        match &dimension.value {
            DimensionPlan::Total => text.push_str(TOTAL_VALUE),
            DimensionPlan::One(value) => push_value(text, &values[*value]),
            DimensionPlan::Several(several) => {
                if several.iter().any(|value| values[*value].is_null()) {
                    return false;
                }
                for (at, value) in several.iter().enumerate() {
                    push_joined(text, &values[*value], at == 0);
                }
            }
            DimensionPlan::Derived(expression) => {
                let derived = expression.evaluate(&self.event(observation));
                push_value(text, &derived.unwrap_or_default());
            }
        }
        // The key of an aggregate has no room for a value without a character.
        !text.is_empty()
    }

    /// The observation as an event, for expressions.
    fn event<'a>(&self, observation: &'a Observation<'_>) -> Event<'a> {
        let mut event = Event {
            user_id: None,
            timestamp: observation.timestamp,
            event_type: None,
            event_id: "".into(),
            values: vec![Value::Null; self.fields],
            unknown: Vec::new(),
        };
        for (value, slot) in observation.values.iter().zip(&self.slots) {
            match (slot, value.borrow()) {
                (Slot::UserId, Value::String(text)) => event.user_id = Some(text),
                (Slot::EventType, Value::String(text)) => event.event_type = Some(text),
                (Slot::EventId, Value::String(text)) => event.event_id = text,
                (Slot::Field(index), value) => event.values[*index] = value,
                _ => {}
            }
        }
        event
    }
}

fn push_value(text: &mut String, value: &Value<'_>) {
    match value {
        Value::Null => {}
        Value::String(value) => text.push_str(value),
        other => text.push_str(&other.to_text()),
    }
}

/// The hash of a value's text; none of no value.
fn hash(value: &Value<'_>) -> Option<DistinctHash> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(DistinctHash::new(text.as_bytes())),
        Value::Int(number) => {
            let mut digits = itoa::Buffer::new();
            Some(DistinctHash::new(digits.format(*number).as_bytes()))
        }
        other => Some(DistinctHash::new(other.to_text().as_bytes())),
    }
}
