//! `store check` and `store backup`: what concerns a store in a folder as such.

use anyhow::Result;
use rowmill_pipeline::{Damage, back_up_store, check_store};
use serde_json::json;

use crate::arguments::{BackupArguments, Format, Global, StoreCommand};
use crate::exit::{ExitStatus, UsageError};
use crate::job::Job;
use crate::printer::{Printer, counted, grouped};
use crate::session;

/// Checks a store, or backs it up.
pub(crate) fn run(
    global: &Global,
    command: &StoreCommand,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    if printer.format() == Some(Format::Csv) {
        return Err(UsageError("a check is printed as a table or as json".into()).into());
    }
    match command {
        StoreCommand::Check => check(global, printer),
        StoreCommand::Backup(arguments) => backup(global, arguments, printer),
    }
}

fn check(global: &Global, printer: &mut Printer) -> Result<ExitStatus> {
    let uri = session::uri(global)?;
    let mut output = Ok(());
    let job = Job::printing("checking the store");
    let report = job.computing(|control| {
        let mut print = |damage: Damage| {
            if output.is_ok() {
                output = print(&damage, printer);
            }
        };
        Ok(check_store(&uri, control, &mut print)?)
    })?;
    drop(job);
    output?;
    if printer.is_for_people() {
        printer.line(&format!(
            "read {} of {}, and decoded {} entries: {}",
            counted(report.files, "table file"),
            counted(report.bytes, "byte"),
            grouped(report.entries),
            if report.damaged == 0 {
                "the store is sound".to_owned()
            } else {
                format!("{} damaged", counted(report.damaged, "part"))
            },
        ))?;
    } else {
        printer.json(&json!({
            "files": report.files, "bytes": report.bytes, "entries": report.entries,
            "damaged": report.damaged,
        }))?;
    }
    printer.finish()?;
    if report.damaged == 0 {
        return Ok(ExitStatus::Done);
    }
    printer.say("restore the store from a backup; what came since can be ingested again");
    Ok(ExitStatus::Different)
}

fn print(damage: &Damage, printer: &mut Printer) -> std::io::Result<()> {
    let key = damage.key.as_deref().map(String::from_utf8_lossy);
    if !printer.is_for_people() {
        return printer.json(&json!({
            "table": damage.table, "file": damage.file, "offset": damage.offset,
            "key": key, "problem": damage.what,
        }));
    }
    let mut line = String::from("DAMAGED");
    if let Some(table) = &damage.table {
        line += &format!(" {table}");
    }
    if let Some(file) = &damage.file {
        line += &format!(" {file}");
    }
    if let Some(offset) = damage.offset {
        line += &format!(" at byte {offset}");
    }
    if let Some(key) = key {
        line += &format!(" key {key:?}");
    }
    printer.line(&format!("{line}: {}", damage.what))
}

fn backup(
    global: &Global,
    arguments: &BackupArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let uri = session::uri(global)?;
    let job = Job::start("copying the store", printer);
    let report = job.computing(|control| Ok(back_up_store(&uri, &arguments.folder, control)?))?;
    drop(job);
    if !printer.is_for_people() {
        printer.json(&json!({"files": report.files, "bytes": report.bytes}))?;
        return Ok(ExitStatus::Done);
    }
    printer.line(&format!(
        "copied {} of {} to {}",
        counted(report.files, "file"),
        counted(report.bytes, "byte"),
        arguments.folder.display()
    ))?;
    Ok(ExitStatus::Done)
}
