//! What the operating system allows the process: open files, and address space.

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets the process open as many files as it may: the usual soft limit is for programs that cannot count further than that.
#[cfg(unix)]
pub(crate) fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Some systems have a limit beyond the limit; then it stays as it is.
    setrlimit(Resource::Nofile, raised).ok();
}

#[cfg(not(unix))]
pub(crate) fn raise_open_files() {}

/// With less address space than this, how it is used matters.
#[cfg(target_os = "linux")]
const ENOUGH_BYTES: u64 = 4 << 30;

/// Begins anew with one arena of the C library if address space is limited, as by `ulimit -v`.
///
/// The library reserves 128 MiB for each thread that allocates, as each does once when it starts. It reads its settings when a
/// program is started, so they are given to another start of this one, in the same process.
#[cfg(target_os = "linux")]
pub(crate) fn save_address_space() {
    use std::os::unix::process::CommandExt as _;
    const ARENAS: &str = "MALLOC_ARENA_MAX";
    let is_limited = getrlimit(Resource::As)
        .current
        .is_some_and(|limit| limit < ENOUGH_BYTES);
    if !is_limited || std::env::vars_os().any(|(name, _)| name == ARENAS) {
        return;
    }
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // This returns only if it failed. Then everything goes on as before.
    let _failed = again.args(arguments).env(ARENAS, "1").exec();
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn save_address_space() {}
