//! The program as a whole: what it prints, its exit codes, real data through it, and being stopped.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod aggregates;
mod bigtable;
mod commands;
mod deployment;
mod dlq;
mod errors;
mod jobs;
mod killed;
mod questions;
mod real;
mod resume;
mod sources;
mod stopped;
mod store;

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
        .env_remove("BIGTABLE_EMULATOR_HOST")
        .env_remove("STORAGE_EMULATOR_HOST");
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
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace(&*folder.to_string_lossy(), "FOLDER");
        let redacted = without_times(&text);
        // Columns are as wide as the times and processes were that stood in them.
        if redacted == text {
            text
        } else {
            narrowed(&redacted)
        }
    };
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

/// The text with each time of this century as TIME, and with the process and the number after it, which together name a run, as RUN.
pub(crate) fn without_times(text: &str) -> String {
    let is_of_time = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | 'T');
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("202") {
        let (before, from) = rest.split_at(at);
        out += before;
        let end = from.find(|c| !is_of_time(c)).unwrap_or(from.len());
        let (time, after) = from.split_at(end);
        let is_time = time.contains('T') && time.contains(':') && after.starts_with('Z');
        if !is_time {
            let (kept, after) = from.split_at(3);
            out += kept;
            rest = after;
            continue;
        }
        let after = &after[1..];
        let after_name = after_process(after);
        out += if after_name.is_some() { "RUN" } else { "TIME" };
        rest = after_name.unwrap_or(after);
    }
    out + rest
}

/// The text after a process and its random number, such as `-17-0123456789abcdef`; none if it does not begin so.
fn after_process(text: &str) -> Option<&str> {
    let process = text.strip_prefix('-')?;
    let random = process.trim_start_matches(|c: char| c.is_ascii_digit());
    let random = random.strip_prefix('-')?;
    let after = random.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    (random.len() - after.len() == 16).then_some(after)
}

/// The lines with no more than two spaces in a row, but for those they begin with.
fn narrowed(text: &str) -> String {
    let narrow = |line: &str| {
        let words = line.trim_start();
        let indent = &line[..line.len() - words.len()];
        let parts = words.split("  ").filter(|part| !part.is_empty());
        let parts: Vec<_> = parts.map(str::trim).collect();
        format!("{indent}{}\n", parts.join("  "))
    };
    text.lines().map(narrow).collect()
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
