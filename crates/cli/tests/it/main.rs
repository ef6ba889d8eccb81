//! The program as a whole: what it prints, its exit codes, real data through it, and being stopped.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod bigtable;
mod commands;
mod errors;
mod real;
mod stopped;

use std::path::Path;
use std::process::{Command, Output};

use rowmill_bigtable::testing::Emulator;

/// The program, in a folder of its own.
pub(crate) fn rowmill(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rowmill"));
    command
        .current_dir(folder)
        .args(arguments)
        .env_remove("ROWMILL_CONFIG")
        .env_remove("ROWMILL_STORE")
        .env_remove("BIGTABLE_EMULATOR_HOST");
    command
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    rowmill(folder, arguments).output().unwrap()
}

/// Standard output of a run that must succeed.
pub(crate) fn stdout(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        shown(folder, &output)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Exit code, standard output and standard error, without what differs between two runs.
pub(crate) fn shown(folder: &Path, output: &Output) -> String {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&*folder.to_string_lossy(), "FOLDER");
    let streams = [
        ("stdout", text(&output.stdout)),
        ("stderr", text(&output.stderr)),
    ];
    let mut shown = format!("exit {}\n", output.status.code().unwrap_or(-1));
    for (name, text) in streams.into_iter().filter(|(_, text)| !text.is_empty()) {
        shown += &format!("-- {name}\n{text}");
    }
    shown
}

/// Google's emulator, if it is installed.
pub(crate) fn emulator(what: &str) -> Option<Emulator> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(Emulator::start(what))
}

/// A fresh folder with the example pipeline file in it.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(example("listens.toml"), folder.path().join("rowmill.toml")).unwrap();
    folder
}

pub(crate) fn example(name: &str) -> String {
    format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}
