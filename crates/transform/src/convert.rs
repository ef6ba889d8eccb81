//! Text to typed values.

use std::borrow::Cow;

use rowmill_model::{FieldSpec, Value, ValueType};

use crate::number::{parse_float, parse_int};
use crate::time::{InvalidPattern, TimeParser};

/// What a record holds in one place, before it has a type: text, or a piece of JSON.
#[derive(Debug, Clone, Default)]
pub(crate) enum Raw<'a> {
    /// Nothing there.
    #[default]
    Absent,
    /// A JSON null, which is as good as nothing, but was said.
    Null,
    /// Text of a CSV field or a JSON string.
    Text(Cow<'a, str>),
    /// A JSON number or boolean, as written.
    Literal(&'a str),
    /// A JSON array or object, as written.
    Nested(&'a str),
}

/// Converts one field's raw values.
#[derive(Debug, Clone)]
pub(crate) struct Converter {
    value_type: ValueType,
    trim: bool,
    time: Option<TimeParser>,
}

impl Converter {
    pub(crate) fn new(field: &FieldSpec) -> Result<Self, (usize, InvalidPattern)> {
        let is_time = field.value_type == ValueType::Timestamp;
        let time = is_time
            .then(|| TimeParser::new(&field.formats, field.zone))
            .transpose()?;
        Ok(Self {
            value_type: field.value_type,
            trim: field.trim,
            time,
        })
    }

    /// The typed value, or the text that is none.
    pub(crate) fn convert<'a>(&self, raw: Raw<'a>) -> Result<Value<'a>, Cow<'a, str>> {
        if let (ValueType::Json, Raw::Literal(json) | Raw::Nested(json)) = (self.value_type, &raw) {
            return Ok(Value::Json(Cow::Borrowed(json)));
        }
        let text = match raw {
            Raw::Absent | Raw::Null => return Ok(Value::Null),
            Raw::Text(text) => text,
            Raw::Literal(text) => Cow::Borrowed(text),
            Raw::Nested(json) => return Err(Cow::Borrowed(json)),
        };
        let text = if self.trim { trimmed(text) } else { text };
        if text.is_empty() {
            return Ok(Value::Null);
        }
        self.typed(&text).map_or_else(|| self.untyped(text), Ok)
    }

    /// The value of a type that does not keep the text.
    fn typed(&self, text: &str) -> Option<Value<'static>> {
        match self.value_type {
            ValueType::Int => parse_int(text).map(Value::Int),
            ValueType::Float => parse_float(text).map(Value::Float),
            ValueType::Bool => parse_bool(text).map(Value::Bool),
            ValueType::Timestamp => self.time.as_ref()?.parse(text).map(Value::Timestamp),
            ValueType::String | ValueType::Json => None,
        }
    }

    fn untyped<'a>(&self, text: Cow<'a, str>) -> Result<Value<'a>, Cow<'a, str>> {
        match self.value_type {
            ValueType::String => Ok(Value::String(text)),
            ValueType::Json => Ok(Value::Json(as_json(text))),
            _ => Err(text),
        }
    }

    /// What to say of a text that [`Converter::convert`] gave back.
    pub(crate) fn mismatch(&self, text: &str) -> String {
        format!("{} is no {}", quoted(text), self.value_type.name())
    }
}

/// Text that is JSON stands as it is; other text becomes a JSON string.
pub(crate) fn as_json(text: Cow<'_, str>) -> Cow<'_, str> {
    if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() {
        return text;
    }
    Cow::Owned(json_string(&text))
}

pub(crate) fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

/// The text without white space around it.
pub(crate) fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    // Most text begins and ends with a visible ASCII character, and needs no look at what Unicode calls white space.
    if let [first, .., last] = text.as_bytes()
        && first.is_ascii_graphic()
        && last.is_ascii_graphic()
    {
        return text;
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// A value for a message: quoted, and cut if long.
pub(crate) fn quoted(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    const TRUE: [&str; 6] = ["true", "t", "yes", "y", "on", "1"];
    const FALSE: [&str; 6] = ["false", "f", "no", "n", "off", "0"];
    let any = |words: [&str; 6]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if any(TRUE) {
        Some(true)
    } else {
        any(FALSE).then_some(false)
    }
}
