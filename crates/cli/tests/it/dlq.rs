//! Dead letters at the command line.

use insta::assert_snapshot;

use crate::commands::EVENTS;
use crate::{folder, run, shown, stdout};

const CSV: &str = "userId,ts,page,level,sessionId,itemInSession,note
7,1542291826796,Home,paid,5,1,ok
8,yesterday,Home,paid,5,2,\"a, b\"
9,1542291826797,Home,gold,5,3,
";

/// A store with letters of a JSONL and a CSV file.
fn filled() -> tempfile::TempDir {
    let folder = folder();
    std::fs::write(folder.path().join("plays.jsonl"), EVENTS).unwrap();
    std::fs::write(folder.path().join("plays.csv"), CSV).unwrap();
    stdout(folder.path(), &["ingest", "plays.jsonl", "plays.csv"]);
    folder
}

fn check(folder: &tempfile::TempDir, arguments: &[&str]) -> String {
    shown(folder.path(), &run(folder.path(), arguments))
}

#[test]
fn letters_are_listed_and_shown() {
    let folder = filled();
    assert_snapshot!(check(&folder, &["dlq", "list"]), @r"
    exit 0
    -- stdout
     place  wrong  attempts  first seen  key
     plays.csv:3  type timestamp  1  TIME  plays.csv#00000000000000000083#135a941f4a5c3863f4aefe9c07297918
     plays.csv:4  one_of level  1  TIME  plays.csv#00000000000000000116#8830e14045d4bcba7179ab1ecc60d664
     plays.jsonl:5  required user_id, one_of level  1  TIME  plays.jsonl#00000000000000000570#c6060ff3dbcc1a5d94276ff25889ecce
    ");
    assert_snapshot!(check(&folder, &["dlq", "list", "--limit", "1", "--field", "level"]), @r"
    exit 0
    -- stdout
     place  wrong  attempts  first seen  key
     plays.csv:4  one_of level  1  TIME  plays.csv#00000000000000000116#8830e14045d4bcba7179ab1ecc60d664
    -- stderr
    there are more; see --limit, or count them with `rowmill dlq stats`
    ");
    assert_snapshot!(check(&folder, &["dlq", "list", "--reason", "range"]), @r"
    exit 0
    -- stderr
    no dead letters
      hint: the reasons there are: one_of, required, type
    ");
    assert_snapshot!(check(&folder, &["dlq", "stats", "--source", "*.csv"]), @r"
    exit 0
    -- stdout
    letters  2
    raw bytes  62
    attempts  1 at most
    first seen  TIME to TIME

     wrong  letters
     one_of level  1
     type timestamp  1

     source  letters
     plays.csv  2

     stage  letters
     quality  1
     transform  1
    ");
    let list = stdout(
        folder.path(),
        &["dlq", "list", "--format", "json", "--source", "plays.csv"],
    );
    let first: serde_json::Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    assert_snapshot!(check(&folder, &["dlq", "show", first["key"].as_str().unwrap()]), @r#"
    exit 0
    -- stdout
    key  plays.csv#00000000000000000083#135a941f4a5c3863f4aefe9c07297918
    source  plays.csv
    place  record 2, line 3, byte 83, 32 bytes
    format  csv
    stage  transform
    run  RUN
    config hash  ea7e6f42566951b4
    first seen  TIME
    attempts  1
    reasons
      type timestamp: "yesterday" is no time in the formats of `ts` ("yesterday"), reject
    raw
    8,yesterday,Home,paid,5,2,"a, b"
    "#);
    assert_snapshot!(check(&folder, &["dlq", "show", "nothing"]), @r"
    exit 2
    -- stderr
    rowmill: there is no dead letter `nothing`; see `rowmill dlq list`
    ");
}

#[test]
fn letters_are_exported() {
    let folder = filled();
    assert_snapshot!(check(&folder, &["dlq", "export", "--source", "plays.jsonl"]), @r#"
    exit 0
    -- stdout
    {"attempts":1,"columns":null,"config_hash":"ea7e6f42566951b4","cut":false,"first_seen":"TIME","format":"jsonl","key":"plays.jsonl#00000000000000000570#c6060ff3dbcc1a5d94276ff25889ecce","length":93,"line":5,"offset":570,"raw":"{\"userId\":\"\",\"ts\":1542295427796,\"page\":\"Home\",\"sessionId\":6,\"itemInSession\":1,\"level\":\"gold\"}","reasons":[{"field":"user_id","message":"`userId` is missing or empty","reason":"required","severity":"reject"},{"field":"level","message":"\"gold\" is none of \"free\", \"paid\"","reason":"one_of","severity":"reject","value":"gold"}],"record":5,"run":"RUN","source":"plays.jsonl","stage":"quality","user_id":null}
    "#);
    assert_snapshot!(check(&folder, &["dlq", "export", "--raw", "--source", "plays.csv", "--out", "bad.csv"]), @r"
    exit 0
    -- stderr
    2 dead letters in bad.csv
    ");
    let raw = std::fs::read_to_string(folder.path().join("bad.csv")).unwrap();
    assert_snapshot!(raw, @r#"
    userId,ts,page,level,sessionId,itemInSession,note
    8,yesterday,Home,paid,5,2,"a, b"
    9,1542291826797,Home,gold,5,3,
    "#);
    assert_snapshot!(check(&folder, &["dlq", "export", "--raw"]), @r"
    exit 2
    -- stderr
    rowmill: the letters come from files of different formats or columns, which cannot stand in one file; choose with --source
    ");
    // Corrected, they are a file like any other.
    let mended = raw
        .replace("yesterday", "1542291826798")
        .replace("gold", "free");
    std::fs::write(folder.path().join("mended.csv"), mended).unwrap();
    assert!(stdout(folder.path(), &["ingest", "mended.csv"]).contains("written        2"));
}

#[test]
fn letters_are_tried_again() {
    let folder = filled();
    let lenient = [
        "--set",
        "fields.level.one_of=['free', 'paid', 'gold']",
        "--set",
        "event.user_id={ from = 'userId', required = false, placeholder = '_none' }",
    ];
    let with = |arguments: &[&str]| check(&folder, &[arguments, &lenient].concat());
    assert_snapshot!(with(&["dlq", "what-if"]), @r"
    exit 0
    -- stdout
    2 of 3 dead letters would pass

     was wrong         letters  would pass
     one_of level            1           1
     required user_id        1           1
     type timestamp          1           0

     records    count
     read           3
     written        2
     duplicate      0
     filtered       0
     rejected       1
       type         1
    -- stderr
    a dry run: nothing was written
    ");
    assert_snapshot!(with(&["dlq", "replay", "--dry-run", "--limit", "1", "--format", "json"]), @r#"
    exit 0
    -- stdout
    {"by_reason":{"type timestamp":{"passed":0,"tried":1}},"dry_run":true,"interrupted":false,"ledger":{"bytes":{"duplicate":0,"filtered":0,"read":32,"rejected":32,"written":0},"duplicate":0,"filtered":0,"read":1,"rejected_by_reason":{"type":1},"violations":[{"count":1,"reason":"type","severity":"reject","subject":"timestamp"}],"written":0},"passed":0,"tried":1,"unreadable":0}
    "#);
    assert_snapshot!(with(&["dlq", "replay", "--rate", "1000"]), @r"
    exit 0
    -- stdout
    2 of 3 dead letters passed

     was wrong         letters  passed
     one_of level            1       1
     required user_id        1       1
     type timestamp          1       0

     records    count
     read           3
     written        2
     duplicate      0
     filtered       0
     rejected       1
       type         1
    ");
    assert_snapshot!(check(&folder, &["dlq", "list"]), @r"
    exit 0
    -- stdout
     place  wrong  attempts  first seen  key
     plays.csv:3  type timestamp  2  TIME  plays.csv#00000000000000000083#135a941f4a5c3863f4aefe9c07297918
    ");
    assert_snapshot!(with(&["query", "user", "9", "--format", "json"]), @r#"
    exit 0
    -- stdout
    {"user_id":"9","timestamp":"2018-11-15T14:23:46.797Z","event_id":"5.3","event_type":"Home","artist":null,"auth":null,"first_name":null,"gender":null,"item_in_session":3,"last_name":null,"length":null,"level":"gold","location":null,"method":null,"registration":null,"session_id":5,"song":null,"status":null,"user_agent":null,"unknown":null,"quality_status":"ok","quality_warnings":null}
    "#);
    assert_snapshot!(with(&["aggregate", "--quiet"]), @r"
    exit 0
    -- stdout
    aggregated 5 events of 2 hours on 1 day in 1 week into 30 rows
    ");
    assert_snapshot!(with(&["verify"]), @r"
    exit 0
    -- stdout
     run  file  written  verdict
     RUN  plays.csv  0  proved
     RUN  plays.csv  1  proved
     RUN  plays.jsonl  3  proved
     RUN  plays.jsonl  1  proved
    read: 5 facts, 5 timeline rows, 1 dead letter
    ");
    assert_snapshot!(check(&folder, &["dlq", "replay", "--rate", "0"]), @r"
    exit 2
    -- stderr
    error: invalid value '0' for '--rate <LETTERS>': is no number above zero

    For more information, try '--help'.
    ");
}

#[test]
fn purging_asks_first_and_can_archive() {
    let folder = filled();
    assert_snapshot!(check(&folder, &["dlq", "purge", "--dry-run"]), @r"
    exit 0
    -- stdout
    3 dead letters would be removed
    ");
    assert_snapshot!(check(&folder, &["dlq", "purge", "--field", "level"]), @r"
    exit 2
    -- stderr
    rowmill: 2 dead letters would be removed for good; say --yes
    ");
    assert_snapshot!(check(&folder, &["dlq", "purge", "--field", "level", "--yes", "--archive", "old.jsonl"]), @r"
    exit 0
    -- stdout
    removed 2 dead letters
    -- stderr
    they are kept in old.jsonl
    ");
    assert_snapshot!(check(&folder, &["dlq", "purge", "--yes", "--archive", "old.jsonl"]), @r"
    exit 2
    -- stderr
    rowmill: old.jsonl: File exists (os error 17)
    ");
    let archived = std::fs::read_to_string(folder.path().join("old.jsonl")).unwrap();
    assert_eq!(archived.lines().count(), 2);
    assert!(archived.contains("gold"));
    assert_snapshot!(check(&folder, &["dlq", "stats"]), @r"
    exit 0
    -- stdout
    letters  1
    raw bytes  32
    attempts  1 at most
    first seen  TIME to TIME

     wrong  letters
     type timestamp  1

     source  letters
     plays.csv  1

     stage  letters
     transform  1
    ");
    assert!(run(folder.path(), &["verify"]).status.success());
}

/// A list of users is deleted in one pass.
#[test]
fn users_of_a_file_are_deleted_together() {
    let folder = filled();
    std::fs::write(folder.path().join("users.txt"), "7\n\n9\n").unwrap();
    assert_snapshot!(check(&folder, &["delete", "--users", "users.txt", "--user", "8", "--yes"]), @r"
    exit 0
    -- stdout
    deleted 3 events of 2 hours, and 2 dead letters
    -- stderr
    `rowmill aggregate` makes the aggregates of these hours anew
    1 dead letter without a user may belong to one of these: see `rowmill dlq list`, and `rowmill dlq purge`
    ");
    assert_snapshot!(check(&folder, &["dlq", "list"]), @r"
    exit 0
    -- stdout
     place  wrong  attempts  first seen  key
     plays.jsonl:5  required user_id, one_of level  1  TIME  plays.jsonl#00000000000000000570#c6060ff3dbcc1a5d94276ff25889ecce
    ");
    std::fs::write(folder.path().join("nobody.txt"), "\n").unwrap();
    assert_snapshot!(check(&folder, &["delete", "--users", "nobody.txt", "--yes"]), @r"
    exit 2
    -- stderr
    rowmill: nobody.txt: it names no user
    ");
    assert_eq!(
        run(folder.path(), &["delete", "--yes"]).status.code(),
        Some(2)
    );
}

/// Rows that cannot be read are told at the end, with exit code 1, or 4 of `verify`; everything else is done.
#[test]
fn rows_that_cannot_be_read_are_listed() {
    let folder = filled();
    let other = ["--set", "fields.session_id.type='bool'"];
    let command = |arguments: &[&'static str]| check(&folder, &[&other, arguments].concat());
    assert_snapshot!(command(&["export", "facts"]), @r"
    exit 1
    -- stdout
    user_id,timestamp,event_id,event_type,artist,auth,first_name,gender,item_in_session,last_name,length,level,location,method,registration,session_id,song,status,user_agent,unknown,quality_status,quality_warnings
    -- stderr
    rowmill: 3 rows cannot be read
      events_fact 7#09221829745026979807#5.1: holds no valid session_id: a cell of 8 bytes holds no bool
      events_fact 7#09221829745027979807#5.0: holds no valid session_id: a cell of 8 bytes holds no bool
      events_fact 8#09221829741426979807#6.0: holds no valid session_id: a cell of 8 bytes holds no bool
    ");
    assert_snapshot!(command(&["verify"]), @r"
    exit 4
    -- stdout
     run  file  written  verdict
     RUN  plays.csv  0  proved
     RUN  plays.jsonl  3  proved
    read: 3 facts, 3 timeline rows, 3 dead letters
    events_fact 7#09221829745026979807#5.1: holds no valid session_id: a cell of 8 bytes holds no bool
    events_fact 7#09221829745027979807#5.0: holds no valid session_id: a cell of 8 bytes holds no bool
    events_fact 8#09221829741426979807#6.0: holds no valid session_id: a cell of 8 bytes holds no bool
    -- stderr
    rowmill: 3 differences
    ");
}
