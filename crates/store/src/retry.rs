//! A store that tries again what may succeed later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use rowmill_model::{MutationBatch, Row};

use crate::backoff::Backoff;
use crate::error::{Effect, Error, Result};
use crate::scan::Scan;
use crate::store::{Capability, Store};
use crate::timer::{Random, SystemRandom, SystemTimer, Timer, moment_after};

/// How often, and for how long, something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// How long to wait between two attempts.
    pub backoff: Backoff,
    /// How many attempts there are at most. Of a scan, those since a row came.
    pub attempts_max: u32,
    /// No attempt begins later than this after the first; of a scan, after the first failure since a row came. [`Duration::MAX`] is no
    /// limit.
    pub duration_max: Duration,
}

impl Default for RetryBudget {
    /// 10 attempts within five minutes, from 50 ms apart to 30 s apart.
    fn default() -> Self {
        Self {
            backoff: Backoff {
                initial: Duration::from_millis(50),
                max: Duration::from_secs(30),
                multiplier: 2,
            },
            attempts_max: 10,
            duration_max: Duration::from_mins(5),
        }
    }
}

/// Tries again what [`Error::is_retryable`] says may succeed later: of a batch only the rows that failed, of a scan only what
/// was not read yet. Every write of rowmill may happen twice without harm, so those whose effect is unknown are sent again.
#[derive(Debug, Clone)]
pub struct Retry<S> {
    inner: Arc<S>,
    budget: RetryBudget,
    timer: Arc<dyn Timer>,
    random: Arc<dyn Random>,
}

impl<S: Store> Retry<S> {
    /// A store that tries again within `budget`.
    pub fn new(inner: S, budget: RetryBudget) -> Self {
        Self::with_timer(inner, budget, Arc::new(SystemTimer), Arc::new(SystemRandom))
    }

    /// The same with `timer` to wait by, and jitter from `random`.
    pub fn with_timer(
        inner: S,
        budget: RetryBudget,
        timer: Arc<dyn Timer>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self {
            inner: Arc::new(inner),
            budget,
            timer,
            random,
        }
    }

    fn attempts(&self) -> Attempts {
        Attempts {
            budget: self.budget,
            timer: Arc::clone(&self.timer),
            random: Arc::clone(&self.random),
            made: 1,
            deadline: Some(moment_after(self.timer.now(), self.budget.duration_max)),
        }
    }
}

/// One operation's way through its budget.
#[derive(Debug)]
struct Attempts {
    budget: RetryBudget,
    timer: Arc<dyn Timer>,
    random: Arc<dyn Random>,
    made: u32,
    /// When the budget ends; none if there was progress since it was looked at.
    deadline: Option<Instant>,
}

impl Attempts {
    /// Waits until the next attempt; false if there is none.
    async fn again(&mut self) -> bool {
        let delay = self.budget.backoff.delay(self.made, self.random.unit());
        let is_left = self.made < self.budget.attempts_max;
        let now = self.timer.now();
        let latest = moment_after(now, self.budget.duration_max);
        let deadline = *self.deadline.get_or_insert(latest);
        if !is_left || delay > deadline.saturating_duration_since(now) {
            return false;
        }
        self.made += 1;
        self.timer.sleep(delay).await;
        true
    }

    /// Starts to count anew: there was progress. It is there with every row, and looks at no clock.
    fn progress(&mut self) {
        self.made = 1;
        self.deadline = None;
    }
}

/// What is known of the rows of a batch after some attempts.
struct Outcomes {
    rows: Vec<Result<()>>,
    /// Those that may be tried again, by their place in the batch.
    open: Vec<usize>,
    /// Whether an earlier attempt at those may have taken effect.
    is_unknown: bool,
}

impl Outcomes {
    /// Takes the outcomes of an attempt at the open rows.
    fn take(&mut self, outcomes: Vec<Result<()>>) {
        let tried = std::mem::take(&mut self.open);
        for (row, outcome) in tried.into_iter().zip(outcomes) {
            if let Err(error) = &outcome
                && error.is_retryable()
            {
                self.open.push(row);
                self.is_unknown |= error.effect() == Effect::Unknown;
            }
            self.rows[row] = outcome.map_err(|error| self.marked(error));
        }
    }

    /// Takes the failure of a whole attempt at the open rows.
    fn fail(&mut self, error: &Error) {
        let failed = self.marked(error.copied());
        for row in &self.open {
            self.rows[*row] = Err(failed.copied());
        }
        if error.is_retryable() {
            self.is_unknown |= error.effect() == Effect::Unknown;
        } else {
            self.open.clear();
        }
    }

    fn marked(&self, error: Error) -> Error {
        if self.is_unknown {
            error.with_unknown_effect()
        } else {
            error
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for Retry<S> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let mut attempts = self.attempts();
        let first = self.inner.apply(table, Arc::clone(&batch)).await;
        let is_done = match &first {
            Ok(outcomes) => !outcomes.iter().any(is_retryable),
            Err(error) => !error.is_retryable(),
        };
        if is_done {
            return first;
        }
        let mut known = Outcomes {
            rows: (0..batch.len()).map(|_| Ok(())).collect(),
            open: (0..batch.len()).collect(),
            is_unknown: false,
        };
        let mut attempt = first;
        loop {
            let whole = match attempt {
                Ok(outcomes) => {
                    known.take(outcomes);
                    None
                }
                Err(error) => {
                    // As long as no row had an outcome of its own, none has one now.
                    let is_of_all = known.open.len() == batch.len();
                    known.fail(&error);
                    is_of_all.then_some(error)
                }
            };
            if known.open.is_empty() || !attempts.again().await {
                return match whole {
                    Some(error) => Err(known.marked(error)),
                    None => Ok(known.rows),
                };
            }
            tracing::debug!(table, rows = known.open.len(), "writing again");
            attempt = self.inner.apply(table, rows_of(&batch, &known.open)).await;
        }
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        let mut attempts = self.attempts();
        loop {
            match self.inner.split_keys(table).await {
                Err(error) if error.is_retryable() && attempts.again().await => {}
                ended => return ended,
            }
        }
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let reading = Reading {
            store: Arc::clone(&self.inner),
            table: table.to_owned(),
            rows: self.inner.scan(table, scan.clone()),
            scan,
            last: Vec::new(),
            came: 0,
            attempts: self.attempts(),
        };
        stream::unfold(Some(reading), |reading| async {
            let mut reading = reading?;
            match reading.next().await? {
                Ok(row) => Some((Ok(row), Some(reading))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

/// A scan that goes on after a failure behind the last row that came.
struct Reading<S> {
    store: Arc<S>,
    table: String,
    rows: BoxStream<'static, Result<Row>>,
    scan: Scan,
    /// The key of the last row that came.
    last: Vec<u8>,
    /// How many rows came since the scan began, or was begun anew.
    came: u64,
    attempts: Attempts,
}

impl<S: Store> Reading<S> {
    async fn next(&mut self) -> Option<Result<Row>> {
        loop {
            match self.rows.next().await? {
                Ok(row) => {
                    self.last.clear();
                    self.last.extend_from_slice(row.key());
                    self.came += 1;
                    self.attempts.progress();
                    return Some(Ok(row));
                }
                Err(error) if error.is_retryable() && self.attempts.again().await => {
                    tracing::debug!(table = self.table, "reading on");
                    let came = std::mem::take(&mut self.came);
                    if came > 0 {
                        self.scan = self.scan.rest(&self.last, came);
                    }
                    self.rows = self.store.scan(&self.table, self.scan.clone());
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn is_retryable(outcome: &Result<()>) -> bool {
    outcome.as_ref().is_err_and(Error::is_retryable)
}

/// The rows at `places` of a batch: the batch itself if that is all of them.
fn rows_of(batch: &Arc<MutationBatch>, places: &[usize]) -> Arc<MutationBatch> {
    if places.len() == batch.len() {
        return Arc::clone(batch);
    }
    let mut rows = MutationBatch::new();
    places.iter().for_each(|place| rows.push(batch.get(*place)));
    Arc::new(rows)
}
