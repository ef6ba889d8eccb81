//! An event as the interpreter sees it: names to values, text borrowed.

use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString, CelTimestamp};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use chrono::DateTime;
use rowmill_model::{Event, Slot, Value};

/// The slots an expression names, over one event.
pub(crate) struct Slots<'a, 'e> {
    pub(crate) names: &'a [(String, Slot)],
    pub(crate) event: &'a Event<'e>,
}

impl VariableResolver for Slots<'_, '_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let (_, slot) = self.names.iter().find(|(name, _)| name == variable)?;
        let text = |text: &'b str| CowVal::owned(CelString::from(text));
        let optional =
            |option: Option<&'b str>| option.map_or_else(|| CowVal::owned(CelNull), text);
        Some(match *slot {
            Slot::UserId => optional(self.event.user_id.as_deref()),
            Slot::EventType => optional(self.event.event_type.as_deref()),
            Slot::EventId => text(&self.event.event_id),
            Slot::Timestamp => timestamp(self.event.timestamp),
            Slot::Field(index) => match &self.event.values[index] {
                Value::Null => CowVal::owned(CelNull),
                Value::String(value) | Value::Json(value) => text(value),
                Value::Int(value) => CowVal::owned(CelInt::from(*value)),
                Value::Float(value) => CowVal::owned(CelDouble::from(*value)),
                Value::Bool(value) => CowVal::owned(CelBool::from(*value)),
                Value::Timestamp(value) => timestamp(*value),
            },
        })
    }
}

fn timestamp<'b>(time: rowmill_rowkey::Timestamp) -> CowVal<'b, 'b> {
    let time =
        DateTime::from_timestamp_micros(time.micros()).expect("years of keys are years of chrono");
    CowVal::owned(CelTimestamp::from(time.fixed_offset()))
}
