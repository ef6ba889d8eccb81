//! Ctrl-C and being asked to terminate: the first signal stops the job, and nothing keeps the process for long after it.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rowmill_pipeline::Control;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::exit::Left;

/// How long a job that was asked to stop may take to end by itself. What it had in flight is lost with the process then, as
/// if it had been killed, and done again by the next run.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The control of this process, which a signal stops: a process does one command.
pub(crate) fn control() -> Control {
    static CONTROL: OnceLock<Control> = OnceLock::new();
    CONTROL.get_or_init(Control::default).clone()
}

/// Listens for signals on a thread of its own, so that no job, whatever it does to the runtime's threads, can keep one waiting.
/// The receiver is told when the process is to be left.
pub(crate) fn listen() -> Result<oneshot::Receiver<Left>> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting to listen for signals")?;
    let mut signals = Signals::new(&runtime).context("starting to listen for signals")?;
    let (leave, left) = oneshot::channel();
    std::thread::spawn(move || {
        let reason = runtime.block_on(async {
            signals.next().await;
            control().stop();
            tokio::select! {
                () = tokio::time::sleep(PATIENCE) => Left::AfterAWhile,
                () = signals.next() => Left::AtOnce,
            }
        });
        // Nobody listens any more where the command has come to its end.
        leave.send(reason).ok();
    });
    Ok(left)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new(runtime: &Runtime) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let _entered = runtime.enter();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new(_: &Runtime) -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        tokio::signal::ctrl_c().await.ok();
    }
}
