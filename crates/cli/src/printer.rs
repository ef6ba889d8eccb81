//! Data to standard output, talk to standard error.

mod listing;

use std::io::{self, BufWriter, Write};

use comfy_table::{CellAlignment, Table, presets};
use rowmill_pipeline::{Sheet, SheetRow};

use crate::arguments::Format;

pub(crate) use listing::Listing;

/// Where a command's output goes, and in which form.
pub(crate) struct Printer {
    format: Option<Format>,
    quiet: bool,
    out: BufWriter<io::Stdout>,
}

impl Printer {
    pub(crate) fn new(format: Option<Format>, quiet: bool) -> Self {
        Self {
            format,
            quiet,
            out: BufWriter::new(io::stdout()),
        }
    }

    /// The form that was asked for.
    pub(crate) fn format(&self) -> Option<Format> {
        self.format
    }

    /// Whether results are for people.
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self.format, None | Some(Format::Table))
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Standard output itself.
    pub(crate) fn out(&mut self) -> &mut BufWriter<io::Stdout> {
        &mut self.out
    }

    /// Talks, unless asked to be quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            talk(text);
        }
    }

    /// Says what went wrong, even if asked to be quiet.
    pub(crate) fn fail(&mut self, text: &str) {
        // What was printed before the failure comes before the failure.
        self.out.flush().ok();
        talk(&format!("rowmill: {text}"));
    }

    /// Says more of what went wrong, even if asked to be quiet.
    pub(crate) fn tell(&mut self, text: &str) {
        self.out.flush().ok();
        talk(text);
    }

    /// Says what would help.
    pub(crate) fn hint(&self, text: &str) {
        self.say(&format!("  hint: {text}"));
    }

    /// A line of a result.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// A result for programs: one JSON object on a line.
    pub(crate) fn json(&mut self, value: &serde_json::Value) -> io::Result<()> {
        writeln!(self.out, "{value}")
    }

    /// A listing with these columns, in the form that was asked for.
    pub(crate) fn listing(&mut self, sheet: Sheet) -> io::Result<Listing<'_>> {
        Listing::new(self, sheet)
    }

    /// Rows in the form that was asked for.
    pub(crate) fn rows(&mut self, sheet: &Sheet, rows: &[SheetRow]) -> io::Result<()> {
        let mut listing = self.listing(sheet.clone())?;
        rows.iter().try_for_each(|row| listing.row(row))?;
        listing.finish()?;
        Ok(())
    }

    /// A table for people; columns of numbers stand to the right.
    pub(crate) fn plain_table(
        &mut self,
        header: &[String],
        rows: Vec<Vec<String>>,
    ) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(header);
        for column in 0..header.len() {
            let is_number =
                |text: &String| text.is_empty() || text.replace(',', "").parse::<f64>().is_ok();
            if rows.iter().all(|row| is_number(&row[column]))
                && let Some(column) = table.column_mut(column)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.add_rows(rows);
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Talks to whoever listens; where nobody does, there is nobody to tell so either.
fn talk(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

/// The failure to write that is behind a failure to write CSV.
fn of_csv(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// A cell for people: one line, not too long.
fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 40;
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// So many things for people: `1 event`, `1,234 events`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(count))
}

/// A count for people: `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
