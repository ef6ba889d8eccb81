//! Inputs beyond files: directories, standard input, and objects of Google Cloud Storage.

use std::io::Write as _;
use std::process::Stdio;

use insta::assert_snapshot;
use rowmill_objects::testing::StorageServer;

use crate::commands::EVENTS;
use crate::{folder, rowmill, run, shown, stdout};

#[test]
fn a_directory_is_read_and_what_is_left_out_is_said() {
    let folder = folder();
    let logs = folder.path().join("logs/deep");
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::write(logs.join("plays.jsonl"), EVENTS).unwrap();
    std::fs::write(logs.join("notes.md"), "# notes").unwrap();
    let output = run(
        folder.path(),
        &["ingest", "logs", "--examples", "0", "--quiet"],
    );
    assert!(output.status.success());
    assert_snapshot!(shown(folder.path(), &run(folder.path(), &["ingest", "logs/"])), @r"
    exit 0
    -- stderr
    left out 1 file whose names end with none of csv, tsv, json, jsonl, ndjson
    logs/deep/plays.jsonl: is done already, in run RUN
    there is nothing to do; see --again
    ");
}

/// What comes through a pipe is read each time, compressed or not, and is idempotent all the same.
#[test]
fn standard_input_may_be_compressed() {
    let folder = folder();
    std::fs::write(folder.path().join("plays.jsonl"), EVENTS).unwrap();
    let packed = std::process::Command::new("gzip")
        .args(["-c", "plays.jsonl"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    for _ in 0..2 {
        let mut child = rowmill(
            folder.path(),
            &["ingest", "-", "--format", "json", "--quiet"],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&packed.stdout)
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&report["ledger"]["read"], &report["ledger"]["written"]),
            (&5.into(), &3.into())
        );
    }
    let facts = stdout(folder.path(), &["export", "facts", "--format", "jsonl"]);
    assert_eq!(facts.lines().count(), 3);
    assert_eq!(
        stdout(folder.path(), &["dlq", "list", "--format", "json"])
            .lines()
            .count(),
        1
    );
}

/// A server with two files of plays and one of notes, and a folder.
fn landing() -> (StorageServer, tempfile::TempDir) {
    let (server, folder) = (StorageServer::start(), folder());
    let generate = [
        "generate",
        "--events",
        "4000",
        "--bad",
        "5",
        "--out",
        "big.jsonl",
    ];
    stdout(folder.path(), &generate);
    let packed = std::process::Command::new("gzip")
        .arg(folder.path().join("big.jsonl"))
        .status();
    assert!(packed.unwrap().success());
    let big = std::fs::read(folder.path().join("big.jsonl.gz")).unwrap();
    server.put("landing", "plays/a.jsonl", EVENTS.as_bytes());
    server.put("landing", "plays/big.jsonl.gz", &big);
    server.put("landing", "plays/readme.md", b"# notes");
    (server, folder)
}

/// What a command says of objects of that server.
fn check(server: &StorageServer, folder: &tempfile::TempDir, arguments: &[&str]) -> String {
    let url = server.url();
    let endpoint = ["--storage-endpoint", url.as_str()];
    let output = run(folder.path(), &[arguments, &endpoint].concat());
    shown(folder.path(), &output).replace(&url, "URL")
}

#[test]
fn objects_are_inputs_like_any_other() {
    let (server, folder) = landing();
    let check = |arguments: &[&str]| check(&server, &folder, arguments);
    assert_snapshot!(check(&["ingest", "gs://landing/plays/", "--examples", "0"]), @r"
    exit 0
    -- stdout
     records       count
     read          4,005
     written       3,801
     duplicate        24
     filtered          0
     rejected        180
       one_of         33
       range          26
       required       45
       rule           19
       type           33
       unreadable     24

     found wrong  in                     so      count
     one_of       level                  reject     34
     range        length                 reject     26
     required     user_id                reject     45
     rule         next_song_is_complete  reject     45
     rule         redirects_are_odd      warn       85
     type         timestamp              reject     33
     unreadable                          reject     24
    -- stderr
    left out 1 file whose names end with none of csv, tsv, json, jsonl, ndjson
    ");
    assert_snapshot!(check(&["ingest", "gs://landing/plays/*.gz"]), @r"
    exit 0
    -- stderr
    gs://landing/plays/big.jsonl.gz: is done already, in run RUN
    there is nothing to do; see --again
    ");
    server.put(
        "landing",
        "plays/a.jsonl",
        format!("{EVENTS}{{}}\n").as_bytes(),
    );
    assert_snapshot!(check(&["ingest", "gs://landing/plays/a*"]), @r"
    exit 0
    -- stdout
     records     count
     read            1
     written         0
     duplicate       0
     filtered        0
     rejected        1
       required      1

     found wrong  in         so      count
     required     event_id   reject      2
     required     level      reject      1
     required     timestamp  reject      1
     required     user_id    reject      1

    The first rejected records:
      gs://landing/plays/a.jsonl:6: required user_id: `userId` is missing or empty; required timestamp: `ts` is missing or empty; required event_id: `sessionId` is missing or empty; required event_id: `itemInSession` is missing or empty; required level: is missing or empty
    -- stderr
    gs://landing/plays/a.jsonl: has grown since it was ingested; what is new from byte 664 on is read
    ");
    assert_snapshot!(check(&["dlq", "list", "--source", "gs://landing/plays/a.jsonl"]), @r"
    exit 0
    -- stdout
     place  wrong  attempts  first seen  key
     gs://landing/plays/a.jsonl:5  required user_id, one_of level  1  TIME  gs://landing/plays/a.jsonl#00000000000000000570#c6060ff3dbcc1a5d94276ff25889ecce
     gs://landing/plays/a.jsonl:6  required user_id, required timestamp, required event_id, required event_id, required level  1  TIME  gs://landing/plays/a.jsonl#00000000000000000664#dc7048f8f8747f561349cde127705c16
    ");
    assert_snapshot!(check(&["verify", "--full"]), @r"
    exit 0
    -- stdout
     run  file  written  verdict
     RUN  gs://landing/plays/a.jsonl  3  proved from the source, 3 events
     RUN  gs://landing/plays/a.jsonl  0  proved from the source, 0 events
     RUN  gs://landing/plays/big.jsonl.gz  3,798  proved from the source, 3798 events
    read: 3,801 facts, 3,801 timeline rows, 181 dead letters
    ");
}

#[test]
fn objects_that_are_not_there_or_denied_are_said() {
    let (server, folder) = landing();
    let check = |arguments: &[&str]| check(&server, &folder, arguments);
    let url = server.url();
    assert_snapshot!(check(&["check", "gs://landing/nothing.csv"]), @r"
    exit 2
    -- stderr
    rowmill: no object matches `gs://landing/nothing.csv`
    ");
    assert_snapshot!(check(&["check", "gs://landing"]), @r"
    exit 2
    -- stderr
    rowmill: `gs://landing` is no object: it is not of the form gs://BUCKET/NAME
    ");
    // The environment names it as well; without an address there is nothing to be reached.
    let output = rowmill(
        folder.path(),
        &["check", "gs://landing/plays/a.jsonl", "--examples", "0"],
    )
    .env("STORAGE_EMULATOR_HOST", url.trim_start_matches("http://"))
    .output()
    .unwrap();
    assert!(output.status.success(), "{}", shown(folder.path(), &output));
    server.deny();
    let denied = check(&["check", "gs://landing/plays/a.jsonl"]);
    assert!(
        denied.starts_with("exit 1") && denied.contains("403"),
        "{denied}"
    );
}
