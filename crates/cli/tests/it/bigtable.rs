//! The program on Bigtable: the same output as anywhere, tables, and what is said when something is wrong.

use std::path::Path;

use insta::assert_snapshot;

use crate::{emulator, folder, rowmill, run, shown, stdout};

/// What every command prints, one after the other, in a folder of its own.
fn session(folder: &Path, store: &[&str]) -> Vec<String> {
    let commands: [&[&str]; 12] = [
        &["tables", "create"],
        &["tables", "create"],
        &["tables", "describe"],
        &["run", "plays.jsonl"],
        &["run", "plays.jsonl"],
        &["query", "user", "7"],
        &["query", "stats", "song", "Blue Train", "--by", "hour"],
        &["query", "top", "song", "--on", "2018-11-15"],
        &["aggregate", "--all", "--dry-run"],
        &["aggregate", "--all"],
        &["export", "aggregates"],
        &["tables", "drop", "--yes", "events_aggregate"],
    ];
    commands
        .iter()
        .map(|command| shown(folder, &run(folder, &[command, store].concat())))
        .collect()
}

fn with_plays() -> tempfile::TempDir {
    let folder = folder();
    std::fs::write(folder.path().join("plays.jsonl"), crate::commands::EVENTS).unwrap();
    folder
}

#[test]
fn commands_print_what_they_print_on_the_embedded_store() {
    let Some(emulator) = emulator("the commands on the emulator") else {
        return;
    };
    let (local, remote) = (with_plays(), with_plays());
    let expected = session(local.path(), &[]);
    let of_store = [
        "--store",
        "bigtable://p/i",
        "--emulator-host",
        emulator.address(),
    ];
    let found = session(remote.path(), &of_store);
    for (expected, found) in expected.iter().zip(found) {
        assert!(expected.starts_with("exit 0"), "{expected}");
        assert_eq!(*expected, found);
    }
    assert!(!remote.path().join("rowmill-data").exists());
}

#[test]
fn the_environment_names_the_emulator() {
    let Some(emulator) = emulator("the environment's emulator") else {
        return;
    };
    let folder = with_plays();
    let output = rowmill(folder.path(), &["run", "plays.jsonl"])
        .env("BIGTABLE_EMULATOR_HOST", emulator.address())
        .env("ROWMILL_STORE", "bigtable://p/i?app_profile=ingest")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", shown(folder.path(), &output));
}

#[test]
fn tables_are_shown_changed_and_dropped_with_care() {
    let folder = with_plays();
    let check = |arguments: &[&str]| shown(folder.path(), &run(folder.path(), arguments));
    assert_snapshot!(check(&["tables", "create", "--dry-run"]), @"");
    assert!(!folder.path().join("rowmill-data").exists());
    assert_snapshot!(check(&["tables", "describe"]), @"");
    stdout(folder.path(), &["tables", "create"]);
    assert_snapshot!(check(&["tables", "create"]), @"");
    let retention = "retention.events_fact='400d'";
    assert_snapshot!(check(&["tables", "describe", "--set", retention]), @"");
    assert_snapshot!(check(&["tables", "create", "--set", retention]), @"");
    assert_snapshot!(check(&["ingest", "plays.jsonl", "--quiet", "--set", retention]), @"");
    assert_snapshot!(check(&["ingest", "plays.jsonl", "--format", "json", "--set", retention]), @"");
    assert_snapshot!(check(&["tables", "drop"]), @"");
    assert_snapshot!(check(&["tables", "drop", "dead_letters", "--dry-run"]), @"");
    assert_snapshot!(check(&["tables", "drop", "things", "--yes"]), @"");
    assert_snapshot!(check(&["tables", "drop", "dead_letters", "--yes"]), @"");
    assert_snapshot!(check(&["tables", "drop", "dead_letters", "--yes"]), @"");
    assert_snapshot!(check(&["tables", "describe", "--format", "json"]), @"");
}

#[test]
fn retention_that_cannot_be_is_refused() {
    let folder = folder();
    let check = |setting: &str| {
        shown(folder.path(), &run(folder.path(), &["tables", "describe", "--set", setting]))
    };
    assert_snapshot!(check("retention.dead_letters='10d'"), @"");
    assert_snapshot!(check("retention.event_fact='10d'"), @"");
    assert_snapshot!(check("retention.events_fact.event='10d'"), @"");
    assert_snapshot!(check("retention.events_fact='10 days'"), @"");
}

#[test]
fn trouble_is_said_with_what_helps() {
    let folder = with_plays();
    let check = |store: &str, emulator: &str, command: &[&str]| {
        let output = rowmill(folder.path(), command)
            .args(["--store", store])
            .args(if emulator.is_empty() { vec![] } else { vec!["--emulator-host", emulator] })
            // No credentials anywhere, and no metadata server to ask.
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .env("HOME", folder.path())
            .env("GCE_METADATA_HOST", "127.0.0.1:1")
            .output()
            .unwrap();
        shown(folder.path(), &output)
    };
    assert_snapshot!(check("bigtable://p", "", &["query", "user", "7"]), @"");
    assert_snapshot!(check("bigtable://p/i", "127.0.0.1:1", &["query", "user", "7"]), @"");
    assert_snapshot!(check("bigtable://p/i", "", &["query", "user", "7"]), @"");
}
