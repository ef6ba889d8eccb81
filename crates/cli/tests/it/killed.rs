//! `kill -9` at random moments, many times: in the end the store holds what an undisturbed run writes, byte for byte.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rowmill_model::columns::{fact, family, letter, table};
use rowmill_pipeline::{StoreUri, open_store};
use rowmill_store::{Scan, StoreExt as _};

use crate::{folder, rowmill, run, shown, stdout};

/// How many kills, and of how many events the file is: more of both by `ROWMILL_KILLS` and `ROWMILL_KILL_EVENTS`.
fn wanted(name: &str, default: u64) -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a longer test is asked for through the environment"
    )]
    let value = std::env::var(name).ok();
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

const INGEST: [&str; 5] = ["ingest", "plays.jsonl", "plays.csv", "--batch-rows", "200"];

/// Every cell of the tables that an ingest writes, but for the run and its time: which must be the same everywhere, because who takes
/// a run up goes on under its name.
fn tables(folder: &Path) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let uri = StoreUri::File(folder.join("rowmill-data"));
        let store = open_store(&uri).await.unwrap().store;
        let (mut cells, mut runs) = (Vec::new(), std::collections::BTreeSet::new());
        for table in [table::FACT, table::TIMELINE, table::DEAD_LETTERS] {
            for row in store.rows(table, Scan::all()).await.unwrap() {
                for cell in row.cells() {
                    let name = std::str::from_utf8(cell.qualifier).unwrap();
                    if matches!(
                        (cell.family, name),
                        (family::METADATA, fact::BATCH | fact::INGESTED_AT)
                            | (family::LETTER, letter::RUN | letter::FIRST_SEEN)
                    ) {
                        let is_run = matches!(name, fact::BATCH | letter::RUN);
                        runs.insert((is_run, cell.value.to_vec()));
                        continue;
                    }
                    let key = String::from_utf8_lossy(row.key());
                    cells.push(format!("{table} {key} {cell:?}"));
                }
            }
        }
        assert_eq!(runs.len(), 2, "one run, and one time");
        cells
    })
}

#[test]
fn killing_it_at_random_moments_loses_and_doubles_nothing() {
    let kills_wanted = wanted("ROWMILL_KILLS", 50);
    let events = wanted("ROWMILL_KILL_EVENTS", 3_000).to_string();
    let sound = folder();
    for name in ["plays.jsonl", "plays.csv"] {
        let format = name.rsplit('.').next().unwrap();
        let arguments = [
            "generate", "--events", &events, "--bad", "5", "--out", name, "--format",
        ];
        stdout(sound.path(), &[&arguments[..], &[format]].concat());
    }
    let duration = duration_of(|| {
        stdout(sound.path(), &INGEST);
    });
    let expected = tables(sound.path());

    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut kills, mut rounds) = (0, 0);
    while kills < kills_wanted {
        rounds += 1;
        let folder = folder();
        for name in ["plays.jsonl", "plays.csv"] {
            std::fs::copy(sound.path().join(name), folder.path().join(name)).unwrap();
        }
        while !is_done(folder.path(), duration.mul_f64(random.f64() * 1.3)) {
            kills += 1;
        }
        assert!(
            tables(folder.path()) == expected,
            "seed {seed}, round {rounds}, {kills} kills"
        );
        let verified = run(folder.path(), &["verify"]);
        assert!(
            verified.status.success(),
            "{}",
            shown(folder.path(), &verified)
        );
        let runs = stdout(folder.path(), &["runs", "list", "--format", "json"]);
        let listed = runs.lines().map(|run| serde_json::from_str(run).unwrap());
        let listed: Vec<serde_json::Value> = listed.collect();
        // One that was killed before it named its inputs has left its name and nothing else.
        let done = listed.iter().filter(|run| run["ledger"]["read"] != 0);
        let done: Vec<_> = done.map(|run| run["status"].as_str().unwrap()).collect();
        assert_eq!(
            done,
            ["done"],
            "one run, taken up until it was done: {runs}"
        );
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the moments to kill at are chosen within the time that a run takes"
)]
fn duration_of(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// Starts it, and kills it after a while. True if it had come to its end by then.
fn is_done(folder: &Path, after: Duration) -> bool {
    let mut child = rowmill(folder, &INGEST)
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("stderr")).unwrap())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let talk = std::fs::read_to_string(folder.join("stderr")).unwrap();
    assert!(matches!(status.code(), None | Some(0)), "{status}: {talk}");
    status.success()
}
