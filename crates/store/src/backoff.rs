//! How long to wait before another attempt.

use std::time::Duration;

/// Exponential backoff with jitter: the n-th delay is `initial * multiplier^(n - 1)`, and up to half as much more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The shortest first delay.
    pub initial: Duration,
    /// The longest delay of all.
    pub max: Duration,
    /// By how much a delay may be longer than the one before.
    pub multiplier: u32,
}

impl Default for Backoff {
    /// 10 ms, doubled up to a minute.
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(10),
            max: Duration::from_mins(1),
            multiplier: 2,
        }
    }
}

impl Backoff {
    /// The delay after `attempts` attempts, by `unit` from 0 to 1.
    pub fn delay(&self, attempts: u32, unit: f64) -> Duration {
        let factor = self
            .multiplier
            .saturating_pow(attempts.saturating_sub(1).min(30));
        let shortest = self.initial.saturating_mul(factor).min(self.max);
        let jitter = (shortest / 2).as_secs_f64() * unit.clamp(0.0, 1.0);
        let jitter = Duration::try_from_secs_f64(jitter).unwrap_or(Duration::MAX);
        shortest.saturating_add(jitter).min(self.max)
    }
}
