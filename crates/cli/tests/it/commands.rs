//! What commands print, in each form.

use std::io::Write as _;
use std::process::Stdio;

use insta::assert_snapshot;

use crate::{folder, rowmill, run, shown, stdout};

pub(crate) const EVENTS: &str = r#"{"userId":"7","ts":1542291826796,"page":"NextSong","sessionId":5,"itemInSession":0,"level":"paid","song":"Blue Train","artist":"Glass Foxes","length":200.1,"status":200}
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
    assert_snapshot!(stdout(folder.path(), &["run", "plays.jsonl"]), @r#"
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
    aggregated 3 events of 2 hours on 1 day in 1 week into 26 rows
    "#);
    assert_snapshot!(stdout(folder.path(), &["check", "plays.jsonl", "--format", "json"]), @r#"{"damaged":[],"done_already":[],"done_already_count":0,"examples":[{"place":"plays.jsonl:5","reasons":["required user_id: `userId` is missing or empty","one_of level: \"gold\" is none of \"free\", \"paid\""]}],"interrupted":false,"ledger":{"bytes":{"duplicate":114,"filtered":0,"read":659,"rejected":93,"written":452},"duplicate":1,"filtered":0,"read":5,"rejected_by_reason":{"required":1},"violations":[{"count":1,"reason":"one_of","severity":"reject","subject":"level"},{"count":1,"reason":"required","severity":"reject","subject":"user_id"},{"count":1,"reason":"rule","severity":"warn","subject":"redirects_are_odd"}],"written":3},"rejected":1,"status":"done"}"#);
    assert_snapshot!(shown(folder.path(), &run(folder.path(), &["ingest", "--dry-run", "--max-rejects", "10%", "plays.jsonl"])), @r#"
    exit 3
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
    -- stderr
    rowmill: 1 of 5 records were rejected, more than allowed
    a dry run: nothing was written
    "#);
}

#[test]
fn queries() {
    let folder = ingested();
    let path = folder.path();
    assert_snapshot!(shown(path, &run(path, &["query", "user", "7"])), @r#"
    exit 0
    -- stdout
     user_id  timestamp                 event_id  event_type  artist       item_in_session  length  level  session_id  song        status  unknown                quality_status
           7  2018-11-15T14:23:47.796Z       5.1  Home                                   1          paid            5                      {"device":{"os":"x"}}  ok
           7  2018-11-15T14:23:46.796Z       5.0  NextSong    Glass Foxes                0   200.1  paid            5  Blue Train     200                         ok
    "#);
    assert_snapshot!(stdout(path, &["query", "user", "7", "--format", "json", "--limit", "1"]), @r#"{"user_id":"7","timestamp":"2018-11-15T14:23:47.796Z","event_id":"5.1","event_type":"Home","artist":null,"auth":null,"first_name":null,"gender":null,"item_in_session":1,"last_name":null,"length":null,"level":"paid","location":null,"method":null,"registration":null,"session_id":5,"song":null,"status":null,"user_agent":null,"unknown":{"device":{"os":"x"}},"quality_status":"ok","quality_warnings":null}"#);
    assert_snapshot!(stdout(path, &["query", "stats", "song", "Blue Train", "--format", "csv"]), @r"
    grain,bucket,dimension,value,count,distinct_sessions,distinct_users,length_sum,length_avg,length_max,length_p50,length_p95
    day,2018-11-15,song,Blue Train,2,2,2,300.3,150.15,200.1,100.25,200.1
    ");
    assert_snapshot!(stdout(path, &["query", "stats", "--by", "hour", "--quiet"]), @r"
    grain  bucket         dimension  value  count  distinct_sessions  distinct_users  length_sum  length_avg  length_max  length_p50  length_p95
    hour   2018-11-15T14  _total     all        2                  1               1       200.1       200.1       200.1       200.1       200.1
    hour   2018-11-15T15  _total     all        1                  1               1       100.2       100.2       100.2       100.2       100.2
    ");
    assert_snapshot!(stdout(path, &["query", "top", "event_type", "--on", "2018-11-15", "--by", "length_sum"]), @r"
    grain  bucket      dimension   value     count  distinct_sessions  distinct_users  length_sum  length_avg  length_max  length_p50  length_p95
    day    2018-11-15  event_type  NextSong      2                  2               2       300.3      150.15       200.1      100.25       200.1
    day    2018-11-15  event_type  Home          1                  1               1           0
    ");
    assert_snapshot!(shown(path, &run(path, &["query", "top", "song", "--on", "2018-11-15", "--by", "plays"])), @r"
    exit 2
    -- stderr
    rowmill: there is no figure `plays`; there are count, distinct_sessions, distinct_users, length_sum, length_avg, length_max, length_p50, length_p95
    ");
    assert_snapshot!(shown(path, &run(path, &["query", "stats", "sogn", "x"])), @r"
    exit 2
    -- stderr
    rowmill: there is no dimension `sogn`; there are _total, song, artist, event_type, level, user_id
    ");
    assert_snapshot!(shown(path, &run(path, &["query", "user", "nobody"])), @r"
    exit 0
    -- stderr
    there are no events of user `nobody`
    ");
}

#[test]
fn exports() {
    let folder = ingested();
    let path = folder.path();
    assert_snapshot!(stdout(path, &["export", "aggregates"]).lines().take(4).collect::<Vec<_>>().join("\n"), @r"
    grain,bucket,dimension,value,count,distinct_sessions,distinct_users,length_sum,length_avg,length_max,length_p50,length_p95
    week,2018-11-12,_total,all,3,2,2,300.3,150.15,200.1,100.25,200.1
    hour,2018-11-15T14,_total,all,2,1,1,200.1,200.1,200.1,200.1,200.1
    hour,2018-11-15T15,_total,all,1,1,1,100.2,100.2,100.2,100.2,100.2
    ");
    assert_snapshot!(stdout(path, &["export", "facts", "--format", "jsonl"]), @r#"
    {"user_id":"7","timestamp":"2018-11-15T14:23:47.796Z","event_id":"5.1","event_type":"Home","artist":null,"auth":null,"first_name":null,"gender":null,"item_in_session":1,"last_name":null,"length":null,"level":"paid","location":null,"method":null,"registration":null,"session_id":5,"song":null,"status":null,"user_agent":null,"unknown":{"device":{"os":"x"}},"quality_status":"ok","quality_warnings":null}
    {"user_id":"7","timestamp":"2018-11-15T14:23:46.796Z","event_id":"5.0","event_type":"NextSong","artist":"Glass Foxes","auth":null,"first_name":null,"gender":null,"item_in_session":0,"last_name":null,"length":200.1,"level":"paid","location":null,"method":null,"registration":null,"session_id":5,"song":"Blue Train","status":200,"user_agent":null,"unknown":null,"quality_status":"ok","quality_warnings":null}
    {"user_id":"8","timestamp":"2018-11-15T15:23:47.796Z","event_id":"6.0","event_type":"NextSong","artist":"Glass Foxes","auth":null,"first_name":null,"gender":null,"item_in_session":0,"last_name":null,"length":100.2,"level":"paid","location":null,"method":null,"registration":null,"session_id":6,"song":"Blue Train","status":307,"user_agent":null,"unknown":null,"quality_status":"warn","quality_warnings":["rule redirects_are_odd: is not met"]}
    "#);
    let to_file = run(
        path,
        &["export", "aggregates", "--format", "csv", "--out", "a.csv"],
    );
    assert_eq!(
        std::fs::read_to_string(path.join("a.csv")).unwrap(),
        stdout(path, &["export", "aggregates"])
    );
    assert_snapshot!(shown(path, &to_file), @r"
    exit 0
    -- stderr
    23 rows in a.csv
    ");
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
