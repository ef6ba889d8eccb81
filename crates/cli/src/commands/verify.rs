//! `verify`: proving the ledgers.

use anyhow::Result;
use rowmill_pipeline::{Depth, Verdict, VerifyOptions, VerifyReport, verify};
use serde_json::json;

use crate::arguments::{Global, VerifyArguments};
use crate::exit::ExitStatus;
use crate::printer::{Printer, counted, grouped};
use crate::progress::Progress;
use crate::session;

/// Proves the ledgers, or shows what differs.
pub(crate) async fn run(
    global: &Global,
    arguments: &VerifyArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let stages = session::stages(global)?;
    let opened = session::existing_store(global).await?;
    let depth = match arguments.sample {
        Some(records) => Depth::Sample(records),
        None if arguments.full => Depth::Full,
        None => Depth::Store,
    };
    let options = VerifyOptions {
        run: arguments.run.clone(),
        file: arguments.file.clone(),
        depth,
        storage: session::storage(global),
    };
    let control = session::control();
    let progress = Progress::watch("verifying", &control, 0, printer.is_quiet());
    let report = verify(&stages, &opened.store, &options, &control).await?;
    drop(progress);
    if printer.is_for_people() {
        print(&report, printer)?;
    } else {
        printer.json(&as_json(&report))?;
    }
    printer.finish()?;
    if report.is_proved() {
        return Ok(ExitStatus::Done);
    }
    let differences = report.differences.len() as u64 + report.more;
    printer.fail(&counted(differences, "difference"));
    Ok(ExitStatus::Different)
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
    for difference in &report.differences {
        printer.line(&format!(
            "{} {}: {}",
            difference.table, difference.key, difference.problem
        ))?;
    }
    if report.more > 0 {
        printer.line(&format!("and {} more", grouped(report.more)))?;
    }
    Ok(())
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
    let differences: Vec<_> = report
        .differences
        .iter()
        .map(|it| json!({"table": it.table, "key": it.key, "problem": it.problem}))
        .collect();
    json!({
        "proved": report.is_proved(),
        "ledgers": ledgers,
        "facts": report.facts,
        "timeline": report.timeline,
        "dead_letters": report.letters,
        "differences": differences,
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
