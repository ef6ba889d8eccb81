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
fn signal(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status();
    assert!(sent.unwrap().success());
}

/// Ctrl-C or being asked to terminate: what is in flight is finished, it is said how to go on, and going on gives what an
/// undisturbed run gives.
#[cfg(unix)]
#[test]
fn an_interrupted_run_says_so_and_is_taken_up() {
    let sound = folder();
    stdout(
        sound.path(),
        &["generate", "--events", "80000", "--out", "plays.jsonl"],
    );
    stdout(sound.path(), &["run", "plays.jsonl"]);
    let expected = export(sound.path());
    for name in ["-INT", "-TERM"] {
        let folder = folder();
        let path = folder.path();
        std::fs::copy(sound.path().join("plays.jsonl"), path.join("plays.jsonl")).unwrap();
        let mut child = start(path);
        wait_for_data(path, &mut child, 20);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let message = shown(path, &output);
        assert_eq!(output.status.code(), Some(130), "{message}");
        // On a slow machine what was in flight takes longer than is waited for.
        let is_ended =
            message.contains("interrupted: what was done so far is kept; run the same command");
        let is_left = message.contains("interrupted while it waited");
        assert!(is_ended != is_left, "{message}");
        let verified = run(path, &["verify"]);
        assert!(verified.status.success(), "{}", shown(path, &verified));
        let runs = stdout(path, &["runs", "list", "--format", "json"]);
        assert_eq!(runs.contains(r#""exit_code":130"#), is_ended, "{runs}");
        let taken_up = run(path, &["run", "plays.jsonl"]);
        assert!(
            shown(path, &taken_up).contains("goes on at byte"),
            "{}",
            shown(path, &taken_up)
        );
        assert_eq!(export(path), expected);
        let runs = stdout(path, &["runs", "list", "--format", "json"]);
        assert!(
            runs.lines().count() == 1 && runs.contains(r#""exit_code":0"#),
            "{runs}"
        );
    }
}

/// Asked twice, it leaves at once, although its writes take for ever; it prints no ledger then.
#[cfg(unix)]
#[test]
fn interrupted_twice_it_leaves_at_once() {
    let folder = folder();
    let path = folder.path();
    stdout(
        path,
        &["generate", "--events", "2000", "--out", "plays.jsonl"],
    );
    let mut child = rowmill(
        path,
        &["ingest", "plays.jsonl", "--chaos", "slow=600s:100%"],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    while walk(&path.join("rowmill-data")) < 3 {
        std::thread::yield_now();
    }
    while child.try_wait().unwrap().is_none() {
        // Two signals of one kind may arrive as one.
        signal(&child, "-INT");
        std::thread::yield_now();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", shown(path, &output));
    let message = shown(path, &output);
    assert!(output.stdout.is_empty(), "{message}");
    assert!(message.contains("left at once"), "{message}");
}

/// Who waits for a pipe that gives nothing stops when it is asked to, with what came so far.
#[cfg(unix)]
#[test]
fn a_silent_pipe_does_not_keep_it() {
    let folder = folder();
    let path = folder.path();
    let mut child = rowmill(path, &["ingest", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = "{}\n".repeat(100_000);
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    while walk(&path.join("rowmill-data")) < 3 {
        std::thread::yield_now();
    }
    let stdin = child.stdin.take();
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(130), "{}", shown(path, &output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["status"], "interrupted");
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
    let is_open = || {
        let record = std::fs::read_to_string(path.join("rowmill-data/rowmill.json"));
        record.is_ok_and(|record| record.contains("\"open\""))
    };
    while !is_open() {
        std::thread::yield_now();
    }
    let second = run(path, &["query", "stats"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(shown(path, &second).contains("is open in another process"));
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
}
