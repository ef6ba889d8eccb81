//! What can go wrong with a store, and what a caller may do about it.

use std::fmt;

/// A result of a store.
pub type Result<T> = std::result::Result<T, Error>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A failed operation on a store. One pointer wide, because a batch has an outcome for each of its rows.
#[derive(Debug)]
pub struct Error(Box<Failure>);

#[derive(Debug)]
struct Failure {
    kind: ErrorKind,
    effect: Effect,
    message: String,
    hint: Option<String>,
    source: Option<Source>,
}

/// What kind of failure it is: there is one for each thing a caller would do differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The table does not exist, or has no such family.
    NotFound,
    /// The table exists already.
    AlreadyExists,
    /// The request can never succeed: a bad timestamp, something too large.
    InvalidArgument,
    /// The caller is not known, or may not do this.
    Denied,
    /// Another process has the store open.
    Locked,
    /// The store cannot answer now and may later.
    Unavailable,
    /// The store has no room left.
    Full,
    /// What the store kept cannot be read.
    Corrupt,
    /// Anything else.
    Internal,
}

/// Whether a failed write may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It has not.
    None,
    /// It may have.
    Unknown,
}

impl Error {
    /// An error without any effect.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Failure {
            kind,
            effect: Effect::None,
            message: message.into(),
            hint: None,
            source: None,
        }))
    }

    /// The same error with what caused it.
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error with what would help.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error of a write that may have taken effect.
    pub fn with_unknown_effect(mut self) -> Self {
        self.0.effect = Effect::Unknown;
        self
    }

    /// The same error once more, for another row, without what caused it.
    pub fn copied(&self) -> Self {
        let failure = &self.0;
        Self(Box::new(Failure {
            kind: failure.kind,
            effect: failure.effect,
            message: failure.message.clone(),
            hint: failure.hint.clone(),
            source: None,
        }))
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether a failed write may have taken effect.
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// What would help, if that is known.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
