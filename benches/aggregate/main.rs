//! What aggregates cost: everything from the timeline; one new hour after 1, 10, 30 and 90 days of history; a point and a top-100 query.
//! All on the embedded store, in one run.
//!
//! `cargo run --release -p rowmill-benches --example aggregate-bench -- [EVENTS] [ROUNDS]`; events are those of thirty days.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time, prints, and fails loudly"
)]

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use mimalloc::MiMalloc;
use rowmill_aggregate::Period;
use rowmill_model::{Grain, Pipeline};
use rowmill_pipeline::{
    AggregateOptions, AggregateReport, Control, GenerateOptions, Generator, IngestOptions, Inputs,
    Scope, Stages, StatsQuery, StoreUri, TopQuery, aggregate, ingest, open_store, stats, top,
};
use rowmill_rowkey::{Date, Timestamp};
use rowmill_store::Store;

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The dimensions that the floors are stated for, beside the total; of users no hours are shown.
const DIMENSIONS: &str = "aggregates=[{dimension='song'},{dimension='event_type'},{dimension='user_id',grains=['day','week']}]";

fn stages() -> Arc<Stages> {
    let set = [DIMENSIONS.to_owned()];
    let text = include_str!("../../examples/listens.toml");
    Arc::new(Stages::new(Pipeline::parse_with(text, &set).unwrap()).unwrap())
}

/// The last day of every history, a Wednesday.
fn last_day() -> Date {
    "2025-12-17".parse().unwrap()
}

/// The longest history.
const DAYS_MAX: u32 = 90;

struct Bench {
    stages: Arc<Stages>,
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
}

impl Bench {
    fn open(&self, name: &str) -> Arc<dyn Store> {
        let uri = format!("file:{}", self.folder.path().join(name).display());
        let uri = StoreUri::parse(&uri, None).unwrap();
        let opened = async { open_store(&uri).await.unwrap().prepare().await.unwrap() };
        self.runtime.block_on(opened).store
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.folder.path().join(from), self.folder.path().join(to));
        for entry in walkdir::WalkDir::new(&from) {
            let entry = entry.unwrap();
            let copy = to.join(entry.path().strip_prefix(&from).unwrap());
            if entry.file_type().is_dir() {
                std::fs::create_dir_all(copy).unwrap();
            } else {
                std::fs::copy(entry.path(), copy).unwrap();
            }
        }
    }

    fn ingest(&self, store: &Arc<dyn Store>, file: &Path) {
        let inputs = Inputs::find(&[file.display().to_string()], None).unwrap();
        let inputs = inputs.prepare(&self.stages).unwrap();
        let now = Timestamp::from_micros(0).unwrap();
        let options = IngestOptions::new(file.display().to_string(), now);
        let control = Control::default();
        let ingested = ingest(&self.stages, store, inputs, &options, &control);
        self.runtime.block_on(ingested).unwrap();
    }

    fn aggregate(&self, store: &Arc<dyn Store>, scope: Scope) -> (Duration, AggregateReport) {
        let now = Timestamp::from_micros(0).unwrap();
        let options = AggregateOptions::new("bench", scope, now);
        let control = Control::default();
        let begun = Instant::now();
        let done = aggregate(&self.stages, store, &options, &control);
        let done = self.runtime.block_on(done).unwrap();
        (begun.elapsed(), done)
    }

    /// The events of `DAYS_MAX` days up to the last one, so that every history is a part of the same stream: the same users, the same hours.
    fn stream(&self, events_a_day: u64) -> PathBuf {
        let back = i32::try_from(DAYS_MAX).unwrap() - 1;
        let options = GenerateOptions {
            events: events_a_day * u64::from(DAYS_MAX),
            days: DAYS_MAX,
            start: last_day().plus_days(-back).unwrap(),
            ..GenerateOptions::default()
        };
        let path = self.folder.path().join("stream.jsonl");
        Generator::new(options)
            .write_all(&mut std::fs::File::create(&path).unwrap())
            .unwrap();
        path
    }

    /// A file of so many days of the stream up to the last one, and one for each of that day's hours from 18 on, which are not in the
    /// first.
    fn history(&self, stream: &Path, days: u32) -> (PathBuf, Vec<PathBuf>) {
        let back = i32::try_from(days).unwrap() - 1;
        let oldest = last_day().plus_days(-back).unwrap().start().micros() / 1_000;
        let first = last_day().hour(18).start().micros() / 1_000;
        let name = |at: usize| self.folder.path().join(format!("{days}-{at}.jsonl"));
        let part = |at| BufWriter::new(std::fs::File::create(name(at)).unwrap());
        let mut parts: Vec<_> = (0..7).map(part).collect();
        for line in BufReader::new(std::fs::File::open(stream).unwrap()).lines() {
            let line = line.unwrap();
            let digits = line.split("\"ts\":").nth(1).unwrap();
            let time: i64 = digits.split(',').next().unwrap().parse().unwrap();
            if time >= oldest {
                let hours = (time - first).div_euclid(3_600_000) + 1;
                let part = &mut parts[usize::try_from(hours.max(0)).unwrap()];
                writeln!(part, "{line}").unwrap();
            }
        }
        (name(0), (1..parts.len()).map(name).collect())
    }

    /// A store with so many days of history, aggregated.
    fn grown(&self, stream: &Path, days: u32) -> Grown {
        let (history, hours) = self.history(stream, days);
        let name = format!("history {days}");
        let store = self.open(&name);
        self.ingest(&store, &history);
        self.aggregate(&store, Scope::Pending);
        // The engine merges its runs after so much was written at once; an hour that comes in daily work does not meet that.
        drop(store);
        Grown {
            days,
            store: self.open(&name),
            hours,
            times: Vec::new(),
        }
    }

    /// Ingests and aggregates an hour, the `at`th of those that came after the history.
    fn new_hour(&self, grown: &mut Grown, at: usize) -> u64 {
        self.ingest(&grown.store, &grown.hours[at]);
        let (time, done) = self.aggregate(&grown.store, Scope::Pending);
        assert_eq!((done.hours, done.days, done.weeks), (1, 1, 1));
        grown.times.push(time.as_secs_f64() * 1e3);
        done.events
    }
}

/// A store with a history, hours that come after it, and how long aggregating these took.
struct Grown {
    days: u32,
    store: Arc<dyn Store>,
    hours: Vec<PathBuf>,
    times: Vec<f64>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let argument = |at: usize, default: u64| {
        let argument = std::env::args().nth(at);
        argument.map_or(default, |text| text.parse().unwrap())
    };
    let (events, rounds) = (argument(1, 1_000_000), argument(2, 5));
    let bench = Bench {
        stages: stages(),
        runtime: tokio::runtime::Runtime::new().unwrap(),
        folder: tempfile::tempdir().unwrap(),
    };
    whole(&bench, events, rounds);
    new_hours(&bench, events / 30);
}

/// One new hour after histories of several lengths, by turns, so that what else the machine does meets all of them.
fn new_hours(bench: &Bench, events_a_day: u64) {
    let stream = bench.stream(events_a_day);
    let mut histories: Vec<Grown> = [1, 10, 30, 90]
        .into_iter()
        .map(|days| bench.grown(&stream, days))
        .collect();
    std::thread::sleep(Duration::from_secs(5));
    let mut events = 0;
    for at in 0..histories[0].hours.len() {
        for grown in &mut histories {
            events += bench.new_hour(grown, at);
        }
    }
    let hours = histories.iter().map(|it| it.times.len() as u64);
    let events = events / hours.sum::<u64>();
    println!(
        "\n| days of history | one new hour of {events} events, ms, median of six | to one day |"
    );
    println!("|---:|---:|---:|");
    let of_one_day = median(histories[0].times.clone());
    for Grown { days, times, .. } in histories {
        let ms = median(times);
        println!("| {days} | {ms:.1} | {:.2} |", ms / of_one_day);
    }
}

/// Everything from the timeline, and queries of what came out.
fn whole(bench: &Bench, events: u64, rounds: u64) {
    let path = bench.folder.path().join("all.jsonl");
    let options = GenerateOptions {
        events,
        ..GenerateOptions::default()
    };
    Generator::new(options)
        .write_all(&mut std::fs::File::create(&path).unwrap())
        .unwrap();
    let ingested = bench.open("ingested");
    bench.ingest(&ingested, &path);
    drop(ingested);
    // What the engine still does of its own accord after ingesting is no part of aggregating.
    let name = |round: u64| format!("all {round}");
    let rates: Vec<f64> = (0..rounds)
        .map(|round| {
            bench.copy("ingested", &name(round));
            let store = bench.open(&name(round));
            let (time, done) = bench.aggregate(&store, Scope::All);
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let rate = done.events as f64 / time.as_secs_f64();
            println!("everything: {rate:.0} events/s, {} rows", done.rows);
            drop(store);
            if round + 1 < rounds {
                // What is not written to the disk yet need not be.
                std::fs::remove_dir_all(bench.folder.path().join(name(round))).unwrap();
            }
            rate
        })
        .collect();
    println!("everything, median: {:.0} events/s", median(rates));
    std::fs::remove_dir_all(bench.folder.path().join("ingested")).unwrap();
    let store = bench.open(&name(rounds - 1));
    let (mut point, mut board) = (Vec::new(), Vec::new());
    for number in 0_i32..200 {
        let day: Date = "2025-11-01".parse().unwrap();
        let day = day.plus_days(number % 30).unwrap();
        let query = StatsQuery {
            dimension: "user_id".into(),
            value: (number * 17 % 3_000 + 1).to_string(),
            grain: Grain::Day,
            from: Some(day),
            to: Some(day),
        };
        let begun = Instant::now();
        bench
            .runtime
            .block_on(async {
                let found = stats(&bench.stages, &*store, &query).await?;
                found.try_collect::<Vec<_>>().await
            })
            .unwrap();
        point.push(begun.elapsed().as_secs_f64() * 1e3);
        let query = TopQuery {
            dimension: "user_id".into(),
            period: Period::Day(day),
            by: "count".into(),
            limit: 100,
        };
        let begun = Instant::now();
        let places = bench
            .runtime
            .block_on(async {
                let places = top(&bench.stages, &*store, &query).await?;
                places.try_collect::<Vec<_>>().await
            })
            .unwrap();
        assert_eq!(places.len(), 100);
        board.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "a point query: {:.2} ms, a top-100: {:.2} ms, medians of 200",
        median(point),
        median(board)
    );
}
