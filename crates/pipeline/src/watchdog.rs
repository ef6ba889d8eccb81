//! Noticing that a job does not move.

use std::sync::Arc;
use std::time::Duration;

use rowmill_store::Timer;

use crate::control::Control;

/// A job in which nothing moved for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// For how long.
    pub duration: Duration,
    /// Rows that the store has not acknowledged. If there are any, it is the store that is waited for, and else the input.
    pub rows_in_flight: u64,
}

/// Watches a job for ever, and calls `report` whenever nothing moved for another `patience`.
pub async fn watch(
    control: Control,
    patience: Duration,
    timer: Arc<dyn Timer>,
    mut report: impl FnMut(Stall),
) {
    let (mut activity, mut since) = (control.activity(), timer.now());
    loop {
        timer.until(timer.now() + patience).await;
        if control.activity() != activity {
            (activity, since) = (control.activity(), timer.now());
            continue;
        }
        report(Stall {
            duration: timer.now() - since,
            rows_in_flight: control.rows_in_flight(),
        });
    }
}
