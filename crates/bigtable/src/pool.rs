//! The channels of a client: a few connections, each replaced before the server closes it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::causes::causes;
use crate::environment::Environment;
use crate::failure::Failure;
use rowmill_store::moment_after;

/// The server closes a connection after an hour, at a moment that suits it. Each is replaced five minutes around this age.
pub(crate) const REFRESH_AFTER: Duration = Duration::from_mins(45);
const REFRESH_SPREAD: Duration = Duration::from_mins(5);
/// How long to wait after a connection could not be replaced.
const REFRESH_RETRY: Duration = Duration::from_mins(1);

/// The most calls of one connection. The service takes 100, and holds back those beyond them; a call that was given up may count for
/// a while.
pub(crate) const CALLS_MAX: usize = 80;

/// What is done to a new channel before it is used.
pub(crate) type Warm =
    Arc<dyn Fn(Channel) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// Some channels to one endpoint.
pub(crate) struct Pool {
    endpoint: Endpoint,
    slots: Vec<Slot>,
    /// Channels for calls beyond what the others may carry, for as long as there are such calls.
    extra: Mutex<Vec<Slot>>,
    next: AtomicUsize,
    warm: Option<Warm>,
    /// The tasks that replace channels; they end with the pool.
    refreshing: Mutex<JoinSet<()>>,
}

#[derive(Debug)]
struct Slot {
    channel: RwLock<Channel>,
    in_flight: Arc<AtomicUsize>,
}

/// A channel that counts as busier until this is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) channel: Channel,
    in_flight: Arc<AtomicUsize>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("endpoint", self.endpoint.uri())
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Connects `channels` times, and warms what it connected.
    pub(crate) async fn connect(
        endpoint: Endpoint,
        channels: usize,
        warm: Option<Warm>,
    ) -> Result<Self, Failure> {
        let connecting = (0..channels).map(|_| connect(&endpoint, warm.as_ref()));
        let connected = futures::future::try_join_all(connecting).await?;
        Ok(Self::of(endpoint, connected, warm))
    }

    /// A pool that connects when it is first used.
    pub(crate) fn lazy(endpoint: Endpoint) -> Self {
        let channel = endpoint.connect_lazy();
        Self::of(endpoint, vec![channel], None)
    }

    fn of(endpoint: Endpoint, channels: Vec<Channel>, warm: Option<Warm>) -> Self {
        Self {
            endpoint,
            slots: channels.into_iter().map(Slot::of).collect(),
            extra: Mutex::default(),
            next: AtomicUsize::new(0),
            warm,
            refreshing: Mutex::default(),
        }
    }

    /// The channel with the fewest calls in flight; of several, each in its turn. Where all are full, a channel of its own, which
    /// connects with its first call.
    pub(crate) fn lease(&self) -> Lease {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = (0..self.slots.len())
            .map(|offset| &self.slots[(first + offset) % self.slots.len()])
            .min_by_key(|slot| slot.calls())
            .expect("a pool has a channel");
        if slot.calls() >= CALLS_MAX {
            return self.lease_extra();
        }
        if slot.calls() < CALLS_MAX / 2 {
            self.extra().retain(|slot| slot.calls() > 0);
        }
        slot.lease()
    }

    /// A call on the first extra channel that has room: the later ones become empty, and close.
    fn lease_extra(&self) -> Lease {
        let mut extra = self.extra();
        let free = extra.iter().position(|slot| slot.calls() < CALLS_MAX);
        let free = free.unwrap_or_else(|| {
            tracing::debug!(channels = extra.len() + 1, "connecting once more");
            extra.push(Slot::of(self.endpoint.connect_lazy()));
            extra.len() - 1
        });
        extra[free].lease()
    }

    fn extra(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.extra.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces each channel when it has reached its age, for as long as the pool is in use.
    pub(crate) fn refresh(self: &Arc<Self>, age: Duration, environment: &Environment) {
        let tasks = self.refreshing.lock();
        let mut tasks = tasks.unwrap_or_else(PoisonError::into_inner);
        for index in 0..self.slots.len() {
            tasks.spawn(refresh(
                Arc::downgrade(self),
                index,
                age,
                environment.clone(),
            ));
        }
    }
}

impl Slot {
    fn of(channel: Channel) -> Self {
        Self {
            channel: RwLock::new(channel),
            in_flight: Arc::default(),
        }
    }

    /// How many calls it carries.
    fn calls(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn lease(&self) -> Lease {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Lease {
            channel: self.read(),
            in_flight: Arc::clone(&self.in_flight),
        }
    }

    fn read(&self) -> Channel {
        let channel = self.channel.read().unwrap_or_else(PoisonError::into_inner);
        channel.clone()
    }

    fn replace(&self, channel: Channel) {
        *self.channel.write().unwrap_or_else(PoisonError::into_inner) = channel;
    }
}

async fn connect(endpoint: &Endpoint, warm: Option<&Warm>) -> Result<Channel, Failure> {
    let channel = endpoint.connect().await.map_err(|error| {
        let message = format!("cannot connect to {}: {}", endpoint.uri(), causes(&error));
        Failure::unsent(Code::Unavailable, message)
    })?;
    let Some(warm) = warm else {
        return Ok(channel);
    };
    match warm(channel.clone()).await {
        // Calls are retried; what is only slow or busy now must not keep them from being made.
        Err(failure) if is_passing(failure.code) => {
            tracing::warn!(message = failure.message, "a channel could not be warmed");
            Ok(channel)
        }
        warmed => warmed.map(|()| channel),
    }
}

/// Whether a failure to warm a channel says nothing of the calls to come. An old emulator does not know the call, and a role that
/// may read and write rows need not include `bigtable.instances.ping`.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::PermissionDenied
            | Code::ResourceExhausted
    )
}

/// Replaces one channel again and again. Calls in flight keep the old one alive until they are done.
async fn refresh(pool: Weak<Pool>, index: usize, age: Duration, environment: Environment) {
    let spread = REFRESH_SPREAD.min(age / 9);
    let earliest = age.saturating_sub(spread);
    let next = || earliest.saturating_add(2 * spread.mul_f64(environment.random.unit()));
    let mut wait = next();
    loop {
        let due = moment_after(environment.timer.now(), wait);
        environment.timer.until(due).await;
        let Some(pool) = pool.upgrade() else { return };
        wait = match connect(&pool.endpoint, pool.warm.as_ref()).await {
            Ok(channel) => {
                pool.slots[index].replace(channel);
                tracing::debug!(index, "refreshed a channel");
                next()
            }
            Err(failure) => {
                tracing::warn!(
                    index,
                    message = failure.message,
                    "a channel could not be refreshed"
                );
                REFRESH_RETRY.min(age)
            }
        };
    }
}
