//! `export`.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context as _, Result};
use rowmill_pipeline::{ExportFormat, ExportTable, export};

use crate::arguments::{self, ExportArguments, Format, Global};
use crate::exit::{ExitStatus, UsageError};
use crate::printer::{Printer, grouped};
use crate::progress::Progress;
use crate::session;

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
    let control = session::control();
    let store = session::existing_store(global).await?;
    let progress = Progress::watch(
        "exporting",
        &control,
        0,
        printer.is_quiet() || arguments.out.is_none(),
    );
    let rows = match &arguments.out {
        None => {
            export(
                &stages,
                &*store.store,
                table,
                format,
                printer.out(),
                &control,
            )
            .await?
        }
        Some(path) => {
            let file = File::create(path).with_context(|| path.display().to_string())?;
            let mut out = BufWriter::new(file);
            let rows = export(&stages, &*store.store, table, format, &mut out, &control).await?;
            out.flush().with_context(|| path.display().to_string())?;
            rows
        }
    };
    drop(progress);
    if let Some(path) = &arguments.out {
        printer.say(&format!("{} rows in {}", grouped(rows), path.display()));
    }
    Ok(ExitStatus::Done)
}
