//! One Ctrl-C stops every command that works long, whatever it waits for.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::commands::EVENTS;
use crate::{folder, rowmill, run, shown, stdout};

/// A store whose reads do not end while a test lasts.
const READS_HANG: &str = "slow-read=600s:100%";
/// A store whose writes do not.
const WRITES_HANG: &str = "slow=600s:100%";
/// Nothing fails; the command works as long as it is let.
const SOUND: &str = "";

/// Commands that work long, and what holds each of them.
const LONG: [(&str, &str); 39] = [
    ("demo --events 1000000000 --out demo", SOUND),
    ("check -", SOUND),
    ("ingest - --again", WRITES_HANG),
    ("ingest plays.jsonl --again", WRITES_HANG),
    ("ingest plays.jsonl --again", READS_HANG),
    ("ingest --dry-run -", SOUND),
    ("run plays.jsonl --again", WRITES_HANG),
    ("aggregate", READS_HANG),
    ("aggregate", WRITES_HANG),
    ("aggregate --all", READS_HANG),
    ("aggregate --all", WRITES_HANG),
    ("aggregate --shard 1/2", WRITES_HANG),
    ("aggregate --merge", READS_HANG),
    ("aggregate --from 2018-11-01", WRITES_HANG),
    ("aggregate --rebuild", READS_HANG),
    ("aggregate --rebuild", WRITES_HANG),
    ("aggregate --dry-run", READS_HANG),
    ("query user 7", READS_HANG),
    ("query stats", READS_HANG),
    ("query top song --on 2018-11-15", READS_HANG),
    ("query top song --on 2018-11-15 --by length_max", READS_HANG),
    ("query explain _total all 2018-11-15", READS_HANG),
    ("query count facts", READS_HANG),
    ("delete --user 7 --yes", READS_HANG),
    ("delete --user 7 --yes", WRITES_HANG),
    ("export facts", READS_HANG),
    ("export aggregates --out a.csv", READS_HANG),
    ("dlq list", READS_HANG),
    ("dlq show x", READS_HANG),
    ("dlq stats", READS_HANG),
    ("dlq export", READS_HANG),
    ("dlq export --raw --out a.jsonl", READS_HANG),
    ("dlq what-if", READS_HANG),
    ("dlq replay", WRITES_HANG),
    ("dlq purge --yes", WRITES_HANG),
    ("runs list", READS_HANG),
    ("runs show", READS_HANG),
    ("verify", READS_HANG),
    ("verify --aggregates", READS_HANG),
];

/// `generate` needs no store, and neither reads.
const GENERATED: [&str; 3] = [
    "generate --events 1000000000",
    "generate --events 1000000000 --format csv --out g.csv",
    "generate --events 1000000000 --format json --out g.json",
];

/// Commands that work long where a store is large, and that nothing here can hold: `store` reads and copies files itself.
const NOT_HELD: [&str; 1] = ["store"];

/// Commands that do little.
const SHORT: [&str; 3] = ["tables", "schema", "help"];

/// A store with events that await aggregation and a dead letter.
fn filled() -> tempfile::TempDir {
    let folder = folder();
    std::fs::write(folder.path().join("plays.jsonl"), EVENTS).unwrap();
    stdout(folder.path(), &["ingest", "plays.jsonl"]);
    folder
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let place = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            std::fs::create_dir_all(place).unwrap();
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

fn begin(folder: &Path, command: &str, chaos: &str) -> Child {
    let mut arguments: Vec<_> = command.split(' ').collect();
    arguments.extend(["--log-format", "text"]);
    if !chaos.is_empty() {
        arguments.extend(["--chaos", chaos]);
    }
    rowmill(folder, &arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Interrupts a command once it works, and gives its exit code and what it said. Standard input gives something, and then
/// nothing more as long as the command lives.
fn interrupt(folder: &Path, command: &str, chaos: &str) -> (Option<i32>, String) {
    let mut child = begin(folder, command, chaos);
    let mut stdin = child.stdin.take().unwrap();
    let input = std::thread::spawn(move || {
        // Whoever does not read it closes it some time.
        stdin.write_all(EVENTS.repeat(500).as_bytes()).ok();
        stdin
    });
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("begun") && err.read_line(&mut said).unwrap() > 0 {}
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.unwrap().success());
    err.read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    drop(input.join());
    (status.code(), said)
}

#[test]
fn one_interrupt_ends_every_command() {
    let filled = filled();
    let commands = LONG.into_iter();
    let commands: Vec<_> = commands.chain(GENERATED.map(|it| (it, SOUND))).collect();
    // As many as a machine starts at once without being slow.
    for some in commands.chunks(8) {
        std::thread::scope(|scope| {
            for (command, chaos) in some {
                let filled = filled.path();
                scope.spawn(move || {
                    let own = tempfile::tempdir().unwrap();
                    copy(filled, own.path());
                    let (code, said) = interrupt(own.path(), command, chaos);
                    assert_eq!(code, Some(130), "{command}: {said}");
                    assert!(said.contains("interrupted"), "{command}: {said}");
                    for name in ["a.csv", "a.jsonl", "g.csv", "g.json"] {
                        assert!(!own.path().join(name).exists(), "{command} left {name}");
                    }
                    // The store is whole and nobody's.
                    let facts = run(own.path(), &["query", "count", "facts"]);
                    assert!(
                        facts.status.success(),
                        "{command}: {}",
                        shown(own.path(), &facts)
                    );
                });
            }
        });
    }
}

/// The names below `Commands:` of a help page.
fn subcommands(arguments: &[&str]) -> BTreeSet<String> {
    let folder = folder();
    let help = stdout(folder.path(), arguments);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A command that is new has to be tried above.
#[test]
fn no_command_is_left_out() {
    let tried: Vec<_> = LONG.map(|it| it.0).into_iter().chain(GENERATED).collect();
    let is_tried = |words: &str| tried.iter().any(|it| format!("{it} ").starts_with(words));
    let mut all = subcommands(&["help"]);
    all.retain(|name| !SHORT.contains(&name.as_str()) && !NOT_HELD.contains(&name.as_str()));
    assert!(all.len() > 10, "{all:?}");
    for name in all {
        let words = format!("{name} ");
        assert!(is_tried(&words), "{name}");
        for below in subcommands(&[&name, "--help"]) {
            let words = format!("{name} {below} ");
            assert!(below == "help" || is_tried(&words), "{words}");
        }
    }
}
