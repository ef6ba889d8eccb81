//! The pipeline file: what an event is, which rules it must meet, and what is aggregated.

mod aggregates;
mod problem;
mod read;
mod retention;
mod section;

use std::fmt;

use chrono_tz::Tz;

use crate::columns::fact;
use crate::event::Slot;
use crate::finding::Severity;
use crate::value::{Value, ValueType};

pub use aggregates::{
    AggregateSpec, DimensionSource, DistinctSpec, Grain, MeasureSpec, SessionSpec, Statistic,
    TopSpec,
};
pub use problem::{Location, PipelineError, Problem};
pub use retention::RetentionSpec;

/// A parsed pipeline file. Every name in it is resolved; expressions and patterns are compiled by the stages that run them.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// What the pipeline is called in logs and run records.
    pub name: String,
    /// How many rejected records are too many.
    pub max_rejects: Option<RejectLimit>,
    /// What makes a record an event.
    pub event: EventSpec,
    /// The schema, ordered by stored name.
    pub fields: Vec<FieldSpec>,
    /// What happens to fields that the schema does not name.
    pub unknown: Unknown,
    /// How CSV files are written.
    pub csv: CsvSpec,
    /// Rules over several fields.
    pub rules: Vec<RuleSpec>,
    /// What is aggregated by, beside the total.
    pub aggregates: Vec<AggregateSpec>,
    /// What is measured in every aggregate, ordered by name.
    pub measures: Vec<MeasureSpec>,
    /// What is counted distinctly in every aggregate, ordered by name.
    pub distinct: Vec<DistinctSpec>,
    /// What sessions are, if they are aggregated.
    pub sessions: Option<SessionSpec>,
    /// How long cells are kept, in the order of the file; for ever where nothing is said.
    pub retention: Vec<RetentionSpec>,
    /// 16 hexadecimal digits that change when the file, or a value set over it, does.
    pub fingerprint: String,
    source: SourceText,
}

impl Pipeline {
    /// The pipeline of a file's text.
    pub fn parse(text: &str) -> Result<Self, PipelineError> {
        Self::parse_with(text, &[])
    }

    /// The pipeline of a file's text with single values set over it, as in `event.user_id.required=false`.
    pub fn parse_with(text: &str, overrides: &[String]) -> Result<Self, PipelineError> {
        read::pipeline(&SourceText::new(text, overrides))
    }

    /// The index of the field of that stored name.
    pub fn field_index(&self, name: &str) -> Option<usize> {
        self.fields
            .binary_search_by(|field| field.name.as_str().cmp(name))
            .ok()
    }

    /// The slot that a rule, a dimension or a measure of that name means.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        let built_in = Slot::BUILT_IN
            .into_iter()
            .find(|(built_in, _)| *built_in == name);
        built_in
            .map(|(_, slot)| slot)
            .or_else(|| self.field_index(name).map(Slot::Field))
    }

    /// The name of a slot.
    pub fn slot_name(&self, slot: Slot) -> &str {
        match slot {
            Slot::UserId => fact::USER_ID,
            Slot::EventType => fact::EVENT_TYPE,
            Slot::EventId => fact::EVENT_ID,
            Slot::Timestamp => fact::TIMESTAMP,
            Slot::Field(index) => &self.fields[index].name,
        }
    }

    /// The type of the values in a slot.
    pub fn slot_type(&self, slot: Slot) -> ValueType {
        match slot {
            Slot::UserId | Slot::EventType | Slot::EventId => ValueType::String,
            Slot::Timestamp => ValueType::Timestamp,
            Slot::Field(index) => self.fields[index].value_type,
        }
    }

    /// Every name that [`Pipeline::slot`] knows.
    pub fn slot_names(&self) -> impl Iterator<Item = &str> {
        let fields = self.fields.iter().map(|field| field.name.as_str());
        Slot::BUILT_IN
            .into_iter()
            .map(|(name, _)| name)
            .chain(fields)
    }

    /// The slot whose name is most like `name`, as a hint: ``did you mean `song`?``
    pub fn nearest_slot(&self, name: &str) -> Option<String> {
        problem::did_you_mean(name, self.slot_names())
    }

    /// An error at something of this file that a later stage cannot use.
    pub fn error_at<T>(&self, at: &Located<T>, message: impl Into<String>) -> PipelineError {
        PipelineError::new(vec![Problem {
            location: self.source.locate(at.start),
            message: message.into(),
            hint: None,
        }])
    }
}

/// The file's text followed by each value set over it, so that one offset names a place in any of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourceText {
    file: String,
    overrides: Vec<String>,
}

impl SourceText {
    fn new(text: &str, overrides: &[String]) -> Self {
        Self {
            file: text.to_owned(),
            overrides: overrides.iter().map(|setting| as_toml(setting)).collect(),
        }
    }

    fn locate(&self, offset: usize) -> Location {
        let mut start = self.file.len() + 1;
        for setting in &self.overrides {
            if (start..start + setting.len() + 1).contains(&offset) {
                return Location::Override(setting.clone());
            }
            start += setting.len() + 1;
        }
        let before = &self.file[..self.file.floor_char_boundary(offset)];
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |last| last.chars().count())
            + 1;
        Location::File { line, column }
    }
}

/// A setting as TOML: in `a.b=text` the text may go without quotes.
fn as_toml(setting: &str) -> String {
    match setting.split_once('=') {
        Some((key, value)) if toml::de::DeValue::parse(value.trim()).is_err() => {
            format!("{key}={value:?}")
        }
        _ => setting.to_owned(),
    }
}

/// Something of the pipeline file, with its place there for errors that are found later.
#[derive(Debug, Clone, PartialEq)]
pub struct Located<T> {
    /// The thing itself.
    pub value: T,
    start: usize,
}

/// A dotted path into a JSON record, or the header of a CSV column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(String);

impl Path {
    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The keys to follow, from the outermost.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The most rejected records of a run that still count as success.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RejectLimit {
    /// So many records.
    Count(u64),
    /// So many of a hundred records read.
    Percent(f64),
}

impl RejectLimit {
    /// Whether so many rejected of so many read are too many.
    #[expect(clippy::cast_precision_loss, reason = "a share of a hundred")]
    pub fn is_exceeded(self, rejected: u64, read: u64) -> bool {
        match self {
            Self::Count(most) => rejected > most,
            Self::Percent(most) => rejected as f64 * 100.0 > most * read as f64,
        }
    }
}

impl std::str::FromStr for RejectLimit {
    type Err = String;

    /// `100`, or `5%`.
    fn from_str(text: &str) -> Result<Self, String> {
        let limit = match text.strip_suffix('%') {
            None => text.parse().ok().map(Self::Count),
            Some(share) => share
                .trim()
                .parse()
                .ok()
                .filter(|it| (0.0..=100.0).contains(it))
                .map(Self::Percent),
        };
        limit.ok_or_else(|| "is no count and no share such as 5%".to_owned())
    }
}

/// `[event]`: what makes a record an event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventSpec {
    /// Whose event it is.
    pub user_id: UserIdSpec,
    /// When it happened.
    pub timestamp: TimestampSpec,
    /// What kind of event it is.
    pub event_type: Option<Path>,
    /// Which of the user's events of that time it is.
    pub event_id: EventIdSpec,
    /// Only events for which this expression is not false are stored.
    pub filter: Option<Located<String>>,
}

/// `event.user_id`.
#[derive(Debug, Clone, PartialEq)]
pub struct UserIdSpec {
    /// Where it is in a record.
    pub from: Path,
    /// [`ValueType::String`], or [`ValueType::Int`] to normalise `17850.0` to `17850`.
    pub value_type: ValueType,
    /// Whether a record without one is rejected.
    pub required: bool,
    /// What stands in the key of a record without one.
    pub placeholder: Option<String>,
}

/// Where a time is and how it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct TimestampSpec {
    /// Where it is in a record.
    pub from: Path,
    /// The formats to try, in this order.
    pub formats: Vec<Located<TimestampFormat>>,
    /// The zone of times that name none.
    pub zone: Tz,
}

/// How a time is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimestampFormat {
    /// `2018-11-15T14:00:00.123Z`, or with a space, or another offset.
    Rfc3339,
    /// Seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
    /// Microseconds since 1970.
    UnixMicros,
    /// A pattern of strftime, such as `%m/%d/%Y %H:%M`.
    Pattern(String),
}

/// `event.event_id`: what makes two records the same event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventIdSpec {
    /// The values at these paths, joined by `.`: the record says so itself.
    Natural(Vec<Path>),
    /// A hash of the record's content: exact repeats are one event.
    Content,
    /// A hash of the record's place and content: exact repeats are events of their own.
    Place,
}

/// `[fields.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldSpec {
    /// The stored name.
    pub name: String,
    /// Where it is in a record; the stored name or its camelCase form if not given.
    pub from: Option<Path>,
    /// Its type.
    pub value_type: ValueType,
    /// Whether white space around text is dropped.
    pub trim: bool,
    /// How a timestamp is written.
    pub formats: Vec<Located<TimestampFormat>>,
    /// The zone of timestamps that name none.
    pub zone: Tz,
    /// An expression that computes the field instead of reading it.
    pub derive: Option<Located<String>>,
    /// Whether it must have a value.
    pub required: bool,
    /// The least value.
    pub min: Option<Bound>,
    /// The greatest value.
    pub max: Option<Bound>,
    /// The only values.
    pub one_of: Vec<Value<'static>>,
    /// A regular expression that the whole text must match.
    pub pattern: Option<Located<String>>,
    /// The least number of characters.
    pub min_length: Option<u64>,
    /// The greatest number of characters.
    pub max_length: Option<u64>,
    /// What breaking one of the field's checks means.
    pub severity: Severity,
}

/// An end of a range, of the field's type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Of an integer.
    Int(i64),
    /// Of a float.
    Float(f64),
    /// Of a timestamp.
    Timestamp(rowmill_rowkey::Timestamp),
}

impl Bound {
    /// Whether this bound is greater than `other`, of the same kind.
    fn exceeds(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a > b,
            (Self::Float(a), Self::Float(b)) => a > b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a > b,
            _ => false,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(bound) => bound.fmt(f),
            Self::Float(bound) => bound.fmt(f),
            Self::Timestamp(bound) => bound.fmt(f),
        }
    }
}

/// `fields.unknown`: what happens to fields that the schema does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// They are stored as JSON text.
    #[default]
    Keep,
    /// They are left out.
    Drop,
    /// The record is rejected.
    Reject,
}

/// `[csv]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvSpec {
    /// What stands between two fields.
    pub delimiter: u8,
    /// The columns' names, for files without a header line.
    pub columns: Option<Vec<String>>,
}

impl Default for CsvSpec {
    fn default() -> Self {
        Self {
            delimiter: b',',
            columns: None,
        }
    }
}

/// `[[rules]]`: a condition over several fields.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSpec {
    /// What findings call it.
    pub name: String,
    /// The rule is for events for which this is true; for all without it.
    pub when: Option<Located<String>>,
    /// What must be true.
    pub check: Located<String>,
    /// What breaking it means.
    pub severity: Severity,
}
