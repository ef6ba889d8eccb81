//! What it costs to lose nothing: ingest with and without ledgers, checkpoints and dead letters; bad records and good ones; compressed
//! files and plain ones. Everything into fresh embedded stores, the variants by turns, in one run.
//!
//! `cargo run --release -p rowmill-benches --example accounting-bench -- [EVENTS] [ROUNDS] [VARIANTS]`, of the variants so many of the first.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time, prints, and fails loudly"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rowmill_model::Pipeline;
use rowmill_pipeline::{
    Control, GenerateOptions, Generator, IngestOptions, Inputs, Stages, StoreUri, ingest,
    open_store,
};
use rowmill_rowkey::Timestamp;

/// One way to ingest one file.
struct Variant {
    name: &'static str,
    file: PathBuf,
    accounting: bool,
    /// Records a second of each round.
    rates: Vec<f64>,
}

impl Variant {
    fn new(name: &'static str, file: &Path, accounting: bool) -> Self {
        Self {
            name,
            file: file.to_owned(),
            accounting,
            rates: Vec::new(),
        }
    }

    fn median(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }
}

fn main() {
    let argument = |at: usize, default: u64| {
        let argument = std::env::args().nth(at);
        argument.map_or(default, |text| text.parse().unwrap())
    };
    let (events, rounds) = (argument(1, 300_000), argument(2, 7));
    let folder = tempfile::tempdir().unwrap();
    let stages = Pipeline::parse(include_str!("../../examples/listens.toml")).unwrap();
    let stages = Arc::new(Stages::new(stages).unwrap());
    let (good, few_bad) = (
        generated(folder.path(), "good.jsonl", events, 0.0),
        generated(folder.path(), "few.jsonl", events, 3.0),
    );
    let [rejected, unreadable] = bad(folder.path(), &good);
    let (gzip, zstd) = (packed(&good, "gzip", "gz"), packed(&good, "zstd", "zst"));
    let mut variants = [
        Variant::new("3% bad, with accounting", &few_bad, true),
        Variant::new("3% bad, without", &few_bad, false),
        Variant::new("all good", &good, true),
        Variant::new("all rejected by a check", &rejected, true),
        Variant::new("all unreadable", &unreadable, true),
        Variant::new("all good, gzip", &gzip, true),
        Variant::new("all good, zstd", &zstd, true),
    ];
    let count = usize::try_from(argument(3, 7)).unwrap().clamp(2, 7);
    let variants = &mut variants[..count];
    for round in 0..=rounds {
        for variant in variants.iter_mut() {
            let rate = ingest_once(&stages, variant, folder.path());
            // The first round warms up.
            if round > 0 {
                variant.rates.push(rate);
            }
        }
    }
    print(variants);
}

fn generated(folder: &Path, name: &str, events: u64, bad_percent: f64) -> PathBuf {
    let path = folder.join(name);
    let options = GenerateOptions {
        events,
        bad_percent,
        ..GenerateOptions::default()
    };
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    Generator::new(options).write_all(&mut file).unwrap();
    path
}

/// The good records with a level that there is not, and without their last bytes.
fn bad(folder: &Path, good: &Path) -> [PathBuf; 2] {
    let text = std::fs::read_to_string(good).unwrap();
    let (rejected, unreadable) = (
        folder.join("rejected.jsonl"),
        folder.join("unreadable.jsonl"),
    );
    let other = text.replace(r#""level":"paid""#, r#""level":"gold""#);
    let other = other.replace(r#""level":"free""#, r#""level":"gold""#);
    assert!(other != text);
    std::fs::write(&rejected, other).unwrap();
    let mut cut = String::new();
    for line in text.lines() {
        cut += &line[..line.len() - 5];
        cut.push('\n');
    }
    std::fs::write(&unreadable, cut).unwrap();
    [rejected, unreadable]
}

fn packed(path: &Path, program: &str, extension: &str) -> PathBuf {
    let status = std::process::Command::new(program)
        .args(["-k", "-q"])
        .arg(path)
        .status();
    assert!(status.unwrap().success(), "{program} packs the file");
    PathBuf::from(format!("{}.{extension}", path.display()))
}

fn ingest_once(stages: &Arc<Stages>, variant: &Variant, folder: &Path) -> f64 {
    let store = tempfile::tempdir_in(folder).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (seconds, read) = runtime.block_on(async {
        let uri = StoreUri::File(store.path().to_owned());
        let opened = open_store(&uri).await.unwrap().prepare().await.unwrap();
        let names = [variant.file.display().to_string()];
        let inputs = Inputs::find(&names, None).unwrap().prepare(stages).unwrap();
        let options = IngestOptions {
            accounting: variant.accounting,
            ..IngestOptions::new(
                "bench",
                Timestamp::from_micros(1_764_547_200_000_000).unwrap(),
            )
        };
        let begun = Instant::now();
        let control = Control::default();
        let report = ingest(stages, &opened.store, inputs, &options, &control).await;
        let report = report.unwrap();
        (begun.elapsed().as_secs_f64(), report.ledger.read)
    });
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = read as f64 / seconds;
    rate
}

fn print(variants: &[Variant]) {
    println!("| variant | records/s, median | least | most |");
    println!("|---|---:|---:|---:|");
    for variant in variants {
        let least = variant.rates.iter().copied().fold(f64::INFINITY, f64::min);
        let most = variant.rates.iter().copied().fold(0.0, f64::max);
        println!(
            "| {} | {:.0} | {least:.0} | {most:.0} |",
            variant.name,
            variant.median()
        );
    }
    println!("\n| ratio, median of the rounds' ratios | asked for | measured |");
    println!("|---|---:|---:|");
    for (name, asked, over, under) in [
        ("rate with accounting to that without", "0.95", 0, 1),
        (
            "rate of rejected records to that of good ones",
            "0.33",
            3,
            2,
        ),
        (
            "rate of unreadable records to that of good ones",
            "0.33",
            4,
            2,
        ),
        ("rate of gzip to that of the plain file", "-", 5, 2),
        ("rate of zstd to that of the plain file", "-", 6, 2),
    ]
    .into_iter()
    .filter(|(_, _, over, _)| *over < variants.len())
    {
        let pairs = variants[over].rates.iter().zip(&variants[under].rates);
        let mut ratios: Vec<f64> = pairs.map(|(over, under)| over / under).collect();
        ratios.sort_by(f64::total_cmp);
        println!("| {name} | {asked} | {:.2} |", ratios[ratios.len() / 2]);
    }
}
