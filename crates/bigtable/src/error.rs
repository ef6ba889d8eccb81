//! What can go wrong with a call, and what a caller may do about it.

use std::fmt;

use bytes::Bytes;
use rowmill_store::Effect;
pub use tonic::Code;

use crate::failure::Failure;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// A call that failed. One pointer wide, because a bulk write has an outcome for each of its rows.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    message: String,
    operation: &'static str,
    resource: String,
    row_key: Option<Bytes>,
    hint: Option<String>,
    effect: Effect,
    attempts: u32,
    source: Option<Source>,
}

impl Error {
    /// A request or configuration that was not sent, because it can never succeed.
    pub(crate) fn invalid(operation: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, operation, message)
    }

    pub(crate) fn new(code: Code, operation: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            operation,
            resource: String::new(),
            row_key: None,
            hint: None,
            effect: Effect::None,
            attempts: 0,
            source: None,
        }))
    }

    /// The failure of a call on `resource`, with what would help.
    pub(crate) fn of(failure: Failure, operation: &'static str, resource: &str) -> Self {
        let is_unknown = failure.may_have_happened();
        let mut error = Self::new(failure.code, operation, failure.message);
        error.0.hint = hint(failure.code, operation, resource);
        if is_unknown {
            error.0.effect = Effect::Unknown;
        }
        error.0.source = failure.source;
        resource.clone_into(&mut error.0.resource);
        error
    }

    pub(crate) fn with_row_key(mut self, key: impl Into<Bytes>) -> Self {
        self.0.row_key = Some(key.into());
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error of a write that may have taken effect, or that has not.
    pub(crate) fn with_effect(mut self, may_have_happened: bool) -> Self {
        self.0.effect = if may_have_happened {
            Effect::Unknown
        } else {
            Effect::None
        };
        self
    }

    /// The gRPC code: the server's, or the one that fits what this client found.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What went wrong, without where: the server's words, or this client's.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What was called, as Bigtable names it: `MutateRows`.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The full name of the table or instance that was called on; empty if nothing was.
    pub fn resource(&self) -> &str {
        &self.0.resource
    }

    /// The row that is at fault, if it is one.
    pub fn row_key(&self) -> Option<&Bytes> {
        self.0.row_key.as_ref()
    }

    /// What would help: a role to grant, a command to run.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether a failed write may have taken effect.
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// How often the call was sent.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether the same call may succeed later. The client has retried it already, as far as its policy allows.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.0.code,
            Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::ResourceExhausted
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.operation)?;
        if !self.0.resource.is_empty() {
            write!(f, " on {}", self.0.resource)?;
        }
        if let Some(key) = &self.0.row_key {
            let shown = &key[..key.len().min(64)];
            write!(f, ", row {:?}", String::from_utf8_lossy(shown))?;
        }
        write!(f, ": {}", self.0.message)?;
        if self.0.attempts > 1 {
            write!(f, " (after {} attempts)", self.0.attempts)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// What would help against a code, of all who see it.
fn hint(code: Code, operation: &str, resource: &str) -> Option<String> {
    let role = match operation {
        "CreateTable" | "DeleteTable" | "ModifyColumnFamilies" => "roles/bigtable.admin",
        "ReadRows" | "SampleRowKeys" | "GetTable" | "ListTables" => "roles/bigtable.reader",
        _ => "roles/bigtable.user",
    };
    match code {
        Code::PermissionDenied => Some(format!(
            "grant the caller {role} on {resource}; `gcloud auth list` shows who the caller is"
        )),
        Code::Unauthenticated => Some(
            "the credentials were not accepted; run `gcloud auth application-default login`, or set \
             GOOGLE_APPLICATION_CREDENTIALS to a key file"
                .to_owned(),
        ),
        Code::NotFound if resource.contains("/tables/") => Some(
            "`cbt listinstances` and `cbt ls` show the instances and tables there are".to_owned(),
        ),
        Code::NotFound => Some(
            "`gcloud bigtable instances list` shows the instances of the project".to_owned(),
        ),
        _ => None,
    }
}
