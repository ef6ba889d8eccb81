//! Wrong input: one clear message and the right exit code, and nothing done.

use insta::assert_snapshot;

use crate::{folder, run, shown};

fn check(arguments: &[&str]) -> String {
    let folder = folder();
    let path = folder.path();
    std::fs::write(path.join("empty.jsonl"), "").unwrap();
    std::fs::write(path.join("packed.json"), b"\x1f\x8b\x08\x00").unwrap();
    std::fs::write(path.join("no-time.csv"), "userId,song\n1,x\n").unwrap();
    std::fs::write(
        path.join("typo.toml"),
        "[pipeline]\nname = 'x'\n[event]\nuser_id = 'u'\ntimestmap = 't'\n",
    )
    .unwrap();
    let rule = "[pipeline]\nname = 'x'\n[event]\nuser_id = 'u'\ntimestamp = 't'\n[[rules]]\nname = 'r'\ncheck = 'lvel > 1'\n";
    std::fs::write(path.join("rule.toml"), rule).unwrap();
    std::fs::create_dir(path.join("logs")).unwrap();
    let output = run(path, arguments);
    assert!(
        !path.join("rowmill-data").exists() || output.status.success(),
        "nothing is made before all is well"
    );
    shown(path, &output)
}

#[test]
fn the_command_line() {
    assert_snapshot!(check(&["ingset", "x"]), @r"
    exit 2
    -- stderr
    error: unrecognized subcommand 'ingset'

      tip: a similar subcommand exists: 'ingest'

    Usage: rowmill [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    assert_snapshot!(check(&["check", "--colour", "x"]), @r"
    exit 2
    -- stderr
    error: unexpected argument '--colour' found

      tip: to pass '--colour' as a value, use '-- --colour'

    Usage: rowmill check [OPTIONS] <FILES>...

    For more information, try '--help'.
    ");
    assert_snapshot!(check(&["check"]), @r"
    exit 2
    -- stderr
    error: the following required arguments were not provided:
      <FILES>...

    Usage: rowmill check <FILES>...

    For more information, try '--help'.
    ");
    assert_snapshot!(check(&["query", "top", "song", "--on", "yesterday"]), @r"
    exit 2
    -- stderr
    rowmill: yesterday: is no date such as 2018-11-15 and no hour such as 2018-11-15T14
    ");
    assert_snapshot!(check(&["export", "facts", "--format", "table"]), @r"
    exit 2
    -- stderr
    rowmill: a table is exported as csv or jsonl
    ");
}

#[test]
fn inputs() {
    assert_snapshot!(check(&["check", "missing.jsonl"]), @r"
    exit 2
    -- stderr
    rowmill: missing.jsonl: no such file
    ");
    assert_snapshot!(check(&["check", "logs"]), @r"
    exit 2
    -- stderr
    rowmill: logs: holds no file whose name ends with csv, tsv, json, jsonl or ndjson
    ");
    assert_snapshot!(check(&["check", "*.ndjson"]), @r"
    exit 2
    -- stderr
    rowmill: *.ndjson: no file matches the pattern
    ");
    assert_snapshot!(check(&["check", "packed.json"]), @r"
    exit 1
    -- stdout
     records    count
     read           0
     written        0
     duplicate      0
     filtered       0
     rejected       0
    -- stderr
    rowmill: packed.json: damaged: reading failed at byte 0: unexpected end of file; all else was read
    ");
    assert_snapshot!(check(&["ingest", "no-time.csv"]), @r"
    exit 2
    -- stderr
    rowmill: no-time.csv: the pipeline file needs the columns `ts`, `page`, `sessionId`, `itemInSession`, `level`; the header has `userId`, `song`
    ");
    assert_snapshot!(check(&["check", "empty.jsonl"]), @r"
    exit 0
    -- stdout
     records    count
     read           0
     written        0
     duplicate      0
     filtered       0
     rejected       0
    -- stderr
    empty.jsonl: holds no records
    ");
}

#[test]
fn the_pipeline_file() {
    assert_snapshot!(check(&["check", "--config", "nowhere.toml", "empty.jsonl"]), @r"
    exit 2
    -- stderr
    rowmill: nowhere.toml: no such file; name the pipeline file with --config, or see one with `rowmill demo`
    ");
    assert_snapshot!(check(&["check", "--config", "typo.toml", "empty.jsonl"]), @r"
    exit 2
    -- stderr
    rowmill: typo.toml:3:1: [event] has no `timestamp`
    typo.toml:5:1: unknown key `timestmap` in [event]; did you mean `timestamp`?
    ");
    assert_snapshot!(check(&["check", "--config", "rule.toml", "empty.jsonl"]), @r"
    exit 2
    -- stderr
    rowmill: rule.toml:8:9: `lvel > 1`: there is no field `lvel`
    ");
    assert_snapshot!(check(&["check", "--set", "event.user_id.requird=true", "empty.jsonl"]), @r"
    exit 2
    -- stderr
    rowmill: --set event.user_id.requird=true: unknown key `requird` in [event.user_id]; did you mean `required`?
    ");
}

#[test]
fn stores() {
    assert_snapshot!(check(&["aggregate", "--store", "redis://x"]), @r"
    exit 2
    -- stderr
    rowmill: `redis://x` is no store: a store is memory:, file:PATH, or bigtable://PROJECT/INSTANCE
    ");
    assert_snapshot!(check(&["aggregate", "--store", "file:rowmill.toml"]), @r"
    exit 2
    -- stderr
    rowmill: `file:rowmill.toml` is no store: it is a file, and a store is a folder
    ");
}
