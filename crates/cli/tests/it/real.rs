//! Real data, where `ROWMILL_REAL_DATA` points to it: every figure that an independent program computed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rowmill_aggregate::ExactSum;

use crate::{emulator, example, run, shown, stdout};

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn real_data() -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests find real data through the environment"
    )]
    let folder = std::env::var_os("ROWMILL_REAL_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: ROWMILL_REAL_DATA is not set");
    }
    folder
}

type Figures = BTreeMap<[String; 4], Vec<String>>;

/// One of the real sets: its name in `expected/`, pipeline file, files, and measure.
struct Set {
    name: &'static str,
    config: &'static str,
    files: &'static str,
    measure: Option<&'static str>,
}

const SETS: [Set; 5] = [
    Set {
        name: "sparkify_json",
        config: "sparkify-json.toml",
        files: "sparkify/log_data/*/*/*.json",
        measure: Some("length"),
    },
    Set {
        name: "sparkify_csv",
        config: "sparkify-csv.toml",
        files: "sparkify/event_data/*.csv",
        measure: Some("length"),
    },
    Set {
        name: "retail",
        config: "retail.toml",
        files: "retail/by-day/*.csv",
        measure: Some("quantity"),
    },
    Set {
        name: "weblog",
        config: "weblog.toml",
        files: "weblog/weblog.csv",
        measure: None,
    },
    Set {
        name: "github_events",
        config: "github-events.toml",
        files: "github_events/*.json",
        measure: Some("size"),
    },
];

/// The stored name of a dimension that `expected/` calls by its source's name.
fn stored_dimension(name: &str) -> String {
    let stored = match name {
        "userId" => "user_id",
        "userAgent" => "user_agent",
        "repo.name" => "repo_name",
        "Country" => "country",
        other => other,
    };
    stored.to_owned()
}

/// A decimal without zeros at its end.
fn normal(text: &str) -> String {
    let mut sum = ExactSum::default();
    sum.add_float(text.parse().unwrap_or(0.0));
    sum.to_string()
}

/// The figures of `expected/`: count, distinct users, and sum and count of the measure.
fn expected(path: &Path, with_measure: bool) -> Figures {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b'\t')
        .from_path(path)
        .unwrap();
    let mut figures = Figures::new();
    for record in reader.records().map(Result::unwrap) {
        let key = [
            record[0].into(),
            record[1].into(),
            stored_dimension(&record[2]),
            record[3].into(),
        ];
        let mut values = vec![record[4].to_owned(), record[5].to_owned()];
        if with_measure {
            values.extend([normal(&record[6]), record[7].to_owned()]);
        }
        figures.insert(key, values);
    }
    figures
}

/// The same figures of what was exported.
fn exported(folder: &Path, settings: &[&str], measure: Option<&str>) -> Figures {
    let text = stdout(
        folder,
        &[&["export", "aggregates", "--format", "csv"], settings].concat(),
    );
    figures_of(&text, measure)
}

fn figures_of(text: &str, measure: Option<&str>) -> Figures {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let mut figures = Figures::new();
    for record in reader.records().map(Result::unwrap) {
        let key = [0, 1, 2, 3].map(|at| record[at].to_owned());
        let mut values = vec![
            record[4].to_owned(),
            record[column("distinct_users")].to_owned(),
        ];
        if let Some(measure) = measure {
            let [sum, count] = ["sum", "count"]
                .map(|stat| record[column(&format!("{measure}_{stat}"))].to_owned());
            values.extend([normal(&sum), count]);
        }
        figures.insert(key, values);
    }
    figures
}

/// Runs a set into a fresh store, and compares every figure; no figure may be missing, and none more.
fn check(data: &Path, set: &Set, suffix: &str, extra: &[&str]) {
    let expected_file = data.join(format!("expected/{}{suffix}.tsv", set.name));
    if !expected_file.exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = example(set.config);
    let settings = [&["--config", config.as_str()], extra].concat();
    let files = data.join(set.files).display().to_string();
    stdout(
        folder.path(),
        &[&["run", files.as_str()], &settings[..]].concat(),
    );
    let found = exported(folder.path(), &settings, set.measure);
    let expected = expected(&expected_file, set.measure.is_some());
    assert_eq!(found.len(), expected.len(), "{}{suffix}", set.name);
    for (key, figures) in &expected {
        assert_eq!(
            found.get(key),
            Some(figures),
            "{}{suffix} {key:?}",
            set.name
        );
    }
}

const WITH_USER: [&str; 2] = ["--set", "event.user_id.required=true"];

#[test]
fn every_expected_figure_is_reproduced() {
    let Some(data) = real_data() else { return };
    for set in &SETS {
        check(&data, set, "", &[]);
        check(&data, set, ".with_user", &WITH_USER);
    }
}

#[test]
fn every_expected_figure_is_reproduced_on_bigtable() {
    let Some(data) = real_data() else { return };
    let Some(emulator) = emulator("the real data on the emulator") else {
        return;
    };
    for set in &SETS {
        for (suffix, extra) in [("", &[][..]), (".with_user", &WITH_USER[..])] {
            let store = format!("bigtable://project/{}{suffix}", set.name);
            let of_store = ["--store", &store, "--emulator-host", emulator.address()];
            check(&data, set, suffix, &[extra, &of_store].concat());
        }
    }
}

/// With ids by content exact repeats are one event: the figures of facts.json.
#[test]
fn content_ids_make_repeats_one_event() {
    let Some(data) = real_data() else { return };
    let facts: serde_json::Value =
        serde_json::from_slice(&std::fs::read(data.join("facts.json")).unwrap()).unwrap();
    for set in SETS
        .iter()
        .filter(|set| matches!(set.name, "retail" | "weblog"))
    {
        let fact = &facts[format!("dev/{}", set.name)];
        let files = data.join(set.files).display().to_string();
        let written = |extra: &[&str]| {
            let folder = tempfile::tempdir().unwrap();
            let arguments = [
                "check",
                files.as_str(),
                "--format",
                "json",
                "--set",
                "event.event_id.hash=content",
            ];
            let config = example(set.config);
            let report = stdout(
                folder.path(),
                &[&arguments[..], &["--config", config.as_str()], extra].concat(),
            );
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            report["ledger"]["written"].as_u64().unwrap()
        };
        assert_eq!(
            written(&[]),
            fact["distinct_rows"].as_u64().unwrap(),
            "{}",
            set.name
        );
        let with_user = fact["scenarios"]["with_user_dedup"]["rows"]
            .as_u64()
            .unwrap();
        assert_eq!(
            written(&["--set", "event.user_id.required=true"]),
            with_user,
            "{}",
            set.name
        );
    }
}

#[test]
fn a_file_without_times_is_one_clear_error() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = data
        .join("sparkify/event_datafile_new.csv")
        .display()
        .to_string();
    let output = run(
        folder.path(),
        &["ingest", &file, "--config", &example("sparkify-csv.toml")],
    );
    let message = shown(folder.path(), &output).replace(&file, "FILE");
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("rowmill: FILE: the pipeline file needs the columns `ts`, `page`"),
        "{message}"
    );
}

/// The 286 letters of records without a user: listed, exported, and replayed under a pipeline file that takes the session as user.
#[test]
fn letters_without_a_user_are_replayed_with_the_session() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = example("sparkify-json.toml");
    let with = |arguments: &[&str], more: &[&str]| {
        stdout(
            folder.path(),
            &[arguments, &["--config", config.as_str()], more].concat(),
        )
    };
    let files = data.join(SETS[0].files).display().to_string();
    let report = with(&["ingest", &files, "--format", "json"], &WITH_USER);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["ledger"]["written"], 7_770);
    assert_eq!(report["rejected"], 286);
    let list = with(&["dlq", "list", "--limit", "1000", "--format", "json"], &[]);
    assert_eq!(list.lines().count(), 286);
    let by_reason = with(
        &[
            "dlq", "list", "--reason", "required", "--field", "user_id", "--limit", "1000",
            "--format", "json",
        ],
        &[],
    );
    assert_eq!(by_reason, list);
    let raw = with(&["dlq", "export", "--raw"], &[]);
    assert_eq!(raw.lines().count(), 286);
    for (letter, raw) in list.lines().zip(raw.lines()) {
        let letter: serde_json::Value = serde_json::from_str(letter).unwrap();
        let file = std::fs::read(letter["source"].as_str().unwrap()).unwrap();
        let place = ["offset", "length"]
            .map(|name| usize::try_from(letter[name].as_u64().unwrap()).unwrap());
        assert_eq!(&file[place[0]..place[0] + place[1]], raw.as_bytes());
        assert_eq!(letter["raw"], raw);
    }
    let session = ["--set", "event.user_id=sessionId"];
    let would = with(&["dlq", "what-if", "--format", "json"], &session);
    let would: serde_json::Value = serde_json::from_str(&would).unwrap();
    assert_eq!(
        (&would["tried"], &would["passed"]),
        (&286.into(), &286.into())
    );
    with(&["dlq", "replay", "--quiet"], &session);
    assert_eq!(
        with(&["dlq", "list", "--format", "json", "--quiet"], &[]),
        ""
    );
    let facts = with(&["export", "facts", "--format", "jsonl"], &WITH_USER);
    assert_eq!(facts.lines().count(), 8_056);
    with(&["verify"], &WITH_USER);
}

/// Files of every kind of brokenness, record by record: each is an event that names its place, a dead letter that holds its bytes, or
/// a counted duplicate; and no record is in two places.
#[test]
fn every_record_of_nasty_files_is_somewhere() {
    use rowmill_pipeline::{
        Control, IngestOptions, Inputs, LetterFilter, Stages, StoreUri, ingest, letters, open_store,
    };
    let Some(data) = real_data() else { return };
    let config = "[pipeline]\nname = 'nasty'\n[event]\nuser_id = { from = 'a', required = false, placeholder = '_none' }\ntimestamp = { from = 'b', format = 'unix_s' }\n[fields]\nunknown = 'drop'\n";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut files, mut events, mut rejected) = (0, 0, 0);
    for entry in walkdir::WalkDir::new(data.join("nasty")) {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() {
            continue;
        }
        files += 1;
        let name = entry.path().display().to_string();
        let stages = Stages::new(rowmill_model::Pipeline::parse(config).unwrap()).unwrap();
        let stages = std::sync::Arc::new(stages);
        // A file that lacks the columns is refused as a whole, before anything is written.
        let Ok(inputs) = Inputs::find(std::slice::from_ref(&name), None)
            .unwrap()
            .prepare(&stages)
        else {
            assert!(name.ends_with("csv"), "{name}");
            continue;
        };
        runtime.block_on(async {
            let store = open_store(&StoreUri::Memory)
                .await
                .unwrap()
                .prepare()
                .await
                .unwrap()
                .store;
            let options =
                IngestOptions::new("run", rowmill_rowkey::Timestamp::from_micros(0).unwrap());
            let report = ingest(&stages, &store, inputs, &options, &Control::default())
                .await
                .unwrap();
            let content = std::fs::read(&name).unwrap();
            let mut places = BTreeMap::new();
            let mut of_store = letters(&*store, &LetterFilter::default()).unwrap();
            let mut found = Vec::new();
            while let Some(letter) = of_store.next().await.unwrap() {
                found.push(letter);
            }
            for letter in &found {
                let start = usize::try_from(letter.position.offset).unwrap();
                assert_eq!(
                    letter.raw,
                    content[start..start + letter.raw.len()],
                    "{}",
                    letter.key
                );
                assert!(places.insert(start, letter.raw.len()).is_none());
            }
            let facts =
                rowmill_store::StoreExt::rows(&*store, "events_fact", rowmill_store::Scan::all())
                    .await
                    .unwrap();
            for fact in &facts {
                let place = fact.value("metadata", b"source").unwrap();
                let offset = std::str::from_utf8(place)
                    .unwrap()
                    .rsplit_once('@')
                    .unwrap()
                    .1;
                assert!(places.insert(offset.parse().unwrap(), 0).is_none());
            }
            let ledger = report.ledger;
            assert_eq!(
                ledger.read,
                places.len() as u64 + ledger.duplicate,
                "{name}"
            );
            assert_eq!(
                (facts.len() as u64, found.len() as u64),
                (ledger.written, ledger.rejected()),
                "{name}"
            );
            let mut chunks = rowmill_ingest::Chunks::new(
                content.as_slice(),
                rowmill_ingest::Options::new(rowmill_ingest::Format::detect(
                    Path::new(&name).extension().and_then(|it| it.to_str()),
                    &content,
                )),
            );
            if name.ends_with("csv") {
                chunks.take_header().unwrap();
            }
            let records: usize = chunks.map(|chunk| chunk.unwrap().len()).sum();
            assert_eq!(ledger.read, records as u64, "{name}");
            events += ledger.written;
            rejected += ledger.rejected();
        });
    }
    assert_eq!(files, 75);
    assert_eq!((events, rejected), (33, 881));
}

/// Files of every kind of brokenness: never a panic, and every record accounted for.
#[test]
fn nasty_files_are_accounted_for() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = "[pipeline]\nname = 'nasty'\n[event]\nuser_id = 'a'\ntimestamp = { from = 'b', format = 'unix_s' }\n";
    std::fs::write(folder.path().join("rowmill.toml"), config).unwrap();
    let mut checked = 0;
    for group in [
        "JSONTestSuite",
        "csv-spectrum/csvs",
        "csv-spectrum/json",
        "csvkit",
        "json",
        "pretenders",
    ] {
        for entry in std::fs::read_dir(data.join("nasty").join(group)).unwrap() {
            let path = entry.unwrap().path();
            let output = run(
                folder.path(),
                &["check", path.to_str().unwrap(), "--format", "json"],
            );
            let code = output.status.code();
            assert!(
                matches!(code, Some(0..=2)),
                "{}: {}",
                path.display(),
                shown(folder.path(), &output)
            );
            if code != Some(2) {
                let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                let count = |name: &str| report["ledger"][name].as_u64().unwrap();
                let ended = count("written")
                    + count("duplicate")
                    + count("filtered")
                    + report["rejected"].as_u64().unwrap();
                assert_eq!(count("read"), ended, "{}", path.display());
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 75);
}

/// The stores that every figure must come out of, opened by the library: one of them lives in this process only.
fn stores(
    folder: &Path,
    set: &Set,
) -> Vec<(
    rowmill_pipeline::StoreUri,
    Option<rowmill_bigtable::testing::Emulator>,
)> {
    let parse =
        |uri: &str, host: Option<&str>| rowmill_pipeline::StoreUri::parse(uri, host).unwrap();
    let embedded = format!("file:{}", folder.join("store").display());
    let mut stores = vec![
        (parse("memory:", None), None),
        (parse(&embedded, None), None),
    ];
    if let Some(emulator) = emulator("real data, a file at a time, on the emulator") {
        let uri = parse(
            &format!("bigtable://project/{}", set.name),
            Some(emulator.address()),
        );
        stores.push((uri, Some(emulator)));
    }
    stores
}

/// One file at a time in random order, aggregated after each: the same figures, on every store, and proved from the facts.
#[test]
fn every_expected_figure_comes_out_of_increments() {
    let Some(data) = real_data() else { return };
    let seed = fastrand::u64(..);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for set in &SETS {
        let folder = tempfile::tempdir().unwrap();
        let expected = expected(
            &data.join(format!("expected/{}.tsv", set.name)),
            set.measure.is_some(),
        );
        for (uri, _emulator) in stores(folder.path(), set) {
            let found = runtime.block_on(increments(&data, set, &uri, seed));
            assert!(found == expected, "{} in {uri:?}, seed {seed}", set.name);
        }
    }
}

async fn increments(
    data: &Path,
    set: &Set,
    uri: &rowmill_pipeline::StoreUri,
    seed: u64,
) -> Figures {
    use rowmill_pipeline::{AggregateOptions, Control, IngestOptions, Inputs, Scope, Stages};
    let text = std::fs::read_to_string(example(set.config)).unwrap();
    let pipeline = rowmill_model::Pipeline::parse(&text).unwrap();
    let stages = std::sync::Arc::new(Stages::new(pipeline).unwrap());
    let store = rowmill_pipeline::open_store(uri)
        .await
        .unwrap()
        .prepare()
        .await
        .unwrap()
        .store;
    let control = Control::default();
    let mut files: Vec<PathBuf> = glob::glob(&data.join(set.files).display().to_string())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut files);
    let now = rowmill_rowkey::Timestamp::from_micros(0).unwrap();
    for (number, file) in files.iter().enumerate() {
        let inputs = Inputs::find(&[file.display().to_string()], None).unwrap();
        let inputs = inputs.prepare(&stages).unwrap();
        let options = IngestOptions::new(format!("run {number}"), now);
        rowmill_pipeline::ingest(&stages, &store, inputs, &options, &control)
            .await
            .unwrap();
        let options = AggregateOptions::new(format!("aggregation {number}"), Scope::Pending, now);
        rowmill_pipeline::aggregate(&stages, &store, &options, &control)
            .await
            .unwrap();
    }
    let options = rowmill_pipeline::VerifyAggregatesOptions::default();
    let proof = rowmill_pipeline::verify_aggregates(&stages, &store, &options, &control)
        .await
        .unwrap();
    assert!(proof.is_proved(), "{:?}", proof.differences.first());
    let mut out = Vec::new();
    let (table, format) = (
        rowmill_pipeline::ExportTable::Aggregates,
        rowmill_pipeline::ExportFormat::Csv,
    );
    rowmill_pipeline::export(&stages, &*store, table, format, &mut out, &control)
        .await
        .unwrap();
    figures_of(&String::from_utf8(out).unwrap(), set.measure)
}
