//! One typed value, and its bytes in a cell.

use std::borrow::Cow;
use std::fmt;

use rowmill_rowkey::Timestamp;

/// The type of a field, as a pipeline file names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// UTF-8 text.
    String,
    /// A signed 64-bit integer.
    Int,
    /// A finite IEEE 754 double.
    Float,
    /// True or false.
    Bool,
    /// A point in time, in microseconds.
    Timestamp,
    /// Any JSON text.
    Json,
}

impl ValueType {
    /// Every type, in the order the documentation lists them.
    pub const ALL: [Self; 6] = [
        Self::String,
        Self::Int,
        Self::Float,
        Self::Bool,
        Self::Timestamp,
        Self::Json,
    ];

    /// The name in a pipeline file.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Timestamp => "timestamp",
            Self::Json => "json",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|value_type| value_type.name() == name)
    }
}

/// One value of an event, text borrowed where it can be.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value<'a> {
    /// Absent, empty or null; never stored.
    #[default]
    Null,
    /// Text.
    String(Cow<'a, str>),
    /// An integer.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A point in time.
    Timestamp(Timestamp),
    /// JSON text, as it was written.
    Json(Cow<'a, str>),
}

impl Value<'_> {
    /// Whether this is [`Value::Null`].
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// How many bytes [`Value::encode_into`] appends.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::String(text) | Self::Json(text) => text.len(),
            Self::Int(_) | Self::Float(_) | Self::Timestamp(_) => 8,
            Self::Bool(_) => 1,
        }
    }

    /// Appends the bytes of the value's cell; nothing for null.
    ///
    /// Strings and JSON are UTF-8 text, numbers eight bytes big-endian, a boolean one byte, a timestamp its microseconds
    /// as an integer: what `BigQuery`, `HBase` and Bigtable's own counters read.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::String(text) | Self::Json(text) => out.extend_from_slice(text.as_bytes()),
            Self::Int(number) => out.extend_from_slice(&number.to_be_bytes()),
            Self::Float(number) => out.extend_from_slice(&number.to_be_bytes()),
            Self::Bool(truth) => out.push(u8::from(*truth)),
            Self::Timestamp(time) => out.extend_from_slice(&time.micros().to_be_bytes()),
        }
    }

    /// The same value, its text borrowed from this one.
    pub fn borrow(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::String(text) => Value::String(Cow::Borrowed(text)),
            Self::Int(number) => Value::Int(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Timestamp(time) => Value::Timestamp(*time),
            Self::Json(text) => Value::Json(Cow::Borrowed(text)),
        }
    }

    /// The same value, owning its text.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Self::Int(number) => Value::Int(number),
            Self::Float(number) => Value::Float(number),
            Self::Bool(truth) => Value::Bool(truth),
            Self::Timestamp(time) => Value::Timestamp(time),
            Self::Json(text) => Value::Json(Cow::Owned(text.into_owned())),
        }
    }
}

impl<'a> Value<'a> {
    /// The value of a cell of a known type.
    pub fn decode(value_type: ValueType, bytes: &'a [u8]) -> Result<Self, ValueError> {
        let error = ValueError {
            value_type,
            bytes: bytes.len(),
        };
        let text = || {
            std::str::from_utf8(bytes)
                .map(Cow::Borrowed)
                .map_err(|_| error)
        };
        let eight = || bytes.try_into().map_err(|_| error);
        Ok(match value_type {
            ValueType::String => Self::String(text()?),
            ValueType::Json => Self::Json(text()?),
            ValueType::Int => Self::Int(i64::from_be_bytes(eight()?)),
            ValueType::Float => Self::Float(
                Some(f64::from_be_bytes(eight()?))
                    .filter(|n| n.is_finite())
                    .ok_or(error)?,
            ),
            ValueType::Timestamp => Self::Timestamp(
                Timestamp::from_micros(i64::from_be_bytes(eight()?)).map_err(|_| error)?,
            ),
            ValueType::Bool => match bytes {
                [0] => Self::Bool(false),
                [1] => Self::Bool(true),
                _ => return Err(error),
            },
        })
    }

    /// The value as text: a dimension's value, a hash's input, a printed field. Null is the empty text.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed(""),
            Self::String(text) | Self::Json(text) => Cow::Borrowed(text),
            Self::Bool(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
            other => Cow::Owned(other.to_string()),
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::String(text) | Self::Json(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
            Self::Timestamp(time) => time.fmt(f),
        }
    }
}

/// The time that a person or a pipeline file writes: a date, which means its first moment, or RFC 3339.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(date) = text.parse::<rowmill_rowkey::Date>() {
        return Some(date.start());
    }
    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Timestamp::from_micros(time.timestamp_micros()).ok()
}

/// Bytes of a cell that are no value of the type the schema gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cell of {bytes} bytes holds no {}", value_type.name())]
pub struct ValueError {
    /// The type that was expected.
    pub value_type: ValueType,
    /// How long the cell is.
    pub bytes: usize,
}
