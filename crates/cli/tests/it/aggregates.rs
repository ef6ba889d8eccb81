//! Aggregating, proving, explaining, deleting: what the commands print.

use std::path::Path;

use insta::assert_snapshot;
use rowmill_model::MutationBatch;
use rowmill_pipeline::{Purpose, StoreUri, open_store_for};
use rowmill_store::StoreExt as _;

use crate::commands::EVENTS;
use crate::{example, run, shown, stdout};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(example("listens.toml"), folder.path().join("rowmill.toml")).unwrap();
    std::fs::write(folder.path().join("plays.jsonl"), EVENTS).unwrap();
    folder
}

fn check(folder: &Path, arguments: &[&str]) -> String {
    shown(folder, &run(folder, arguments))
}

/// Without how many bytes were read, which depends on how long the names of runs are.
fn check_read(folder: &Path, arguments: &[&str]) -> String {
    let shown = check(folder, arguments);
    let without = |line: &str| match line.split_once(" seen, ") {
        Some((rows, rest)) => {
            let (_, rest) = rest.split_once(", ").unwrap();
            format!("{rows} seen, some bytes, {rest}")
        }
        None => line.to_owned(),
    };
    shown.lines().map(without).collect::<Vec<_>>().join("\n")
}

#[test]
fn proving_and_repairing() {
    let folder = folder();
    let path = folder.path();
    stdout(path, &["ingest", "plays.jsonl"]);
    assert_snapshot!(check(path, &["verify", "--aggregates", "--format", "json"]), @r#"
    exit 4
    -- stdout
    {"cells":0,"differences":[{"key":"_total#all#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"_total#all#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"artist#Glass Foxes#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"artist#Glass Foxes#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"event_type#Home#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"event_type#Home#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"event_type#NextSong#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"event_type#NextSong#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"level#paid#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"level#paid#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"song#Blue Train#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"song#Blue Train#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"user_id#7#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"user_id#7#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"user_id#8#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"user_id#8#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"_top#artist#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"_top#artist#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"_top#event_type#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"_top#event_type#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"_top#level#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"_top#level#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"_top#song#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"_top#song#2018-11-15","problem":"is missing","table":"events_aggregate"},{"key":"_top#user_id#2018-11-12","problem":"is missing","table":"events_aggregate"},{"key":"_top#user_id#2018-11-15","problem":"is missing","table":"events_aggregate"}],"facts":3,"more":0,"pending_hours":2,"proved":false,"rows":0}
    -- stderr
    2 hours await aggregation: see `rowmill aggregate`
    rowmill: 26 differences
    "#);
    assert_snapshot!(check(path, &["aggregate", "--dry-run"]), @r"
    exit 0
    -- stdout
    2018-11-15T14
    2018-11-15T15
    -- stderr
    a dry run: nothing was written
    ");
    assert_snapshot!(check(path, &["aggregate"]), @r"
    exit 0
    -- stdout
    aggregated 3 events of 2 hours on 1 day in 1 week into 26 rows
    ");
    assert_snapshot!(check(path, &["aggregate"]), @r"
    exit 0
    -- stdout
    aggregated 0 events of 0 hours on 0 days in 0 weeks into 0 rows
    ");
    assert_snapshot!(check(path, &["verify", "--aggregates"]), @r"
    exit 0
    -- stdout
    compared 228 cells in 26 rows with 3 facts
    ");
    assert_snapshot!(check(path, &["verify", "--aggregates", "--from", "2018-11-15", "--to", "2018-11-15"]), @r"
    exit 0
    -- stdout
    compared 142 cells in 13 rows with 3 facts
    ");
    assert_snapshot!(check(path, &["verify", "--from", "2018-11-15"]), @r"
    exit 2
    -- stderr
    error: the following required arguments were not provided:
      --aggregates

    Usage: rowmill verify --aggregates --from <DATE>

    For more information, try '--help'.
    ");
    let more = ["--set", "distinct.songs=song"];
    assert_snapshot!(check(path, &[&["aggregate"], &more[..]].concat()), @r"
    exit 2
    -- stderr
    rowmill: the pipeline file aggregates otherwise than the stored aggregates; run `rowmill aggregate --all`, which makes them anew from the timeline
      now: distinct `songs` of song string
    ");
    let other = ["--set", "distinct.places=location"];
    assert_snapshot!(check(path, &[&["aggregate", "--all"], &other[..]].concat()), @r"
    exit 2
    -- stderr
    rowmill: the timeline lacks `location` of events that are stored already; run `rowmill aggregate --rebuild`, which reads the facts
    ");
    assert_snapshot!(check(path, &[&["aggregate", "--rebuild"], &other[..]].concat()), @r"
    exit 0
    -- stdout
    aggregated 3 events of 2 hours on 1 day in 1 week into 26 rows
    -- stderr
    made the timeline of 3 facts anew, and removed 0 rows without a fact
    ");
    assert_snapshot!(check(path, &["aggregate", "--rebuild", "--all"]), @r"
    exit 2
    -- stderr
    error: the argument '--rebuild' cannot be used with '--all'

    Usage: rowmill aggregate --rebuild

    For more information, try '--help'.
    ");
}

/// By `run` too, which has aggregated all else by then.
#[test]
fn rows_that_are_passed_over_are_listed() {
    let folder = folder();
    let path = folder.path();
    stdout(path, &["run", "plays.jsonl"]);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let uri = format!("file:{}", path.join("rowmill-data").display());
        let uri = StoreUri::parse(&uri, None).unwrap();
        let opened = open_store_for(&uri, Purpose::Writing).await.unwrap();
        let mut batch = MutationBatch::new();
        let mut row = batch.row(b"pending#x");
        row.set("state", b"x", 0, b"y");
        row.finish();
        let written = opened.store.apply_all("pipeline_state", batch).await;
        written.unwrap();
    });
    let command = |arguments: &[&str]| {
        let output = run(path, arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        (
            output.status.code(),
            said.contains("pipeline_state pending#x: "),
        )
    };
    assert_eq!(command(&["run", "--again", "plays.jsonl"]), (Some(1), true));
    assert_eq!(command(&["aggregate", "--all"]), (Some(1), true));
    assert_eq!(command(&["verify"]).0, Some(4));
}

#[test]
fn shards_say_what_is_missing() {
    let folder = folder();
    let path = folder.path();
    stdout(path, &["ingest", "plays.jsonl"]);
    assert_snapshot!(check(path, &["aggregate", "--shard", "3/3"]), @r"
    exit 2
    -- stderr
    error: invalid value '3/3' for '--shard <I/N>': is no shard such as 0/4 to 3/4, of at most 10000

    For more information, try '--help'.
    ");
    assert_snapshot!(check(path, &["aggregate", "--shard", "2/3"]), @r"
    exit 0
    -- stdout
    aggregated 2 events of 0 hours on 0 days in 0 weeks into 0 rows
    -- stderr
    2 shards still to come; the last one merges, or `rowmill aggregate --merge`
    ");
    assert_snapshot!(check(path, &["aggregate", "--merge"]), @r"
    exit 0
    -- stdout
    aggregated 0 events of 0 hours on 0 days in 0 weeks into 0 rows
    -- stderr
    2 shards still to come; the last one merges, or `rowmill aggregate --merge`
    ");
    let task = |index: &str| {
        let mut command = crate::rowmill(path, &["aggregate", "--format", "json"]);
        command
            .env("CLOUD_RUN_TASK_INDEX", index)
            .env("CLOUD_RUN_TASK_COUNT", "2");
        shown(path, &command.output().unwrap())
    };
    assert_snapshot!(task("0"), @r#"
    exit 0
    -- stdout
    {"cut_boards":0,"cut_values":0,"days":0,"events":1,"expired_hours":0,"hours":0,"postponed_weeks":0,"rows":0,"shards_missing":1,"weeks":0}
    -- stderr
    1 shard still to come; the last one merges, or `rowmill aggregate --merge`
    "#);
    assert_snapshot!(task("1"), @r#"
    exit 0
    -- stdout
    {"cut_boards":0,"cut_values":0,"days":1,"events":2,"expired_hours":0,"hours":2,"postponed_weeks":0,"rows":26,"shards_missing":0,"weeks":1}
    "#);
    // An index that says nothing of how many there are would make every task do everything.
    let mut command = crate::rowmill(path, &["aggregate"]);
    command.env("JOB_COMPLETION_INDEX", "1");
    assert_snapshot!(shown(path, &command.output().unwrap()), @r"
    exit 2
    -- stderr
    rowmill: `JOB_COMPLETION_INDEX` is 1 but `JOB_COMPLETION_COUNT` is not set; set it to the number of tasks, or give --shard 1/N
    ");
    let mut command = crate::rowmill(path, &["aggregate", "--all", "--format", "json"]);
    command
        .env("JOB_COMPLETION_INDEX", "0")
        .env("JOB_COMPLETION_COUNT", "1");
    assert_snapshot!(shown(path, &command.output().unwrap()), @r#"
    exit 0
    -- stdout
    {"cut_boards":0,"cut_values":0,"days":1,"events":3,"expired_hours":0,"hours":2,"postponed_weeks":0,"rows":26,"shards_missing":0,"weeks":1}
    "#);
}

#[test]
fn asking_what_was_read() {
    let folder = folder();
    let path = folder.path();
    stdout(path, &["run", "plays.jsonl"]);
    assert_snapshot!(check_read(path, &["query", "top", "song", "--on", "2018-11-15", "--explain"]), @r#"
    exit 0
    -- stdout
     grain  bucket      dimension  value       count  distinct_sessions  distinct_users  length_sum  length_avg  length_max  length_p50  length_p95
     day    2018-11-15  song       Blue Train      2                  2               2       300.3      150.15       200.1      100.25       200.1
    -- stderr
    read pipeline_state [plan#aggregate .. plan#aggregate\x00), limit 1
    read events_aggregate [_top#song#2018-11-15 .. _top#song#2018-11-15\x00), families daily_stats
    2 rows seen, some bytes, 1 returned
    "#);
    assert_snapshot!(check_read(path, &["query", "explain", "_total", "all", "2018-11-15"]), @r#"
    exit 0
    -- stdout
     grain  bucket  dimension  value  count  distinct_sessions  distinct_users  length_sum  length_avg  length_max  length_p50  length_p95
     day  2018-11-15  _total  all  3  2  2  300.3  150.15  200.1  100.25  200.1
     file  run  events  late  duplicates  rejected
     plays.jsonl  RUN  3  0  1  1
    3 events, 0 of them late; duplicates and rejected records are those of the whole input
    -- stderr
    read pipeline_state [plan#aggregate .. plan#aggregate\x00), limit 1
    read events_aggregate [_total#all#2018-11-15 .. _total#all#2018-11-16)
    read events_timeline [00#2018-11-15T00# .. 00#2018-11-15T23$) [01#2018-11-15T00# .. 01#2018-11-15T23$) [02#2018-11-15T00# .. 02#2018-11-15T23$) and 13 more ranges
    read events_fact [7#09221829745026979807#5.1 .. 7#09221829745026979807#5.1\x00) [8#09221829741426979807#6.0 .. 8#09221829741426979807#6.0\x00) [7#09221829745027979807#5.0 .. 7#09221829745027979807#5.0\x00), families metadata
    read pipeline_state [pending# .. pending$)
    read pipeline_state [file#plays.jsonl .. file#plays.jsonl\x00)
    9 rows seen, some bytes, 1 returned
    "#);
    assert_snapshot!(check_read(path, &["query", "explain", "level", "paid", "2018-11-15T14", "--format", "json"]), @r#"
    exit 0
    -- stdout
    {"dimension":"level","events":2,"late":0,"pending":[],"period":"2018-11-15T14","read":["pipeline_state [plan#aggregate .. plan#aggregate\\x00), limit 1","events_aggregate [level#paid#2018-11-15 .. level#paid#2018-11-16)","events_timeline [00#2018-11-15T14# .. 00#2018-11-15T14$) [01#2018-11-15T14# .. 01#2018-11-15T14$) [02#2018-11-15T14# .. 02#2018-11-15T14$) and 13 more ranges","events_fact [7#09221829745026979807#5.1 .. 7#09221829745026979807#5.1\\x00) [7#09221829745027979807#5.0 .. 7#09221829745027979807#5.0\\x00), families metadata","pipeline_state [pending# .. pending$)","pipeline_state [file#plays.jsonl .. file#plays.jsonl\\x00)"],"sources":[{"duplicates":1,"events":2,"file":"plays.jsonl","ingested_at":"TIME","late":false,"rejected":1,"run":"RUN"}],"stored":{"count":2,"distinct_sessions":1,"distinct_users":1,"length_avg":200.1,"length_max":200.1,"length_p50":200.1,"length_p95":200.1,"length_sum":200.1},"value":"paid"}
    -- stderr
    read pipeline_state [plan#aggregate .. plan#aggregate\x00), limit 1
    read events_aggregate [level#paid#2018-11-15 .. level#paid#2018-11-16)
    read events_timeline [00#2018-11-15T14# .. 00#2018-11-15T14$) [01#2018-11-15T14# .. 01#2018-11-15T14$) [02#2018-11-15T14# .. 02#2018-11-15T14$) and 13 more ranges
    read events_fact [7#09221829745026979807#5.1 .. 7#09221829745026979807#5.1\x00) [7#09221829745027979807#5.0 .. 7#09221829745027979807#5.0\x00), families metadata
    read pipeline_state [pending# .. pending$)
    read pipeline_state [file#plays.jsonl .. file#plays.jsonl\x00)
    7 rows seen, some bytes, 1 returned
    "#);
    assert_snapshot!(check_read(path, &["query", "explain", "nothing", "all", "2018-11-15"]), @r"
    exit 2
    -- stderr
    rowmill: there is no dimension `nothing`; there are _total, song, artist, event_type, level, user_id
    ");
    assert_snapshot!(check_read(path, &["query", "explain", "_total", "all", "yesterday"]), @r"
    exit 2
    -- stderr
    rowmill: yesterday: is no date such as 2018-11-15 and no hour such as 2018-11-15T14
    ");
    assert_snapshot!(check_read(path, &["query", "count", "facts"]), @r"
    exit 0
    -- stdout
    3
    ");
    assert_snapshot!(check_read(path, &["query", "count", "letters", "--format", "json"]), @r#"
    exit 0
    -- stdout
    {"rows":1,"table":"dead_letters"}
    "#);
}

#[test]
fn deleting_a_user_takes_a_yes() {
    let folder = folder();
    let path = folder.path();
    stdout(path, &["run", "plays.jsonl"]);
    assert_snapshot!(check(path, &["delete", "--user", "7"]), @r"
    exit 2
    -- stdout
    would delete 2 events of 1 hour, and 0 dead letters
    -- stderr
    1 dead letter without a user may belong to one of these: see `rowmill dlq list`, and `rowmill dlq purge`
    rowmill: nothing was deleted; --yes does it
    ");
    assert_snapshot!(check(path, &["delete", "--user", "7", "--dry-run", "--format", "json"]), @r#"
    exit 0
    -- stdout
    {"dry_run":true,"events":2,"hours":1,"letters":0,"unclear":1}
    "#);
    assert_snapshot!(check(path, &["delete", "--user", "7", "--yes"]), @r"
    exit 0
    -- stdout
    deleted 2 events of 1 hour, and 0 dead letters
    -- stderr
    `rowmill aggregate` makes the aggregates of these hours anew
    1 dead letter without a user may belong to one of these: see `rowmill dlq list`, and `rowmill dlq purge`
    ");
    stdout(path, &["aggregate"]);
    assert_snapshot!(check(path, &["query", "user", "7"]), @r"
    exit 0
    -- stderr
    there are no events of user `7`
    ");
    assert_snapshot!(check(path, &["verify", "--aggregates"]), @r"
    exit 0
    -- stdout
    compared 166 cells in 22 rows with 1 fact
    ");
    assert_snapshot!(check(path, &["verify"]), @r"
    exit 0
    -- stdout
     run  file  written  verdict
     RUN  plays.jsonl  3  proved
    read: 1 fact, 1 timeline row, 1 dead letter
    ");
}

/// The same error wherever dates are asked for, and before a store is opened or made.
#[test]
fn dates_against_their_order_are_refused() {
    let folder = folder();
    let path = folder.path();
    stdout(path, &["run", "plays.jsonl"]);
    let commands: [&[&str]; 5] = [
        &["aggregate"],
        &["aggregate", "--dry-run"],
        &["verify", "--aggregates"],
        &["query", "stats"],
        &["query", "stats", "--by", "hour"],
    ];
    for command in commands {
        let range = ["--from", "2026-03-05", "--to", "2026-03-01"];
        let output = run(path, &[command, &range].concat());
        assert_eq!(
            shown(path, &output),
            "exit 2\n-- stderr\nrowmill: --from 2026-03-05 is after --to 2026-03-01\n",
            "{command:?}"
        );
    }
    let times = [
        "--from",
        "2026-03-05T00:00:00Z",
        "--to",
        "2026-03-01T00:00:00Z",
    ];
    let output = run(path, &[&["query", "user", "7"], &times[..]].concat());
    let shown = shown(path, &output);
    assert!(
        shown.starts_with("exit 2\n") && shown.contains(" is after --to "),
        "{shown}"
    );
}
