//! A long command at work. Every command that reads or writes more than a few rows goes through a [`Job`], which is the only
//! way to a `Control`: so each of them shows how far it is, stops when it is asked to, and says when nothing moves.

use anyhow::Result;
use rowmill_pipeline::{Control, Error};

use crate::exit::Left;
use crate::printer::Printer;
use crate::progress::{Progress, Watchdog};
use crate::signals;

/// A job, watched until it is dropped.
pub(crate) struct Job {
    control: Control,
    is_quiet: bool,
    watched: Option<(Progress, Watchdog)>,
}

impl Job {
    /// A job that shows on standard error how far it is.
    pub(crate) fn start(what: &'static str, printer: &Printer) -> Self {
        Self::of_bytes(what, 0, printer)
    }

    /// A job over so many bytes of input.
    pub(crate) fn of_bytes(what: &'static str, bytes: u64, printer: &Printer) -> Self {
        Self::new(what, bytes, printer.is_quiet())
    }

    /// A job whose results go to standard output while it works: a bar would mix with them.
    pub(crate) fn printing(what: &'static str) -> Self {
        Self::new(what, 0, true)
    }

    fn new(what: &'static str, bytes: u64, is_quiet: bool) -> Self {
        let control = signals::control();
        let watched = Some(watched(what, bytes, is_quiet, &control));
        Self {
            control,
            is_quiet,
            watched,
        }
    }

    /// Goes on with another part of the job.
    pub(crate) fn next(&mut self, what: &'static str) {
        // The bar of what is over goes first.
        self.watched = None;
        self.watched = Some(watched(what, 0, self.is_quiet, &self.control));
    }

    /// What the job looks at to see whether it is to stop.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Does work that changes nothing, and drops it as soon as the job is to stop, whatever it waits for.
    pub(crate) async fn reading<T, E: Into<anyhow::Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T> {
        tokio::select! {
            biased;
            () = self.control.stopped() => Err(Left::Reading.into()),
            done = work => done.map_err(left_reading),
        }
    }

    /// Does work that changes nothing and waits for nothing but its output, on this thread, until it looks at its control.
    pub(crate) fn computing<T>(&self, work: impl FnOnce(&Control) -> Result<T>) -> Result<T> {
        tokio::task::block_in_place(|| work(&self.control)).map_err(left_reading)
    }
}

/// The error of work that changed nothing; one that stopped itself has nothing to go on with.
fn left_reading(error: impl Into<anyhow::Error>) -> anyhow::Error {
    let error = error.into();
    match error.downcast_ref() {
        Some(Error::Interrupted) => Left::Reading.into(),
        _ => error,
    }
}

fn watched(
    what: &'static str,
    bytes: u64,
    is_quiet: bool,
    control: &Control,
) -> (Progress, Watchdog) {
    tracing::info!(job = what, "begun");
    let progress = Progress::watch(what, control, bytes, is_quiet);
    (progress, Watchdog::start(what, control))
}
