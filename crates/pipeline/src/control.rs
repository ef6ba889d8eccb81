//! Watching a job from outside, and stopping it.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rowmill_store::Meter;
use tokio::sync::watch;

use crate::error::Error;
use crate::unreadable::Unreadable;

/// A job's progress, and its off switch. Clones are the same job's.
#[derive(Debug, Clone, Default)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    records: AtomicU64,
    rows_sent: AtomicU64,
    rows_written: AtomicU64,
    meters: Mutex<Vec<Meter>>,
    unreadable: Mutex<Unreadable>,
    stopped: watch::Sender<bool>,
}

impl Control {
    /// Bytes of input done so far.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Records or rows done so far.
    pub fn records(&self) -> u64 {
        self.shared.records.load(Ordering::Relaxed)
    }

    /// Rows that the store has not acknowledged yet.
    pub fn rows_in_flight(&self) -> u64 {
        let written = self.shared.rows_written.load(Ordering::Relaxed);
        let sent = self.shared.rows_sent.load(Ordering::Relaxed);
        sent.saturating_sub(written)
    }

    /// A number that grows whenever anything moves: in the job, or in a store whose meter the control knows.
    pub fn activity(&self) -> u64 {
        let written = self.shared.rows_written.load(Ordering::Relaxed);
        let meters = self.shared.meters.lock();
        let meters = meters.unwrap_or_else(PoisonError::into_inner);
        let of_stores = meters.iter().map(|meter| {
            let counts = meter.counts();
            counts.rows_read.wrapping_add(counts.rows_written)
        });
        of_stores
            .fold(written, u64::wrapping_add)
            .wrapping_add(self.bytes())
            .wrapping_add(self.records())
    }

    /// Takes rows that go to a store and come from it for activity, so that a job that only reads is not taken for one that waits.
    pub fn watch_store(&self, meter: Meter) {
        let meters = self.shared.meters.lock();
        meters.unwrap_or_else(PoisonError::into_inner).push(meter);
    }

    /// The rows that the job went on without, because it could not read them.
    pub fn unreadable(&self) -> Unreadable {
        let unreadable = self.shared.unreadable.lock();
        unreadable.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes a row that the job goes on without.
    pub(crate) fn pass_over(&self, table: &'static str, key: &[u8], problem: impl fmt::Display) {
        let unreadable = self.shared.unreadable.lock();
        unreadable
            .unwrap_or_else(PoisonError::into_inner)
            .add_once(table, key, problem);
    }

    /// Asks the job to stop at the next good moment.
    pub fn stop(&self) {
        self.shared.stopped.send_replace(true);
    }

    /// Whether the job was asked to stop.
    pub fn is_stopped(&self) -> bool {
        *self.shared.stopped.borrow()
    }

    /// Is over when the job was asked to stop.
    pub async fn stopped(&self) {
        let mut stopped = self.shared.stopped.subscribe();
        // The sender lives as long as this.
        stopped.wait_for(|stopped| *stopped).await.ok();
    }

    /// Does `work` to its end, unless the job is stopped: then it is left wherever it waits, as if the process had died there. For jobs
    /// that are done again from what they left.
    pub(crate) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => done,
            () = self.stopped() => Err(Error::Interrupted),
        }
    }

    pub(crate) fn advance(&self, bytes: u64, records: u64) {
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, rows: u64) {
        self.shared.rows_sent.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, rows: u64) {
        self.shared.rows_written.fetch_add(rows, Ordering::Relaxed);
    }

    /// Fails if the job was asked to stop.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_stopped() {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }
}
