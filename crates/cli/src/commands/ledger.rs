//! What became of the records, for people or for programs.

use std::io;

use rowmill_model::RejectLimit;
use rowmill_pipeline::IngestReport;
use serde_json::json;

use crate::exit::ExitStatus;
use crate::printer::{Printer, grouped};

/// Prints the report of a run.
pub(crate) fn print(report: &IngestReport, printer: &mut Printer) -> io::Result<()> {
    for name in &report.empty {
        printer.say(&format!("{name}: holds no records"));
    }
    if !printer.is_for_people() {
        let examples: Vec<_> = report
            .examples
            .iter()
            .map(|(place, reasons)| json!({"place": place, "reasons": reasons}))
            .collect();
        let rejected = report.ledger.rejected();
        return printer.json(&json!({
            "ledger": report.ledger, "rejected": rejected, "examples": examples, "interrupted": report.interrupted,
        }));
    }
    let ledger = &report.ledger;
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
    printer.plain_table(&["records".to_owned(), "count".to_owned()], rows)?;
    print_violations(report, printer)?;
    print_examples(report, printer)
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
pub(crate) fn status(
    report: &IngestReport,
    limit: Option<RejectLimit>,
    printer: &mut Printer,
) -> ExitStatus {
    if report.interrupted {
        printer
            .say("interrupted: what was done so far is kept; run the same command again to go on");
        return ExitStatus::Interrupted;
    }
    let (rejected, read) = (report.ledger.rejected(), report.ledger.read);
    if limit.is_some_and(|limit| limit.is_exceeded(rejected, read)) {
        printer.fail(&format!(
            "{} of {} records were rejected, more than allowed",
            grouped(rejected),
            grouped(read)
        ));
        return ExitStatus::TooManyRejects;
    }
    ExitStatus::Done
}
