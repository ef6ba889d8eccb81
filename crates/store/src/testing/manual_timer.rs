//! Time that passes when it is told to, and chance that is none.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::timer::{Random, SystemTimer, Timer, Wait};

/// A clock on which waiting takes no time: a sleep moves it on and is over at once. A deadline is over when the clock, moved by
/// sleeps or by [`ManualTimer::advance`], has reached it.
#[derive(Debug)]
pub struct ManualTimer {
    now: watch::Sender<Instant>,
    slept: Mutex<Vec<Duration>>,
}

impl Default for ManualTimer {
    fn default() -> Self {
        Self {
            now: watch::Sender::new(SystemTimer.now()),
            slept: Mutex::default(),
        }
    }
}

impl ManualTimer {
    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        self.now.send_modify(|now| *now += duration);
    }

    /// All sleeps so far.
    pub fn slept(&self) -> Vec<Duration> {
        let slept = self.slept.lock().unwrap_or_else(PoisonError::into_inner);
        slept.clone()
    }
}

impl Timer for ManualTimer {
    fn now(&self) -> Instant {
        *self.now.borrow()
    }

    fn sleep(&self, duration: Duration) -> Wait {
        let mut slept = self.slept.lock().unwrap_or_else(PoisonError::into_inner);
        slept.push(duration);
        drop(slept);
        self.advance(duration);
        Box::pin(std::future::ready(()))
    }

    fn until(&self, moment: Instant) -> Wait {
        let mut clock = self.now.subscribe();
        Box::pin(async move {
            // A clock that is gone will not reach the moment any more.
            if clock.wait_for(|now| *now >= moment).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Always the same number.
#[derive(Debug, Clone, Copy)]
pub struct FixedRandom(pub f64);

impl Random for FixedRandom {
    fn unit(&self) -> f64 {
        self.0
    }
}
