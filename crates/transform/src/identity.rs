//! What makes two records the same event.

use std::borrow::Cow;
use std::fmt::Write as _;

use rowmill_model::{Event, Value};
use xxhash_rust::xxh3::xxh3_128;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file it is in, without its folders: a file keeps its events' ids when it is moved.
    pub source: &'a str,
    /// Its number there, from 1.
    pub record: u64,
}

/// The parts of a natural id, joined by `.`; inside one of several parts, `.` and `%` are percent-encoded.
pub(crate) fn join(parts: Vec<Cow<'_, str>>) -> Cow<'_, str> {
    if parts.len() == 1 {
        return parts.into_iter().next().expect("there is one");
    }
    let mut joined = String::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            joined.push('.');
        }
        if part.contains(['.', '%']) {
            joined.push_str(&part.replace('%', "%25").replace('.', "%2E"));
        } else {
            joined.push_str(part);
        }
    }
    Cow::Owned(joined)
}

/// 32 hexadecimal digits of a hash of everything the event says, and of its place if one is given.
///
/// Every part is preceded by its length, so no two contents have the same input. Values are hashed as they are stored,
/// unknown fields as their text, so that a CSV field and a JSON string of the same text are the same.
pub(crate) fn hash(
    event: &Event<'_>,
    names: &[String],
    place: Option<Place<'_>>,
    scratch: &mut Vec<u8>,
) -> String {
    scratch.clear();
    if let Some(place) = place {
        push(scratch, place.source.as_bytes());
        push(scratch, &place.record.to_be_bytes());
    }
    push(
        scratch,
        event.user_id.as_deref().unwrap_or_default().as_bytes(),
    );
    push(scratch, &event.timestamp.micros().to_be_bytes());
    push(
        scratch,
        event.event_type.as_deref().unwrap_or_default().as_bytes(),
    );
    for (name, value) in names
        .iter()
        .zip(&event.values)
        .filter(|(_, value)| !value.is_null())
    {
        push_field(scratch, name, value);
    }
    for (name, json) in &event.unknown {
        push(scratch, name.as_bytes());
        let text = if json.starts_with('"') {
            serde_json::from_str::<Cow<'_, str>>(json).ok()
        } else {
            None
        };
        push(scratch, text.as_deref().unwrap_or(json).as_bytes());
    }
    let mut id = String::with_capacity(32);
    write!(id, "{:032x}", xxh3_128(scratch)).expect("writing to a string");
    id
}

fn push_field(scratch: &mut Vec<u8>, name: &str, value: &Value<'_>) {
    // Zero is one number, whatever its sign.
    let value = match value {
        Value::Float(number) if *number == 0.0 => &Value::Float(0.0),
        value => value,
    };
    push(scratch, name.as_bytes());
    scratch.extend_from_slice(&(value.encoded_len() as u64).to_be_bytes());
    value.encode_into(scratch);
}

fn push(scratch: &mut Vec<u8>, bytes: &[u8]) {
    scratch.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    scratch.extend_from_slice(bytes);
}
