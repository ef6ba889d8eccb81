//! Whole tables for other tools, streamed.

use std::io::Write;

use futures::TryStreamExt as _;
use rowmill_aggregate::read_row;
use rowmill_model::Row;
use rowmill_model::columns::table;
use rowmill_rowkey::{AGGREGATE_PLAN_KEY, AggregateKey};
use rowmill_store::{Scan, Store};

use crate::aggregate::check_reader;
use crate::control::Control;
use crate::error::Error;
use crate::sheet::{Sheet, SheetRow};
use crate::stages::Stages;
use crate::unreadable::{Unreadable, read_event};

/// What to export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportTable {
    /// Every event, by user and newest first.
    Facts,
    /// Every aggregate, by dimension, value and date: its hours, its day, its week.
    Aggregates,
}

/// How to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// A header and rows, RFC 4180.
    Csv,
    /// An object on each line.
    Jsonl,
}

/// What was exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Rows that were written.
    pub rows: u64,
    /// Rows of the table that could not be read, and are left out.
    pub unreadable: Unreadable,
}

/// Writes a whole table in key order, without the rows that cannot be read.
pub async fn export(
    stages: &Stages,
    store: &dyn Store,
    what: ExportTable,
    format: ExportFormat,
    out: &mut (dyn Write + Send),
    control: &Control,
) -> Result<ExportReport, Error> {
    let mut unreadable = Unreadable::default();
    let (name, scan, sheet) = match what {
        ExportTable::Facts => (table::FACT, Scan::all(), Sheet::of_events(&stages.pipeline)),
        ExportTable::Aggregates => {
            match check_reader(stages, store, None).await {
                // Whether the aggregates are of this pipeline file is not known; each is read by itself.
                Err(Error::Row(problem)) => {
                    unreadable.add(table::STATE, AGGREGATE_PLAN_KEY, problem);
                }
                checked => checked?,
            }
            let scan = Scan::ranges(AggregateKey::shown());
            (table::AGGREGATE, scan, Sheet::of_aggregates(stages))
        }
    };
    let mut output = Output::new(sheet, format, out)?;
    let mut rows = store.scan(name, scan.with_latest_only());
    while let Some(row) = rows.try_next().await? {
        control.check()?;
        match sheet_rows(stages, what, &row) {
            Ok(rows) => {
                for row in rows {
                    output.write(&row)?;
                    control.advance(0, 1);
                }
            }
            Err(problem) => unreadable.add(name, row.key(), problem),
        }
    }
    let rows = output.finish()?;
    Ok(ExportReport { rows, unreadable })
}

/// The rows of the export that a table's row gives, or the problem of the row as a fragment.
fn sheet_rows(stages: &Stages, what: ExportTable, row: &Row) -> Result<Vec<SheetRow>, String> {
    match what {
        ExportTable::Facts => {
            let event = read_event(row, &stages.pipeline)?;
            Ok(vec![SheetRow::of_event(event)])
        }
        ExportTable::Aggregates => {
            let stored = read_row(&stages.plan, row).map_err(|error| error.to_string())?;
            let rows = stored
                .iter()
                .map(|stored| SheetRow::of_stored(stages, stored));
            Ok(rows.collect())
        }
    }
}

/// Where exported rows go.
enum Output<'a> {
    Csv(Box<csv::Writer<&'a mut (dyn Write + Send)>>, u64),
    Jsonl(Sheet, &'a mut (dyn Write + Send), u64),
}

impl<'a> Output<'a> {
    fn new(
        sheet: Sheet,
        format: ExportFormat,
        out: &'a mut (dyn Write + Send),
    ) -> Result<Self, Error> {
        match format {
            ExportFormat::Jsonl => Ok(Self::Jsonl(sheet, out, 0)),
            ExportFormat::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(&sheet.columns).map_err(of_csv)?;
                Ok(Self::Csv(Box::new(writer), 0))
            }
        }
    }

    fn write(&mut self, row: &SheetRow) -> Result<(), Error> {
        match self {
            Self::Csv(writer, rows) => {
                for text in row.texts() {
                    writer.write_field(text.as_bytes()).map_err(of_csv)?;
                }
                writer.write_record(None::<&[u8]>).map_err(of_csv)?;
                *rows += 1;
            }
            Self::Jsonl(sheet, out, rows) => {
                row.write_json(sheet, *out)?;
                out.write_all(b"\n")?;
                *rows += 1;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<u64, Error> {
        match self {
            Self::Csv(mut writer, rows) => {
                writer.flush()?;
                Ok(rows)
            }
            Self::Jsonl(_, out, rows) => {
                out.flush()?;
                Ok(rows)
            }
        }
    }
}

/// The failure to write that is behind a failure to write CSV.
fn of_csv(error: csv::Error) -> std::io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    }
}
