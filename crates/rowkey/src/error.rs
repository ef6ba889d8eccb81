//! The one error of this crate: which part of a key is wrong, and how.

use std::fmt;

/// The part of a key that an [`Error`] speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The user of a fact key.
    UserId,
    /// The event time of a fact key.
    Timestamp,
    /// The event's identity within a fact key.
    EventId,
    /// The dimension of an aggregate key.
    Dimension,
    /// The dimension's value in an aggregate key.
    DimensionValue,
    /// A calendar date.
    Date,
    /// A clock hour of a date.
    Hour,
    /// The write-spreading bucket of a timeline key.
    Bucket,
    /// The file or queue that a dead letter came from.
    Source,
    /// The byte offset of a dead letter.
    Offset,
    /// The hash of a dead letter's bytes.
    Content,
    /// The identity of a run.
    RunId,
    /// The fixed word that opens a state key.
    Kind,
}

impl Part {
    /// The part's name, as pipeline files and tables spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserId => "user_id",
            Self::Timestamp => "timestamp",
            Self::EventId => "event_id",
            Self::Dimension => "dimension",
            Self::DimensionValue => "dimension_value",
            Self::Date => "date",
            Self::Hour => "hour",
            Self::Bucket => "bucket",
            Self::Source => "source",
            Self::Offset => "offset",
            Self::Content => "content",
            Self::RunId => "run_id",
            Self::Kind => "kind",
        }
    }
}

/// What is wrong with a [`Part`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The part has no characters.
    Empty,
    /// The part takes more than `bytes_max` bytes once encoded.
    TooLong {
        /// Its encoded length.
        bytes: usize,
        /// The most that is allowed.
        bytes_max: usize,
    },
    /// The part is outside the range that keys can hold.
    OutOfRange,
    /// The key ends before this part.
    Missing,
    /// The bytes are no encoding of this part.
    Malformed,
}

/// A key that cannot be built, or bytes that are not such a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error {
    part: Part,
    kind: ErrorKind,
}

impl Error {
    pub(crate) fn new(part: Part, kind: ErrorKind) -> Self {
        Self { part, kind }
    }

    /// The part that is wrong.
    pub fn part(&self) -> Part {
        self.part
    }

    /// How it is wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.part.name();
        match self.kind {
            ErrorKind::Empty => write!(f, "{name} is empty"),
            ErrorKind::TooLong { bytes, bytes_max } => {
                write!(
                    f,
                    "{name} takes {bytes} bytes in a row key, at most {bytes_max} are allowed"
                )
            }
            ErrorKind::OutOfRange => {
                write!(
                    f,
                    "{name} is outside the years 0001 to 9999 that row keys hold"
                )
            }
            ErrorKind::Missing => write!(f, "the row key ends before {name}"),
            ErrorKind::Malformed => write!(f, "is no valid {name}"),
        }
    }
}

impl std::error::Error for Error {}
