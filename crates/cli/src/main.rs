//! The rowmill command line: arguments, printing, exit codes, the runtime. Nothing else.

mod arguments;
mod commands;
mod exit;
mod logging;
mod printer;
mod progress;
mod session;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

use arguments::Arguments;
use exit::ExitStatus;
use printer::Printer;

/// That of the C library costs a sixth of an aggregation, and far more in a static build.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::of_clap(&error),
    };
    logging::start(arguments.global.log_format, arguments.global.quiet);
    let mut printer = Printer::new(arguments.global.format, arguments.global.quiet);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(blocking_threads())
        .enable_all()
        .build()
        .expect("starts the runtime");
    let result = runtime.block_on(session::until_stopped(commands::run(
        arguments,
        &mut printer,
    )));
    // A reader of standard input that nobody waits for must not keep the process alive.
    runtime.shutdown_background();
    match result {
        Ok(status) => status.into(),
        Err(error) => exit::report(&error, &mut printer),
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
