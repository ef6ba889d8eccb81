//! Telling of rows that a command could not read.

use rowmill_pipeline::Unreadable;

use crate::exit::ExitStatus;
use crate::printer::{Printer, counted, grouped};

/// Lists the rows that could not be read, and gives the exit status of a command that went on without them.
pub(crate) fn end(unreadable: &Unreadable, printer: &mut Printer) -> ExitStatus {
    if unreadable.count == 0 {
        return ExitStatus::Done;
    }
    let count = counted(unreadable.count, "row");
    printer.fail(&format!("{count} cannot be read"));
    for row in &unreadable.rows {
        printer.tell(&format!("  {} {}: {}", row.table, row.key, row.problem));
    }
    let more = unreadable.count - unreadable.rows.len() as u64;
    if more > 0 {
        printer.tell(&format!("  and {} more", grouped(more)));
    }
    ExitStatus::Failed
}
