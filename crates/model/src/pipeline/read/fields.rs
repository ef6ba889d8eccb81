//! `[fields]`: types, sources and checks.

use std::ops::Range;

use chrono_tz::Tz;
use rowmill_rowkey::Timestamp;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::section::{Problems, Section, float, integer};
use super::super::{Bound, FieldSpec, Located, Path, Unknown};
use super::event::formats;
use crate::event::Slot;
use crate::finding::Severity;
use crate::value::{Value, ValueType, parse_time};

pub(super) fn fields(mut section: Section<'_, '_, '_>) -> (Vec<FieldSpec>, Unknown) {
    let mut unknown = Unknown::Keep;
    let mut fields = Vec::new();
    for (name, span, node) in section.rest() {
        // A table called `unknown` is a field of that name; a word is the policy.
        if name == "unknown" && node.get_ref().is_str() {
            let policy = DeTable::from_iter([(Spanned::new(span, "unknown".into()), node)]);
            let mut policy = Section::new(
                section.problems,
                section.title.clone(),
                section.span.clone(),
                policy,
            );
            let words = [
                ("keep", Unknown::Keep),
                ("drop", Unknown::Drop),
                ("reject", Unknown::Reject),
            ];
            unknown = policy.word("unknown", &words).unwrap_or_default();
            continue;
        }
        field_name(section.problems, &name, &span);
        fields.extend(
            section
                .as_table(&name, node)
                .map(|section| field(name, section)),
        );
    }
    (fields, unknown)
}

fn field_name(problems: &Problems<'_>, name: &str, span: &Range<usize>) {
    let valid = !name.is_empty()
        && name
            .chars()
            .all(|c| c == '_' || c.is_alphanumeric() && !c.is_uppercase());
    if !valid || name.starts_with('_') {
        let message = format!(
            "`{name}` is no stored name: those are in snake_case and do not start with `_`"
        );
        let hint = Some("name the source with `from`".into());
        problems.add_with_hint(span, message, hint);
    }
    if Slot::BUILT_IN.iter().any(|(built_in, _)| *built_in == name) {
        problems.add(
            span,
            format!("`{name}` is set in [event] and cannot be a field as well"),
        );
    }
}

fn field(name: String, mut section: Section<'_, '_, '_>) -> FieldSpec {
    let types = ValueType::ALL.map(|value_type| (value_type.name(), value_type));
    let given = section.entries_contain("type");
    let value_type = section.word("type", &types);
    if !given {
        section.missing("type");
    }
    let is_timestamp = value_type == Some(ValueType::Timestamp);
    let (formats, zone) = if is_timestamp {
        formats(&mut section)
    } else {
        (Vec::new(), Tz::UTC)
    };
    let spec = FieldSpec {
        name,
        from: section.string("from").map(|text| Path(text.value)),
        value_type: value_type.unwrap_or(ValueType::String),
        trim: section.bool("trim").unwrap_or(true),
        formats,
        zone,
        derive: section.string("derive"),
        required: section.bool("required").unwrap_or(false),
        min: bound(&mut section, "min", value_type),
        max: bound(&mut section, "max", value_type),
        one_of: one_of(&mut section, value_type),
        pattern: pattern(&mut section),
        min_length: section.count("min_length"),
        max_length: section.count("max_length"),
        severity: severity(&mut section),
    };
    if spec
        .min
        .zip(spec.max)
        .is_some_and(|(min, max)| min.exceeds(max))
    {
        section.problems.add(
            &section.span,
            format!("`min` of {} is greater than its `max`", section.title),
        );
    }
    if spec.derive.is_some() && spec.from.is_some() {
        section.problems.add(
            &section.span,
            format!("{} has both `from` and `derive`", section.title),
        );
    }
    section.finish();
    spec
}

pub(super) fn severity(section: &mut Section<'_, '_, '_>) -> Severity {
    let words = [("reject", Severity::Reject), ("warn", Severity::Warn)];
    section.word("severity", &words).unwrap_or(Severity::Reject)
}

fn pattern(section: &mut Section<'_, '_, '_>) -> Option<Located<String>> {
    let pattern = section.string("pattern")?;
    if let Err(error) = regex::Regex::new(&pattern.value) {
        let message = error.to_string();
        let last = message
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        section.problems.add(
            &(pattern.start..pattern.start),
            format!("`{}` is no pattern: {last}", pattern.value),
        );
    }
    Some(pattern)
}

fn bound(
    section: &mut Section<'_, '_, '_>,
    key: &'static str,
    value_type: Option<ValueType>,
) -> Option<Bound> {
    let node = section.node(key)?;
    let bound = match value_type? {
        ValueType::Int => integer(node.get_ref()).map(Bound::Int),
        ValueType::Float => float(node.get_ref()).map(Bound::Float),
        ValueType::Timestamp => point_in_time(node.get_ref()).map(Bound::Timestamp),
        _ => None,
    };
    if bound.is_none() {
        let wanted = match value_type? {
            ValueType::Int => "a whole number",
            ValueType::Float => "a number",
            ValueType::Timestamp => "a date or an RFC 3339 time",
            _ => "left out: only numbers and timestamps have a range",
        };
        section.wrong_type(key, wanted, &node);
    }
    bound
}

fn point_in_time(value: &DeValue<'_>) -> Option<Timestamp> {
    match value {
        DeValue::String(text) => parse_time(text),
        DeValue::Datetime(time) => parse_time(&time.to_string()),
        _ => None,
    }
}

fn one_of(section: &mut Section<'_, '_, '_>, value_type: Option<ValueType>) -> Vec<Value<'static>> {
    let Some(node) = section.node("one_of") else {
        return Vec::new();
    };
    let Some(value_type) = value_type else {
        return Vec::new();
    };
    let value = |item: &DeValue<'_>| match value_type {
        ValueType::String => item
            .as_str()
            .map(|text| Value::String(text.to_owned().into())),
        ValueType::Int => integer(item).map(Value::Int),
        ValueType::Float => float(item).map(Value::Float),
        ValueType::Bool => item.as_bool().map(Value::Bool),
        ValueType::Timestamp | ValueType::Json => None,
    };
    let values = node
        .get_ref()
        .as_array()
        .and_then(|items| items.iter().map(|item| value(item.get_ref())).collect());
    values
        .filter(|values: &Vec<_>| !values.is_empty())
        .unwrap_or_else(|| {
            section.wrong_type(
                "one_of",
                &format!("a list of values of type {}", value_type.name()),
                &node,
            );
            Vec::new()
        })
}
