//! `export`.

use anyhow::Result;
use rowmill_pipeline::{ExportFormat, ExportTable, export};

use crate::arguments::{self, ExportArguments, Format, Global};
use crate::exit::{ExitStatus, UsageError};
use crate::job::Job;
use crate::output::OutputFile;
use crate::printer::{Printer, grouped};
use crate::session;
use crate::unreadable;

/// Writes a whole table for other tools.
pub(crate) async fn run(
    global: &Global,
    arguments: &ExportArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let format = match printer.format() {
        None | Some(Format::Csv) => ExportFormat::Csv,
        Some(Format::Json | Format::Jsonl) => ExportFormat::Jsonl,
        Some(Format::Table) => {
            return Err(UsageError("a table is exported as csv or jsonl".into()).into());
        }
    };
    let table = match arguments.table {
        arguments::ExportTable::Facts => ExportTable::Facts,
        arguments::ExportTable::Aggregates => ExportTable::Aggregates,
    };
    let stages = session::stages(global)?;
    let store = session::existing_store(global).await?;
    let report = match &arguments.out {
        None => {
            let job = Job::printing("exporting");
            let (out, control) = (printer.out(), job.control());
            let work = export(&stages, &*store.store, table, format, out, control);
            job.reading(work).await?
        }
        Some(path) => {
            let job = Job::start("exporting", printer);
            let mut out = OutputFile::create(path)?;
            let control = job.control();
            let work = export(&stages, &*store.store, table, format, &mut out, control);
            let report = job.reading(work).await?;
            out.finish()?;
            report
        }
    };
    if let Some(path) = &arguments.out {
        let rows = grouped(report.rows);
        printer.say(&format!("{rows} rows in {}", path.display()));
    }
    printer.finish()?;
    Ok(unreadable::end(&report.unreadable, printer))
}
