//! An input while it is read: what its records are written with.

use rowmill_ingest::Options;
use rowmill_rowkey::Timestamp;
use rowmill_transform::Columns;

use crate::file_ledger::FileLedger;
use crate::input::Prepared;
use crate::process::ChunkSource;

/// What the records of an input are written with.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) name: String,
    pub(crate) run: String,
    started: Timestamp,
    file_name: String,
    options: Options,
    columns: Option<Columns>,
    header: Option<String>,
    accounting: bool,
    /// Whether it is written, and not only remembered.
    pub(crate) is_written: bool,
}

impl OpenFile {
    /// Of a prepared input in the run that `ledger` says.
    pub(crate) fn new(
        prepared: &mut Prepared,
        ledger: &FileLedger,
        accounting: bool,
        is_written: bool,
    ) -> Self {
        Self {
            name: prepared.name.clone(),
            run: ledger.run.clone(),
            started: ledger.started,
            file_name: prepared.file_name.clone(),
            options: prepared.options,
            columns: prepared.columns.take(),
            header: prepared.header.clone(),
            accounting,
            is_written,
        }
    }

    /// What its chunks come from.
    pub(crate) fn source(&self) -> ChunkSource<'_> {
        ChunkSource {
            name: &self.name,
            file_name: &self.file_name,
            format: self.options.format,
            delimiter: self.options.delimiter,
            columns: self.columns.as_ref(),
            header: self.header.as_deref(),
            run: &self.run,
            now: self.started,
            accounting: self.accounting,
        }
    }
}
