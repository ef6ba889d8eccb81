//! One attempt of one call: a channel, the headers, the stream of responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use futures::FutureExt as _;
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::FeatureFlags;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use rowmill_store::{Timer, Wait, moment_after};
use tonic::client::Grpc;
use tonic::metadata::{AsciiMetadataValue, MetadataKey, MetadataMap};
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};

use crate::codec::RequestBytes;
use crate::credentials::Authorization;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::pool::{Lease, Pool};

/// The largest message in either direction.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// What stays as it is in a routing header.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Headers that the service sets on a failed attempt and wants back on the next.
const COOKIE_PREFIX: &str = "x-goog-cbt-cookie";

/// A method of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method {
    /// Its name, for errors.
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
}

/// What all calls of a client share.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) pool: Arc<Pool>,
    authorization: Authorization,
    environment: Environment,
    is_closed: Arc<AtomicBool>,
}

/// What a call sends, whatever the number of attempts.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// `table_name=…&app_profile_id=…`
    pub(crate) routing: AsciiMetadataValue,
    cookies: Cookies,
    /// It was begun before the client was closed, and goes on to its end.
    is_admitted: bool,
}

impl Call {
    pub(crate) fn new(method: Method, routing: AsciiMetadataValue) -> Self {
        Self {
            method,
            routing,
            cookies: Cookies::default(),
            is_admitted: false,
        }
    }

    /// A call that is part of an operation which has begun.
    pub(crate) fn admitted(self) -> Self {
        Self {
            is_admitted: true,
            ..self
        }
    }

    /// Remembers what the headers or trailers of an attempt want to be told on the next.
    pub(crate) fn note(&mut self, metadata: &MetadataMap) {
        self.cookies.absorb(metadata);
    }

    /// The same of what came with a failure.
    pub(crate) fn note_failure(&mut self, failure: &Failure) {
        if let Some(metadata) = &failure.metadata {
            self.note(metadata);
        }
    }
}

/// Routing cookies: the newest of each name, for as long as the operation lasts.
#[derive(Debug, Default)]
struct Cookies(MetadataMap);

impl Cookies {
    fn absorb(&mut self, metadata: &MetadataMap) {
        for key in metadata.keys() {
            if let tonic::metadata::KeyRef::Ascii(key) = key
                && key.as_str().starts_with(COOKIE_PREFIX)
                && let Some(value) = metadata.get(key)
            {
                self.0.insert(key.clone(), value.clone());
            }
        }
    }

    fn add_to(&self, metadata: &mut MetadataMap) {
        metadata.as_mut().extend(self.0.clone().into_headers());
    }
}

/// A routing header's value: names and values, encoded as in a query.
pub(crate) fn routing(parameters: &[(&str, &str)]) -> AsciiMetadataValue {
    let encoded: Vec<_> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, UNRESERVED)))
        .collect();
    AsciiMetadataValue::try_from(encoded.join("&")).expect("percent-encoded text is ASCII")
}

impl Transport {
    pub(crate) fn new(
        pool: Arc<Pool>,
        authorization: Authorization,
        environment: Environment,
        is_closed: Arc<AtomicBool>,
    ) -> Self {
        Self {
            pool,
            authorization,
            environment,
            is_closed,
        }
    }

    /// Sends one attempt, and gives the stream of its responses once it has begun.
    pub(crate) async fn open<T: Message + Default + 'static>(
        &self,
        call: &mut Call,
        request: Bytes,
        patience: Patience,
    ) -> Result<Responses<T>, Failure> {
        if !call.is_admitted {
            self.check_open()?;
            call.is_admitted = true;
        }
        let now = self.environment.timer.now();
        let timeout = patience.deadline.saturating_duration_since(now);
        if timeout.is_zero() {
            let message = "the deadline is over";
            return Err(Failure::unsent(Code::DeadlineExceeded, message));
        }
        let first = patience.deadline.min(moment_after(now, patience.message));
        let mut expiry = self.environment.timer.until(first);
        let lease = self.pool.lease();
        let opening = async {
            let authorization = self.authorization.headers().await?;
            let mut request = Request::new(request);
            set_headers(request.metadata_mut(), call, authorization);
            request.set_timeout(timeout);
            send(lease.channel.clone(), call.method.path, request).await
        };
        let (metadata, stream) = before(&mut expiry, opening).await??;
        call.note(&metadata);
        Ok(Responses {
            stream,
            patience,
            timer: Arc::clone(&self.environment.timer),
            _lease: lease,
        })
    }

    /// Refuses what would begin after the client was closed.
    pub(crate) fn check_open(&self) -> Result<(), Failure> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Failure::unsent(Code::Cancelled, "the client is closed"));
        }
        Ok(())
    }
}

/// Sends one call over a channel.
pub(crate) async fn send<T: Message + Default + 'static>(
    channel: Channel,
    path: &'static str,
    request: Request<Bytes>,
) -> Result<(MetadataMap, Streaming<T>), Failure> {
    let mut grpc = Grpc::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    grpc.ready().await.map_err(|error| {
        let message = format!("the connection failed: {}", crate::causes::causes(&error));
        Failure::unsent(Code::Unavailable, message)
    })?;
    let path = PathAndQuery::from_static(path);
    let response = grpc
        .server_streaming(request, path, RequestBytes::new())
        .await;
    let (metadata, stream, _) = response.map_err(Failure::of_status)?.into_parts();
    Ok((metadata, stream))
}

fn set_headers(metadata: &mut MetadataMap, call: &Call, authorization: MetadataMap) {
    metadata.as_mut().extend(authorization.into_headers());
    metadata.insert("x-goog-request-params", call.routing.clone());
    set_identity(metadata);
    call.cookies.add_to(metadata);
}

/// What the client is and can do: the same on every call.
pub(crate) fn set_identity(metadata: &mut MetadataMap) {
    let client = concat!("gl-rust/1 rowmill-bigtable/", env!("CARGO_PKG_VERSION"));
    metadata.insert("x-goog-api-client", AsciiMetadataValue::from_static(client));
    let key = MetadataKey::from_static("bigtable-features");
    metadata.insert(key, features());
}

/// Only what this client does.
fn features() -> AsciiMetadataValue {
    let flags = FeatureFlags {
        reverse_scans: true,
        mutate_rows_rate_limit: true,
        mutate_rows_rate_limit2: true,
        last_scanned_row_responses: true,
        routing_cookie: true,
        retry_info: true,
        ..FeatureFlags::default()
    };
    AsciiMetadataValue::try_from(URL_SAFE.encode(flags.encode_to_vec())).expect("base64 is ASCII")
}

/// How long one attempt may take, and each wait for a message of its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    deadline: Instant,
    message: Duration,
}

impl Patience {
    pub(crate) fn new(deadline: Instant, message: Duration) -> Self {
        Self { deadline, message }
    }
}

/// The responses of one attempt.
pub(crate) struct Responses<T> {
    stream: Streaming<T>,
    patience: Patience,
    timer: Arc<dyn Timer>,
    _lease: Lease,
}

impl<T> Responses<T> {
    /// The next response; none when the stream ended well. The wait for it is over with the attempt, or when it has taken too long
    /// itself. A response that is there already looks at no clock, so that a slow reader loses nothing by its slowness.
    pub(crate) async fn next(&mut self) -> Result<Option<T>, Failure> {
        let mut message = std::pin::pin!(self.stream.message());
        let received = match message.as_mut().now_or_never() {
            Some(received) => received,
            None => {
                let latest = moment_after(self.timer.now(), self.patience.message);
                let mut expiry = self.timer.until(self.patience.deadline.min(latest));
                before(&mut expiry, message).await?
            }
        };
        received.map_err(Failure::of_status)
    }

    /// What came after the last response, once the stream has ended well.
    pub(crate) async fn trailers(&mut self) -> MetadataMap {
        // They are there already; a stream that ended well has no failure left to tell.
        let trailers = self.stream.trailers().await;
        trailers.ok().flatten().unwrap_or_default()
    }

    /// The one response of a call that has just one.
    pub(crate) async fn only(mut self) -> Result<T, Failure> {
        let missing = || Failure::new(Code::Internal, "the response is missing");
        let message = self.next().await?.ok_or_else(missing)?;
        match self.next().await? {
            None => Ok(message),
            Some(_) => Err(Failure::new(Code::Internal, "there are two responses")),
        }
    }
}

/// What `work` gives, if it does before `expiry`.
pub(crate) async fn before<T>(
    expiry: &mut Wait,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = expiry => Err(Failure::new(Code::DeadlineExceeded, "the server took too long to answer")),
    }
}

/// The longest time to wait for a connection.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
