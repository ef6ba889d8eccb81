//! When a failed attempt is followed by another: a policy as data, and one operation's way through it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rowmill_store::{Backoff, Random, Timer};
use tonic::Code;

use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::timer::after;

/// How an operation is retried. The defaults are those of Google's own clients.
///
/// | | codes | attempt | operation |
/// |---|---|---|---|
/// | [`RetryPolicy::reads`] | `UNAVAILABLE`, `DEADLINE_EXCEEDED`, `ABORTED` | 20 s | 10 min |
/// | [`RetryPolicy::scans`] | the same | 30 min | 12 h |
/// | [`RetryPolicy::writes`] | `UNAVAILABLE`, `DEADLINE_EXCEEDED` | 20 s | 10 min |
/// | [`RetryPolicy::never`] | none | 20 s | 20 s |
///
/// Beyond the codes, an attempt is followed by another if the server asks for it with a `RetryInfo`, after the delay it names;
/// and, where there are codes at all, if the stream was reset (`INTERNAL` that speaks of `RST_STREAM` or `GOAWAY`). No attempt
/// begins after the operation's deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The codes that another attempt may mend.
    pub codes: Vec<Code>,
    /// How long to wait between two attempts.
    pub backoff: Backoff,
    /// How many attempts there are at most; unlimited if none. Of a read, those since a row came: then the count starts anew.
    pub attempts_max: Option<u32>,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How long all attempts, and the waiting between them, may take together.
    pub operation_timeout: Duration,
}

impl RetryPolicy {
    /// Of single rows and samples.
    pub fn reads() -> Self {
        Self {
            codes: vec![Code::Unavailable, Code::DeadlineExceeded, Code::Aborted],
            ..Self::writes()
        }
    }

    /// Of many rows, whose reader may take its time.
    pub fn scans() -> Self {
        Self {
            attempt_timeout: Duration::from_mins(30),
            operation_timeout: Duration::from_hours(12),
            ..Self::reads()
        }
    }

    /// Of writes that may happen twice without harm.
    pub fn writes() -> Self {
        Self {
            codes: vec![Code::Unavailable, Code::DeadlineExceeded],
            backoff: Backoff::default(),
            attempts_max: None,
            attempt_timeout: Duration::from_secs(20),
            operation_timeout: Duration::from_mins(10),
        }
    }

    /// Of writes that must not happen twice.
    pub fn never() -> Self {
        Self {
            codes: Vec::new(),
            operation_timeout: Duration::from_secs(20),
            ..Self::writes()
        }
    }

    /// The same policy within `timeout`; an attempt takes no longer than that either.
    pub fn within(self, timeout: Duration) -> Self {
        Self {
            attempt_timeout: self.attempt_timeout.min(timeout),
            operation_timeout: timeout,
            ..self
        }
    }

    /// Refuses what cannot be meant.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        let problem = if self.attempt_timeout.is_zero() {
            "the attempt timeout is zero".to_owned()
        } else if self.operation_timeout < self.attempt_timeout {
            format!(
                "the operation timeout of {:?} is below the attempt timeout of {:?}",
                self.operation_timeout, self.attempt_timeout
            )
        } else if self.attempts_max == Some(0) {
            "there are no attempts".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::invalid(
            "Connect",
            format!("the retry policy of {name}: {problem}"),
        ))
    }
}

/// One operation's way through its policy.
#[derive(Debug)]
pub(crate) struct Retries {
    policy: RetryPolicy,
    timer: Arc<dyn Timer>,
    random: Arc<dyn Random>,
    deadline: Instant,
    /// Attempts begun since there was progress.
    attempts: u32,
    /// All attempts begun.
    pub(crate) attempts_total: u32,
}

impl Retries {
    pub(crate) fn new(policy: RetryPolicy, timer: Arc<dyn Timer>, random: Arc<dyn Random>) -> Self {
        let deadline = after(timer.now(), policy.operation_timeout);
        Self {
            policy,
            timer,
            random,
            deadline,
            attempts: 0,
            attempts_total: 0,
        }
    }

    /// The same way from its beginning, for a part of the same operation.
    pub(crate) fn part(&self) -> Self {
        Self {
            policy: self.policy.clone(),
            timer: Arc::clone(&self.timer),
            random: Arc::clone(&self.random),
            deadline: self.deadline,
            attempts: 0,
            attempts_total: 0,
        }
    }

    /// When the operation is over.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Begins an attempt, and gives the moment at which it is over.
    pub(crate) fn begin(&mut self) -> Instant {
        self.attempts += 1;
        self.attempts_total += 1;
        self.deadline
            .min(after(self.timer.now(), self.policy.attempt_timeout))
    }

    /// The attempt brought something: the next failure is a first one.
    pub(crate) fn progressed(&mut self) {
        self.attempts = 0;
    }

    /// Whether the policy, or the server, allows another attempt after such a failure.
    pub(crate) fn allows(&self, failure: &Failure) -> bool {
        let may_repeat = !self.policy.codes.is_empty();
        failure.retry_delay.is_some()
            || self.policy.codes.contains(&failure.code)
            || may_repeat && failure.is_reset()
    }

    /// Waits until the next attempt may begin. If there is to be none, the failure stands; or the operation's deadline does, which
    /// is then given.
    pub(crate) async fn wait(
        &mut self,
        failure: &Failure,
    ) -> std::result::Result<(), Option<Failure>> {
        let left = self.deadline.saturating_duration_since(self.timer.now());
        if left.is_zero() {
            return Err(Some(self.past_deadline(failure)));
        }
        let is_last = self
            .policy
            .attempts_max
            .is_some_and(|most| self.attempts >= most);
        if is_last || !self.allows(failure) {
            return Err(None);
        }
        let delay = failure.retry_delay.unwrap_or_else(|| {
            let attempts = self.attempts.max(1);
            self.policy.backoff.delay(attempts, self.random.unit())
        });
        if delay >= left {
            return Err(Some(self.past_deadline(failure)));
        }
        tracing::debug!(code = ?failure.code, ?delay, attempts = self.attempts_total, "retrying");
        self.timer.sleep(delay).await;
        Ok(())
    }

    pub(crate) fn past_deadline(&self, last: &Failure) -> Failure {
        Failure::new(
            Code::DeadlineExceeded,
            format!(
                "the deadline of {:?} is over; the last attempt failed with {:?}: {}",
                self.policy.operation_timeout, last.code, last.message
            ),
        )
    }
}
