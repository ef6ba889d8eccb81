//! How a client is made.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use google_cloud_auth::credentials::Credentials;
use http::Uri;
use http::uri::Scheme;
use rowmill_store::{Random, Timer};
use tonic::Code;
use tonic::transport::{ClientTlsConfig, Endpoint};

use crate::client::{Client, Shared};
use crate::credentials::Authorization;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::flow::{Budget, Limiter};
use crate::limits::BulkLimits;
use crate::policies::Policies;
use crate::pool::{CALLS_MAX, Pool, REFRESH_AFTER};
use crate::retry::RetryPolicy;
use crate::transport::{CONNECT_TIMEOUT, Transport};
use crate::warm::warm;

const OPERATION: &str = "Connect";
const DATA_ENDPOINT: &str = "https://bigtable.googleapis.com";
const ADMIN_ENDPOINT: &str = "https://bigtableadmin.googleapis.com";

/// A ping after so long without traffic, and how long its answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much the server may send of one call before it is read. This is what an unread stream costs at most, beside one message.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const STREAM_WINDOW_BYTES_MIN: u32 = 64 << 10;
const STREAM_WINDOW_BYTES_MAX: u32 = 16 << 20;
/// How much it may send of all calls of a connection: the most that HTTP/2 can say. Calls that nobody reads keep what they were sent
/// of it, so it must be more than all of them can keep, or they would stop the one that is read.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
const _: () =
    assert!((STREAM_WINDOW_BYTES_MAX as u64) * (CALLS_MAX as u64) < CONNECTION_WINDOW_BYTES as u64);

/// Options of a [`Client`]; see [`Client::builder`].
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    project: String,
    instance: String,
    app_profile: String,
    endpoint: Option<String>,
    emulator: Option<String>,
    credentials: Option<Credentials>,
    channels: usize,
    stream_window_bytes: u32,
    warm_up: bool,
    refresh_after: Duration,
    policies: Policies,
    bulk_limits: BulkLimits,
    environment: Environment,
}

impl ClientBuilder {
    pub(crate) fn new(project: String, instance: String) -> Self {
        Self {
            project,
            instance,
            app_profile: String::new(),
            endpoint: None,
            emulator: None,
            credentials: None,
            channels: 2,
            stream_window_bytes: STREAM_WINDOW_BYTES,
            warm_up: true,
            refresh_after: REFRESH_AFTER,
            policies: Policies::default(),
            bulk_limits: BulkLimits::default(),
            environment: Environment::default(),
        }
    }

    /// Routes by this app profile; by the instance's default without one.
    pub fn app_profile(mut self, app_profile: impl Into<String>) -> Self {
        self.app_profile = app_profile.into();
        self
    }

    /// Talks to this endpoint, `http://…` or `https://…`, for rows and tables alike, instead of Google's.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Talks to an emulator at `host:port`, without credentials or encryption. This is what `BIGTABLE_EMULATOR_HOST` holds;
    /// the library does not read it by itself.
    pub fn emulator(mut self, host: impl Into<String>) -> Self {
        self.emulator = Some(host.into());
        self
    }

    /// Calls as these credentials say, instead of the application default ones. They are sent wherever the endpoint is, also
    /// unencrypted, which is for tests.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// How many connections there are: 2 by default. A connection is best with 10 to 50 calls at once. Where each carries 80, calls
    /// beyond them get connections of their own, which close again when they are not needed.
    pub fn channels(mut self, channels: usize) -> Self {
        self.channels = channels;
        self
    }

    /// How many bytes of one call the server may send before they are read: 1 MiB by default, from 64 KiB to 16 MiB.
    ///
    /// A read that waits for its reader holds so much, and the rows of one message, and nothing that another read needs: open reads
    /// times this is the memory of all of them. A read gets no more than this in the time of one round trip, so a client far away
    /// from its instance is faster with more.
    pub fn stream_window_bytes(mut self, bytes: u32) -> Self {
        self.stream_window_bytes = bytes;
        self
    }

    /// Whether a new connection is warmed with `PingAndWarm` before it is used, as it is by default. A caller who may not ping uses a
    /// connection that is cold.
    pub fn warm_up(mut self, warm_up: bool) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// At about which age a connection is replaced: after 45 minutes by default, for the server closes it after an hour.
    pub fn refresh_after(mut self, age: Duration) -> Self {
        self.refresh_after = age;
        self
    }

    /// How reads of at most 1,000 rows, samples and table metadata are retried: [`RetryPolicy::reads`] by default.
    pub fn read_policy(mut self, policy: RetryPolicy) -> Self {
        self.policies.read = policy;
        self
    }

    /// How reads of many rows are retried: [`RetryPolicy::scans`] by default. Reads of at most 1,000 rows follow the policy of reads.
    pub fn scan_policy(mut self, policy: RetryPolicy) -> Self {
        self.policies.scan = policy;
        self
    }

    /// How writes that may happen twice are retried: [`RetryPolicy::writes`] by default.
    pub fn write_policy(mut self, policy: RetryPolicy) -> Self {
        self.policies.write = policy;
        self
    }

    /// How writes that must not happen twice are treated: [`RetryPolicy::never`] by default.
    pub fn single_write_policy(mut self, policy: RetryPolicy) -> Self {
        self.policies.single_write = policy;
        self
    }

    /// How tables are created, altered and dropped: by default once, within five minutes.
    pub fn admin_policy(mut self, policy: RetryPolicy) -> Self {
        self.policies.admin = policy;
        self
    }

    /// How bulk writes are cut, and how much of them is in flight.
    pub fn bulk_limits(mut self, limits: BulkLimits) -> Self {
        self.bulk_limits = limits;
        self
    }

    /// What tells the time: the machine's clock by default.
    pub fn timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.environment.timer = timer;
        self
    }

    /// Where jitter comes from: the thread's generator by default.
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.environment.random = random;
        self
    }

    /// Connects.
    pub async fn connect(self) -> Result<Client> {
        self.check()?;
        let authorization = self.authorization()?;
        authorization.check(&*self.environment.timer).await?;
        let instance_name = format!("projects/{}/instances/{}", self.project, self.instance);
        let warm = self.warm_up.then(|| {
            let timer = Arc::clone(&self.environment.timer);
            warm(&authorization, &instance_name, &self.app_profile, timer)
        });
        let data = self.endpoint_of(DATA_ENDPOINT)?;
        let connecting = Pool::connect(data, self.channels, warm);
        let connected = connecting.await.map_err(|failure| {
            let error = Error::of(failure, "PingAndWarm", &instance_name);
            if self.emulator.is_some() && error.code() == Code::Unavailable {
                error.with_hint("`gcloud beta emulators bigtable start` starts an emulator")
            } else {
                error
            }
        });
        let pool = Arc::new(connected?);
        pool.refresh(self.refresh_after, &self.environment);
        // Google serves tables elsewhere; an emulator, or an endpoint that was named, serves both.
        let admin_pool = if self.endpoint.is_none() && self.emulator.is_none() {
            Arc::new(Pool::lazy(self.endpoint_of(ADMIN_ENDPOINT)?))
        } else {
            Arc::clone(&pool)
        };
        let is_closed = Arc::new(AtomicBool::new(false));
        let transport = |pool| {
            Transport::new(
                pool,
                authorization.clone(),
                self.environment.clone(),
                Arc::clone(&is_closed),
            )
        };
        Ok(Client::of(Shared {
            data: transport(pool),
            admin: transport(admin_pool),
            is_closed: Arc::clone(&is_closed),
            limiter: Limiter::new(Arc::clone(&self.environment.timer)),
            budget: Budget::new(&self.bulk_limits),
            environment: self.environment.clone(),
            policies: self.policies,
            bulk_limits: self.bulk_limits,
            instance_name,
            app_profile: self.app_profile,
        }))
    }

    fn check(&self) -> Result<()> {
        for (what, id) in [("project", &self.project), ("instance", &self.instance)] {
            let is_id = |id: &str| {
                !id.is_empty()
                    && id
                        .bytes()
                        .all(|byte| byte.is_ascii_graphic() && byte != b'/')
            };
            if !is_id(id) {
                let message = format!("{id:?} is no {what}");
                return Err(Error::invalid(OPERATION, message));
            }
        }
        if self.channels == 0 {
            return Err(Error::invalid(OPERATION, "a client without channels"));
        }
        let window = self.stream_window_bytes;
        if !(STREAM_WINDOW_BYTES_MIN..=STREAM_WINDOW_BYTES_MAX).contains(&window) {
            let message = format!(
                "the window of a stream is {STREAM_WINDOW_BYTES_MIN} to {STREAM_WINDOW_BYTES_MAX} bytes, not {window}"
            );
            return Err(Error::invalid(OPERATION, message));
        }
        self.policies.check()?;
        let limits = self.bulk_limits.check();
        limits.map_err(|problem| Error::invalid(OPERATION, format!("the bulk limits: {problem}")))
    }

    fn authorization(&self) -> Result<Authorization> {
        match (&self.credentials, &self.emulator) {
            (Some(credentials), _) => Ok(Authorization::Given(credentials.clone())),
            (None, Some(_)) => Ok(Authorization::None),
            (None, None) if self.is_plain() => Ok(Authorization::None),
            (None, None) => Authorization::application_default(),
        }
    }

    /// Whether the endpoint is not encrypted, so that no token of this machine goes there.
    fn is_plain(&self) -> bool {
        let uri = self.endpoint.as_deref().map(str::parse::<Uri>);
        uri.is_some_and(|uri| uri.is_ok_and(|uri| uri.scheme() == Some(&Scheme::HTTP)))
    }

    fn endpoint_of(&self, default: &str) -> Result<Endpoint> {
        let uri = match (&self.emulator, &self.endpoint) {
            (Some(host), _) => format!("http://{host}"),
            (None, Some(endpoint)) => endpoint.clone(),
            (None, None) => default.to_owned(),
        };
        let invalid = |error: tonic::transport::Error| {
            let message = format!("{uri:?} is no endpoint: {}", crate::causes::causes(&error));
            Error::invalid(OPERATION, message)
        };
        let endpoint = Endpoint::from_shared(uri.clone()).map_err(invalid)?;
        let scheme = endpoint.uri().scheme().cloned();
        let endpoint = endpoint
            .user_agent(concat!("rowmill-bigtable/", env!("CARGO_PKG_VERSION")))
            .map_err(invalid)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(self.stream_window_bytes)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        match scheme {
            Some(scheme) if scheme == Scheme::HTTPS => {
                let tls = ClientTlsConfig::new().with_native_roots();
                endpoint.tls_config(tls).map_err(invalid)
            }
            Some(scheme) if scheme == Scheme::HTTP => Ok(endpoint),
            _ => Err(Error::invalid(
                OPERATION,
                "an endpoint begins with http:// or https://",
            )),
        }
    }
}
