//! How far a job has come: a bar on a terminal, a log line every ten seconds elsewhere.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rowmill_pipeline::{Control, Stall, watch};
use rowmill_store::SystemTimer;
use tokio::task::JoinHandle;

const BAR_TICK: Duration = Duration::from_millis(100);
const LOG_TICK: Duration = Duration::from_secs(10);

/// Shows a job's progress until it is dropped.
pub(crate) struct Progress {
    watcher: JoinHandle<()>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Watches `control`, of a job over `bytes` bytes, or of unknown length if that is zero.
    pub(crate) fn watch(what: &'static str, control: &Control, bytes: u64, quiet: bool) -> Self {
        let control = control.clone();
        if quiet || !std::io::stderr().is_terminal() {
            let watcher = tokio::spawn(async move {
                loop {
                    tokio::time::sleep(LOG_TICK).await;
                    tracing::info!(
                        records = control.records(),
                        bytes = control.bytes(),
                        "{what}"
                    );
                }
            });
            return Self { watcher, bar: None };
        }
        let bar = new_bar(what, bytes);
        let shown = bar.clone();
        let watcher = tokio::spawn(async move {
            loop {
                shown.set_position(if bytes > 0 {
                    control.bytes()
                } else {
                    control.records()
                });
                shown.set_message(format!("{} records", control.records()));
                tokio::time::sleep(BAR_TICK).await;
            }
        });
        Self {
            watcher,
            bar: Some(bar),
        }
    }
}

/// How long nothing may move before it is said.
const PATIENCE: Duration = Duration::from_secs(30);

/// Warns when nothing moves in a job, until it is dropped.
pub(crate) struct Watchdog(JoinHandle<()>);

impl Watchdog {
    pub(crate) fn start(what: &'static str, control: &Control) -> Self {
        let timer = Arc::new(SystemTimer);
        let warn = move |stall| warn(what, stall);
        Self(tokio::spawn(watch(control.clone(), PATIENCE, timer, warn)))
    }
}

fn warn(job: &'static str, stall: Stall) {
    let (seconds, rows_in_flight) = (stall.duration.as_secs(), stall.rows_in_flight);
    if rows_in_flight > 0 {
        tracing::warn!(
            seconds,
            job,
            rows_in_flight,
            "nothing moved: the store does not answer"
        );
    } else {
        tracing::warn!(
            seconds,
            job,
            "nothing moved: neither the input nor the store gives anything"
        );
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn new_bar(what: &'static str, bytes: u64) -> ProgressBar {
    let (bar, template) = if bytes > 0 {
        (
            ProgressBar::new(bytes),
            "{prefix} [{bar:30}] {bytes}/{total_bytes}, {msg}, {eta} left",
        )
    } else {
        (
            ProgressBar::new_spinner(),
            "{prefix} {spinner} {msg}, {elapsed}",
        )
    };
    bar.set_prefix(what);
    bar.with_style(
        ProgressStyle::with_template(template)
            .expect("a valid template")
            .progress_chars("=> "),
    )
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.watcher.abort();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
