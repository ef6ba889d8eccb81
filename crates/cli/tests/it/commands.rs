//! What commands print, in each form.

use std::io::Write as _;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::{folder, rowmill, run, shown, stdout};

const EVENTS: &str = r#"{"userId":"7","ts":1542291826796,"page":"NextSong","sessionId":5,"itemInSession":0,"level":"paid","song":"Blue Train","artist":"Glass Foxes","length":200.1,"status":200}
{"userId":"7","ts":1542291827796,"page":"Home","sessionId":5,"itemInSession":1,"level":"paid","device":{"os":"x"}}
{"userId":"7","ts":1542291827796,"page":"Home","sessionId":5,"itemInSession":1,"level":"paid","device":{"os":"x"}}
{"userId":"8","ts":1542295427796,"page":"NextSong","sessionId":6,"itemInSession":0,"level":"paid","song":"Blue Train","artist":"Glass Foxes","length":100.2,"status":307}
{"userId":"","ts":1542295427796,"page":"Home","sessionId":6,"itemInSession":1,"level":"gold"}
"#;

fn ingested() -> tempfile::TempDir {
    let folder = folder();
    std::fs::write(folder.path().join("plays.jsonl"), EVENTS).unwrap();
    stdout(folder.path(), &["run", "plays.jsonl"]);
    folder
}

#[test]
fn a_run_shows_its_ledger() {
    let folder = folder();
    std::fs::write(folder.path().join("plays.jsonl"), EVENTS).unwrap();
    assert_snapshot!(stdout(folder.path(), &["run", "plays.jsonl"]), @"");
    assert_snapshot!(stdout(folder.path(), &["check", "plays.jsonl", "--format", "json"]), @"");
    assert_snapshot!(shown(folder.path(), &run(folder.path(), &["ingest", "--dry-run", "--max-rejects", "10%", "plays.jsonl"])), @"");
}

#[test]
fn queries() {
    let folder = ingested();
    let path = folder.path();
    assert_snapshot!(shown(path, &run(path, &["query", "user", "7"])), @"");
    assert_snapshot!(stdout(path, &["query", "user", "7", "--format", "json", "--limit", "1"]), @"");
    assert_snapshot!(stdout(path, &["query", "stats", "song", "Blue Train", "--format", "csv"]), @"");
    assert_snapshot!(stdout(path, &["query", "stats", "--by", "hour", "--quiet"]), @"");
    assert_snapshot!(stdout(path, &["query", "top", "event_type", "--on", "2018-11-15", "--by", "length_sum"]), @"");
    assert_snapshot!(shown(path, &run(path, &["query", "top", "song", "--on", "2018-11-15", "--by", "plays"])), @"");
    assert_snapshot!(shown(path, &run(path, &["query", "stats", "sogn", "x"])), @"");
    assert_snapshot!(shown(path, &run(path, &["query", "user", "nobody"])), @"");
}

#[test]
fn exports() {
    let folder = ingested();
    let path = folder.path();
    assert_snapshot!(stdout(path, &["export", "aggregates"]).lines().take(4).collect::<Vec<_>>().join("\n"), @"");
    assert_snapshot!(stdout(path, &["export", "facts", "--format", "jsonl"]), @"");
    let to_file = run(
        path,
        &["export", "aggregates", "--format", "csv", "--out", "a.csv"],
    );
    assert_eq!(
        std::fs::read_to_string(path.join("a.csv")).unwrap(),
        stdout(path, &["export", "aggregates"])
    );
    assert_snapshot!(shown(path, &to_file), @"");
}

#[test]
fn standard_input_is_read_once() {
    let folder = folder();
    let mut child = rowmill(folder.path(), &["check", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(EVENTS.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (
            report["ledger"]["read"].as_u64(),
            report["ledger"]["written"].as_u64()
        ),
        (Some(5), Some(3))
    );
}

#[test]
fn generated_events_are_the_same_in_a_file_and_on_standard_output() {
    let folder = folder();
    let path = folder.path();
    stdout(
        path,
        &[
            "generate", "--events", "300", "--format", "csv", "--bad", "5%", "--out", "x.csv",
        ],
    );
    let printed = stdout(
        path,
        &[
            "generate", "--events", "300", "--format", "csv", "--bad", "5",
        ],
    );
    assert_eq!(
        std::fs::read_to_string(path.join("x.csv")).unwrap(),
        printed
    );
    assert_eq!(printed.lines().count(), 301);
}

#[test]
fn the_demo_shows_everything() {
    let folder = folder();
    let shown = stdout(
        folder.path(),
        &["demo", "--events", "3000", "--out", "demo"],
    );
    for heading in [
        "The run's ledger",
        "Day by day",
        "The top songs",
        "The latest events of user 7",
        "Ask more",
    ] {
        assert!(shown.contains(heading), "{heading}: {shown}");
    }
    assert!(
        folder.path().join("demo/listens-1.jsonl").exists()
            && folder.path().join("demo/store").exists()
    );
    assert_eq!(
        run(folder.path(), &["demo", "--out", "demo"]).status.code(),
        Some(2)
    );
    // What it says works as it stands.
    let settings = [
        "--config",
        "demo/rowmill.toml",
        "--store",
        "file:demo/store",
    ];
    let day = stdout(
        folder.path(),
        &[&["query", "stats", "--format", "csv"], &settings[..]].concat(),
    );
    assert_eq!(day.lines().count(), 31);
}
