//! What a scripted server answers, step by step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use googleapis_tonic_google_rpc::google::rpc::{ErrorInfo, RetryInfo, Status};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use prost_types::Any;
use tokio::sync::Semaphore;
use tonic::Code;

use crate::proto::mutate_rows_response::Entry;
use crate::proto::read_rows_response::CellChunk;
use crate::proto::read_rows_response::cell_chunk::RowStatus;
use crate::proto::{MutateRowsResponse, RateLimitInfo, ReadRowsResponse};

/// The answer to one request: steps, one after the other, and an end, which is a good one if nothing else is said.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub(super) headers: HeaderMap,
    pub(super) steps: VecDeque<Step>,
}

/// One step of a reply.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Message(Bytes),
    Delay(Duration),
    Wait(Gate),
    /// Never goes on.
    Hang,
    /// Closes the connection under all its calls.
    Drop,
    /// Says that the connection takes no more calls.
    GoAway,
    /// Resets the stream.
    Reset,
    /// Ends the stream with trailers.
    End(HeaderMap),
}

/// Something that is closed until it is opened.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    /// Lets everybody through from now on.
    pub fn open(&self) {
        self.0.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Waits until it is open.
    pub async fn passed(&self) {
        self.0
            .acquire()
            .await
            .expect("a gate is never closed")
            .forget();
    }
}

impl Reply {
    /// An answer without messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows with one small cell each, in one message.
    pub fn rows<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new().and_rows(keys)
    }

    /// More rows, in one more message.
    pub fn and_rows<'a>(self, keys: impl IntoIterator<Item = &'a str>) -> Self {
        self.chunks(keys.into_iter().map(|key| chunk(key, "value")).collect())
    }

    /// Cell chunks, in one message.
    pub fn chunks(self, chunks: Vec<CellChunk>) -> Self {
        self.message(&ReadRowsResponse {
            chunks,
            ..ReadRowsResponse::default()
        })
    }

    /// A message that says how far the scan has come.
    pub fn scanned(self, key: &str) -> Self {
        self.message(&ReadRowsResponse {
            last_scanned_row_key: Bytes::copy_from_slice(key.as_bytes()),
            ..ReadRowsResponse::default()
        })
    }

    /// Outcomes of entries of a bulk write: their places, and codes.
    pub fn outcomes(outcomes: impl IntoIterator<Item = (i64, Code)>) -> Self {
        Self::new().and_outcomes(outcomes)
    }

    /// More outcomes, in one more message.
    pub fn and_outcomes(self, outcomes: impl IntoIterator<Item = (i64, Code)>) -> Self {
        let entry = |(index, code): (i64, Code)| Entry {
            index,
            status: Some(Status {
                code: code as i32,
                ..Status::default()
            }),
        };
        self.message(&MutateRowsResponse {
            entries: outcomes.into_iter().map(entry).collect(),
            rate_limit_info: None,
        })
    }

    /// An outcome that asks for another attempt after `delay`, in one more message.
    pub fn and_retry_after(self, index: i64, code: Code, delay: Duration) -> Self {
        let status = Status {
            code: code as i32,
            message: "told to fail".to_owned(),
            details: vec![any("RetryInfo", &retry_info(delay))],
        };
        self.message(&MutateRowsResponse {
            entries: vec![Entry {
                index,
                status: Some(status),
            }],
            rate_limit_info: None,
        })
    }

    /// A message that asks for another rate.
    pub fn rate(self, factor: f64, period: Duration) -> Self {
        self.message(&MutateRowsResponse {
            entries: Vec::new(),
            rate_limit_info: Some(RateLimitInfo {
                period: prost_types::Duration::try_from(period).ok(),
                factor,
            }),
        })
    }

    /// A message.
    pub fn message(self, message: &impl Message) -> Self {
        self.bytes(&message.encode_to_vec())
    }

    /// A message that is encoded already.
    pub fn bytes(self, message: &[u8]) -> Self {
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).expect("a message of a test is small"));
        frame.put_slice(message);
        self.step(Step::Message(frame.freeze()))
    }

    /// The beginning of a message that is larger than any client takes.
    pub fn too_large(self) -> Self {
        self.step(Step::Message(Bytes::from_static(&[0, 0x7f, 0, 0, 0])))
    }

    /// A header, sent before the first message.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header of a test is plain");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Waits for so long.
    pub fn delay(self, duration: Duration) -> Self {
        self.step(Step::Delay(duration))
    }

    /// Waits until the gate is open.
    pub fn wait(self, gate: &Gate) -> Self {
        self.step(Step::Wait(gate.clone()))
    }

    /// Says nothing more, and does not end.
    pub fn hang(self) -> Self {
        self.step(Step::Hang)
    }

    /// Closes the connection.
    pub fn drop_connection(self) -> Self {
        self.step(Step::Drop)
    }

    /// Sends a `GOAWAY`: calls in flight may end, new ones need a new connection.
    pub fn go_away(self) -> Self {
        self.step(Step::GoAway)
    }

    /// Resets the stream.
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    /// Ends without any status, as if a proxy had cut the answer short.
    pub fn truncated(self) -> Self {
        self.step(Step::End(HeaderMap::new()))
    }

    /// Ends with a status.
    pub fn status(self, code: Code, message: &str) -> Self {
        self.end(code, message, Vec::new(), &[])
    }

    /// Ends with a status and more trailers.
    pub fn status_with(self, code: Code, trailers: &[(&'static str, &str)]) -> Self {
        self.end(code, "told to fail", Vec::new(), trailers)
    }

    /// Ends with a status that asks for another attempt after `delay`.
    pub fn retry_after(self, code: Code, delay: Duration) -> Self {
        let info = any("RetryInfo", &retry_info(delay));
        self.end(code, "told to fail", vec![info], &[])
    }

    /// Ends because a row is too large.
    pub fn large_row(self, key: &str) -> Self {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode(key);
        let info = ErrorInfo {
            reason: "LargeRowReadError".to_owned(),
            domain: "bigtable.googleapis.com".to_owned(),
            metadata: [("rowKeyBase64Encoded".to_owned(), key)].into(),
        };
        let details = vec![any("ErrorInfo", &info)];
        self.end(
            Code::FailedPrecondition,
            "the row is too large",
            details,
            &[],
        )
    }

    fn end(
        self,
        code: Code,
        message: &str,
        details: Vec<Any>,
        trailers: &[(&'static str, &str)],
    ) -> Self {
        use base64::Engine as _;
        let mut map = HeaderMap::new();
        let text = |value: &str| HeaderValue::from_str(value).expect("a test's text is plain");
        map.insert("grpc-status", text(&(code as i32).to_string()));
        map.insert("grpc-message", text(message));
        for (name, value) in trailers {
            map.insert(HeaderName::from_static(name), text(value));
        }
        if !details.is_empty() {
            let status = Status {
                code: code as i32,
                message: message.to_owned(),
                details,
            };
            let encoded =
                base64::engine::general_purpose::STANDARD_NO_PAD.encode(status.encode_to_vec());
            map.insert("grpc-status-details-bin", text(&encoded));
        }
        self.step(Step::End(map))
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }
}

fn retry_info(delay: Duration) -> RetryInfo {
    RetryInfo {
        retry_delay: prost_types::Duration::try_from(delay).ok(),
    }
}

fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/google.rpc.{name}"),
        value: message.encode_to_vec(),
    }
}

/// A chunk that is a whole row of one cell.
pub fn chunk(key: &str, value: &str) -> CellChunk {
    CellChunk {
        row_key: Bytes::copy_from_slice(key.as_bytes()),
        family_name: Some("f".to_owned()),
        qualifier: Some(b"q".to_vec()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        row_status: Some(RowStatus::CommitRow(true)),
        ..CellChunk::default()
    }
}
