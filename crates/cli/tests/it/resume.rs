//! What is said of inputs that were ingested before, of runs, and of verifying.

use insta::assert_snapshot;

use crate::commands::EVENTS;
use crate::{folder, run, shown, stdout};

fn check(folder: &tempfile::TempDir, arguments: &[&str]) -> String {
    shown(folder.path(), &run(folder.path(), arguments))
}

#[test]
fn a_done_file_a_grown_one_and_a_changed_one() {
    let folder = folder();
    let file = folder.path().join("plays.jsonl");
    std::fs::write(&file, EVENTS).unwrap();
    stdout(folder.path(), &["ingest", "plays.jsonl"]);
    assert_snapshot!(check(&folder, &["ingest", "./plays.jsonl"]), @r"
    exit 0
    -- stderr
    plays.jsonl: is done already, in run RUN
    there is nothing to do; see --again
    ");
    assert_snapshot!(check(&folder, &["ingest", "--again", "plays.jsonl", "--examples", "0"]), @r"
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
    ");
    let line = EVENTS
        .lines()
        .next()
        .unwrap()
        .replace("\"itemInSession\":0", "\"itemInSession\":9");
    std::fs::write(&file, format!("{EVENTS}{line}\n")).unwrap();
    assert_snapshot!(check(&folder, &["ingest", "plays.jsonl"]), @r"
    exit 0
    -- stdout
     records    count
     read           1
     written        1
     duplicate      0
     filtered       0
     rejected       0
    -- stderr
    plays.jsonl: has grown since it was ingested; what is new from byte 664 on is read
    ");
    std::fs::write(&file, format!("{line}\n")).unwrap();
    assert_snapshot!(check(&folder, &["ingest", "plays.jsonl", "--format", "json"]), @r#"
    exit 0
    -- stdout
    {"damaged":[],"done_already":[],"done_already_count":0,"examples":[],"interrupted":false,"ledger":{"bytes":{"duplicate":0,"filtered":0,"read":169,"rejected":0,"written":169},"duplicate":0,"filtered":0,"read":1,"rejected_by_reason":{},"violations":[],"written":1},"rejected":0,"status":"done"}
    -- stderr
    plays.jsonl: is another file than the one of that name that was ingested; all of it is read
    "#);
    assert_snapshot!(check(&folder, &["ingest", "plays.jsonl", "--set", "fields.level.required=false"]), @r"
    exit 0
    -- stderr
    plays.jsonl: is done already, in run RUN under another pipeline file
    there is nothing to do; see --again
    ");
    assert_snapshot!(check(&folder, &["runs", "list"]), @r"
    exit 0
    -- stdout
     run  kind  status  exit  files  read  written  duplicate  filtered  rejected
     RUN  ingest  done  0  1  1  1  0  0  0
     RUN  ingest  done  0  1  1  1  0  0  0
     RUN  ingest  done  0  1  5  3  1  0  1
     RUN  ingest  done  0  1  5  3  1  0  1
    ");
    assert_snapshot!(check(&folder, &["verify"]), @r"
    exit 4
    -- stdout
     run  file  written  verdict
     RUN  plays.jsonl  3  read again by a later run
     RUN  plays.jsonl  3  proved
     RUN  plays.jsonl  1  DIFFERENT
     RUN  plays.jsonl  1  proved
    read: 4 facts, 4 timeline rows, 1 dead letter
    events_fact plays.jsonl in RUN: 0 rows of 1 are there under its name; which ones are missing, or who wrote them again, cannot be told: its source is not what it was
    -- stderr
    rowmill: 1 difference
    ");
}

#[test]
fn runs_and_their_ledgers() {
    let folder = folder();
    assert_snapshot!(check(&folder, &["runs", "list"]), @r"
    exit 2
    -- stderr
    rowmill: `file:rowmill-data` is no store: there is no such folder; `rowmill ingest` makes it
    ");
    std::fs::write(folder.path().join("plays.jsonl"), EVENTS).unwrap();
    stdout(folder.path(), &["ingest", "plays.jsonl"]);
    assert_snapshot!(check(&folder, &["runs", "show"]), @r"
    exit 0
    -- stdout
    run  RUN
    kind  ingest
    status  done, exit code 0
    started  TIME
    finished  TIME
    config hash  ea7e6f42566951b4
    facts  3 rows, digest 57dcfc27d71787baf551217dc496bedb

     records  count
     read  5
     written  3
     duplicate  1
     filtered  0
     rejected  1
       required  1

     file  status  bytes  read  written  duplicate  filtered  rejected  content hash
     plays.jsonl  done  664  5  3  1  0  1  daa4c94a5f3787d9fc37b12f0e8dd6cd
    ");
    assert_snapshot!(check(&folder, &["runs", "show", "nothing"]), @r"
    exit 2
    -- stderr
    rowmill: there is no run `nothing`; see `rowmill runs list`
    ");
    let json = stdout(folder.path(), &["runs", "show", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["run"]["ledger"], json["files"][0]["ledger"]);
    assert_eq!(json["files"][0]["position"], EVENTS.len());
}

#[test]
fn verifying_lists_what_differs() {
    let folder = folder();
    std::fs::write(folder.path().join("plays.jsonl"), EVENTS).unwrap();
    assert_snapshot!(check(&folder, &["verify"]), @r"
    exit 2
    -- stderr
    rowmill: `file:rowmill-data` is no store: there is no such folder; `rowmill ingest` makes it
    ");
    stdout(folder.path(), &["ingest", "plays.jsonl"]);
    assert_snapshot!(check(&folder, &["verify", "--full"]), @r"
    exit 0
    -- stdout
     run  file  written  verdict
     RUN  plays.jsonl  3  proved from the source, 3 events
    read: 3 facts, 3 timeline rows, 1 dead letter
    ");
    assert_snapshot!(check(&folder, &["verify", "--sample", "2", "--format", "json"]), @r#"
    exit 0
    -- stdout
    {"dead_letters":0,"differences":[],"facts":0,"ledgers":[{"file":"plays.jsonl","run":"RUN","verdict":"proved_from_source","written":3}],"more":0,"proved":true,"timeline":0}
    "#);
    assert_snapshot!(check(&folder, &["verify", "--file", "other.jsonl"]), @r"
    exit 2
    -- stderr
    rowmill: no run has read `other.jsonl`; see `rowmill runs list`
    ");
    // A store that acknowledges what it does not write: of everything, the run itself notices it.
    let arguments = [
        "ingest",
        "--again",
        "plays.jsonl",
        "--quiet",
        "--examples",
        "0",
        "--chaos",
        "lost-write=100%",
    ];
    assert_eq!(run(folder.path(), &arguments).status.code(), Some(1));
    let fresh = crate::folder();
    std::fs::write(fresh.path().join("plays.jsonl"), EVENTS).unwrap();
    stdout(
        fresh.path(),
        &[
            "ingest",
            "plays.jsonl",
            "--chaos",
            "lost-write=30%",
            "--chaos-seed",
            "3",
        ],
    );
    assert_snapshot!(check(&fresh, &["verify"]), @r"
    exit 4
    -- stdout
     run  file  written  verdict
     RUN  plays.jsonl  3  DIFFERENT
    events_timeline 03#2018-11-15T14#7#09221829745026979807#5.1: is there, and its fact is missing
    events_timeline 10#2018-11-15T15#8#09221829741426979807#6.0: is there, and its fact is missing
    events_timeline 15#2018-11-15T14#7#09221829745027979807#5.0: is there, and its fact is missing
    events_fact 7#09221829745027979807#5.0: is missing
    events_fact 7#09221829745026979807#5.1: is missing
    events_fact 8#09221829741426979807#6.0: is missing
    -- stderr
    rowmill: 6 differences
    ");
}

#[test]
fn a_damaged_file_is_said_and_the_rest_is_kept() {
    let folder = folder();
    let path = folder.path();
    let mut events = EVENTS.as_bytes().to_vec();
    let at = EVENTS.find("Home").unwrap();
    events[at] = 0xff;
    std::fs::write(path.join("latin.jsonl"), events).unwrap();
    std::fs::write(path.join("good.jsonl"), EVENTS).unwrap();
    stdout(
        path,
        &["generate", "--events", "5000", "--out", "big.jsonl"],
    );
    let packed = std::process::Command::new("gzip")
        .arg(path.join("big.jsonl"))
        .status();
    if packed.is_ok_and(|status| status.success()) {
        let whole = std::fs::read(path.join("big.jsonl.gz")).unwrap();
        std::fs::write(path.join("big.jsonl.gz"), &whole[..whole.len() / 2]).unwrap();
    }
    let output = check(
        &folder,
        &["ingest", "latin.jsonl", "good.jsonl", "--examples", "0"],
    );
    assert_snapshot!(output, @r"
    exit 1
    -- stdout
     records       count
     read             10
     written           3
     duplicate         4
     filtered          0
     rejected          3
       required        2
       unreadable      1

     found wrong  in                 so      count
     one_of       level              reject      2
     required     user_id            reject      2
     rule         redirects_are_odd  warn        2
     unreadable                      reject      1
    -- stderr
    rowmill: latin.jsonl: damaged: 1 record is not valid UTF-8, first on line 2; all else was read
    ");
    let output = run(path, &["ingest", "big.jsonl.gz", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        report["ledger"]["written"].as_u64().unwrap() > 1_000,
        "{report}"
    );
    assert_eq!(report["status"], "damaged");
    assert!(run(path, &["verify"]).status.success());
}

#[test]
fn chaos_is_a_testing_option() {
    let folder = folder();
    std::fs::write(folder.path().join("plays.jsonl"), EVENTS).unwrap();
    assert_snapshot!(check(&folder, &["ingest", "plays.jsonl", "--chaos", "unavailable=2"]), @r"
    exit 2
    -- stderr
    error: invalid value 'unavailable=2' for '--chaos <FAULTS>': `2` is no share such as 2%

    For more information, try '--help'.
    ");
    // Whatever is unavailable one time in five is there after some attempts.
    let faults = [
        "ingest",
        "plays.jsonl",
        "--quiet",
        "--chaos",
        "unavailable=20%,lost-reply=20%,slow=1ms:50%",
    ];
    stdout(folder.path(), &faults);
    stdout(folder.path(), &["verify", "--full"]);
    let fresh = crate::folder();
    std::fs::write(fresh.path().join("plays.jsonl"), EVENTS).unwrap();
    let killed = run(
        fresh.path(),
        &["ingest", "plays.jsonl", "--chaos", "kill-at=4"],
    );
    assert_eq!(killed.status.code(), None, "it aborts");
    let output = stdout(
        fresh.path(),
        &["ingest", "plays.jsonl", "--examples", "0", "--quiet"],
    );
    assert!(output.contains("read            5"), "{output}");
    stdout(fresh.path(), &["verify", "--full"]);
}
