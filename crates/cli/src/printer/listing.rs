//! Rows that are printed as they come, in memory that does not grow with their number.
//!
//! JSON and CSV need nothing but the row. A table needs the widths of its columns, so it is printed in pages: each with its header, its
//! widths, and only the columns that have a value in it. A listing of one page looks like any table.

use std::io::{self, Write as _};

use rowmill_pipeline::{Sheet, SheetRow};
use serde_json::Value;

use super::{Printer, of_csv, shortened};
use crate::arguments::Format;

/// How many rows a page of a table has at most.
const PAGE_ROWS: usize = 1_000;
/// How many bytes the cells of a page take at most, each with what a table keeps for it.
const PAGE_BYTES: usize = 8 << 20;
const CELL_BYTES: usize = 128;

/// A listing that is being printed. It must be finished, also after an error, so that what came before is printed.
pub(crate) struct Listing<'a> {
    printer: &'a mut Printer,
    sheet: Sheet,
    form: Form,
    rows: u64,
}

enum Form {
    Table(Page),
    Json,
    Csv,
}

/// The rows of a table that wait to be printed together.
#[derive(Default)]
struct Page {
    rows: Vec<Vec<String>>,
    bytes: usize,
    /// Of each column, whether it has a value.
    shown: Vec<bool>,
}

impl<'a> Listing<'a> {
    pub(super) fn new(printer: &'a mut Printer, sheet: Sheet) -> io::Result<Self> {
        let form = match printer.format {
            None | Some(Format::Table) => Form::Table(Page::default()),
            Some(Format::Json | Format::Jsonl) => Form::Json,
            Some(Format::Csv) => Form::Csv,
        };
        let mut listing = Self {
            printer,
            sheet,
            form,
            rows: 0,
        };
        if matches!(listing.form, Form::Csv) {
            let columns = listing.sheet.columns.clone();
            listing.write_csv(columns.iter().map(String::as_bytes))?;
        }
        Ok(listing)
    }

    /// How many rows came so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// A row of the sheet. Of a table for people, columns without any value are left out.
    pub(crate) fn row(&mut self, row: &SheetRow) -> io::Result<()> {
        self.rows += 1;
        match &mut self.form {
            Form::Json => {
                row.write_json(&self.sheet, &mut self.printer.out)?;
                self.printer.out.write_all(b"\n")
            }
            Form::Csv => {
                let texts: Vec<_> = row.texts().collect();
                self.write_csv(texts.iter().map(|text| text.as_bytes()))
            }
            Form::Table(page) => {
                let cells = row.texts().map(|text| shortened(&text)).collect();
                page.add(cells, |column| !row.0[column].is_null());
                self.print_full_page()
            }
        }
    }

    /// A row of texts, which is `json` for programs.
    pub(crate) fn texts(
        &mut self,
        texts: Vec<String>,
        json: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        self.rows += 1;
        match &mut self.form {
            Form::Json => writeln!(self.printer.out, "{}", json()),
            Form::Csv => self.write_csv(texts.iter().map(String::as_bytes)),
            Form::Table(page) => {
                page.add(texts, |_| true);
                self.print_full_page()
            }
        }
    }

    /// Prints what waits, and gives the number of all rows.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.print_page()?;
        self.printer.out.flush()?;
        Ok(self.rows)
    }

    fn write_csv<'b>(&mut self, fields: impl Iterator<Item = &'b [u8]>) -> io::Result<()> {
        // Into memory, because a writer over standard output empties its buffer with its own: a system call a row.
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(fields).map_err(of_csv)?;
        let record = writer
            .into_inner()
            .map_err(csv::IntoInnerError::into_error)?;
        self.printer.out.write_all(&record)
    }

    fn print_full_page(&mut self) -> io::Result<()> {
        match &self.form {
            Form::Table(page) if page.is_full() => self.print_page(),
            _ => Ok(()),
        }
    }

    fn print_page(&mut self) -> io::Result<()> {
        let Form::Table(page) = &mut self.form else {
            return Ok(());
        };
        let page = std::mem::take(page);
        if page.rows.is_empty() {
            return Ok(());
        }
        let columns = self.sheet.columns.iter();
        let header: Vec<_> = kept(columns.cloned(), &page.shown).collect();
        let rows = page.rows.into_iter();
        let rows = rows.map(|row| kept(row.into_iter(), &page.shown).collect());
        self.printer.plain_table(&header, rows.collect())
    }
}

/// What stands in columns that are shown.
fn kept(texts: impl Iterator<Item = String>, shown: &[bool]) -> impl Iterator<Item = String> {
    let shown_texts = texts.zip(shown).filter(|(_, is_shown)| **is_shown);
    shown_texts.map(|(text, _)| text)
}

impl Page {
    fn add(&mut self, cells: Vec<String>, has_value: impl Fn(usize) -> bool) {
        self.shown.resize(cells.len(), false);
        for (column, shown) in self.shown.iter_mut().enumerate() {
            *shown |= has_value(column);
        }
        let bytes = cells.iter().map(|cell| cell.len() + CELL_BYTES);
        self.bytes += bytes.sum::<usize>();
        self.rows.push(cells);
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= PAGE_ROWS || self.bytes >= PAGE_BYTES
    }
}
