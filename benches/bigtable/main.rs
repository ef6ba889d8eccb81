//! The parts of the comparison with other Bigtable clients, one process each, so that their CPU can be told apart.
//!
//! `compare.py` runs them; each prints what it did as one JSON object.

mod prebuilt;
mod server;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use futures::TryStreamExt as _;
use rowmill_bigtable::{BigtableStore, BulkLimits, Client, ReadRows};
use rowmill_model::Pipeline;
use rowmill_model::columns::table;
use rowmill_pipeline::{Control, IngestOptions, Inputs, Stages, ingest};
use rowmill_rowkey::Timestamp;
use rowmill_store::Store;

#[derive(Debug, Parser)]
enum Part {
    /// Ingest a file into a scripted server, and keep the requests that came
    Record { events: PathBuf, out: PathBuf },
    /// Send requests that were kept, as they are
    Replay {
        address: String,
        requests: PathBuf,
        #[arg(long, default_value_t = 32)]
        in_flight: usize,
    },
    /// Read all facts and count their cells
    Scan { address: String },
    /// Write the facts as CSV, as `cbt import` reads it
    Csv { address: String, out: PathBuf },
    /// Ingest a file into a server that takes 10 ms for a request, and tell how much of the budget was in use
    Busy {
        events: PathBuf,
        #[arg(long, default_value_t = 4)]
        in_flight: usize,
    },
    /// Serve a Bigtable that takes its time for every write, until it is ended
    Slow {
        #[arg(long, default_value_t = 100)]
        delay_ms: u64,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Part::parse() {
        Part::Record { events, out } => {
            let server = server::start(Duration::ZERO).await;
            let client = connect(server.address(), BulkLimits::default()).await?;
            ingest_file(client, &events).await?;
            prebuilt::keep(&server.requests("MutateRows"), &out)
        }
        Part::Replay {
            address,
            requests,
            in_flight,
        } => prebuilt::send(&address, &requests, in_flight).await,
        Part::Scan { address } => scan(&address).await,
        Part::Csv { address, out } => facts_as_csv(&address, &out).await,
        Part::Busy { events, in_flight } => busy(&events, in_flight).await,
        Part::Slow { delay_ms } => {
            let server = server::start(Duration::from_millis(delay_ms)).await;
            say(&format!("{{\"address\": \"{}\"}}", server.address()));
            std::future::pending().await
        }
    }
}

#[expect(clippy::print_stdout, reason = "the result of a benchmark")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the time that passes"
)]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

async fn connect(address: &str, limits: BulkLimits) -> Result<Client> {
    let builder = Client::builder("p", "i").emulator(address);
    Ok(builder.bulk_limits(limits).connect().await?)
}

/// Ingests a file of generated events, and gives their number.
async fn ingest_file(client: Client, events: &std::path::Path) -> Result<u64> {
    let pipeline = Pipeline::parse(include_str!("../../examples/listens.toml"))?;
    let stages = Arc::new(Stages::new(pipeline)?);
    let store: Arc<dyn Store> = Arc::new(BigtableStore::new(client));
    let inputs = Inputs::find(&[events.display().to_string()], None)?.prepare(&stages)?;
    let options = IngestOptions::new("bench", Timestamp::from_micros(1_764_547_200_000_000)?);
    let report = ingest(&stages, &store, inputs, &options, &Control::default()).await?;
    Ok(report.ledger.written)
}

async fn scan(address: &str) -> Result<()> {
    let client = connect(address, BulkLimits::default()).await?;
    let mut rows = client.read_rows(ReadRows::new(table::FACT));
    let (mut count, mut cells) = (0_u64, 0);
    while let Some(row) = rows.try_next().await? {
        count += 1;
        cells += row.cells.len();
    }
    say(&format!("{{\"rows\": {count}, \"cells\": {cells}}}"));
    Ok(())
}

async fn facts_as_csv(address: &str, out: &std::path::Path) -> Result<()> {
    let client = connect(address, BulkLimits::default()).await?;
    let rows: Vec<_> = client
        .read_rows(ReadRows::new(table::FACT))
        .try_collect()
        .await?;
    let column = |cell: &rowmill_bigtable::Cell| (cell.family.to_string(), cell.qualifier.clone());
    let columns: std::collections::BTreeSet<_> = rows
        .iter()
        .flat_map(|row| row.cells.iter().map(column))
        .collect();
    let mut writer = csv::Writer::from_path(out).context("the CSV file")?;
    let first = std::iter::once(&b""[..]);
    let families = columns.iter().scan("", |last, (family, _)| {
        let name = if *last == family { "" } else { family };
        *last = family;
        Some(name.as_bytes())
    });
    writer.write_record(first.clone().chain(families))?;
    writer.write_record(first.chain(columns.iter().map(|(_, qualifier)| &qualifier[..])))?;
    for row in &rows {
        let values = columns.iter().map(|(family, qualifier)| {
            row.value(family, qualifier).map_or(&b""[..], |value| value)
        });
        writer.write_record(std::iter::once(&row.key[..]).chain(values))?;
    }
    writer.flush().context("the CSV file")
}

async fn busy(events: &std::path::Path, in_flight: usize) -> Result<()> {
    let server = server::start(Duration::from_millis(10)).await;
    let limits = BulkLimits {
        requests_in_flight_max: in_flight,
        ..BulkLimits::default()
    };
    let client = connect(server.address(), limits).await?;
    let sampling = tokio::spawn(sample(client.clone()));
    let started = now();
    let written = ingest_file(client, events).await?;
    let wall = started.elapsed().as_secs_f64();
    sampling.abort();
    let samples = SAMPLES
        .lock()
        .map_or_else(|_| Vec::new(), |samples| samples.clone());
    // From the first request to the last, so that what comes before and after the writing does not count.
    let first = samples
        .iter()
        .position(|count| *count > 0)
        .context("no request was seen")?;
    let last = samples
        .iter()
        .rposition(|count| *count > 0)
        .context("no request was seen")?;
    let writing = &samples[first..=last];
    #[expect(clippy::cast_precision_loss, reason = "a share of thousands")]
    let used = writing.iter().sum::<usize>() as f64 / (writing.len() * in_flight) as f64;
    say(&format!(
        "{{\"written\": {written}, \"requests\": {}, \"seconds\": {wall:.3}, \"budget_used\": {used:.3}}}",
        server.requests("MutateRows").len()
    ));
    Ok(())
}

/// Requests in flight, every millisecond.
static SAMPLES: Mutex<Vec<usize>> = Mutex::new(Vec::new());

async fn sample(client: Client) {
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    loop {
        tick.tick().await;
        if let Ok(mut samples) = SAMPLES.lock() {
            samples.push(client.bulk_requests_in_flight());
        }
    }
}
