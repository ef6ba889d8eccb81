//! `demo`: the whole thing in one command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use rowmill_aggregate::Period;
use rowmill_ingest::Format;
use rowmill_model::Grain;
use rowmill_pipeline::{
    Control, GenerateOptions, Inputs, OpenStore, Scope, Sheet, SheetRow, Stages, StatsQuery,
    StoreUri, TopQuery, UserQuery, aggregate, ingest, open_store, stats, top, user_events,
};

use super::{aggregate as aggregate_command, generate, ledger};
use crate::arguments::DemoArguments;
use crate::exit::{ExitStatus, UsageError};
use crate::job::Job;
use crate::printer::Printer;
use crate::session;

const PIPELINE: &str = include_str!("../../../../examples/listens.toml");

/// How many of a hundred records are bad.
const BAD_PERCENT: f64 = 2.0;

/// Generates, ingests and aggregates a month of events in a fresh folder, and shows what came of it.
pub(crate) async fn run(arguments: &DemoArguments, printer: &mut Printer) -> Result<ExitStatus> {
    let folder = fresh_folder(arguments.out.as_deref())?;
    let mut job = Job::printing("generating");
    let files = job.computing(|control| generate_files(&folder, arguments.events, control))?;
    let config = folder.join("rowmill.toml");
    std::fs::write(&config, PIPELINE).with_context(|| config.display().to_string())?;
    let stages = session::compile(PIPELINE, &[], &config)?;
    let store_uri = format!("file:{}", folder.join("store").display());
    let uri = StoreUri::parse(&store_uri, None)?;
    let store = open_store(&uri).await?.prepare().await?;

    heading(printer, "The run's ledger")?;
    let options = session::ingest_options();
    let inputs = Inputs::find(&files, None)?.prepare(&stages)?;
    job.next("reading");
    let report = ingest(&stages, &store.store, inputs, &options, job.control()).await?;
    ledger::print(&report, printer)?;
    if report.stopped.is_some() {
        return Ok(ledger::status(&report, false, printer));
    }
    printer.line("")?;
    job.next("aggregating");
    let options = session::aggregate_options(Scope::Pending);
    let done = aggregate(&stages, &store.store, &options, job.control()).await?;
    aggregate_command::print(done, printer)?;
    show_results(&stages, &store, printer).await?;
    show_commands(&folder, &config, &store_uri, printer)?;
    Ok(ExitStatus::Done)
}

fn fresh_folder(out: Option<&Path>) -> Result<PathBuf> {
    let Some(folder) = out else {
        return Ok(tempfile::Builder::new()
            .prefix("rowmill-demo-")
            .tempdir()
            .context("making a temporary folder")?
            .keep());
    };
    match std::fs::create_dir(folder) {
        Ok(()) => Ok(folder.to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(UsageError(format!(
                "--out {}: exists already; the demo makes a new folder",
                folder.display()
            ))
            .into())
        }
        Err(error) => Err(UsageError(format!("--out {}: {error}", folder.display())).into()),
    }
}

/// Two files of different formats: the first and the second half of the month.
fn generate_files(folder: &Path, events: u64, control: &Control) -> Result<Vec<String>> {
    let defaults = GenerateOptions::default();
    let half = |days, start, seed, format| GenerateOptions {
        events: events / 2,
        days,
        start,
        seed,
        format,
        bad_percent: BAD_PERCENT,
    };
    let middle = defaults.start.plus_days(15).expect("a month has a middle");
    let halves = [
        (
            "listens-1.jsonl",
            half(15, defaults.start, 42, Format::Jsonl),
        ),
        ("listens-2.csv", half(15, middle, 43, Format::Csv)),
    ];
    let mut files = Vec::new();
    for (name, options) in halves {
        let path = folder.join(name);
        generate::to_file(options, &path, control)?;
        files.push(path.display().to_string());
    }
    Ok(files)
}

async fn show_results(
    stages: &Arc<Stages>,
    store: &OpenStore,
    printer: &mut Printer,
) -> Result<()> {
    let store = &*store.store;
    let aggregates = Sheet::of_aggregates(stages);
    heading(printer, "Day by day")?;
    let total = StatsQuery {
        dimension: "_total".into(),
        value: "all".into(),
        grain: Grain::Day,
        from: None,
        to: None,
    };
    let days = stats(stages, store, &total).await?;
    let days: Vec<_> = days.try_collect().await?;
    let last = days.last().map(|day| day.period.date());
    let rows = days
        .iter()
        .map(|stored| SheetRow::of_stored(stages, stored));
    printer.rows(&aggregates, &rows.collect::<Vec<_>>())?;
    let Some(last) = last else { return Ok(()) };

    heading(
        printer,
        &format!("The top songs of the week of {}", last.monday()),
    )?;
    let songs = TopQuery {
        dimension: "song".into(),
        period: Period::Week(last.monday()),
        by: "count".into(),
        limit: 5,
    };
    let places = top(stages, store, &songs).await?;
    let row = |place| SheetRow::of_place(stages, songs.period, &songs.dimension, place);
    let rows: Vec<_> = places.map_ok(row).try_collect().await?;
    printer.rows(&aggregates, &rows)?;

    heading(printer, "The latest events of user 7")?;
    let user = UserQuery {
        user_id: Some("7".into()),
        from: None,
        to: None,
        limit: Some(5),
    };
    let events = user_events(stages, store, &user)?;
    let shown: Vec<_> = events.map_ok(SheetRow::of_event).try_collect().await?;
    let (sheet, shown) = narrowed(&Sheet::of_events(stages.pipeline()), &shown);
    printer.rows(&sheet, &shown)?;
    Ok(())
}

/// Only the columns that tell the story.
fn narrowed(sheet: &Sheet, rows: &[SheetRow]) -> (Sheet, Vec<SheetRow>) {
    const COLUMNS: [&str; 7] = [
        "timestamp",
        "event_id",
        "event_type",
        "artist",
        "song",
        "length",
        "level",
    ];
    let at: Vec<_> = COLUMNS
        .iter()
        .filter_map(|name| sheet.columns.iter().position(|column| column == name))
        .collect();
    let rows = rows
        .iter()
        .map(|row| SheetRow(at.iter().map(|index| row.0[*index].clone()).collect()));
    (
        Sheet {
            columns: COLUMNS.map(str::to_owned).to_vec(),
        },
        rows.collect(),
    )
}

fn heading(printer: &mut Printer, text: &str) -> std::io::Result<()> {
    printer.line(&format!("\n== {text}"))
}

fn show_commands(
    folder: &Path,
    config: &Path,
    store: &str,
    printer: &mut Printer,
) -> std::io::Result<()> {
    heading(printer, "Ask more")?;
    let program = program();
    printer.line(&format!(
        "  export ROWMILL_CONFIG={} ROWMILL_STORE={store}",
        config.display()
    ))?;
    for command in [
        "query user 7 --limit 20",
        "query stats song 'Golden Train' --by week",
        "query top artist --on 2025-11-15 --by length_sum",
        "export aggregates --format csv",
    ] {
        printer.line(&format!("  {program} {command}"))?;
    }
    printer.line(&format!(
        "\nThe files, the pipeline file and the store lie in {}",
        folder.display()
    ))
}

/// How this program was started, so that the commands shown work as they stand.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "rowmill".to_owned())
}
