//! A store as a folder, to the shipped program: which commands make one, what is left alone, and what is said of a damaged one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::{example, folder, run, shown, stdout};

/// Commands that only look.
const LOOKING: [&[&str]; 12] = [
    &["query", "user", "7"],
    &["query", "count", "facts"],
    &["runs", "list"],
    &["verify"],
    &["verify", "--aggregates"],
    &["export", "facts"],
    &["dlq", "list"],
    &["dlq", "stats"],
    &["dlq", "purge", "--dry-run"],
    &["aggregate", "--dry-run"],
    &["delete", "--user", "7", "--dry-run"],
    &["tables", "describe"],
];

/// Commands that change what is there, and make nothing.
const CHANGING: [&[&str]; 4] = [
    &["aggregate"],
    &["delete", "--user", "7", "--yes"],
    &["dlq", "replay"],
    &["tables", "drop", "--yes"],
];

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = WalkDir::new(folder).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|entry| (entry.path().to_owned(), fs::read(entry.path()).unwrap()))
        .collect()
}

/// A folder with a store of some events.
fn filled() -> tempfile::TempDir {
    let folder = folder();
    let path = folder.path();
    fs::copy(example("listens.toml"), path.join("rowmill.toml")).unwrap();
    stdout(
        path,
        &[
            "generate", "--events", "300", "--days", "2", "--out", "e.jsonl",
        ],
    );
    stdout(path, &["run", "e.jsonl", "-q"]);
    folder
}

#[test]
fn only_what_writes_events_makes_a_store() {
    let folder = folder();
    let path = folder.path();
    fs::create_dir_all(path.join("foreign/keyspaces")).unwrap();
    fs::write(path.join("foreign/keyspaces/thesis.txt"), "precious").unwrap();
    fs::create_dir(path.join("empty")).unwrap();
    let before = files(path);
    for store in ["file:typo", "file:empty", "file:foreign"] {
        for command in LOOKING.iter().chain(&CHANGING) {
            let output = run(path, &[*command, &["--store", store]].concat());
            assert_eq!(
                output.status.code(),
                Some(2),
                "{command:?} {store}: {}",
                shown(path, &output)
            );
        }
    }
    assert_eq!(files(path), before);
    assert!(!path.join("typo").exists());
    assert_eq!(fs::read_dir(path.join("empty")).unwrap().count(), 0);
}

#[test]
fn looking_changes_no_byte() {
    let folder = filled();
    let store = folder.path().join("rowmill-data");
    let before = files(&store);
    for command in LOOKING {
        let output = run(folder.path(), command);
        assert!(
            output.status.success(),
            "{command:?}: {}",
            shown(folder.path(), &output)
        );
    }
    assert_eq!(files(&store), before);
}

#[test]
fn a_damaged_store_is_told_and_a_backup_restores_it() {
    let folder = filled();
    let path = folder.path();
    let store = path.join("rowmill-data");
    let facts = stdout(path, &["export", "facts"]);
    stdout(path, &["store", "check"]);
    stdout(path, &["store", "backup", "kept"]);
    let again = run(path, &["store", "backup", "kept"]);
    assert_eq!(again.status.code(), Some(2), "{}", shown(path, &again));

    // Each table file in turn, those of aggregates too.
    let tables = files(&store)
        .into_iter()
        .filter(|(name, _)| name.to_string_lossy().contains("/tables/"));
    for (name, bytes) in tables {
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 3] ^= 4;
        fs::write(&name, flipped).unwrap();
        let checked = run(path, &["store", "check"]);
        assert_eq!(checked.status.code(), Some(4), "{}", shown(path, &checked));
        let text = String::from_utf8(checked.stdout).unwrap();
        let relative = name.strip_prefix(&store).unwrap();
        assert!(text.contains(&*relative.to_string_lossy()), "{text}");
        fs::write(&name, bytes).unwrap();
    }
    fs::remove_file(store.join("version")).unwrap();
    for command in [
        &["export", "facts"][..],
        &["verify"],
        &["aggregate"],
        &["run", "e.jsonl"],
    ] {
        let output = run(path, command);
        let said = shown(path, &output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            output.stdout.is_empty() && said.contains("it has no `version`"),
            "{said}"
        );
    }
    fs::remove_dir_all(&store).unwrap();
    fs::rename(path.join("kept"), &store).unwrap();
    assert_eq!(stdout(path, &["export", "facts"]), facts);
    stdout(path, &["verify"]);
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_look_into_a_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = filled();
    let store = folder.path().join("rowmill-data");
    for entry in WalkDir::new(&store).into_iter().map(Result::unwrap) {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{}", entry.path().display());
    }
}

/// As `ulimit -v` sets it. The C library reserves address space for each thread.
#[cfg(target_os = "linux")]
#[test]
fn little_address_space_is_enough() {
    let folder = folder();
    let path = folder.path();
    stdout(
        path,
        &[
            "generate", "--events", "20000", "--days", "2", "--out", "e.jsonl",
        ],
    );
    let program = env!("CARGO_BIN_EXE_rowmill");
    let script = format!("ulimit -v 900000; exec '{program}' run e.jsonl -q");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(path)
        .env_remove("MALLOC_ARENA_MAX")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", shown(path, &output));
}
