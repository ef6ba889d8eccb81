//! One thing wrong with one record. A record may have many; all are kept.

use std::borrow::Cow;
use std::fmt;

/// Whether a finding keeps a record out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The event is stored, with the finding on its row.
    Warn,
    /// The record goes to the dead letters.
    Reject,
}

impl Severity {
    /// The name in a pipeline file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Reject => "reject",
        }
    }
}

/// The kind of thing that is wrong: what a ledger counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The record cannot be read at all: no valid UTF-8, CSV or JSON, too long, or cut off.
    Unreadable,
    /// Two names of the record are the same field once folded.
    Collision,
    /// A field that the schema does not name, where the pipeline file forbids that.
    UnknownField,
    /// A value is not of its field's type.
    Type,
    /// A required value is missing.
    Required,
    /// A value lies outside its range.
    Range,
    /// A value is none of those allowed.
    OneOf,
    /// A text does not match its pattern.
    Pattern,
    /// A text is too short or too long.
    Length,
    /// A rule over several fields is not met.
    Rule,
    /// A derived field cannot be computed.
    Derive,
    /// A part of the row key is empty, too long or reserved.
    Key,
    /// The row would be larger than Bigtable takes.
    Size,
    /// The store refuses the row, and always will.
    Store,
}

impl Reason {
    /// The word that tables and dead letters show.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Collision => "collision",
            Self::UnknownField => "unknown_field",
            Self::Type => "type",
            Self::Required => "required",
            Self::Range => "range",
            Self::OneOf => "one_of",
            Self::Pattern => "pattern",
            Self::Length => "length",
            Self::Rule => "rule",
            Self::Derive => "derive",
            Self::Key => "key",
            Self::Size => "size",
            Self::Store => "store",
        }
    }

    /// The stage that finds it.
    pub fn stage(self) -> &'static str {
        match self {
            Self::Unreadable => "ingest",
            Self::Collision | Self::UnknownField | Self::Type | Self::Derive => "transform",
            Self::Required | Self::Range | Self::OneOf => "quality",
            Self::Pattern | Self::Length | Self::Rule => "quality",
            Self::Key | Self::Size => "encode",
            Self::Store => "store",
        }
    }
}

/// One thing wrong with one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub reason: Reason,
    /// The field or rule it concerns; empty for the record as a whole.
    pub subject: Cow<'static, str>,
    /// Whether it keeps the record out.
    pub severity: Severity,
    /// What was found and what is allowed, as a fragment: `-3 is below 0`.
    pub message: String,
    /// The value it was found in, where it is one value; cut if long.
    pub value: Option<String>,
}

impl Finding {
    /// A finding that rejects the record.
    pub fn reject(
        reason: Reason,
        subject: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            reason,
            subject: subject.into(),
            severity: Severity::Reject,
            message: message.into(),
            value: None,
        }
    }

    /// The same finding with the value it was found in.
    pub fn with_value(mut self, value: &str) -> Self {
        const CHARACTERS_MAX: usize = 200;
        let end = value.char_indices().nth(CHARACTERS_MAX);
        self.value = Some(end.map_or_else(
            || value.to_owned(),
            |(end, _)| format!("{}…", &value[..end]),
        ));
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.subject {
            "" => write!(f, "{}: {}", self.reason.name(), self.message),
            subject => write!(f, "{} {subject}: {}", self.reason.name(), self.message),
        }
    }
}
