//! Jobs over whole stores: what is read is accounted for, again and again, whatever fails on the way.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod aggregates;
mod bigtable;
mod busy;
mod faults;
mod foreign;
mod forgetting;
mod generate;
mod histories;
mod jobs;
mod letters;
mod many;
mod rebuild;
mod resume;
mod shards;
mod sources;
mod tables;
mod verify;
mod watchdog;
mod watched;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rowmill_ingest::Format;
use rowmill_model::Pipeline;
use rowmill_pipeline::{
    AggregateOptions, AggregateReport, Control, DateRange, Error, ExportFormat, ExportTable,
    GenerateOptions, Generator, IngestOptions, IngestReport, Inputs, OpenStore, Scope, Stages,
    StoreUri, aggregate, export, ingest, open_store,
};
use rowmill_rowkey::Timestamp;
use rowmill_store::{ManualClock, Store};

pub(crate) fn stages(set: &[&str]) -> Arc<Stages> {
    let set: Vec<_> = set.iter().map(|&setting| setting.to_owned()).collect();
    let text = include_str!("../../../../examples/listens.toml");
    Arc::new(Stages::new(Pipeline::parse_with(text, &set).unwrap()).unwrap())
}

/// The store of a URI, with its tables.
pub(crate) async fn opened(uri: &str) -> OpenStore {
    let uri = StoreUri::parse(uri, None).unwrap();
    open_store(&uri).await.unwrap().prepare().await.unwrap()
}

pub(crate) async fn memory_store() -> OpenStore {
    opened("memory:").await
}

/// A file of generated events, a tenth of them bad.
pub(crate) fn generated(folder: &Path, name: &str, events: u64, seed: u64) -> PathBuf {
    let format = if name.contains("csv") {
        Format::Csv
    } else {
        Format::Jsonl
    };
    let options = GenerateOptions {
        events,
        seed,
        format,
        bad_percent: 10.0,
        days: 3,
        ..GenerateOptions::default()
    };
    let path = folder.join(name);
    Generator::new(options)
        .write_all(&mut std::fs::File::create(&path).unwrap())
        .unwrap();
    path
}

/// A file of good events of one day, some of them of the next.
pub(crate) fn generated_on(folder: &Path, name: &str, events: u64, seed: u64) -> PathBuf {
    let options = GenerateOptions {
        events,
        seed,
        bad_percent: 0.0,
        days: 1,
        ..GenerateOptions::default()
    };
    let path = folder.join(name);
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    Generator::new(options).write_all(&mut file).unwrap();
    path
}

/// A file of other files' lines.
pub(crate) fn joined(parts: &[&Path], path: &Path) -> PathBuf {
    let contents = parts.iter().map(|part| std::fs::read(part).unwrap());
    std::fs::write(path, contents.collect::<Vec<_>>().concat()).unwrap();
    path.to_owned()
}

pub(crate) fn inputs(paths: &[&Path]) -> Inputs {
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    Inputs::find(&names, None).unwrap()
}

pub(crate) fn options(run: &str) -> IngestOptions {
    let now = Timestamp::from_micros(1_000).unwrap();
    IngestOptions {
        batch_rows: 300,
        clock: Arc::new(ManualClock::new(now)),
        ..IngestOptions::new(run, now)
    }
}

pub(crate) async fn ingest_all(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    paths: &[&Path],
    run: &str,
) -> Result<IngestReport, Error> {
    ingest_with(stages, store, paths, &options(run)).await
}

pub(crate) async fn ingest_with(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    paths: &[&Path],
    options: &IngestOptions,
) -> Result<IngestReport, Error> {
    let inputs = inputs(paths).prepare(stages)?;
    ingest(stages, store, inputs, options, &Control::default()).await
}

/// A time long before all events, so that nothing has expired.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(1_000).unwrap()
}

pub(crate) fn aggregation(scope: Scope) -> AggregateOptions {
    AggregateOptions::new("aggregation", scope, now())
}

pub(crate) async fn aggregate_with(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &AggregateOptions,
) -> Result<AggregateReport, Error> {
    aggregate(stages, store, options, &Control::default()).await
}

pub(crate) async fn aggregate_pending(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
) -> Result<u64, Error> {
    let done = aggregate_with(stages, store, &aggregation(Scope::Pending)).await?;
    Ok(done.hours)
}

/// The dates from one to another.
pub(crate) fn dates(from: &str, to: &str) -> DateRange {
    let date = |text: &str| text.parse().unwrap();
    DateRange::new(Some(date(from)), Some(date(to))).unwrap()
}

/// Both tables as text.
pub(crate) async fn exported(stages: &Stages, store: &dyn Store) -> String {
    let mut out = Vec::new();
    for table in [ExportTable::Facts, ExportTable::Aggregates] {
        let report = export(
            stages,
            store,
            table,
            ExportFormat::Csv,
            &mut out,
            &Control::default(),
        )
        .await
        .unwrap();
        assert_eq!(report.unreadable.count, 0, "{report:?}");
    }
    String::from_utf8(out).unwrap()
}
