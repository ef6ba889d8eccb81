//! Time and chance as arguments, so that tests of retries take neither.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::{Duration, Instant};

/// A future that has nothing to tell but that it is over.
pub type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What tells the time and waits for it.
pub trait Timer: Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Instant;

    /// Waits for `duration`, as before another attempt.
    fn sleep(&self, duration: Duration) -> Wait;

    /// Is over when the clock shows `moment`, as a deadline is.
    fn until(&self, moment: Instant) -> Wait;
}

/// The moment `duration` after another. A duration of more than a year, as [`Duration::MAX`] is, stands for no limit, and gives a moment
/// a year ahead: later ones may be beyond what a clock can show.
pub fn moment_after(moment: Instant, duration: Duration) -> Instant {
    const LONGEST: Duration = Duration::from_hours(366 * 24);
    moment.checked_add(duration.min(LONGEST)).unwrap_or(moment)
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemTimer;

impl Timer for SystemTimer {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep(&self, duration: Duration) -> Wait {
        Box::pin(tokio::time::sleep(duration))
    }

    fn until(&self, moment: Instant) -> Wait {
        Box::pin(tokio::time::sleep_until(moment.into()))
    }
}

/// Where jitter comes from.
pub trait Random: Debug + Send + Sync + 'static {
    /// A number from 0, included, to 1, excluded.
    fn unit(&self) -> f64;
}

/// The generator of the thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn unit(&self) -> f64 {
        fastrand::f64()
    }
}
