//! One record after another: raw values into slots, slots into an event.

use std::borrow::Cow;

use rowmill_expression::Expression;
use rowmill_model::{
    Event, EventIdSpec, FieldSpec, Finding, Reason, Slot, Unknown, Value, ValueType,
};
use rowmill_rowkey::Timestamp;
use rustc_hash::FxHashMap;

use crate::columns::Columns;
use crate::convert::{Raw, json_string, quoted, trimmed};
use crate::identity::{self, Place};
use crate::json;
use crate::number::parse_int;
use crate::targets::{Resolved, Target};
use crate::transformer::Transformer;

/// How many names a worker remembers the meaning of.
const NAMES_MAX: usize = 4_096;

/// How many fields of a record that the schema does not name are found fault with. A record may have a million of them.
const UNKNOWN_FINDINGS_MAX: usize = 100;

/// What became of a record.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The event, with null where a value could not be converted; none if the record cannot be read.
    pub event: Option<Event<'a>>,
    /// Whether the event's time is known. Without it rules over several fields mean nothing.
    pub has_time: bool,
    /// Everything found wrong so far.
    pub findings: Vec<Finding>,
}

/// Transforms the records of one thread, which live as long as `'a`.
#[derive(Debug)]
pub struct Worker<'t, 'a> {
    transformer: &'t Transformer,
    /// The record at hand: a raw value for each slot.
    slots: Vec<Raw<'a>>,
    /// The slots with more than one value: each is one finding, however many values there are.
    collided: Vec<Target>,
    /// The names without a slot that came more than once, each once.
    repeated: Vec<Cow<'a, str>>,
    unknown: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    findings: Vec<Finding>,
    names: Names<'a>,
    scratch: Vec<u8>,
}

impl<'t, 'a> Worker<'t, 'a> {
    pub(crate) fn new(transformer: &'t Transformer) -> Self {
        Self {
            transformer,
            slots: vec![Raw::Absent; transformer.targets.len()],
            collided: Vec::new(),
            repeated: Vec::new(),
            unknown: Vec::new(),
            findings: Vec::new(),
            names: Names::default(),
            scratch: Vec::new(),
        }
    }

    /// The event that a JSON object is.
    pub fn json(&mut self, text: &'a str, place: Place<'_>) -> Outcome<'a> {
        let mut names = std::mem::take(&mut self.names);
        names.record += 1;
        let read = json::for_each_member(text, |name, value| self.member(&mut names, name, value));
        self.names = names;
        match read {
            Ok(()) => self.finish(place),
            Err(message) => {
                self.reset();
                let findings = vec![Finding::reject(Reason::Unreadable, "", message)];
                Outcome {
                    event: None,
                    has_time: false,
                    findings,
                }
            }
        }
    }

    /// The event that a CSV record is: a text for each of the columns.
    pub fn csv(
        &mut self,
        columns: &Columns,
        fields: impl IntoIterator<Item = &'a str>,
        place: Place<'_>,
    ) -> Outcome<'a> {
        for (column, text) in columns.resolved.iter().zip(fields) {
            for target in &column.targets {
                self.fill(*target, Raw::Text(Cow::Borrowed(text)));
            }
            if let Some(name) = &column.unknown
                && !text.trim().is_empty()
            {
                self.unknown.push((
                    Cow::Owned(name.clone()),
                    Cow::Owned(json_string(text.trim())),
                ));
            }
        }
        self.finish(place)
    }

    fn member(&mut self, names: &mut Names<'a>, name: Cow<'a, str>, value: &'a str) {
        match names.find(&name) {
            Some(at) if names.comes_again(at) => {
                if names.comes_again_first(at) {
                    self.repeated(&name, &names.known[at].1);
                }
            }
            Some(at) => self.assign(&names.known[at].1, value),
            None => {
                let resolved = self.transformer.targets.resolve(&name, None);
                self.assign(&resolved, value);
                names.insert(name, resolved);
            }
        }
    }

    /// A name that the record has had already. Which of its values is meant cannot be known, also where one is null.
    fn repeated(&mut self, name: &str, resolved: &Resolved) {
        for target in &resolved.targets {
            self.collide(*target);
        }
        let subject = match (&resolved.unknown, resolved.nested.is_empty()) {
            (Some(unknown), _) => unknown.clone(),
            (None, false) if resolved.targets.is_empty() => name.to_owned(),
            _ => return,
        };
        self.repeated.push(Cow::Owned(subject));
    }

    fn assign(&mut self, resolved: &Resolved, value: &'a str) {
        for target in &resolved.targets {
            self.fill(*target, json::raw(value));
        }
        if let Some(name) = &resolved.unknown
            && !matches!(value, "null" | "\"\"")
        {
            self.unknown
                .push((Cow::Owned(name.clone()), Cow::Borrowed(value)));
        }
        if !resolved.nested.is_empty() && value.starts_with('{') {
            let paths: Vec<_> = resolved
                .nested
                .iter()
                .map(|(path, target)| (path.as_slice(), *target))
                .collect();
            self.descend(&paths, value);
        }
    }

    /// Fills slots from inside an object.
    fn descend(&mut self, paths: &[(&[String], Target)], object: &'a str) {
        // The whole record was checked already, so what is inside can be read.
        let _checked = json::for_each_member(object, |name, value| {
            let mut deeper = Vec::new();
            for (path, target) in paths.iter().filter(|(path, _)| path[0] == *name) {
                match path.len() {
                    1 => self.fill_once(*target, json::raw(value)),
                    _ => deeper.push((&path[1..], *target)),
                }
            }
            if !deeper.is_empty() && value.starts_with('{') {
                self.descend(&deeper, value);
            }
        });
    }

    /// Fills a slot from one of the names that mean it. Of two names one may be null.
    fn fill(&mut self, target: Target, raw: Raw<'a>) {
        let slot = &mut self.slots[target.0];
        match (&slot, &raw) {
            (Raw::Absent | Raw::Null, _) => *slot = raw,
            (_, Raw::Null) => {}
            _ => self.collide(target),
        }
    }

    /// Fills a slot from the one name that means it.
    fn fill_once(&mut self, target: Target, raw: Raw<'a>) {
        let slot = &mut self.slots[target.0];
        match slot {
            Raw::Absent => *slot = raw,
            _ => self.collide(target),
        }
    }

    /// Finds fault with a slot once, however many values there are for it.
    fn collide(&mut self, target: Target) {
        if self.collided.contains(&target) {
            return;
        }
        self.collided.push(target);
        let name = self.target_name(target);
        let message = "the record has two values for it";
        self.findings
            .push(Finding::reject(Reason::Collision, name, message));
    }

    fn target_name(&self, target: Target) -> String {
        let pipeline = &self.transformer.pipeline;
        match target {
            Target::USER_ID => "user_id".into(),
            Target::TIMESTAMP => "timestamp".into(),
            Target::EVENT_TYPE => "event_type".into(),
            other => match self.transformer.targets.field_index(other) {
                Some(index) => pipeline.fields[index].name.clone(),
                None => "event_id".into(),
            },
        }
    }

    fn reset(&mut self) {
        self.slots.fill(Raw::Absent);
        self.collided.clear();
        self.repeated.clear();
        self.unknown.clear();
        self.findings.clear();
    }

    /// Converts the slots, and empties them for the next record.
    fn finish(&mut self, place: Place<'_>) -> Outcome<'a> {
        self.collided.clear();
        let repeated = std::mem::take(&mut self.repeated);
        self.reject_names(
            Reason::Collision,
            &repeated,
            "the record has the name twice",
        );
        let user_id = self.user_id();
        let timestamp = self.timestamp();
        let event_type = self.take_text(Target::EVENT_TYPE);
        let id_parts = self.id_parts();
        let values = self.values();
        let unknown = self.take_unknown();
        let mut event = Event {
            user_id,
            timestamp: timestamp.unwrap_or(Timestamp::MIN),
            event_type,
            event_id: Cow::Borrowed(""),
            values,
            unknown,
        };
        self.derive(&mut event);
        event.event_id = match id_parts {
            Some(parts) => identity::join(parts),
            None => self.hashed_id(&event, place),
        };
        let findings = std::mem::take(&mut self.findings);
        Outcome {
            event: Some(event),
            has_time: timestamp.is_some(),
            findings,
        }
    }

    fn user_id(&mut self) -> Option<Cow<'a, str>> {
        let spec = &self.transformer.pipeline.event.user_id;
        let text = self.take_text(Target::USER_ID);
        let user_id = match (text, spec.value_type) {
            (Some(text), ValueType::Int) => match parse_int(&text) {
                Some(number) => Some(Cow::Owned(number.to_string())),
                None => {
                    let message = format!("{} is no int", quoted(&text));
                    let found = Finding::reject(Reason::Type, "user_id", message);
                    self.findings.push(found.with_value(&text));
                    return None;
                }
            },
            (text, _) => text,
        };
        if user_id.is_none() && spec.required && !self.is_found("user_id") {
            self.reject(
                Reason::Required,
                "user_id",
                format!("`{}` is missing or empty", spec.from),
            );
        }
        if user_id.is_some() && user_id.as_deref() == spec.placeholder.as_deref() {
            self.reject(
                Reason::Key,
                "user_id",
                "is the placeholder for events without a user".into(),
            );
        }
        user_id
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        let from = &self.transformer.pipeline.event.timestamp.from;
        let Some(text) = self.take_text(Target::TIMESTAMP) else {
            if !self.is_found("timestamp") {
                self.reject(
                    Reason::Required,
                    "timestamp",
                    format!("`{from}` is missing or empty"),
                );
            }
            return None;
        };
        let timestamp = self.transformer.timestamp.parse(&text);
        if timestamp.is_none() {
            let message = format!("{} is no time in the formats of `{from}`", quoted(&text));
            let found = Finding::reject(Reason::Type, "timestamp", message);
            self.findings.push(found.with_value(&text));
        }
        timestamp
    }

    /// The parts of a natural id; none if the id is a hash.
    fn id_parts(&mut self) -> Option<Vec<Cow<'a, str>>> {
        let EventIdSpec::Natural(paths) = &self.transformer.pipeline.event.event_id else {
            return None;
        };
        let mut parts = Vec::with_capacity(paths.len());
        for (index, path) in paths.iter().enumerate() {
            match self.take_text(Target::id_part(index)) {
                Some(text) => parts.push(text),
                None => self.reject(
                    Reason::Required,
                    "event_id",
                    format!("`{path}` is missing or empty"),
                ),
            }
        }
        if parts.is_empty() {
            parts.push(Cow::Borrowed(""));
        }
        Some(parts)
    }

    fn hashed_id(&mut self, event: &Event<'_>, place: Place<'_>) -> Cow<'a, str> {
        let by_place = self.transformer.pipeline.event.event_id == EventIdSpec::Place;
        let place = by_place.then_some(place);
        Cow::Owned(identity::hash(
            event,
            &self.transformer.names,
            place,
            &mut self.scratch,
        ))
    }

    /// The text in a slot, cleaned; none if there is nothing in it.
    fn take_text(&mut self, target: Target) -> Option<Cow<'a, str>> {
        let text = match std::mem::take(&mut self.slots[target.0]) {
            Raw::Absent | Raw::Null => return None,
            Raw::Text(text) => trimmed(text),
            Raw::Literal(text) => Cow::Borrowed(text),
            Raw::Nested(json) => {
                let name = self.target_name(target);
                let message = format!("{} is no text", quoted(json));
                let found = Finding::reject(Reason::Type, name, message);
                self.findings.push(found.with_value(json));
                return None;
            }
        };
        (!text.is_empty()).then_some(text)
    }

    fn values(&mut self) -> Vec<Value<'a>> {
        let transformer = self.transformer;
        let first = transformer.targets.field(0).0;
        let mut values = Vec::with_capacity(transformer.converters.len());
        for (index, converter) in transformer.converters.iter().enumerate() {
            let raw = std::mem::take(&mut self.slots[first + index]);
            values.push(converter.convert(raw).unwrap_or_else(|text| {
                let field = &transformer.pipeline.fields[index];
                let found = finding(Reason::Type, field, converter.mismatch(&text));
                self.findings.push(found.with_value(&text));
                Value::Null
            }));
        }
        values
    }

    /// The fields that the schema does not name, ordered by name, each of them once.
    fn take_unknown(&mut self) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        let pipeline = &self.transformer.pipeline;
        let mut unknown = std::mem::take(&mut self.unknown);
        if unknown.is_empty() {
            return unknown;
        }
        if pipeline.unknown == Unknown::Reject {
            let names: Vec<_> = unknown.drain(..).map(|(name, _)| name).collect();
            let message = "the schema does not name it";
            self.reject_names(Reason::UnknownField, &names, message);
            return unknown;
        }
        unknown.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let is_repeated = |at: usize| at > 0 && unknown[at - 1].0 == unknown[at].0;
        let mut names: Vec<_> = (0..unknown.len())
            .filter(|at| is_repeated(*at) || pipeline.field_index(&unknown[*at].0).is_some())
            .map(|at| unknown[at].0.clone())
            .collect();
        names.dedup();
        let message = "two names of the record are this field once folded";
        self.reject_names(Reason::Collision, &names, message);
        unknown
    }

    /// Finds fault with the first of these fields, and with all others together.
    fn reject_names(&mut self, reason: Reason, names: &[Cow<'a, str>], message: &str) {
        let (first, rest) = names.split_at(names.len().min(UNKNOWN_FINDINGS_MAX));
        for name in first {
            let finding = Finding::reject(reason, name.to_string(), message);
            self.findings.push(finding);
        }
        if let Some(name) = rest.first() {
            let message = format!("{message}; the same of {} names in all", names.len());
            let finding = Finding::reject(reason, name.to_string(), message);
            self.findings.push(finding);
        }
    }

    fn derive(&mut self, event: &mut Event<'a>) {
        for (index, expression) in &self.transformer.derived {
            let field = &self.transformer.pipeline.fields[*index];
            match derived_value(expression, field, event) {
                Ok(value) => event.values[*index] = value,
                Err(message) => self.findings.push(finding(Reason::Derive, field, message)),
            }
        }
    }

    /// Whether something was found wrong with `subject` already: a value that is no text is not also missing.
    fn is_found(&self, subject: &str) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.subject == subject)
    }

    fn reject(&mut self, reason: Reason, subject: &'static str, message: String) {
        self.findings
            .push(Finding::reject(reason, subject, message));
    }
}

/// What the names met so far mean.
///
/// Records of one file mostly have the same names in the same order, so the name that followed the one before is tried
/// first, which takes one comparison.
#[derive(Debug, Default)]
struct Names<'a> {
    known: Vec<(Cow<'a, str>, Resolved)>,
    by_name: FxHashMap<Cow<'a, str>, usize>,
    /// Of each known name, the one that followed it last.
    followers: Vec<usize>,
    /// Of each known name, the last record that had it.
    records: Vec<u64>,
    /// Of each known name, the last record that had it again.
    repeats: Vec<u64>,
    /// The number of the record at hand.
    record: u64,
    last: usize,
}

impl<'a> Names<'a> {
    fn find(&mut self, name: &str) -> Option<usize> {
        let expected = self.followers.get(self.last).copied();
        let at = match expected
            .filter(|at| self.known.get(*at).is_some_and(|(known, _)| known == name))
        {
            Some(at) => at,
            None => {
                let at = *self.by_name.get(name)?;
                self.followers[self.last] = at;
                at
            }
        };
        self.last = at;
        Some(at)
    }

    /// Whether the record at hand has had a known name already; it has had it now.
    fn comes_again(&mut self, at: usize) -> bool {
        std::mem::replace(&mut self.records[at], self.record) == self.record
    }

    /// Whether it is the first time that the record has this name again.
    fn comes_again_first(&mut self, at: usize) -> bool {
        std::mem::replace(&mut self.repeats[at], self.record) != self.record
    }

    fn insert(&mut self, name: Cow<'a, str>, resolved: Resolved) {
        if self.known.len() < NAMES_MAX {
            let at = self.known.len();
            if let Some(follower) = self.followers.get_mut(self.last) {
                *follower = at;
            }
            self.by_name.insert(name.clone(), at);
            self.known.push((name, resolved));
            self.followers.push(0);
            self.records.push(self.record);
            self.repeats.push(0);
            self.last = at;
        }
    }
}

fn finding(reason: Reason, field: &FieldSpec, message: String) -> Finding {
    Finding {
        severity: field.severity,
        ..Finding::reject(reason, field.name.clone(), message)
    }
}

/// The value of a derived field. An expression over a value that is absent gives null, any other failure a message.
fn derived_value(
    expression: &Expression,
    field: &FieldSpec,
    event: &Event<'_>,
) -> Result<Value<'static>, String> {
    let value = match expression.evaluate(event) {
        Ok(value) => value,
        Err(error) => {
            let absent = expression
                .slots()
                .any(|slot| slot != Slot::Timestamp && event.value(slot).is_null());
            return if absent {
                Ok(Value::Null)
            } else {
                Err(error.to_string())
            };
        }
    };
    let mismatch = |value: &Value<'_>| format!("`{value}` is no {}", field.value_type.name());
    #[expect(
        clippy::cast_precision_loss,
        reason = "an integer derived for a float field means the nearest float"
    )]
    match (value, field.value_type) {
        (Value::Null, _) => Ok(Value::Null),
        (Value::Int(number), ValueType::Float) => Ok(Value::Float(number as f64)),
        (value @ Value::Float(_), ValueType::Int) => parse_int(&value.to_text())
            .map(Value::Int)
            .ok_or_else(|| mismatch(&value)),
        (value @ Value::String(_), ValueType::String)
        | (value @ Value::Int(_), ValueType::Int)
        | (value @ Value::Float(_), ValueType::Float)
        | (value @ Value::Bool(_), ValueType::Bool)
        | (value @ Value::Timestamp(_), ValueType::Timestamp) => Ok(value),
        (value, ValueType::String) => Ok(Value::String(value.to_text().into_owned().into())),
        (value, _) => Err(mismatch(&value)),
    }
}
