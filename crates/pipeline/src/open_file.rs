//! An input while it is read: what its records are written with.

use std::sync::Arc;

use rowmill_ingest::Options;
use rowmill_transform::Columns;

use crate::file_ledger::FileLedger;
use crate::input::Prepared;
use crate::process::ChunkSource;

/// What the records of an input are written with. It is there only while its input is read and written.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// Its place among the inputs of the job.
    pub(crate) index: usize,
    /// What became of it before it was opened.
    pub(crate) ledger: FileLedger,
    file_name: String,
    options: Options,
    columns: Option<Arc<Columns>>,
    header: Option<Arc<str>>,
    accounting: bool,
    /// Whether it is written, and not only remembered.
    pub(crate) is_written: bool,
}

impl OpenFile {
    /// Of a prepared input in the run that `ledger` says.
    pub(crate) fn new(
        index: usize,
        prepared: &Prepared,
        ledger: FileLedger,
        accounting: bool,
        is_written: bool,
    ) -> Self {
        Self {
            index,
            ledger,
            file_name: prepared.file_name(),
            options: prepared.options,
            columns: prepared.columns.clone(),
            header: prepared.header.clone(),
            accounting,
            is_written,
        }
    }

    /// What the input is called.
    pub(crate) fn name(&self) -> &str {
        &self.ledger.file
    }

    /// What its chunks come from.
    pub(crate) fn source(&self) -> ChunkSource<'_> {
        ChunkSource {
            name: &self.ledger.file,
            file_name: &self.file_name,
            format: self.options.format,
            delimiter: self.options.delimiter,
            columns: self.columns.as_deref(),
            header: self.header.as_deref(),
            run: &self.ledger.run,
            now: self.ledger.started,
            accounting: self.accounting,
        }
    }
}
