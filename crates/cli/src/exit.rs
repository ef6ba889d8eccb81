//! Exit codes, and which error is which.

use std::process::ExitCode;

use rowmill_model::PipelineError;
use rowmill_pipeline::Error;

use crate::printer::Printer;

/// How a command ended. `rowmill help` shows this table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitStatus {
    /// Done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line, the pipeline file or an input is wrong; nothing was done.
    Usage = 2,
    /// More records were rejected than allowed.
    TooManyRejects = 3,
    /// Verification found a difference.
    Different = 4,
    /// Stopped by Ctrl-C; run the same command again to go on.
    Interrupted = 130,
}

/// What is said to whoever stopped a run that ingested again: the same command would begin once more.
pub(crate) const INTERRUPTED_AGAIN: &str =
    "interrupted: what was done so far is kept; run the command without --again to go on";

/// Why the process was left before its command had ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// It was asked to stop twice.
    AtOnce,
    /// It was asked to stop, and the command waited for something else.
    AfterAWhile,
    /// It was asked to stop while it only read.
    Reading,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const KEPT: &str = "what was done up to the last checkpoint is kept; run the same command again (without --again) to go on";
        match self {
            Self::AtOnce => write!(f, "left at once: {KEPT}"),
            Self::AfterAWhile => write!(f, "interrupted while it waited: {KEPT}"),
            Self::Reading => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Left {}

/// What is said to whoever stopped a command.
pub(crate) const INTERRUPTED: &str =
    "interrupted: what was done so far is kept; run the same command again to go on";

/// Prints what the argument parser has to say: help on standard output, errors on standard error.
pub(crate) fn of_clap(error: &clap::Error) -> ExitCode {
    // Nobody reads the message if printing it fails.
    error.print().ok();
    if error.use_stderr() {
        ExitStatus::Usage.into()
    } else {
        ExitStatus::Done.into()
    }
}

/// Says what went wrong, and gives the exit code for it.
pub(crate) fn report(error: &anyhow::Error, printer: &mut Printer) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitStatus::Done.into();
    }
    let status = status_of(error);
    if status == ExitStatus::Interrupted {
        let left = error.downcast_ref::<Left>();
        printer.say(&left.map_or_else(|| INTERRUPTED.to_owned(), ToString::to_string));
    } else {
        printer.fail(&format!("{error:#}"));
        if let Some(Error::Store(store) | Error::NoStore(store)) = error.downcast_ref::<Error>()
            && let Some(hint) = store.hint()
        {
            printer.hint(hint);
        }
    }
    status.into()
}

fn status_of(error: &anyhow::Error) -> ExitStatus {
    match error.downcast_ref::<Error>() {
        Some(Error::Interrupted) => ExitStatus::Interrupted,
        Some(error) if error.is_usage() => ExitStatus::Usage,
        Some(_) => ExitStatus::Failed,
        None if error.is::<Left>() => ExitStatus::Interrupted,
        None if error.is::<PipelineError>() || error.is::<UsageError>() => ExitStatus::Usage,
        None => ExitStatus::Failed,
    }
}

/// Whether whoever read the output has seen enough, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Something that the caller must change before trying again.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}
