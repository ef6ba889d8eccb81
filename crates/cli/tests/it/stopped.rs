//! Killed and interrupted: what is there stays there, and running again gives what an undisturbed run gives.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{folder, rowmill, run, shown, stdout};

const EVENTS: &str = "60000";

fn export(folder: &Path) -> String {
    stdout(folder, &["export", "facts"]) + &stdout(folder, &["export", "aggregates"])
}

fn start(folder: &Path) -> Child {
    rowmill(folder, &["run", "plays.jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the store holds more than an empty one does, or the program has ended.
fn wait_for_data(folder: &Path, child: &mut Child, files: usize) {
    let tables = |folder: &Path| walk(&folder.join("rowmill-data"));
    while tables(folder) < files && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
}

/// How many files are in a folder and the folders in it.
fn walk(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| {
            if entry.path().is_dir() {
                walk(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

#[test]
fn a_killed_run_is_made_good_by_running_again() {
    let sound = folder();
    stdout(
        sound.path(),
        &[
            "generate",
            "--events",
            EVENTS,
            "--bad",
            "3",
            "--out",
            "plays.jsonl",
        ],
    );
    stdout(sound.path(), &["run", "plays.jsonl"]);
    let expected = export(sound.path());
    let killed = folder();
    std::fs::copy(
        sound.path().join("plays.jsonl"),
        killed.path().join("plays.jsonl"),
    )
    .unwrap();
    for files in [1, 20, 30, 40, 50] {
        let mut child = start(killed.path());
        wait_for_data(killed.path(), &mut child, files);
        // SIGKILL; it may have come to its end by itself, which is as good.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    stdout(killed.path(), &["run", "plays.jsonl"]);
    assert_eq!(export(killed.path()), expected);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_so_and_can_be_run_again() {
    let folder = folder();
    let path = folder.path();
    stdout(
        path,
        &["generate", "--events", "400000", "--out", "plays.jsonl"],
    );
    let mut child = start(path);
    wait_for_data(path, &mut child, 20);
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let message = shown(path, &output);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(
        message.contains("interrupted: what was done so far is kept"),
        "{message}"
    );
    assert!(
        run(path, &["query", "stats"]).status.success(),
        "the store still opens"
    );
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let folder = folder();
    let path = folder.path();
    // The first one has had a first look at standard input, and waits for more with the store open.
    let mut first = rowmill(path, &["ingest", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let input = "{}\n".repeat(100_000);
    first
        .stdin
        .as_mut()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    while !path.join("rowmill-data/lock").exists() && walk(&path.join("rowmill-data")) < 3 {
        std::thread::yield_now();
    }
    let second = run(path, &["query", "stats"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        shown(path, &second).contains("is open in another process; only one at a time can use it")
    );
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
}
