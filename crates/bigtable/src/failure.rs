//! One failed attempt, as the retry loop needs to know it.

use std::error::Error as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use googleapis_tonic_google_rpc::google::rpc::{ErrorInfo, RetryInfo, Status as RpcStatus};
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// How long the server asks to wait before the next attempt, which it thereby invites.
    pub(crate) retry_delay: Option<Duration>,
    /// The row that is too large to be read.
    pub(crate) large_row: Option<Bytes>,
    /// Nothing was sent, so nothing can have happened.
    pub(crate) is_unsent: bool,
    /// It is one of a whole request, which a row of it meets.
    pub(crate) is_of_request: bool,
    /// Headers or trailers that came with it.
    pub(crate) metadata: Option<Box<MetadataMap>>,
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_delay: None,
            large_row: None,
            is_unsent: false,
            is_of_request: false,
            metadata: None,
            source: None,
        }
    }

    /// A failure before anything was sent.
    pub(crate) fn unsent(code: Code, message: impl Into<String>) -> Self {
        Self {
            is_unsent: true,
            ..Self::new(code, message)
        }
    }

    /// The failure of a call as `tonic` reports it.
    ///
    /// A lost connection comes as Unknown, Internal or Cancelled, but always with a cause; a status that the server sent has
    /// none. What is lost may be tried again, so it is Unavailable, as every other client calls it.
    pub(crate) fn of_status(status: Status) -> Self {
        let mut failure = Self {
            metadata: Some(Box::new(status.metadata().clone())),
            ..Self::of_details(status.code(), status.message(), status.details())
        };
        if is_truncated(&status) {
            failure.code = Code::Unavailable;
        }
        if let Some(cause) = status.source() {
            failure.code = if has_timed_out(cause) {
                Code::DeadlineExceeded
            } else {
                Code::Unavailable
            };
            failure.message = format!("the connection failed: {}", root(cause));
            failure.source = Some(Box::new(status));
        }
        failure
    }

    /// The failure of one entry of a bulk write.
    pub(crate) fn of_entry(status: &RpcStatus) -> Self {
        let details = status.encode_to_vec();
        Self::of_details(Code::from_i32(status.code), &status.message, &details)
    }

    fn of_details(code: Code, message: &str, details: &[u8]) -> Self {
        let mut failure = Self::new(code, message);
        // Details that cannot be read are no details; the code stands without them.
        for detail in RpcStatus::decode(details).unwrap_or_default().details {
            match detail.type_url.rsplit('/').next() {
                Some("google.rpc.RetryInfo") => {
                    failure.retry_delay = retry_delay(&detail.value);
                }
                Some("google.rpc.ErrorInfo") => failure.large_row = large_row(&detail.value),
                _ => {}
            }
        }
        failure
    }

    /// The same failure, for another row that it meets.
    pub(crate) fn again(&self) -> Self {
        Self {
            retry_delay: self.retry_delay,
            is_unsent: self.is_unsent,
            is_of_request: true,
            ..Self::new(self.code, self.message.clone())
        }
    }

    /// Whether a write that met it may have taken effect: not if the server refused it before doing anything. `OUT_OF_RANGE` is no
    /// refusal: this side gives it as well, for an answer that is too large to be taken.
    pub(crate) fn may_have_happened(&self) -> bool {
        let is_refusal = matches!(
            self.code,
            Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::FailedPrecondition
                | Code::Unimplemented
                | Code::ResourceExhausted
        );
        !self.is_unsent && !is_refusal
    }

    /// Whether the stream was reset under a call that the server may not have seen.
    pub(crate) fn is_reset(&self) -> bool {
        self.code == Code::Internal
            && ["RST_STREAM", "GOAWAY", "rst_stream", "goaway"]
                .iter()
                .any(|text| self.message.contains(text))
    }
}

/// A stream that ended without a status: some proxy cut it short.
fn is_truncated(status: &Status) -> bool {
    status.code() == Code::Unknown && status.message().contains("missing grpc-status")
}

fn has_timed_out(cause: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(cause);
    while let Some(error) = next {
        if error.is::<tonic::TimeoutExpired>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn root<'a>(cause: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut root = cause;
    while let Some(next) = root.source() {
        root = next;
    }
    root
}

fn retry_delay(detail: &[u8]) -> Option<Duration> {
    let delay = RetryInfo::decode(detail).ok()?.retry_delay?;
    Duration::try_from(delay).ok()
}

/// The key of a row that is too large, as the service names it.
fn large_row(detail: &[u8]) -> Option<Bytes> {
    let info = ErrorInfo::decode(detail).ok()?;
    if info.reason != "LargeRowReadError" {
        return None;
    }
    let key = STANDARD.decode(info.metadata.get("rowKeyBase64Encoded")?);
    key.ok().map(Bytes::from)
}
