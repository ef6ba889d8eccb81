//! `[event]`: users, times and ids.

use chrono_tz::Tz;
use toml::de::DeValue;

use super::super::problem::did_you_mean;
use super::super::section::{Node, Section};
use super::super::{
    EventIdSpec, EventSpec, Located, Path, TimestampFormat, TimestampSpec, UserIdSpec,
};
use crate::value::ValueType;

pub(super) fn event(mut section: Section<'_, '_, '_>) -> Option<EventSpec> {
    let user_id = section
        .node("user_id")
        .and_then(|node| user_id(&section, node));
    let timestamp = section
        .node("timestamp")
        .and_then(|node| timestamp(&section, node));
    let event_type = section.string("event_type").map(|text| Path(text.value));
    let event_id = section
        .node("event_id")
        .map_or(Some(EventIdSpec::Content), |node| event_id(&section, node));
    let filter = section.string("filter");
    for (key, found) in [
        ("user_id", user_id.is_some()),
        ("timestamp", timestamp.is_some()),
    ] {
        if !found {
            section.missing(key);
        }
    }
    section.finish();
    Some(EventSpec {
        user_id: user_id?,
        timestamp: timestamp?,
        event_type,
        event_id: event_id?,
        filter,
    })
}

fn user_id(parent: &Section<'_, '_, '_>, node: Node<'_>) -> Option<UserIdSpec> {
    if let Some(path) = node.get_ref().as_str() {
        let from = Path(path.to_owned());
        return Some(UserIdSpec {
            from,
            value_type: ValueType::String,
            required: true,
            placeholder: None,
        });
    }
    let mut section = parent.as_table("user_id", node)?;
    let from = section.string("from").map(|text| Path(text.value));
    let types = [("string", ValueType::String), ("int", ValueType::Int)];
    let value_type = section.word("type", &types).unwrap_or(ValueType::String);
    let required = section.bool("required").unwrap_or(true);
    let placeholder = section
        .string("placeholder")
        .map(|text| text.value)
        .filter(|text| !text.is_empty());
    if from.is_none() {
        section.missing("from");
    }
    if !required && placeholder.is_none() {
        let message = "`required = false` needs a `placeholder`, which stands in the keys of events without a user";
        section.problems.add(&section.span, message);
    }
    section.finish();
    Some(UserIdSpec {
        from: from?,
        value_type,
        required,
        placeholder,
    })
}

fn timestamp(parent: &Section<'_, '_, '_>, node: Node<'_>) -> Option<TimestampSpec> {
    if let Some(path) = node.get_ref().as_str() {
        let formats = vec![Located {
            value: TimestampFormat::Rfc3339,
            start: node.span().start,
        }];
        return Some(TimestampSpec {
            from: Path(path.to_owned()),
            formats,
            zone: Tz::UTC,
        });
    }
    let mut section = parent.as_table("timestamp", node)?;
    let from = section.string("from").map(|text| Path(text.value));
    let (formats, zone) = formats(&mut section);
    if from.is_none() {
        section.missing("from");
    }
    section.finish();
    Some(TimestampSpec {
        from: from?,
        formats,
        zone,
    })
}

/// `format` and `tz` of a section; RFC 3339 and UTC without them.
pub(super) fn formats(section: &mut Section<'_, '_, '_>) -> (Vec<Located<TimestampFormat>>, Tz) {
    let formats = section.strings("format").unwrap_or_default();
    let mut formats: Vec<_> = formats
        .into_iter()
        .map(|text| timestamp_format(section, text))
        .collect();
    if formats.is_empty() {
        formats.push(Located {
            value: TimestampFormat::Rfc3339,
            start: section.span.start,
        });
    }
    let zone = section.string("tz").and_then(|text| {
        let zone = text.value.parse();
        if zone.is_err() {
            let message = format!(
                "`{}` is no time zone; zones have names such as `UTC` or `Europe/London`",
                text.value
            );
            section.problems.add(&(text.start..text.start), message);
        }
        zone.ok()
    });
    (formats, zone.unwrap_or(Tz::UTC))
}

fn timestamp_format(
    section: &Section<'_, '_, '_>,
    text: Located<String>,
) -> Located<TimestampFormat> {
    let named = [
        ("rfc3339", TimestampFormat::Rfc3339),
        ("unix_s", TimestampFormat::UnixSeconds),
        ("unix_ms", TimestampFormat::UnixMillis),
        ("unix_us", TimestampFormat::UnixMicros),
    ];
    let value = match named.iter().find(|(name, _)| *name == text.value) {
        Some((_, format)) => format.clone(),
        None => {
            if !text.value.contains('%') {
                let message = format!("`{}` is no timestamp format", text.value);
                let hint = did_you_mean(&text.value, named.iter().map(|(name, _)| *name));
                let hint = hint.or_else(|| {
                    Some("it is rfc3339, unix_s, unix_ms, unix_us or a pattern with %".into())
                });
                section
                    .problems
                    .add_with_hint(&(text.start..text.start), message, hint);
            }
            TimestampFormat::Pattern(text.value)
        }
    };
    Located {
        value,
        start: text.start,
    }
}

fn event_id(parent: &Section<'_, '_, '_>, node: Node<'_>) -> Option<EventIdSpec> {
    match node.get_ref() {
        DeValue::String(path) => Some(EventIdSpec::Natural(vec![Path(path.clone().into_owned())])),
        DeValue::Array(items) if !items.is_empty() => {
            let paths = items.iter().map(|item| {
                parent
                    .as_string("event_id", item)
                    .map(|text| Path(text.value))
            });
            paths.collect::<Option<_>>().map(EventIdSpec::Natural)
        }
        DeValue::Table(_) => {
            let mut section = parent.as_table("event_id", node)?;
            let kind = section.word(
                "hash",
                &[
                    ("content", EventIdKind::Content),
                    ("place", EventIdKind::Place),
                ],
            );
            if kind.is_none() {
                section.missing("hash");
            }
            section.finish();
            kind.map(|kind| match kind {
                EventIdKind::Content => EventIdSpec::Content,
                EventIdKind::Place => EventIdSpec::Place,
            })
        }
        _ => {
            parent.wrong_type(
                "event_id",
                "a path, a list of paths, or { hash = \"content\" } or \"place\"",
                &node,
            );
            None
        }
    }
}

#[derive(Clone, Copy)]
enum EventIdKind {
    Content,
    Place,
}
