//! What became of the records, for people or for programs.

use std::io;

use rowmill_pipeline::{IngestReport, Ledger, RunStatus, Standing, Stopped};
use serde_json::json;

use crate::exit::{ExitStatus, INTERRUPTED, INTERRUPTED_AGAIN};
use crate::printer::{Printer, counted, grouped};

/// How many inputs that are done already are named.
const SHOWN_MAX: usize = 20;

/// Prints the report of a run.
pub(crate) fn print(report: &IngestReport, printer: &mut Printer) -> io::Result<()> {
    for name in &report.empty {
        printer.say(&format!("{name}: holds no records"));
    }
    let done = done_already(report).len();
    for (name, standing) in &report.standings {
        let is_one_of_many = is_done(standing) && done > SHOWN_MAX;
        if let Some(text) = shown(standing).filter(|_| !is_one_of_many) {
            printer.say(&format!("{name}: {text}"));
        }
    }
    if done > SHOWN_MAX {
        let done = counted(done as u64, "input");
        printer.say(&format!("{done} are done already"));
    }
    if !printer.is_for_people() {
        let examples: Vec<_> = report
            .examples
            .iter()
            .map(|(place, reasons)| json!({"place": place, "reasons": reasons}))
            .collect();
        let rejected = report.ledger.rejected();
        return printer.json(&json!({
            "ledger": report.ledger,
            "rejected": rejected,
            "examples": examples,
            "damaged": damaged(report),
            "done_already": done_already(report).iter().take(SHOWN_MAX).collect::<Vec<_>>(),
            "done_already_count": done_already(report).len(),
            "status": report.status(),
            "interrupted": report.stopped == Some(Stopped::Interrupted),
        }));
    }
    if report
        .standings
        .iter()
        .all(|(_, standing)| is_done(standing))
        && !report.standings.is_empty()
    {
        printer.say("there is nothing to do; see --again");
        return Ok(());
    }
    print_counts(&report.ledger, printer)?;
    print_violations(report, printer)?;
    print_examples(report, printer)
}

fn is_done(standing: &Standing) -> bool {
    matches!(standing, Standing::Done { .. })
}

fn done_already(report: &IngestReport) -> Vec<&str> {
    let done = report
        .standings
        .iter()
        .filter(|(_, standing)| is_done(standing));
    done.map(|(name, _)| name.as_str()).collect()
}

fn damaged(report: &IngestReport) -> Vec<serde_json::Value> {
    let damaged = report.damaged.iter();
    damaged
        .map(|(file, problem)| json!({"file": file, "problem": problem}))
        .collect()
}

/// What is worth saying of how an input stands to what was ingested before.
fn shown(standing: &Standing) -> Option<String> {
    Some(match standing {
        Standing::New => return None,
        Standing::Resumed { run, position } => {
            format!("goes on at byte {} of run {run}", grouped(*position))
        }
        Standing::Done {
            run,
            other_config: false,
        } => format!("is done already, in run {run}"),
        Standing::Done { run, .. } => {
            format!("is done already, in run {run} under another pipeline file")
        }
        Standing::Grown { from } => format!(
            "has grown since it was ingested; what is new from byte {} on is read",
            grouped(*from)
        ),
        Standing::Changed => {
            "is another file than the one of that name that was ingested; all of it is read"
                .to_owned()
        }
        Standing::OtherConfig => {
            "was begun under another pipeline file; all of it is read".to_owned()
        }
    })
}

/// Prints what became of records.
pub(crate) fn print_counts(ledger: &Ledger, printer: &mut Printer) -> io::Result<()> {
    let mut rows = vec![row("read", ledger.read), row("written", ledger.written)];
    rows.extend([
        row("duplicate", ledger.duplicate),
        row("filtered", ledger.filtered),
    ]);
    rows.push(row("rejected", ledger.rejected()));
    rows.extend(
        ledger
            .rejected_by_reason
            .iter()
            .map(|(reason, count)| row(&format!("  {reason}"), *count)),
    );
    printer.plain_table(&["records".to_owned(), "count".to_owned()], rows)
}

fn row(name: &str, count: u64) -> Vec<String> {
    vec![name.to_owned(), grouped(count)]
}

fn print_violations(report: &IngestReport, printer: &mut Printer) -> io::Result<()> {
    if report.ledger.violations.is_empty() {
        return Ok(());
    }
    printer.line("")?;
    let header = ["found wrong", "in", "so", "count"].map(str::to_owned);
    let rows = report.ledger.violations.iter().map(|violation| {
        vec![
            violation.reason.clone(),
            violation.subject.clone(),
            violation.severity.clone(),
            grouped(violation.count),
        ]
    });
    printer.plain_table(&header, rows.collect())
}

fn print_examples(report: &IngestReport, printer: &mut Printer) -> io::Result<()> {
    if report.examples.is_empty() {
        return Ok(());
    }
    printer.line("")?;
    printer.line("The first rejected records:")?;
    for (place, reasons) in &report.examples {
        printer.line(&format!("  {place}: {}", reasons.join("; ")))?;
    }
    Ok(())
}

/// The exit status of a run that came to its end, one way or another.
pub(crate) fn status(report: &IngestReport, again: bool, printer: &mut Printer) -> ExitStatus {
    for (name, damage) in &report.damaged {
        printer.fail(&format!("{name}: damaged: {damage}; all else was read"));
    }
    match report.status() {
        RunStatus::Interrupted => {
            printer.say(if again {
                INTERRUPTED_AGAIN
            } else {
                INTERRUPTED
            });
            ExitStatus::Interrupted
        }
        RunStatus::TooManyRejects => {
            let (rejected, read) = (report.ledger.rejected(), report.ledger.read);
            printer.fail(&format!(
                "{} of {} records were rejected, more than allowed",
                grouped(rejected),
                grouped(read)
            ));
            ExitStatus::TooManyRejects
        }
        RunStatus::Done => ExitStatus::Done,
        RunStatus::Damaged | RunStatus::Failed | RunStatus::Unfinished => ExitStatus::Failed,
    }
}
