//! The members of a JSON object, unparsed: names, and values as they are written.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::convert::Raw;

/// Calls `member` for each member of the object that `text` is, in order. A fragment says why it is none.
pub(crate) fn for_each_member<'a>(
    text: &'a str,
    member: impl FnMut(Cow<'a, str>, &'a str),
) -> Result<(), String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer
        .deserialize_map(Members(member))
        .map_err(|error| message(text, &error))?;
    deserializer.end().map_err(|error| message(text, &error))
}

/// What a JSON value is to a field.
pub(crate) fn raw(json: &str) -> Raw<'_> {
    match json.as_bytes()[0] {
        b'"' => Raw::Text(string(json)),
        b'{' | b'[' => Raw::Nested(json),
        b'n' => Raw::Null,
        _ => Raw::Literal(json),
    }
}

/// The text of a JSON string.
fn string(json: &str) -> Cow<'_, str> {
    let inner = &json[1..json.len() - 1];
    if inner.contains('\\') {
        // The value was checked when its object was read, except for lone surrogates, which stand for no character.
        serde_json::from_str(json).map_or(Cow::Borrowed(inner), Cow::Owned)
    } else {
        Cow::Borrowed(inner)
    }
}

fn message(text: &str, error: &serde_json::Error) -> String {
    if !text.trim_start().starts_with('{') {
        return "is no JSON object".to_owned();
    }
    // serde_json counts lines within the record; a record's column is its offset.
    let text = error.to_string();
    let (message, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    format!("is no valid JSON: {message} at column {}", error.column())
}

struct Members<F>(F);

impl<'a, F: FnMut(Cow<'a, str>, &'a str)> Visitor<'a> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let value: &RawValue = map.next_value()?;
            if value.get().is_empty() {
                return Err(M::Error::custom("a member without a value"));
            }
            (self.0)(name, value.get());
        }
        Ok(())
    }
}

/// A member's name, borrowed unless it has escapes.
struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = Cow<'a, str>;

    fn deserialize<D: serde::Deserializer<'a>>(
        self,
        deserializer: D,
    ) -> Result<Cow<'a, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Name {
    type Value = Cow<'a, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'a, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
