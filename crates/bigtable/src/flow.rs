//! How fast bulk writes go: a budget of what is in flight, and a rate when the service names one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::RateLimitInfo;
use rowmill_store::Timer;
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tonic::Code;

use crate::limits::BulkLimits;

/// What bytes in flight are counted in.
const BYTES_UNIT: usize = 1 << 10;

/// The budget of everything in flight.
#[derive(Debug)]
pub(crate) struct Budget {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    requests_max: usize,
    bytes_units_max: usize,
}

/// The part of the budget that one request holds until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _request: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Budget {
    pub(crate) fn new(limits: &BulkLimits) -> Self {
        let bytes_units_max = limits.bytes_in_flight_max.div_ceil(BYTES_UNIT);
        Self {
            requests: Arc::new(Semaphore::new(limits.requests_in_flight_max)),
            bytes: Arc::new(Semaphore::new(bytes_units_max)),
            requests_max: limits.requests_in_flight_max,
            bytes_units_max,
        }
    }

    /// How many requests hold a share.
    pub(crate) fn in_flight(&self) -> usize {
        self.requests_max - self.requests.available_permits()
    }

    /// Waits for room. A request beyond the whole budget goes alone.
    pub(crate) async fn share(&self, bytes: usize) -> Share {
        let units = bytes.div_ceil(BYTES_UNIT).clamp(1, self.bytes_units_max);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let open = "the budget is never closed";
        let request = Arc::clone(&self.requests).acquire_owned().await;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(units).await;
        Share {
            _request: request.expect(open),
            _bytes: bytes.expect(open),
        }
    }
}

/// The slowest rate, in requests a second: fast enough to climb from within minutes.
const RATE_MIN: f64 = 1.0;
const RATE_MAX: f64 = 100_000.0;
/// The rate of a limiter that has seen no request.
const RATE_FIRST: f64 = 10.0;
const FACTOR_MIN: f64 = 0.7;
const FACTOR_MAX: f64 = 1.3;
/// A rate grows only if so much of it is used: what nobody uses says nothing about what the service would bear.
const USED_MIN: f64 = 0.8;
/// After an error or a slow answer, for so long the rate is not lowered again.
const BRAKE_PERIOD: Duration = Duration::from_secs(10);
/// No word of the service holds for longer: one that is wrong must not slow writes down for good.
const PERIOD_MAX: Duration = Duration::from_mins(1);
/// How far requests that were late may be made up for.
const CATCH_UP: Duration = Duration::from_millis(50);
/// After so long without a request, the use of a rate is counted anew.
const IDLE: Duration = Duration::from_secs(10);
/// An answer that took longer counts as trouble.
const SLOW: Duration = Duration::from_secs(5);

/// The rate of requests, once the service has asked for one. Pure: times are arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rate {
    /// Requests a second; none before the service has spoken.
    limit: Option<f64>,
    /// When the next request may go.
    next: Instant,
    /// Before this the rate does not change.
    hold_until: Instant,
    /// Since when requests are counted, and how many there were.
    counted_since: Instant,
    counted: u32,
    last: Instant,
}

impl Rate {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            limit: None,
            next: now,
            hold_until: now,
            counted_since: now,
            counted: 0,
            last: now,
        }
    }

    /// How long the next request must wait.
    pub(crate) fn wait(&self, now: Instant) -> Duration {
        match self.limit {
            Some(_) => self.next.saturating_duration_since(now),
            None => Duration::ZERO,
        }
    }

    /// Counts a request that goes now.
    pub(crate) fn take(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last) > IDLE {
            (self.counted_since, self.counted) = (now, 0);
        }
        self.last = now;
        self.counted += 1;
        if let Some(limit) = self.limit {
            // A timer that rings a little late must not lower the rate.
            let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
            self.next = self.next.max(earliest) + Duration::from_secs_f64(1.0 / limit);
        }
    }

    /// What the service said in a response.
    pub(crate) fn told(&mut self, info: &RateLimitInfo, now: Instant) {
        let period = info
            .period
            .and_then(|period| Duration::try_from(period).ok());
        let Some(period) = period.filter(|period| !period.is_zero()) else {
            return;
        };
        if !info.factor.is_finite() || info.factor <= 0.0 {
            return;
        }
        self.scale(info.factor, period, now);
    }

    /// How a request ended: an error that speaks of overload, or an answer that took too long, lowers the rate.
    pub(crate) fn ended(&mut self, code: Code, took: Duration, now: Instant) {
        let is_overload = matches!(
            code,
            Code::DeadlineExceeded | Code::Unavailable | Code::ResourceExhausted
        );
        if self.limit.is_none() {
            return;
        }
        if is_overload || took > SLOW {
            self.scale(FACTOR_MIN, BRAKE_PERIOD, now);
        } else if code == Code::Ok && now >= self.hold_until + PERIOD_MAX {
            // The service has not spoken for a while, and what is sent goes well.
            self.scale(FACTOR_MAX, BRAKE_PERIOD, now);
        }
    }

    fn scale(&mut self, factor: f64, period: Duration, now: Instant) {
        if now < self.hold_until {
            return;
        }
        let used = self.used(now);
        let limit = self.limit.unwrap_or(used.max(RATE_FIRST));
        let factor = factor.clamp(FACTOR_MIN, FACTOR_MAX);
        // Counts are whole: at the slowest rates one request more or less must not keep it from growing.
        let is_unused = self.limit.is_some() && self.used_at_most(now) < USED_MIN * limit;
        let grows_unused = factor > 1.0 && is_unused;
        let factor = if grows_unused { 1.0 } else { factor };
        self.limit = Some((limit * factor).clamp(RATE_MIN, RATE_MAX));
        self.hold_until = now + period.min(PERIOD_MAX);
        self.counted_since = now;
        self.counted = 0;
    }

    /// Requests a second since they are counted.
    fn used(&self, now: Instant) -> f64 {
        f64::from(self.counted) / self.counted_seconds(now)
    }

    /// The same with the request that was about to go.
    fn used_at_most(&self, now: Instant) -> f64 {
        (f64::from(self.counted) + 1.0) / self.counted_seconds(now)
    }

    fn counted_seconds(&self, now: Instant) -> f64 {
        let counted = now.saturating_duration_since(self.counted_since);
        counted.as_secs_f64().max(0.001)
    }
}

/// A rate that many requests share, each in its turn.
#[derive(Debug)]
pub(crate) struct Limiter {
    /// Held by the request whose turn is next. Only a request that goes is counted: one that is given up leaves its turn to the others.
    turn: AsyncMutex<()>,
    rate: Mutex<Rate>,
    timer: Arc<dyn Timer>,
}

impl Limiter {
    pub(crate) fn new(timer: Arc<dyn Timer>) -> Self {
        Self {
            turn: AsyncMutex::default(),
            rate: Mutex::new(Rate::new(timer.now())),
            timer,
        }
    }

    /// Waits for the next request's turn, and takes it; false if there is none before `deadline`.
    pub(crate) async fn turn(&self, deadline: Instant) -> bool {
        let _turn = self.turn.lock().await;
        let (now, wait) = self.with(|rate, now| (now, rate.wait(now)));
        if deadline.saturating_duration_since(now) <= wait {
            return false;
        }
        if !wait.is_zero() {
            self.timer.sleep(wait).await;
        }
        self.with(Rate::take);
        true
    }

    pub(crate) fn told(&self, info: &RateLimitInfo) {
        self.with(|rate, now| rate.told(info, now));
    }

    pub(crate) fn ended(&self, code: Code, took: Duration) {
        self.with(|rate, now| rate.ended(code, took, now));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Rate, Instant) -> T) -> T {
        let now = self.timer.now();
        work(
            &mut self.rate.lock().unwrap_or_else(PoisonError::into_inner),
            now,
        )
    }
}

#[cfg(test)]
mod tests;
