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
        &["query", "stats", "song", "Blue Train", "--by", "week"],
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
    let shown = shown(folder.path(), &output);
    assert!(output.status.success(), "{shown}");
    let note = format!(
        "BIGTABLE_EMULATOR_HOST is set: bigtable://p/i?app_profile=ingest is on the emulator at {}, not on the service",
        emulator.address()
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.matches(&note).count(), 1, "{stderr}");
    // What needs no store says nothing, and neither does another store.
    for command in [
        &["check", "plays.jsonl"][..],
        &["--store", "file:other", "ingest", "plays.jsonl"],
    ] {
        let output = rowmill(folder.path(), command)
            .env("BIGTABLE_EMULATOR_HOST", emulator.address())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("BIGTABLE_EMULATOR_HOST"), "{stderr}");
    }
}

#[test]
fn missing_tables_are_made_where_that_was_asked_for() {
    let folder = with_plays();
    let check = |arguments: &[&str]| shown(folder.path(), &run(folder.path(), arguments));
    assert_snapshot!(check(&["ingest", "plays.jsonl", "--create-tables", "never"]), @r"
    exit 1
    -- stderr
    rowmill: the store has no tables events_fact, events_timeline, events_aggregate, dead_letters, pipeline_state
      hint: `rowmill tables create` makes them; so does `--create-tables always`
    ");
    let retention = "retention.events_timeline='400d'";
    let made = check(&[
        "ingest",
        "plays.jsonl",
        "--create-tables",
        "always",
        "--set",
        retention,
    ]);
    assert!(made.starts_with("exit 0"), "{made}");
    let kept = check(&["tables", "describe", "--set", retention]);
    assert!(
        kept.contains("the tables are as the pipeline file says"),
        "{kept}"
    );
    let none = check(&[
        "ingest",
        "plays.jsonl",
        "--create-tables",
        "never",
        "--again",
        "--set",
        retention,
    ]);
    assert!(none.starts_with("exit 0"), "{none}");
}

#[test]
fn a_store_that_keeps_less_than_the_file_says_so_first() {
    let folder = with_plays();
    let check = |arguments: &[&str]| shown(folder.path(), &run(folder.path(), arguments));
    let others = "retention.events_fact='10d'";
    stdout(folder.path(), &["tables", "create", "--set", others]);
    let ingest = |retention: &str| check(&["ingest", "plays.jsonl", "--again", "--set", retention]);
    let note = "the store keeps less than the pipeline file, and may drop older cells at once, also of events that are written now: \
                events_fact.event_data: 1 version, 10 days -> 1 version, 400 days;";
    let wider = ingest("retention.events_fact='400d'");
    assert!(wider.contains(note), "{wider}");
    assert_eq!(wider.matches("the store keeps less").count(), 3, "{wider}");
    // A store that keeps as much, or more, says nothing.
    for retention in [others, "retention.events_fact='5d'"] {
        let quiet = ingest(retention);
        assert!(!quiet.contains("the store keeps less"), "{quiet}");
    }
}

#[test]
fn tables_are_shown_before_they_are_made() {
    let folder = with_plays();
    let check = |arguments: &[&str]| shown(folder.path(), &run(folder.path(), arguments));
    assert_snapshot!(check(&["tables", "create", "--dry-run"]), @r"
    exit 0
    -- stdout
    + events_fact
    +   event_data: 1 version
    +   metadata: 1 version
    +   quality: 1 version
    + events_timeline
    +   event: 1 version
    + events_aggregate
    +   daily_stats: 1 version
    +   hourly_stats: 1 version
    +   metadata: 1 version
    +   weekly_stats: 1 version
    + dead_letters
    +   letter: 1 version
    + pipeline_state
    +   state: 1 version
    -- stderr
    a dry run: nothing was changed
    ");
    assert!(!folder.path().join("rowmill-data").exists());
    assert_snapshot!(check(&["tables", "describe"]), @r"
    exit 2
    -- stderr
    rowmill: `file:rowmill-data` is no store: there is no such folder; `rowmill ingest` makes it
    ");
    stdout(folder.path(), &["tables", "create"]);
    assert_snapshot!(check(&["tables", "create"]), @r"
    exit 0
    -- stderr
    the tables are as the pipeline file says
    ");
}

#[test]
fn retention_is_shown_applied_and_warned_of() {
    let folder = with_plays();
    let check = |arguments: &[&str]| shown(folder.path(), &run(folder.path(), arguments));
    stdout(folder.path(), &["tables", "create"]);
    let retention = "retention.events_fact='400d'";
    assert_snapshot!(check(&["tables", "describe", "--set", retention]), @r"
    exit 0
    -- stdout
     table             family        keeps
     dead_letters      letter        1 version
     events_aggregate  daily_stats   1 version
     events_aggregate  hourly_stats  1 version
     events_aggregate  metadata      1 version
     events_aggregate  weekly_stats  1 version
     events_fact       event_data    1 version
     events_fact       metadata      1 version
     events_fact       quality       1 version
     events_timeline   event         1 version
     pipeline_state    state         1 version
    -- stderr
    `rowmill tables create` would change:
    ~ events_fact.event_data: 1 version -> 1 version, 400 days
    ~ events_fact.metadata: 1 version -> 1 version, 400 days
    ~ events_fact.quality: 1 version -> 1 version, 400 days
    ");
    assert_snapshot!(check(&["tables", "create", "--set", retention]), @r"
    exit 2
    -- stdout
    ~ events_fact.event_data: 1 version -> 1 version, 400 days
    ~ events_fact.metadata: 1 version -> 1 version, 400 days
    ~ events_fact.quality: 1 version -> 1 version, 400 days
    -- stderr
    a cell's age is its event's: rows of old events, also those ingested later, may be dropped at once
    rowmill: nothing was changed: add --yes to let cells be dropped that are kept now
    ");
    assert_snapshot!(check(&["tables", "create", "--yes", "--set", retention]), @r"
    exit 0
    -- stdout
    ~ events_fact.event_data: 1 version -> 1 version, 400 days
    ~ events_fact.metadata: 1 version -> 1 version, 400 days
    ~ events_fact.quality: 1 version -> 1 version, 400 days
    -- stderr
    a cell's age is its event's: rows of old events, also those ingested later, may be dropped at once
    done
    ");
    assert_snapshot!(check(&["ingest", "plays.jsonl", "--quiet", "--set", retention]), @r#"
    exit 0
    -- stdout
     records     count
     read            5
     written         3
     duplicate       1
     filtered        0
     rejected        1
       required      1

     found wrong  in                 so      count
     one_of       level              reject      1
     required     user_id            reject      1
     rule         redirects_are_odd  warn        1

    The first rejected records:
      plays.jsonl:5: required user_id: `userId` is missing or empty; one_of level: "gold" is none of "free", "paid"
    "#);
    assert_snapshot!(check(&["ingest", "--again", "plays.jsonl", "--format", "json", "--set", retention]), @r#"
    exit 0
    -- stdout
    {"damaged":[],"done_already":[],"done_already_count":0,"examples":[{"place":"plays.jsonl:5","reasons":["required user_id: `userId` is missing or empty","one_of level: \"gold\" is none of \"free\", \"paid\""]}],"interrupted":false,"ledger":{"bytes":{"duplicate":114,"filtered":0,"read":659,"rejected":93,"written":452},"duplicate":1,"filtered":0,"read":5,"rejected_by_reason":{"required":1},"violations":[{"count":1,"reason":"one_of","severity":"reject","subject":"level"},{"count":1,"reason":"required","severity":"reject","subject":"user_id"},{"count":1,"reason":"rule","severity":"warn","subject":"redirects_are_odd"}],"written":3},"rejected":1,"status":"done"}
    -- stderr
    events since 2018-11-15T14 were written, and events_fact keeps 400 days: what is older may be dropped at once
    "#);
}

#[test]
fn tables_are_dropped_with_care() {
    let folder = with_plays();
    let check = |arguments: &[&str]| shown(folder.path(), &run(folder.path(), arguments));
    stdout(folder.path(), &["tables", "create"]);
    assert_snapshot!(check(&["tables", "drop"]), @r"
    exit 2
    -- stdout
    - events_fact
    - events_timeline
    - events_aggregate
    - dead_letters
    - pipeline_state
    -- stderr
    rowmill: nothing was dropped: add --yes to drop events_fact, events_timeline, events_aggregate, dead_letters, pipeline_state and all that is in them
    ");
    assert_snapshot!(check(&["tables", "drop", "dead_letters", "--dry-run"]), @r"
    exit 0
    -- stdout
    - dead_letters
    -- stderr
    a dry run: nothing was dropped
    ");
    assert_snapshot!(check(&["tables", "drop", "things", "--yes"]), @r"
    exit 2
    -- stderr
    rowmill: `things` is no table of rowmill's; there are events_fact, events_timeline, events_aggregate, dead_letters, pipeline_state
    ");
    assert_snapshot!(check(&["tables", "drop", "dead_letters", "--yes"]), @r"
    exit 0
    -- stdout
    - dead_letters
    -- stderr
    done
    ");
    assert_snapshot!(check(&["tables", "drop", "dead_letters", "--yes"]), @r"
    exit 0
    -- stderr
    there is none of these tables
    ");
    assert_snapshot!(check(&["tables", "describe", "--format", "json"]), @r#"
    exit 0
    -- stdout
    {"families":{"daily_stats":"1 version","hourly_stats":"1 version","metadata":"1 version","weekly_stats":"1 version"},"table":"events_aggregate"}
    {"families":{"event_data":"1 version","metadata":"1 version","quality":"1 version"},"table":"events_fact"}
    {"families":{"event":"1 version"},"table":"events_timeline"}
    {"families":{"state":"1 version"},"table":"pipeline_state"}
    "#);
}

#[test]
fn retention_that_cannot_be_is_refused() {
    let folder = folder();
    let check = |setting: &str| {
        shown(
            folder.path(),
            &run(folder.path(), &["tables", "describe", "--set", setting]),
        )
    };
    assert_snapshot!(check("retention.dead_letters='10d'"), @r"
    exit 2
    -- stderr
    rowmill: --set retention.dead_letters='10d': cells of `dead_letters` have no time that they could be too old by; there are events_fact, events_timeline, events_aggregate
    ");
    assert_snapshot!(check("retention.event_fact='10d'"), @r"
    exit 2
    -- stderr
    rowmill: --set retention.event_fact='10d': there is no table `event_fact`; there are events_fact, events_timeline, events_aggregate
    ");
    assert_snapshot!(check("retention.events_fact.event='10d'"), @r"
    exit 2
    -- stderr
    rowmill: --set retention.events_fact.event='10d': `events_fact` has no family `event`; there are event_data, metadata, quality
    ");
    assert_snapshot!(check("retention.events_fact='10 days'"), @r"
    exit 2
    -- stderr
    rowmill: --set retention.events_fact='10 days': `10 days` is no length of time, such as 400d or 36h
    ");
}

#[test]
fn trouble_is_said_with_what_helps() {
    let folder = with_plays();
    let check = |store: &str, emulator: &str, command: &[&str]| {
        let output = rowmill(folder.path(), command)
            .args(["--store", store])
            .args(if emulator.is_empty() {
                vec![]
            } else {
                vec!["--emulator-host", emulator]
            })
            // No credentials anywhere, and no metadata server to ask.
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .env("HOME", folder.path())
            .env("GCE_METADATA_HOST", "127.0.0.1:1")
            .output()
            .unwrap();
        shown(folder.path(), &output)
    };
    assert_snapshot!(check("bigtable://p", "", &["query", "user", "7"]), @r"
    exit 2
    -- stderr
    rowmill: `bigtable://p` is no store: it is not of the form bigtable://PROJECT/INSTANCE[?app_profile=NAME]
    ");
    assert_snapshot!(check("bigtable://p/i", "127.0.0.1:1", &["query", "user", "7"]), @r"
    exit 1
    -- stderr
    rowmill: PingAndWarm on projects/p/instances/i: cannot connect to http://127.0.0.1:1/: transport error: tcp connect error: Connection refused (os error 111)
      hint: `gcloud beta emulators bigtable start` starts an emulator
    ");
    assert_snapshot!(check("bigtable://p/i", "", &["query", "user", "7"]), @r"
    exit 1
    -- stderr
    rowmill: Connect: no access token could be had: client error (Connect): tcp connect error: Connection refused (os error 111)
      hint: run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run where a service account is attached, with roles/bigtable.user on the instance; for an emulator set BIGTABLE_EMULATOR_HOST
    ");
    std::fs::write(folder.path().join("key.json"), "{}").unwrap();
    let with_file = |file: &str| {
        let arguments = ["query", "user", "7", "--store", "bigtable://p/i"];
        let output = rowmill(folder.path(), &arguments)
            .env("GOOGLE_APPLICATION_CREDENTIALS", file)
            .output()
            .unwrap();
        shown(folder.path(), &output)
    };
    assert_snapshot!(with_file("missing.json"), @r"
    exit 1
    -- stderr
    rowmill: Connect: there are no usable credentials: could not find or open the credentials file missing.json. This file name was found in the `GOOGLE_APPLICATION_CREDENTIALS` environment variable. Verify this environment variable points to a valid file.
      hint: run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run where a service account is attached, with roles/bigtable.user on the instance; for an emulator set BIGTABLE_EMULATOR_HOST
    ");
    assert_snapshot!(with_file("key.json"), @r"
    exit 1
    -- stderr
    rowmill: Connect: there are no usable credentials: cannot parse the credentials file no `type` field found.
      hint: run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run where a service account is attached, with roles/bigtable.user on the instance; for an emulator set BIGTABLE_EMULATOR_HOST
    ");
}
