//! What is deployed relies on: tables as Terraform makes them, jobs of several tasks, and what alerts read.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use rowmill_objects::testing::StorageServer;

use crate::commands::EVENTS;
use crate::{folder, rowmill, run, shown, stdout};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What every environment makes is what the binary writes to.
#[test]
fn terraform_makes_the_tables_of_the_example() {
    let config = repository().join("examples/listens.toml");
    let config = config.to_str().unwrap();
    let arguments = ["schema", "export", "--terraform", "--config", config];
    let exported = stdout(&repository(), &arguments);
    for environment in ["dev", "staging", "production"] {
        let file = repository()
            .join("terraform/environments")
            .join(environment)
            .join("tables.auto.tfvars.json");
        let kept = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            kept,
            exported,
            "{environment}: rowmill {}",
            arguments[..3].join(" ")
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
    let first = run(path, &[&ingest[..], &["--shard", "0/2"]].concat());
    let second = rowmill(path, &ingest)
        .env("CLOUD_RUN_TASK_INDEX", "1")
        .env("CLOUD_RUN_TASK_COUNT", "2")
        .output()
        .unwrap();
    assert_eq!(read(&first) + read(&second), 40);
    assert!(read(&first) > 0 && read(&second) > 0);
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
    assert_snapshot!(shown(path, &run(path, &["ingest", "gone.csv", "--allow-none"])), @r"
    exit 2
    -- stderr
    rowmill: gone.csv: no such file
    ");
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
    let filters = repository().join("terraform/modules/monitoring/main.tf");
    let filters = std::fs::read_to_string(filters).unwrap();
    let is_of_name = |c: char| c == '_' || c.is_ascii_alphabetic();
    let fields = filters.split("jsonPayload.fields.").skip(1);
    let fields = fields.filter_map(|rest| rest.split(|c| !is_of_name(c)).next());
    let known = logged(&[&ingest[..], &["--again"]].concat(), "ingested");
    for field in fields.filter(|field| !field.is_empty()) {
        assert!(known.get(field).is_some(), "a filter reads `{field}`");
    }
}
