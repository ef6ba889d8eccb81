//! Whole tables for other tools, streamed.

use std::io::Write;

use futures::TryStreamExt as _;
use rowmill_aggregate::read_row;
use rowmill_model::columns::table;
use rowmill_model::{Row, StoredEvent};
use rowmill_rowkey::AggregateKey;
use rowmill_store::{Scan, Store};

use crate::aggregate::{check_reader, row_error};
use crate::control::Control;
use crate::error::Error;
use crate::sheet::{Sheet, SheetRow};
use crate::stages::Stages;

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

/// Writes a whole table in key order, and gives the number of rows written.
pub async fn export(
    stages: &Stages,
    store: &dyn Store,
    what: ExportTable,
    format: ExportFormat,
    out: &mut (dyn Write + Send),
    control: &Control,
) -> Result<u64, Error> {
    let (name, scan, sheet) = match what {
        ExportTable::Facts => (table::FACT, Scan::all(), Sheet::of_events(&stages.pipeline)),
        ExportTable::Aggregates => {
            check_reader(stages, store, None).await?;
            let scan = Scan::ranges(AggregateKey::shown());
            (table::AGGREGATE, scan, Sheet::of_aggregates(stages))
        }
    };
    let mut output = Output::new(sheet, format, out)?;
    let mut rows = store.scan(name, scan.with_latest_only());
    while let Some(row) = rows.try_next().await? {
        control.check()?;
        for row in sheet_rows(stages, what, &row)? {
            output.write(&row)?;
            control.advance(0, 1);
        }
    }
    output.finish()
}

fn sheet_rows(stages: &Stages, what: ExportTable, row: &Row) -> Result<Vec<SheetRow>, Error> {
    match what {
        ExportTable::Facts => {
            let event = StoredEvent::read(row, &stages.pipeline).map_err(row_error)?;
            Ok(vec![SheetRow::of_event(event)])
        }
        ExportTable::Aggregates => {
            let stored = read_row(&stages.plan, row).map_err(row_error)?;
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
