//! `runs`: what there was, and its ledgers.

use anyhow::Result;
use rowmill_pipeline::{FileLedger, Ledger, Run, RunKind, file_ledgers, run as find_run, runs};
use rowmill_store::Store;
use serde_json::json;

use super::ledger;
use crate::arguments::{Global, Runs};
use crate::exit::{ExitStatus, UsageError};
use crate::job::Job;
use crate::printer::{Printer, grouped};
use crate::session;

/// Shows runs.
pub(crate) async fn run(global: &Global, runs: &Runs, printer: &mut Printer) -> Result<ExitStatus> {
    let opened = session::existing_store(global).await?;
    let store = &*opened.store;
    let job = Job::printing("listing");
    match runs {
        Runs::List(arguments) => job.reading(list(store, arguments.limit, printer)).await?,
        Runs::Show(arguments) => {
            let run = arguments.run.as_deref();
            job.reading(show(store, run, printer)).await?;
        }
    }
    Ok(ExitStatus::Done)
}

async fn list(store: &dyn Store, limit: u64, printer: &mut Printer) -> Result<()> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = runs(store).await?;
    let more = found.len().saturating_sub(limit);
    found.truncate(limit);
    if !printer.is_for_people() {
        for run in &found {
            printer.json(&serde_json::to_value(run)?)?;
        }
        return Ok(());
    }
    if found.is_empty() {
        printer.say("no runs");
        return Ok(());
    }
    let header = [
        "run",
        "kind",
        "status",
        "exit",
        "files",
        "read",
        "written",
        "duplicate",
        "filtered",
        "rejected",
    ];
    let rows = found.iter().map(row).collect();
    printer.plain_table(&header.map(str::to_owned), rows)?;
    if more > 0 {
        printer.say(&format!("{more} more; see --limit"));
    }
    Ok(())
}

fn row(run: &Run) -> Vec<String> {
    let exit = run
        .exit_code
        .map_or_else(String::new, |code| code.to_string());
    let words = [
        run.run.clone(),
        kind(run.kind).to_owned(),
        run.status.name().to_owned(),
        exit,
        grouped(run.file_count()),
    ];
    words.into_iter().chain(counts(&run.ledger)).collect()
}

/// Read, and where it ended.
fn counts(ledger: &Ledger) -> [String; 5] {
    let counts = [
        ledger.read,
        ledger.written,
        ledger.duplicate,
        ledger.filtered,
        ledger.rejected(),
    ];
    counts.map(grouped)
}

fn kind(kind: RunKind) -> &'static str {
    match kind {
        RunKind::Ingest => "ingest",
        RunKind::Replay => "replay",
    }
}

async fn show(store: &dyn Store, name: Option<&str>, printer: &mut Printer) -> Result<()> {
    let run = match name {
        Some(name) => find_run(store, name).await?,
        None => runs(store)
            .await?
            .into_iter()
            .next()
            .ok_or_else(|| UsageError("there are no runs".to_owned()))?,
    };
    let all = file_ledgers(store).await?;
    let of_run = |ledger: &&FileLedger| ledger.run == run.run;
    let files: Vec<_> = all.values().flatten().filter(of_run).collect();
    if !printer.is_for_people() {
        printer.json(&json!({"run": run, "files": files}))?;
        return Ok(());
    }
    let finished = run
        .finished
        .map_or_else(|| "-".to_owned(), |time| time.to_string());
    let exit = run
        .exit_code
        .map_or_else(String::new, |code| format!(", exit code {code}"));
    for line in [
        format!("run           {}", run.run),
        format!("kind          {}", kind(run.kind)),
        format!("status        {}{exit}", run.status.name()),
        format!("started       {}", run.started),
        format!("finished      {finished}"),
        format!("config hash   {}", run.config_hash),
        format!(
            "facts         {} rows, digest {:032x}",
            grouped(run.facts.rows),
            run.facts.keys.0
        ),
        String::new(),
    ] {
        printer.line(&line)?;
    }
    ledger::print_counts(&run.ledger, printer)?;
    printer.line("")?;
    let header = [
        "file",
        "status",
        "bytes",
        "read",
        "written",
        "duplicate",
        "filtered",
        "rejected",
        "content hash",
    ];
    let rows = files.iter().map(|file| file_row(file)).collect();
    printer.plain_table(&header.map(str::to_owned), rows)?;
    for file in files {
        if let Some(damage) = file.damage() {
            printer.line(&format!("{}: damaged: {damage}", file.file))?;
        }
    }
    Ok(())
}

fn file_row(file: &FileLedger) -> Vec<String> {
    let words = [
        file.file.clone(),
        file.status.name().to_owned(),
        grouped(file.position),
    ];
    let hash = format!("{:032x}", file.content_hash.0);
    let counts = counts(&file.ledger).into_iter();
    words.into_iter().chain(counts).chain([hash]).collect()
}
