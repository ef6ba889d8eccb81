//! Which retry policy a call follows: the client's for its kind, or what the call asks for instead.

use std::time::Duration;

use crate::error::Result;
use crate::retry::RetryPolicy;

/// A policy for each kind of call.
#[derive(Debug, Clone)]
pub(crate) struct Policies {
    pub(crate) read: RetryPolicy,
    pub(crate) scan: RetryPolicy,
    pub(crate) write: RetryPolicy,
    pub(crate) single_write: RetryPolicy,
    pub(crate) admin: RetryPolicy,
}

/// Making or changing a table takes its time.
const ADMIN_TIMEOUT: Duration = Duration::from_mins(5);

impl Default for Policies {
    fn default() -> Self {
        Self {
            read: RetryPolicy::reads(),
            scan: RetryPolicy::scans(),
            write: RetryPolicy::writes(),
            single_write: RetryPolicy::never(),
            admin: RetryPolicy {
                attempt_timeout: ADMIN_TIMEOUT,
                message_timeout: ADMIN_TIMEOUT,
                ..RetryPolicy::never().within(ADMIN_TIMEOUT)
            },
        }
    }
}

impl Policies {
    pub(crate) fn check(&self) -> Result<()> {
        self.read.check("reads")?;
        self.scan.check("scans")?;
        self.write.check("writes")?;
        self.single_write.check("single writes")?;
        self.admin.check("tables")
    }
}

/// A policy and a deadline that a call asks for, instead of the client's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    pub(crate) policy: Option<RetryPolicy>,
    pub(crate) timeout: Option<Duration>,
}

impl Overrides {
    /// These, and `others` where these say nothing.
    pub(crate) fn or(self, others: &Self) -> Self {
        Self {
            policy: self.policy.or_else(|| others.policy.clone()),
            timeout: self.timeout.or(others.timeout),
        }
    }

    /// The policy of a call that follows `default` if nothing else is asked for.
    pub(crate) fn of(&self, default: &RetryPolicy) -> RetryPolicy {
        let policy = self.policy.as_ref().unwrap_or(default).clone();
        match self.timeout {
            Some(timeout) => policy.within(timeout),
            None => policy,
        }
    }

    /// The policy of a call that must not happen twice: whatever is asked for says only how long it may take.
    pub(crate) fn of_once(&self, default: &RetryPolicy) -> RetryPolicy {
        let policy = self.of(default);
        if self.policy.is_none() {
            return policy;
        }
        RetryPolicy {
            codes: Vec::new(),
            ..policy
        }
    }
}
