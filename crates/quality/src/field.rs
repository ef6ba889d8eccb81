//! The checks of one field.

use regex::Regex;
use rowmill_model::{Bound, FieldSpec, Finding, Pipeline, PipelineError, Reason, Severity, Value};

/// What one field must meet, compiled. Most fields have nothing to meet and no `FieldChecks`.
#[derive(Debug)]
pub(crate) struct FieldChecks {
    pub(crate) index: usize,
    name: String,
    severity: Severity,
    required: bool,
    min: Option<Bound>,
    max: Option<Bound>,
    one_of: Vec<Value<'static>>,
    pattern: Option<Regex>,
    min_length: Option<u64>,
    max_length: Option<u64>,
}

/// The pattern of a whole value, of one that is a pattern by itself.
fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    // A comment at its end, after `(?x)`, takes all that follows on its line.
    Regex::new(&format!("^(?:{pattern})$")).or_else(|_| Regex::new(&format!("^(?:{pattern}\n)$")))
}

impl FieldChecks {
    /// The checks of the field at `index`; none if it has none.
    pub(crate) fn new(
        pipeline: &Pipeline,
        index: usize,
        field: &FieldSpec,
    ) -> Result<Option<Self>, PipelineError> {
        let pattern = field.pattern.as_ref().map(|pattern| {
            whole(&pattern.value).map_err(|error| pipeline.error_at(pattern, error.to_string()))
        });
        let checks = Self {
            index,
            name: field.name.clone(),
            severity: field.severity,
            required: field.required,
            min: field.min,
            max: field.max,
            one_of: field.one_of.clone(),
            pattern: pattern.transpose()?,
            min_length: field.min_length,
            max_length: field.max_length,
        };
        Ok((!checks.is_idle()).then_some(checks))
    }

    fn is_idle(&self) -> bool {
        let ranged = self.min.is_some() || self.max.is_some() || !self.one_of.is_empty();
        let textual =
            self.pattern.is_some() || self.min_length.is_some() || self.max_length.is_some();
        !self.required && !ranged && !textual
    }

    /// Adds what is wrong with `value`.
    pub(crate) fn check(&self, value: &Value<'_>, findings: &mut Vec<Finding>) {
        if value.is_null() {
            // A value that could not be converted is null too, and was found already.
            let found = || {
                findings
                    .iter()
                    .any(|finding| finding.reason == Reason::Type && finding.subject == self.name)
            };
            if self.required && !found() {
                findings.push(self.missing());
            }
            return;
        }
        if let Some(bound) = self.min.filter(|bound| is_less(value, bound)) {
            let message = format!("{value} is below {bound}");
            findings.push(self.finding(Reason::Range, value, message));
        }
        if let Some(bound) = self.max.filter(|bound| is_greater(value, bound)) {
            let message = format!("{value} is above {bound}");
            findings.push(self.finding(Reason::Range, value, message));
        }
        if !self.one_of.is_empty() && !self.one_of.contains(value) {
            let allowed = self
                .one_of
                .iter()
                .map(|value| format!("{:?}", value.to_text()))
                .collect::<Vec<_>>();
            let message = format!("{} is none of {}", quoted(value), allowed.join(", "));
            findings.push(self.finding(Reason::OneOf, value, message));
        }
        self.check_text(value, findings);
    }

    fn check_text(&self, value: &Value<'_>, findings: &mut Vec<Finding>) {
        if let Some(pattern) = self
            .pattern
            .as_ref()
            .filter(|pattern| !pattern.is_match(&value.to_text()))
        {
            let message = format!("{} does not match `{pattern}`", quoted(value));
            findings.push(self.finding(Reason::Pattern, value, message));
        }
        if self.min_length.is_none() && self.max_length.is_none() {
            return;
        }
        let length = value.to_text().chars().count() as u64;
        if let Some(min) = self.min_length.filter(|min| length < *min) {
            findings.push(self.finding(
                Reason::Length,
                value,
                format!("has {length} characters, fewer than {min}"),
            ));
        }
        if let Some(max) = self.max_length.filter(|max| length > *max) {
            findings.push(self.finding(
                Reason::Length,
                value,
                format!("has {length} characters, more than {max}"),
            ));
        }
    }

    fn missing(&self) -> Finding {
        Finding {
            severity: self.severity,
            ..Finding::reject(Reason::Required, self.name.clone(), "is missing or empty")
        }
    }

    fn finding(&self, reason: Reason, value: &Value<'_>, message: String) -> Finding {
        Finding {
            severity: self.severity,
            ..Finding::reject(reason, self.name.clone(), message)
        }
        .with_value(&value.to_text())
    }
}

/// A value for a message, cut if long.
fn quoted(value: &Value<'_>) -> String {
    const CHARACTERS_MAX: usize = 60;
    let text = value.to_text();
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}

fn is_less(value: &Value<'_>, bound: &Bound) -> bool {
    match (value, bound) {
        (Value::Int(value), Bound::Int(bound)) => value < bound,
        (Value::Float(value), Bound::Float(bound)) => value < bound,
        (Value::Timestamp(value), Bound::Timestamp(bound)) => value < bound,
        _ => false,
    }
}

fn is_greater(value: &Value<'_>, bound: &Bound) -> bool {
    match (value, bound) {
        (Value::Int(value), Bound::Int(bound)) => value > bound,
        (Value::Float(value), Bound::Float(bound)) => value > bound,
        (Value::Timestamp(value), Bound::Timestamp(bound)) => value > bound,
        _ => false,
    }
}
