//! Questions that have no answer say why: what was wrong with them, or what there is instead.

use std::fmt::Write as _;

use insta::assert_snapshot;

use crate::commands::EVENTS;
use crate::{folder, run, shown, stdout};

const LATER: &str = r#"{"userId":"8","ts":1542723827796,"page":"Home","sessionId":7,"itemInSession":0,"level":"paid"}
"#;

/// What each question says, one after the other.
fn asked(folder: &tempfile::TempDir, questions: &[&str]) -> String {
    let mut all = String::new();
    for question in questions {
        let arguments: Vec<_> = question.split(' ').collect();
        let output = run(folder.path(), &arguments);
        let shown = shown(folder.path(), &output);
        // What explaining read depends on how long the names of runs are.
        let lines = shown.lines();
        let lines = lines.filter(|line| !line.starts_with("read ") && !line.contains(" seen, "));
        let lines: Vec<_> = lines.collect();
        writeln!(all, "$ {question}\n{}\n", lines.join("\n")).unwrap();
    }
    all
}

fn aggregated() -> tempfile::TempDir {
    let folder = folder();
    std::fs::write(
        folder.path().join("plays.jsonl"),
        format!("{EVENTS}{LATER}"),
    )
    .unwrap();
    stdout(folder.path(), &["run", "plays.jsonl"]);
    folder
}

#[test]
fn what_is_wrong_with_a_question_is_said() {
    let questions = [
        "query stats --from 2018-11-20 --to 2018-11-15",
        "query user 7 --from 2018-11-20 --to 2018-11-15",
        "query top song --on 2018-11-15 --limit 0",
        "query user 7 --limit 0",
        "query user 7 --limit many",
        "dlq list --limit 0",
        "verify --sample 0",
        "query top song --on 2018-11-15T14",
        "query stats song x --by hour",
        "query explain song x 2018-11-15T14",
        "query stats song",
        "query stats song nothing",
        "query explain song nothing 2018-11-15",
        "query top songs --on 2018-11-15",
    ];
    assert_snapshot!(asked(&aggregated(), &questions), @r#"
    $ query stats --from 2018-11-20 --to 2018-11-15
    exit 2
    -- stderr
    rowmill: --from 2018-11-20 is after --to 2018-11-15

    $ query user 7 --from 2018-11-20 --to 2018-11-15
    exit 2
    -- stderr
    rowmill: --from 2018-11-20T00:00:00Z is after --to 2018-11-15T00:00:00Z

    $ query top song --on 2018-11-15 --limit 0
    exit 2
    -- stderr
    error: invalid value '0' for '--limit <COUNT>': is not a count of 1 or more

    For more information, try '--help'.

    $ query user 7 --limit 0
    exit 2
    -- stderr
    error: invalid value '0' for '--limit <COUNT>': is not a count of 1 or more

    For more information, try '--help'.

    $ query user 7 --limit many
    exit 2
    -- stderr
    error: invalid value 'many' for '--limit <COUNT>': is not a count of 1 or more

    For more information, try '--help'.

    $ dlq list --limit 0
    exit 2
    -- stderr
    error: invalid value '0' for '--limit <COUNT>': is not a count of 1 or more

    For more information, try '--help'.

    $ verify --sample 0
    exit 2
    -- stderr
    error: invalid value '0' for '--sample <RECORDS>': is not a count of 1 or more

    For more information, try '--help'.

    $ query top song --on 2018-11-15T14
    exit 2
    -- stderr
    rowmill: `song` is aggregated by day and week, not by hour

    $ query stats song x --by hour
    exit 2
    -- stderr
    rowmill: `song` is aggregated by day and week, not by hour

    $ query explain song x 2018-11-15T14
    exit 2
    -- stderr
    rowmill: `song` is aggregated by day and week, not by hour

    $ query stats song
    exit 2
    -- stderr
    rowmill: which value of `song`? `rowmill query top song --on DATE` lists values

    $ query stats song nothing
    exit 2
    -- stderr
    rowmill: `song` has no value `nothing`; `rowmill query top song --on 2018-11-20` lists values

    $ query explain song nothing 2018-11-15
    exit 2
    -- stderr
    rowmill: `song` has no value `nothing`; `rowmill query top song --on 2018-11-20` lists values

    $ query top songs --on 2018-11-15
    exit 2
    -- stderr
    rowmill: there is no dimension `songs`; there are _total, song, artist, event_type, level, user_id
    "#);
}

#[test]
fn an_honest_empty_answer_says_what_there_is() {
    let questions = [
        "query top song --on 2030-01-01",
        "query top event_type --on 2018-11-17",
        "query top song --on 2030-01-01 --week",
        "query stats --from 2030-01-01",
        "query stats --to 2018-01-01 --format json",
        "query stats event_type NextSong --from 2018-11-20 --to 2018-11-20",
        "query explain _total all 2018-11-17",
        "query user nobody",
        "query user 7 --from 2018-11-16",
        "query user 7 --from 2018-11-15 --to 2018-11-15",
    ];
    assert_snapshot!(asked(&aggregated(), &questions), @r#"
    $ query top song --on 2030-01-01
    exit 0
    -- stderr
    there is no data of `song` on 2030-01-01; data is from 2018-11-15 to 2018-11-20

    $ query top event_type --on 2018-11-17
    exit 0
    -- stderr
    there is no data of `event_type` on 2018-11-17; data is from 2018-11-15 to 2018-11-20

    $ query top song --on 2030-01-01 --week
    exit 0
    -- stderr
    there is no data of `song` in the week of 2029-12-31; data is from 2018-11-15 to 2018-11-20

    $ query stats --from 2030-01-01
    exit 0
    -- stderr
    there is no data of `_total` from 2030-01-01 on; data is from 2018-11-15 to 2018-11-20

    $ query stats --to 2018-01-01 --format json
    exit 0
    -- stderr
    there is no data of `_total` up to 2018-01-01; data is from 2018-11-15 to 2018-11-20

    $ query stats event_type NextSong --from 2018-11-20 --to 2018-11-20
    exit 0
    -- stderr
    there is no data of `NextSong` of `event_type` on 2018-11-20; data is from 2018-11-15 to 2018-11-15

    $ query explain _total all 2018-11-17
    exit 0
    -- stderr
    there is no data of `_total` on 2018-11-17; data is from 2018-11-15 to 2018-11-20

    $ query user nobody
    exit 0
    -- stderr
    there are no events of user `nobody`

    $ query user 7 --from 2018-11-16
    exit 0
    -- stderr
    there are no events of user `7` at that time; they are from 2018-11-15T14:23:46.796Z to 2018-11-15T14:23:47.796Z

    $ query user 7 --from 2018-11-15 --to 2018-11-15
    exit 0
    -- stderr
    there are no events of user `7` at that time; they are from 2018-11-15T14:23:46.796Z to 2018-11-15T14:23:47.796Z
    "#);
}

#[test]
fn what_awaits_aggregation_is_said() {
    let folder = folder();
    std::fs::write(folder.path().join("plays.jsonl"), EVENTS).unwrap();
    stdout(folder.path(), &["ingest", "plays.jsonl"]);
    let questions = [
        "query stats",
        "query stats song nothing",
        "query top song --on 2018-11-15",
        "query explain level free 2018-11-15",
    ];
    assert_snapshot!(asked(&folder, &questions), @r#"
    $ query stats
    exit 0
    -- stderr
    nothing is aggregated yet; run `rowmill aggregate` after `rowmill ingest`

    $ query stats song nothing
    exit 0
    -- stderr
    nothing is aggregated yet; run `rowmill aggregate` after `rowmill ingest`

    $ query top song --on 2018-11-15
    exit 0
    -- stderr
    nothing is aggregated yet; run `rowmill aggregate` after `rowmill ingest`

    $ query explain level free 2018-11-15
    exit 0
    -- stderr
    nothing is aggregated yet; run `rowmill aggregate` after `rowmill ingest`
    "#);
}

/// The letters beside a question have nothing to do with it.
#[test]
fn a_question_reads_what_it_asks_for() {
    let folder = aggregated();
    let output = run(folder.path(), &["query", "stats", "--explain"]);
    let shown = shown(folder.path(), &output);
    assert!(!shown.contains("dead_letters"), "{shown}");
    let read = shown.lines().filter(|line| line.starts_with("read "));
    assert_eq!(read.count(), 2, "{shown}");
}

/// A table comes in pages, so that its width is known without reading all of it; other forms have no pages.
#[test]
fn long_tables_come_in_pages() {
    let folder = folder();
    let event = |at: u64| {
        format!(
            "{{\"userId\":\"7\",\"ts\":{},\"page\":\"Home\",\"sessionId\":1,\"itemInSession\":{at},\"level\":\"paid\"}}\n",
            1_542_291_826_796 + at
        )
    };
    let events: String = (0..2_500).map(event).collect();
    std::fs::write(folder.path().join("plays.jsonl"), events).unwrap();
    stdout(folder.path(), &["ingest", "plays.jsonl"]);
    let lines = |format: &str| {
        let arguments = [
            "query", "user", "7", "--limit", "100000", "--format", format,
        ];
        stdout(folder.path(), &arguments).lines().count()
    };
    assert_eq!(
        (lines("table"), lines("csv"), lines("jsonl")),
        (2_503, 2_501, 2_500)
    );
}
