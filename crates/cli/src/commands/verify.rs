//! `verify`: proving the ledgers.

use anyhow::Result;
use rowmill_pipeline::{
    DateRange, Depth, Difference, Verdict, VerifyAggregatesOptions, VerifyAggregatesReport,
    VerifyOptions, VerifyReport, verify, verify_aggregates,
};
use serde_json::json;

use crate::arguments::{Global, VerifyArguments};
use crate::exit::ExitStatus;
use crate::job::Job;
use crate::printer::{Printer, counted, grouped};
use crate::session;

/// Proves the ledgers, or shows what differs.
pub(crate) async fn run(
    global: &Global,
    arguments: &VerifyArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    if arguments.aggregates {
        return aggregates(global, arguments, printer).await;
    }
    let stages = session::stages(global)?;
    let opened = session::existing_store(global).await?;
    let depth = match arguments.sample {
        Some(records) => Depth::Sample(usize::try_from(records).unwrap_or(usize::MAX)),
        None if arguments.full => Depth::Full,
        None => Depth::Store,
    };
    let options = VerifyOptions {
        run: arguments.run.clone(),
        file: arguments.file.clone(),
        depth,
        storage: session::storage(global),
    };
    let job = Job::start("verifying", printer);
    let work = verify(&stages, &opened.store, &options, job.control());
    let report = job.reading(work).await?;
    drop(job);
    if printer.is_for_people() {
        print(&report, printer)?;
    } else {
        printer.json(&as_json(&report))?;
    }
    end(&report.differences, report.more, printer)
}

/// Proves the aggregates, or shows what differs.
async fn aggregates(
    global: &Global,
    arguments: &VerifyArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let stages = session::stages(global)?;
    let options = VerifyAggregatesOptions {
        dates: DateRange::new(arguments.from, arguments.to)?,
        ..VerifyAggregatesOptions::default()
    };
    let opened = session::existing_store(global).await?;
    let job = Job::start("verifying", printer);
    let work = verify_aggregates(&stages, &opened.store, &options, job.control());
    let report = job.reading(work).await?;
    drop(job);
    let VerifyAggregatesReport {
        facts,
        rows,
        cells,
        pending,
        ..
    } = report;
    if printer.is_for_people() {
        printer.line(&format!(
            "compared {} in {} with {}",
            counted(cells, "cell"),
            counted(rows, "row"),
            counted(facts, "fact")
        ))?;
        print_differences(&report.differences, report.more, printer)?;
    } else {
        printer.json(&json!({
            "proved": report.is_proved(), "facts": facts, "rows": rows, "cells": cells, "pending_hours": pending,
            "differences": differences(&report.differences), "more": report.more,
        }))?;
    }
    if pending > 0 {
        let hours = counted(pending, "hour");
        printer.say(&format!(
            "{hours} await aggregation: see `rowmill aggregate`"
        ));
    }
    end(&report.differences, report.more, printer)
}

fn end(differences: &[Difference], more: u64, printer: &mut Printer) -> Result<ExitStatus> {
    printer.finish()?;
    let count = differences.len() as u64 + more;
    if count == 0 {
        return Ok(ExitStatus::Done);
    }
    printer.fail(&counted(count, "difference"));
    Ok(ExitStatus::Different)
}

fn print_differences(
    differences: &[Difference],
    more: u64,
    printer: &mut Printer,
) -> std::io::Result<()> {
    for difference in differences {
        printer.line(&format!(
            "{} {}: {}",
            difference.table, difference.key, difference.problem
        ))?;
    }
    if more > 0 {
        printer.line(&format!("and {} more", grouped(more)))?;
    }
    Ok(())
}

fn differences(differences: &[Difference]) -> Vec<serde_json::Value> {
    let each = differences.iter();
    each.map(|it| json!({"table": it.table, "key": it.key, "problem": it.problem}))
        .collect()
}

fn print(report: &VerifyReport, printer: &mut Printer) -> Result<()> {
    if report.ledgers.is_empty() {
        printer.say("there is nothing to verify: no run has written anything");
    } else {
        let header = ["run", "file", "written", "verdict"].map(str::to_owned);
        let rows = report.ledgers.iter().map(|ledger| {
            vec![
                ledger.run.clone(),
                ledger.file.clone(),
                grouped(ledger.written),
                ledger.verdict.name(),
            ]
        });
        printer.plain_table(&header, rows.collect())?;
    }
    if report.facts > 0 {
        printer.line(&format!(
            "read: {}, {}, {}",
            counted(report.facts, "fact"),
            counted(report.timeline, "timeline row"),
            counted(report.letters, "dead letter")
        ))?;
    }
    Ok(print_differences(
        &report.differences,
        report.more,
        printer,
    )?)
}

fn as_json(report: &VerifyReport) -> serde_json::Value {
    let ledgers: Vec<_> = report
        .ledgers
        .iter()
        .map(|ledger| {
            json!({
                "run": ledger.run,
                "file": ledger.file,
                "written": ledger.written,
                "verdict": word(&ledger.verdict),
            })
        })
        .collect();
    json!({
        "proved": report.is_proved(),
        "ledgers": ledgers,
        "facts": report.facts,
        "timeline": report.timeline,
        "dead_letters": report.letters,
        "differences": differences(&report.differences),
        "more": report.more,
    })
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Proved => "proved",
        Verdict::ProvedFromSource { .. } => "proved_from_source",
        Verdict::Superseded => "superseded",
        Verdict::Unfinished => "unfinished",
        Verdict::Different => "different",
    }
}
