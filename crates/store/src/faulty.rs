//! A store that fails on purpose.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use rowmill_model::{MutationBatch, Row};

use crate::chaos::Chaos;
use crate::error::{Error, ErrorKind, Result};
use crate::scan::Scan;
use crate::store::{Capability, Store};
use crate::timer::{SystemTimer, Timer};

/// What ends the process, or the part of a test that plays one. If it returns, the write that it was called in never does.
pub type Kill = Arc<dyn Fn() + Send + Sync>;

/// Fails as [`Chaos`] says, by chance that follows from a seed: writes that did not happen and are reported as failed, that happened
/// and are reported as failed, and that did not happen and are reported as done.
pub struct Faulty<S> {
    inner: S,
    chaos: Chaos,
    random: Mutex<fastrand::Rng>,
    writes: AtomicU64,
    kill: Kill,
    timer: Arc<dyn Timer>,
}

impl<S: fmt::Debug> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Faulty");
        fields
            .field("inner", &self.inner)
            .field("chaos", &self.chaos);
        fields.finish_non_exhaustive()
    }
}

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Works,
    Unavailable,
    LostReply,
    LostWrite,
}

/// Which rows of a batch happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Half,
    None,
}

impl<S: Store> Faulty<S> {
    /// A store that fails by `chaos` and `seed`, and calls `kill` where the process is to die.
    pub fn new(inner: S, chaos: Chaos, seed: u64, kill: Kill) -> Self {
        Self::with_timer(inner, chaos, seed, kill, Arc::new(SystemTimer))
    }

    /// The same, being slow by `timer`.
    pub fn with_timer(
        inner: S,
        chaos: Chaos,
        seed: u64,
        kill: Kill,
        timer: Arc<dyn Timer>,
    ) -> Self {
        Self {
            inner,
            chaos,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            writes: AtomicU64::new(0),
            kill,
            timer,
        }
    }

    /// A number from 0, included, to 1, excluded.
    fn unit(&self) -> f64 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.f64()
    }

    fn fate(&self) -> Fate {
        let chaos = &self.chaos;
        let unit = self.unit();
        if unit < chaos.unavailable {
            Fate::Unavailable
        } else if unit < chaos.unavailable + chaos.lost_reply {
            Fate::LostReply
        } else if unit < chaos.unavailable + chaos.lost_reply + chaos.lost_write {
            Fate::LostWrite
        } else {
            Fate::Works
        }
    }

    fn part(&self) -> Part {
        match self.unit() {
            unit if unit < 0.4 => Part::All,
            unit if unit < 0.8 => Part::Half,
            _ => Part::None,
        }
    }

    async fn be_slow(&self) {
        if let Some((delay, share)) = self.chaos.slow
            && self.unit() < share
        {
            self.timer.sleep(delay).await;
        }
    }

    /// Rows that come late, if they are to.
    fn late(&self, rows: BoxStream<'static, Result<Row>>) -> BoxStream<'static, Result<Row>> {
        match self.chaos.slow_read {
            Some((delay, share)) if self.unit() < share => {
                let timer = Arc::clone(&self.timer);
                let wait = async move {
                    timer.sleep(delay).await;
                    rows
                };
                stream::once(wait).flatten().boxed()
            }
            _ => rows,
        }
    }

    /// Writes a part of a batch.
    async fn write(&self, table: &str, batch: &MutationBatch, part: Part) -> Result<()> {
        let step = match part {
            Part::All => 1,
            Part::Half => 2,
            Part::None => return Ok(()),
        };
        let mut rows = MutationBatch::new();
        batch.iter().step_by(step).for_each(|row| rows.push(row));
        self.inner.apply(table, Arc::new(rows)).await.map(|_| ())
    }
}

fn injected() -> Error {
    Error::new(ErrorKind::Unavailable, "injected by --chaos")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for Faulty<S> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        self.be_slow().await;
        if self.chaos.kill_at == Some(number) {
            self.write(table, &batch, self.part()).await?;
            (self.kill)();
            return std::future::pending().await;
        }
        match self.fate() {
            Fate::Works => self.inner.apply(table, batch).await,
            Fate::Unavailable => Err(injected()),
            Fate::LostReply => {
                self.write(table, &batch, self.part()).await?;
                Err(injected().with_unknown_effect())
            }
            Fate::LostWrite => Ok(batch.iter().map(|_| Ok(())).collect()),
        }
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        if self.fate() == Fate::Unavailable {
            return Err(injected());
        }
        self.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let rows = self.late(self.inner.scan(table, scan));
        if self.fate() != Fate::Unavailable {
            return rows;
        }
        let read = (self.unit() * 100.0).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number from 0 to 100"
        )]
        let some = rows.take(read as usize);
        some.chain(stream::once(async { Err(injected()) })).boxed()
    }
}
