//! What is deployed relies on: tables as Terraform makes them, jobs of several tasks, and what alerts read.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use rowmill_objects::testing::StorageServer;
use rowmill_pipeline::RunStatus;

use crate::commands::EVENTS;
use crate::{folder, rowmill, run, shown, stdout};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What every environment makes is what the binary writes to with the environment's pipeline file.
#[test]
fn terraform_makes_the_tables_of_the_pipeline_file() {
    for environment in ["dev", "staging", "production"] {
        let folder = repository()
            .join("terraform/environments")
            .join(environment);
        let kept = std::fs::read_to_string(folder.join("tables.auto.tfvars.json")).unwrap();
        let export = ["schema", "export", "--terraform"];
        let exported = stdout(&folder, &export);
        assert_eq!(
            kept,
            exported,
            "{environment}: rowmill {}",
            export.join(" ")
        );
    }
}

#[test]
fn what_is_kept_of_each_family_is_exported() {
    let folder = folder();
    let path = folder.path();
    let config = std::fs::read_to_string(path.join("rowmill.toml")).unwrap();
    let config = format!("{config}\n[retention]\nevents_fact = {{ quality = \"400d\" }}\n");
    std::fs::write(path.join("rowmill.toml"), config).unwrap();
    let exported = stdout(path, &["schema", "export", "--terraform"]);
    let exported: serde_json::Value = serde_json::from_str(&exported).unwrap();
    assert_snapshot!(exported["tables"]["events_fact"], @r#"{"event_data":{"versions_max":1},"metadata":{"versions_max":1},"quality":{"age_seconds_max":34560000,"versions_max":1}}"#);
    assert_snapshot!(exported["columns"]["events_fact"]["event_data"], @r#"{"artist":"string","auth":"string","first_name":"string","gender":"string","item_in_session":"int","last_name":"string","length":"float","level":"string","location":"string","method":"string","registration":"timestamp","session_id":"int","song":"string","status":"int","user_agent":"string"}"#);
    assert_snapshot!(exported["columns"]["events_aggregate"]["daily_stats"], @r#"{"count":"int","distinct_sessions":"int","distinct_users":"int","length_avg":"float","length_max":"float","length_p50":"float","length_p95":"float","length_sum":"float"}"#);
    assert_snapshot!(stdout(path, &["schema", "export"]), @r"
    table             family        keeps
    events_fact       event_data    1 version
    events_fact       metadata      1 version
    events_fact       quality       1 version, 400 days
    events_timeline   event         1 version
    events_aggregate  daily_stats   1 version
    events_aggregate  hourly_stats  1 version
    events_aggregate  metadata      1 version
    events_aggregate  weekly_stats  1 version
    dead_letters      letter        1 version
    pipeline_state    state         1 version
    ");
    assert!(!path.join("rowmill-data").exists());
}

/// Tasks of one job read each file once between them, by flag or by the variables of a job.
#[test]
fn tasks_share_the_inputs() {
    let folder = folder();
    let path = folder.path();
    std::fs::create_dir(path.join("landing")).unwrap();
    for index in 0..8 {
        let events = EVENTS.replace("\"sessionId\":", &format!("\"sessionId\":{index}"));
        std::fs::write(path.join(format!("landing/{index}.jsonl")), events).unwrap();
    }
    let read = |output: &std::process::Output| {
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        report["ledger"]["read"].as_u64().unwrap()
    };
    let ingest = ["ingest", "landing/", "--format", "json", "--quiet"];
    let of_first = [&ingest[..], &["--shard", "0/2"]].concat();
    let tried = run(path, &[&of_first[..], &["--dry-run"]].concat());
    let first = run(path, &of_first);
    let second = rowmill(path, &ingest)
        .env("CLOUD_RUN_TASK_INDEX", "1")
        .env("CLOUD_RUN_TASK_COUNT", "2")
        .output()
        .unwrap();
    assert_eq!(read(&first) + read(&second), 40);
    assert!(read(&first) > 0 && read(&second) > 0);
    assert_eq!(read(&tried), read(&first));
    assert_snapshot!(shown(path, &run(path, &["ingest", "landing/"])).lines().last().unwrap(), @"there is nothing to do; see --again");
    let piped = run(path, &["ingest", "-", "--shard", "0/2"]);
    assert_snapshot!(shown(path, &piped), @r"
    exit 2
    -- stderr
    rowmill: -: standard input is each process's own, so none is shard 0/2's
    ");
}

/// A timer that finds nothing has not failed.
#[test]
fn nothing_may_have_landed_yet() {
    let folder = folder();
    let path = folder.path();
    std::fs::create_dir(path.join("landing")).unwrap();
    assert_snapshot!(shown(path, &run(path, &["ingest", "landing"])), @r"
    exit 2
    -- stderr
    rowmill: landing: holds no file whose name ends with csv, tsv, json, jsonl or ndjson
    ");
    assert_snapshot!(shown(path, &run(path, &["ingest", "landing", "none*.csv", "--allow-none"])), @r"
    exit 0
    -- stdout
     records    count
     read           0
     written        0
     duplicate      0
     filtered       0
     rejected       0
    ");
    let server = StorageServer::start();
    let url = server.url();
    let objects = ["ingest", "gs://landing/plays/", "--storage-endpoint", &url];
    assert_eq!(run(path, &objects).status.code(), Some(2));
    let objects = [&objects[..], &["--allow-none"]].concat();
    assert_eq!(run(path, &objects).status.code(), Some(0));
    let gone = [
        "ingest",
        "gs://landing/gone.csv",
        "--storage-endpoint",
        &url,
        "--allow-none",
    ];
    assert_eq!(run(path, &gone).status.code(), Some(2));
    assert_snapshot!(shown(path, &run(path, &["ingest", "gone.csv", "--allow-none"])), @r"
    exit 2
    -- stderr
    rowmill: gone.csv: no such file
    ");
}

/// A clock that ingests the same folder again and again looks into what is new, and names few of the others.
#[test]
fn what_is_done_is_not_looked_into() {
    let (folder, server) = (folder(), StorageServer::start());
    for index in 0..30 {
        server.put(
            "landing",
            &format!("events/{index:02}.jsonl"),
            EVENTS.as_bytes(),
        );
    }
    let url = server.url();
    let arguments = [
        "ingest",
        "gs://landing/events/",
        "--storage-endpoint",
        &url,
        "--format",
        "json",
    ];
    let ingest = || {
        let before = server.requests();
        let output = run(folder.path(), &arguments);
        assert!(output.status.success());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (report, said, server.requests() - before)
    };
    let (first, _, _) = ingest();
    assert_eq!(first["ledger"]["read"], 150);
    let (again, said, requests) = ingest();
    assert_eq!(
        (&again["ledger"]["read"], &again["done_already_count"]),
        (&0.into(), &30.into())
    );
    assert_eq!((said.trim(), requests), ("30 inputs are done already", 1));
    server.put("landing", "events/30.jsonl", EVENTS.as_bytes());
    server.put(
        "landing",
        "events/07.jsonl",
        format!("{EVENTS}{EVENTS}").as_bytes(),
    );
    let (more, _, requests) = ingest();
    assert_eq!(more["ledger"]["read"], 10, "a new one, and what has grown");
    assert!(requests < 12, "{requests} requests for two objects");
    assert_eq!(ingest().2, 1);
}

/// `terraform/modules/monitoring` counts these messages and reads these fields.
#[test]
fn what_alerts_read_is_logged() {
    let folder = folder();
    let path = folder.path();
    std::fs::write(path.join("plays.jsonl"), EVENTS).unwrap();
    let logged = |arguments: &[&str], message: &str| {
        let output = run(path, arguments);
        let log = String::from_utf8(output.stderr).unwrap();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut line = lines
            .map(|line| line["fields"].clone())
            .find(|fields| fields["message"] == message)
            .unwrap();
        line["run"].take();
        line
    };
    let ingest = ["ingest", "plays.jsonl", "--log-format", "json"];
    assert_snapshot!(logged(&ingest, "ingested"), @r#"{"duplicate":1,"filtered":0,"message":"ingested","read":5,"rejected":1,"rejected_share":0.2,"run":null,"status":"done","written":3}"#);
    assert_snapshot!(logged(&["aggregate", "--log-format", "json"], "aggregated"), @r#"{"events":3,"hours":2,"message":"aggregated","rows":26,"run":null}"#);
    std::fs::write(path.join("bad.jsonl"), "{}\n".repeat(2000)).unwrap();
    let bad = [
        "ingest",
        "bad.jsonl",
        "--log-format",
        "json",
        "--max-rejects",
        "5%",
    ];
    assert_eq!(logged(&bad, "ingested")["status"], "too many rejects");
    let known = logged(&[&ingest[..], &["--again"]].concat(), "ingested");
    let filters = filters_of_monitoring();
    for field in words_after(&filters, "jsonPayload.fields.") {
        // One of them is written for each of what a record may become.
        let is_known = field.is_empty() || known.get(field).is_some();
        assert!(is_known, "a filter reads `{field}`");
    }
    let fates = filters.split("fates = toset([").nth(1).unwrap();
    let fates = fates.split(']').next().unwrap().split(", ");
    for fate in fates.map(|fate| fate.trim_matches('"')) {
        assert!(known[fate].is_u64(), "{fate}");
    }
    let alert = repository().join("ansible/roles/pipeline-service/files/alert");
    let alert = std::fs::read_to_string(alert).unwrap();
    for message in words_after(&filters, r#"message=\""#) {
        let is_logged = ["ingested", "aggregated"].contains(&message)
            || alert.contains(&format!(r#""message":"{message}""#));
        assert!(is_logged, "nobody logs `{message}`");
    }
    let statuses = [RunStatus::TooManyRejects, RunStatus::Damaged].map(RunStatus::name);
    for status in words_after(&filters, r#"status=\""#) {
        assert!(statuses.contains(&status), "no run ends `{status}`");
    }
}

fn filters_of_monitoring() -> String {
    let filters = repository().join("terraform/modules/monitoring/main.tf");
    std::fs::read_to_string(filters).unwrap()
}

/// What stands after each `mark`: letters, spaces and underscores.
fn words_after<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    let is_of_word = |c: char| c == '_' || c == ' ' || c.is_ascii_alphabetic();
    let words: Vec<_> = text
        .split(mark)
        .skip(1)
        .map(|rest| rest.split(|c| !is_of_word(c)).next().unwrap())
        .collect();
    assert!(!words.is_empty(), "{mark}");
    words
}
