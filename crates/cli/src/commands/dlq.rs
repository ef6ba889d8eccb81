//! `dlq`: dead letters.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::path::Path;

use anyhow::Result;
use rowmill_ingest::Format as InputFormat;
use rowmill_pipeline::{
    Control, DeadLetter, LetterFilter, LetterStats, Letters, ReplayOptions, ReplayReport, Sheet,
    Stages, Unreadable, export_letters, letter, letter_reasons, letter_stats, letters,
    letters_without_raw, purge_letters, replay,
};
use rowmill_store::Store;
use serde_json::json;

use super::ledger;
use crate::arguments::{
    Dlq, ExportLetters, Format, Global, LetterFilterArguments, ListLetters, PurgeArguments,
    ReplayArguments,
};
use crate::exit::{ExitStatus, INTERRUPTED, UsageError};
use crate::job::Job;
use crate::output::OutputFile;
use crate::printer::{Listing, Printer, counted, grouped};
use crate::session;
use crate::unreadable;

/// Does what is to be done with dead letters.
pub(crate) async fn run(global: &Global, dlq: &Dlq, printer: &mut Printer) -> Result<ExitStatus> {
    let opened = match dlq {
        // They need the pipeline file, and an error in it comes first.
        Dlq::Replay(arguments) => {
            session::stages(global)?;
            session::changed_store(global, !arguments.dry_run).await?
        }
        Dlq::WhatIf(_) => {
            session::stages(global)?;
            session::existing_store(global).await?
        }
        Dlq::Purge(arguments) => session::changed_store(global, !arguments.dry_run).await?,
        _ => session::existing_store(global).await?,
    };
    let store = &opened.store;
    match dlq {
        Dlq::List(arguments) => return list(&**store, arguments, printer).await,
        Dlq::Show(arguments) => {
            let job = Job::printing("looking up");
            let found = job.reading(letter(&**store, &arguments.key)).await?;
            show(&found, printer)?;
        }
        Dlq::Stats(filter) => {
            let found = count(&**store, &of(filter), printer).await?;
            stats(&found, printer)?;
            printer.finish()?;
            return Ok(unreadable::end(&found.unreadable, printer));
        }
        Dlq::Export(arguments) => return export(&**store, arguments, printer).await,
        Dlq::Purge(arguments) => return purge(&**store, arguments, printer).await,
        Dlq::Replay(arguments) => {
            let stages = session::stages(global)?;
            let options = replay_options(arguments);
            return try_again(&stages, store, options, printer).await;
        }
        Dlq::WhatIf(filter) => {
            let stages = session::stages(global)?;
            let options = ReplayOptions {
                filter: of(filter),
                dry_run: true,
                ..new_replay()
            };
            return try_again(&stages, store, options, printer).await;
        }
    }
    Ok(ExitStatus::Done)
}

fn of(arguments: &LetterFilterArguments) -> LetterFilter {
    LetterFilter {
        reason: arguments.reason.clone(),
        field: arguments.field.clone(),
        source: arguments.source.clone(),
        since: arguments.since,
    }
}

async fn count(store: &dyn Store, filter: &LetterFilter, printer: &Printer) -> Result<LetterStats> {
    let job = Job::start("counting", printer);
    job.reading(letter_stats(store, filter, job.control()))
        .await
}

async fn list(
    store: &dyn Store,
    arguments: &ListLetters,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let filter = of(&arguments.filter);
    let mut found = match printer.format() {
        Some(Format::Json | Format::Jsonl) => letters(store, &filter)?,
        _ => letters_without_raw(store, &filter)?,
    };
    let job = Job::printing("listing");
    let columns = ["place", "wrong", "attempts", "first seen", "key"].map(str::to_owned);
    let mut listing = printer.listing(Sheet {
        columns: columns.to_vec(),
    })?;
    let work = print_letters(&mut found, arguments.limit, &mut listing);
    let done = job.reading(work).await;
    let shown = listing.finish()?;
    let has_more = done?;
    if shown == 0 && printer.is_for_people() {
        printer.say("no dead letters");
        say_reasons(store, &filter, &job, printer).await?;
    } else if has_more && printer.is_for_people() {
        printer.say("there are more; see --limit, or count them with `rowmill dlq stats`");
    }
    Ok(unreadable::end(found.unreadable(), printer))
}

/// Says which reasons there are, to whoever asked for one that there is not.
async fn say_reasons(
    store: &dyn Store,
    filter: &LetterFilter,
    job: &Job,
    printer: &Printer,
) -> Result<()> {
    if filter.reason.is_none() || printer.is_quiet() {
        return Ok(());
    }
    let others = LetterFilter {
        reason: None,
        ..filter.clone()
    };
    let reasons = job.reading(letter_reasons(store, &others)).await?;
    if !reasons.is_empty() {
        let reasons: Vec<_> = reasons.into_iter().collect();
        printer.hint(&format!("the reasons there are: {}", reasons.join(", ")));
    }
    Ok(())
}

/// Prints as many letters as were asked for, and says whether there are more.
async fn print_letters(found: &mut Letters, limit: u64, listing: &mut Listing<'_>) -> Result<bool> {
    while let Some(letter) = found.next().await? {
        if listing.rows() == limit {
            return Ok(true);
        }
        listing.texts(row(&letter), || letter.to_json())?;
    }
    Ok(false)
}

fn row(letter: &DeadLetter) -> Vec<String> {
    let rejecting = letter.reasons.iter().filter(|reason| reason.is_rejecting());
    let reasons: Vec<_> = rejecting
        .map(rowmill_pipeline::LetterReason::name)
        .collect();
    vec![
        letter.place(),
        reasons.join(", "),
        letter.attempts.to_string(),
        letter.first_seen.to_string(),
        letter.key.clone(),
    ]
}

fn show(letter: &DeadLetter, printer: &mut Printer) -> Result<()> {
    if !printer.is_for_people() {
        return Ok(printer.json(&letter.to_json())?);
    }
    let position = letter.position;
    for line in [
        format!("key          {}", letter.key),
        format!("source       {}", letter.source),
        format!(
            "place        record {}, line {}, byte {}, {} bytes",
            position.number, position.line, position.offset, position.length
        ),
        format!("format       {}", letter.format.name()),
        format!("stage        {}", letter.stage),
        format!("run          {}", letter.run),
        format!("config hash  {}", letter.config_hash),
        format!("first seen   {}", letter.first_seen),
        format!("attempts     {}", letter.attempts),
    ] {
        printer.line(&line)?;
    }
    printer.line("reasons")?;
    for reason in &letter.reasons {
        let value = reason.value.as_ref().map(|value| format!(" ({value:?})"));
        let value = value.unwrap_or_default();
        printer.line(&format!(
            "  {}: {}{value}, {}",
            reason.name(),
            reason.message,
            reason.severity
        ))?;
    }
    let cut = if letter.cut {
        ", of which only the beginning was kept"
    } else {
        ""
    };
    printer.line(&format!("raw{cut}"))?;
    printer.out().write_all(&letter.raw)?;
    Ok(printer.line("")?)
}

fn stats(stats: &LetterStats, printer: &mut Printer) -> Result<()> {
    let time = |time: Option<rowmill_rowkey::Timestamp>| time.map(|time| time.to_string());
    if !printer.is_for_people() {
        return Ok(printer.json(&json!({
            "letters": stats.letters,
            "bytes": stats.bytes,
            "by_reason": stats.by_reason,
            "by_source": stats.by_source,
            "by_stage": stats.by_stage,
            "oldest": time(stats.oldest),
            "newest": time(stats.newest),
            "attempts_max": stats.attempts_max,
            "unreadable": stats.unreadable.count,
        }))?);
    }
    printer.line(&format!("letters     {}", grouped(stats.letters)))?;
    printer.line(&format!("raw bytes   {}", grouped(stats.bytes)))?;
    printer.line(&format!("attempts    {} at most", stats.attempts_max))?;
    if let (Some(oldest), Some(newest)) = (time(stats.oldest), time(stats.newest)) {
        printer.line(&format!("first seen  {oldest} to {newest}"))?;
    }
    for (title, counts) in [
        ("wrong", &stats.by_reason),
        ("source", &stats.by_source),
        ("stage", &stats.by_stage),
    ] {
        if counts.is_empty() {
            continue;
        }
        printer.line("")?;
        let mut rows: Vec<_> = counts.iter().collect();
        rows.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let rows = rows
            .into_iter()
            .map(|(name, count)| vec![name.clone(), grouped(*count)]);
        printer.plain_table(&[title.to_owned(), "letters".to_owned()], rows.collect())?;
    }
    Ok(())
}

async fn export(
    store: &dyn Store,
    arguments: &ExportLetters,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let (filter, raw) = (of(&arguments.filter), arguments.raw);
    let (count, unreadable) = match &arguments.out {
        Some(path) => {
            let job = Job::start("exporting", printer);
            let mut out = OutputFile::create(path)?;
            let work = write_letters(store, &filter, raw, &mut out, job.control());
            let written = job.reading(work).await?;
            out.finish()?;
            written
        }
        None => {
            let job = Job::printing("exporting");
            let work = write_letters(store, &filter, raw, printer.out(), job.control());
            job.reading(work).await?
        }
    };
    if let Some(path) = &arguments.out {
        printer.say(&format!(
            "{} in {}",
            counted(count, "dead letter"),
            path.display()
        ));
    }
    printer.finish()?;
    Ok(unreadable::end(&unreadable, printer))
}

async fn write_letters(
    store: &dyn Store,
    filter: &LetterFilter,
    raw: bool,
    out: &mut (dyn Write + Send),
    control: &Control,
) -> Result<(u64, Unreadable)> {
    if raw {
        write_raw(store, filter, out, control).await
    } else {
        Ok(export_letters(store, filter, out, control).await?)
    }
}

/// The raw records as a file of their format: of CSV with a header, which must be the same for all.
async fn write_raw(
    store: &dyn Store,
    filter: &LetterFilter,
    out: &mut (dyn Write + Send),
    control: &Control,
) -> Result<(u64, Unreadable)> {
    if let Some(columns) = header(store, filter, control).await? {
        let mut header = csv::Writer::from_writer(&mut *out);
        header.write_record(columns)?;
        header.flush()?;
    }
    let (mut found, mut count) = (letters(store, filter)?, 0);
    while let Some(letter) = found.next().await? {
        control.check()?;
        out.write_all(&letter.raw)?;
        out.write_all(b"\n")?;
        count += 1;
    }
    out.flush()?;
    Ok((count, found.unreadable().clone()))
}

/// The header of the letters that are meant, if they are CSV with one. All must be of one format and header.
async fn header(
    store: &dyn Store,
    filter: &LetterFilter,
    control: &Control,
) -> Result<Option<Vec<String>>> {
    let shape = |letter: DeadLetter| (letter.format == InputFormat::Csv, letter.columns);
    let mut found = letters_without_raw(store, filter)?;
    let Some(first) = found.next().await?.map(shape) else {
        return Ok(None);
    };
    while let Some(other) = found.next().await? {
        control.check()?;
        if shape(other) != first {
            return Err(UsageError(MIXED.to_owned()).into());
        }
    }
    Ok(first.1)
}

const MIXED: &str = "the letters come from files of different formats or columns, which cannot stand in one file; choose with --source";

fn new_replay() -> ReplayOptions {
    let options = session::ingest_options();
    ReplayOptions {
        run: options.run,
        now: options.now,
        filter: LetterFilter::default(),
        limit: None,
        rate: None,
        dry_run: false,
        clock: options.clock,
    }
}

fn replay_options(arguments: &ReplayArguments) -> ReplayOptions {
    ReplayOptions {
        filter: of(&arguments.filter),
        limit: arguments.limit,
        rate: arguments.rate,
        dry_run: arguments.dry_run,
        ..new_replay()
    }
}

async fn try_again(
    stages: &std::sync::Arc<Stages>,
    store: &std::sync::Arc<dyn Store>,
    options: ReplayOptions,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let job = Job::start("replaying", printer);
    let report = replay(stages, store, &options, job.control()).await?;
    drop(job);
    print_replay(&report, options.dry_run, printer)?;
    printer.finish()?;
    if report.interrupted {
        printer.say(INTERRUPTED);
        return Ok(ExitStatus::Interrupted);
    }
    Ok(unreadable::end(&report.unreadable, printer))
}

fn print_replay(report: &ReplayReport, dry_run: bool, printer: &mut Printer) -> Result<()> {
    if !printer.is_for_people() {
        let by_reason: serde_json::Map<_, _> = report
            .by_reason
            .iter()
            .map(|(reason, (tried, passed))| {
                (reason.clone(), json!({"tried": tried, "passed": passed}))
            })
            .collect();
        return Ok(printer.json(&json!({
            "tried": report.tried,
            "passed": report.passed,
            "by_reason": by_reason,
            "ledger": report.ledger,
            "dry_run": dry_run,
            "interrupted": report.interrupted,
            "unreadable": report.unreadable.count,
        }))?);
    }
    let passes = if dry_run { "would pass" } else { "passed" };
    printer.line(&format!(
        "{} of {} {passes}",
        grouped(report.passed),
        counted(report.tried, "dead letter")
    ))?;
    if report.tried == 0 {
        return Ok(());
    }
    printer.line("")?;
    let header = ["was wrong", "letters", passes].map(str::to_owned);
    let rows = report
        .by_reason
        .iter()
        .map(|(reason, (tried, passed))| vec![reason.clone(), grouped(*tried), grouped(*passed)]);
    printer.plain_table(&header, rows.collect())?;
    printer.line("")?;
    ledger::print_counts(&report.ledger, printer)?;
    if dry_run {
        printer.say("a dry run: nothing was written");
    }
    Ok(())
}

async fn purge(
    store: &dyn Store,
    arguments: &PurgeArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let filter = of(&arguments.filter);
    let count = count(store, &filter, printer).await?.letters;
    if arguments.dry_run || count == 0 {
        let count = counted(count, "dead letter");
        printer.line(&format!("{count} would be removed"))?;
        return Ok(ExitStatus::Done);
    }
    if !arguments.yes && !is_confirmed(count)? {
        let count = counted(count, "dead letter");
        let message = format!("{count} would be removed for good; say --yes");
        return Err(UsageError(message).into());
    }
    let mut archive = arguments.archive.as_deref().map(new_file).transpose()?;
    let mut keep = |letters: &[DeadLetter]| match &mut archive {
        Some(file) => archive_letters(file, letters),
        None => Ok(()),
    };
    let job = Job::start("purging", printer);
    let (removed, unreadable) = purge_letters(store, &filter, &mut keep, job.control()).await?;
    drop(job);
    printer.line(&format!("removed {}", counted(removed, "dead letter")))?;
    if let Some(path) = &arguments.archive {
        printer.say(&format!("they are kept in {}", path.display()));
    }
    printer.finish()?;
    Ok(unreadable::end(&unreadable, printer))
}

/// Writes letters to an archive, and waits until they are on the disk.
fn archive_letters(file: &File, letters: &[DeadLetter]) -> io::Result<()> {
    let mut lines = io::BufWriter::with_capacity(256 << 10, file);
    for letter in letters {
        writeln!(lines, "{}", letter.to_json())?;
    }
    lines.flush()?;
    file.sync_data()
}

/// A file that did not exist: an archive replaces nothing.
fn new_file(path: &Path) -> Result<File> {
    File::create_new(path)
        .map_err(|error| UsageError(format!("{}: {error}", path.display())).into())
}

/// Whether whoever sits at the terminal says yes.
fn is_confirmed(count: u64) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut err = io::stderr();
    let count = counted(count, "dead letter");
    write!(err, "Remove {count} for good? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
