//! The rowmill command line: arguments, printing, exit codes, the runtime. Nothing else.

mod arguments;
mod commands;
mod exit;
mod job;
mod limits;
mod logging;
mod output;
mod printer;
mod progress;
mod session;
mod signals;
mod unreadable;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use tokio::sync::oneshot;

use arguments::Arguments;
use exit::{ExitStatus, Left};
use printer::Printer;

/// That of the C library costs a sixth of an aggregation, and far more in a static build.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    limits::save_address_space();
    limits::raise_open_files();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::of_clap(&error),
    };
    logging::start(arguments.global.log_format, arguments.global.quiet);
    let (format, is_quiet) = (arguments.global.format, arguments.global.quiet);
    let new_printer = move || Printer::new(format, is_quiet);
    let signals = match signals::listen() {
        Ok(signals) => signals,
        Err(error) => return exit::report(&error, &mut new_printer()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(blocking_threads())
        .enable_all()
        .build()
        .expect("starts the runtime");
    let ended = runtime.block_on(until_left(signals, arguments, new_printer()));
    // A reader of standard input that nobody waits for must not keep the process alive.
    runtime.shutdown_background();
    match ended {
        Ok((Ok(status), _)) => status.into(),
        Ok((Err(error), mut printer)) => exit::report(&error, &mut printer),
        Err(left) => exit::report(&left.into(), &mut new_printer()),
    }
}

/// Runs a command to its end, or as long as signals let it. It works on the runtime's threads: one that blocks its thread is left
/// like any other.
async fn until_left(
    mut signals: oneshot::Receiver<Left>,
    arguments: Arguments,
    mut printer: Printer,
) -> Result<(anyhow::Result<ExitStatus>, Printer), Left> {
    let command = tokio::spawn(async move {
        let result = commands::run(arguments, &mut printer).await;
        (result, printer)
    });
    tokio::select! {
        ended = command => match ended {
            Ok(ended) => Ok(ended),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        },
        Ok(left) = &mut signals => Err(left),
    }
}

/// One thread for each core, and some for those that wait for a disk. The allocator keeps memory for every thread.
fn blocking_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 4
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
