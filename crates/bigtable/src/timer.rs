//! Moments that a server names.

use std::time::{Duration, Instant};

/// The moment `duration` after another, which is never beyond what a clock can show: a server may name any duration.
pub(crate) fn after(moment: Instant, duration: Duration) -> Instant {
    const LONGEST: Duration = Duration::from_hours(366 * 24);
    moment + duration.min(LONGEST)
}
