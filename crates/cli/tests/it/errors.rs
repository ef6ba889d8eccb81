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
    assert_snapshot!(check(&["ingset", "x"]), @"");
    assert_snapshot!(check(&["check", "--colour", "x"]), @"");
    assert_snapshot!(check(&["check"]), @"");
    assert_snapshot!(check(&["query", "top", "song", "--on", "yesterday"]), @"");
    assert_snapshot!(check(&["export", "facts", "--format", "table"]), @"");
}

#[test]
fn inputs() {
    assert_snapshot!(check(&["check", "missing.jsonl"]), @"");
    assert_snapshot!(check(&["check", "logs"]), @"");
    assert_snapshot!(check(&["check", "*.ndjson"]), @"");
    assert_snapshot!(check(&["check", "packed.json"]), @"");
    assert_snapshot!(check(&["ingest", "no-time.csv"]), @"");
    assert_snapshot!(check(&["check", "empty.jsonl"]), @"");
}

#[test]
fn the_pipeline_file() {
    assert_snapshot!(check(&["check", "--config", "nowhere.toml", "empty.jsonl"]), @"");
    assert_snapshot!(check(&["check", "--config", "typo.toml", "empty.jsonl"]), @"");
    assert_snapshot!(check(&["check", "--config", "rule.toml", "empty.jsonl"]), @"");
    assert_snapshot!(check(&["check", "--set", "event.user_id.requird=true", "empty.jsonl"]), @"");
}

#[test]
fn stores() {
    assert_snapshot!(check(&["aggregate", "--store", "redis://x"]), @"");
    assert_snapshot!(check(&["aggregate", "--store", "file:rowmill.toml"]), @"");
}
