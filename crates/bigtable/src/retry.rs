//! When a failed attempt is followed by another: a policy as data, and one operation's way through it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rowmill_store::{Backoff, Random, Timer, moment_after};
use tonic::Code;

use crate::error::{Error, Result};
use crate::failure::Failure;

/// How an operation is retried. The defaults are those of Google's own clients.
///
/// | | codes | message | attempt | operation |
/// |---|---|---|---|---|
/// | [`RetryPolicy::reads`] | `UNAVAILABLE`, `DEADLINE_EXCEEDED`, `ABORTED` | 20 s | 20 s | 10 min |
/// | [`RetryPolicy::scans`] | the same | 5 min | 30 min | 12 h |
/// | [`RetryPolicy::writes`] | `UNAVAILABLE`, `DEADLINE_EXCEEDED` | 20 s | 20 s | 10 min |
/// | [`RetryPolicy::never`] | none | 20 s | 20 s | 20 s |
///
/// A read that asks for at most 1,000 rows, by its limit or its keys, is one of `reads`; a read without such a bound is one of `scans`.
/// A read whose filter has to look at very many rows to find a few may need longer: give it the policy of scans.
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
    /// The most attempts that are made; without a number, as many as there is time for. A read starts to count anew with each row.
    pub attempts_max: Option<u32>,
    /// The longest wait for the next message of an answer. Only time in which somebody waits counts: a reader may take its time.
    pub message_timeout: Duration,
    /// The longest time of one attempt.
    pub attempt_timeout: Duration,
    /// The longest time of all attempts, and of the waiting between them.
    pub operation_timeout: Duration,
}

impl RetryPolicy {
    /// Of reads that are bounded, samples and table metadata.
    pub fn reads() -> Self {
        Self {
            codes: vec![Code::Unavailable, Code::DeadlineExceeded, Code::Aborted],
            ..Self::writes()
        }
    }

    /// Of many rows, whose reader may take its time.
    pub fn scans() -> Self {
        Self {
            message_timeout: Duration::from_mins(5),
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
            message_timeout: Duration::from_secs(20),
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
            message_timeout: self.message_timeout.min(timeout),
            attempt_timeout: self.attempt_timeout.min(timeout),
            operation_timeout: timeout,
            ..self
        }
    }

    /// Refuses a policy by which nothing could ever be sent, or that contradicts itself.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        let problem = if self.attempt_timeout.is_zero() {
            "the attempt timeout is zero".to_owned()
        } else if self.message_timeout.is_zero() {
            "the message timeout is zero".to_owned()
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
        let deadline = moment_after(timer.now(), policy.operation_timeout);
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
            .min(moment_after(self.timer.now(), self.policy.attempt_timeout))
    }

    /// How long the next message of an answer may take.
    pub(crate) fn message_timeout(&self) -> Duration {
        self.policy.message_timeout
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
