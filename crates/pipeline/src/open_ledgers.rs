//! The ledgers of inputs at work, and the sum of those that have ended: what an ingest knows of a million inputs is no more than this.

use std::collections::{BTreeMap, BTreeSet};

use rowmill_model::MutationBatch;

use crate::error::Error;
use crate::file_ledger::{FileLedger, FileStatus, Progress};
use crate::ledger::Ledger;
use crate::open_file::OpenFile;

/// The ledgers of inputs at work, by the place of each among all, and the sum of all.
#[derive(Debug, Default)]
pub(crate) struct OpenLedgers {
    open: BTreeMap<usize, FileLedger>,
    /// Ledgers that moved on and are not written yet.
    moved: BTreeSet<usize>,
    pub(crate) totals: Totals,
}

/// What became of all inputs that are written.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) ledger: Ledger,
    /// How many inputs came to their end, by run.
    pub(crate) ended: BTreeMap<String, u64>,
    /// Inputs that are damaged, and how.
    pub(crate) damaged: Vec<(String, String)>,
}

impl OpenLedgers {
    /// None yet, beside what was read before.
    pub(crate) fn new(before: Ledger) -> Self {
        let totals = Totals {
            ledger: before,
            ..Totals::default()
        };
        Self {
            totals,
            ..Self::default()
        }
    }

    /// Moves an input's checkpoint on.
    pub(crate) fn advance(&mut self, file: &OpenFile, progress: Progress) {
        self.totals.ledger.merge(&progress.ledger);
        let ledger = self.open.entry(file.index);
        let ledger = ledger.or_insert_with(|| file.ledger.clone());
        ledger.advance(progress);
        self.moved.insert(file.index);
    }

    /// Writes the ledgers that moved, and forgets those that ended.
    pub(crate) fn write(&mut self, batch: &mut MutationBatch) -> Result<(), Error> {
        for index in std::mem::take(&mut self.moved) {
            let Some(ledger) = self.open.get(&index) else {
                continue;
            };
            ledger.write(batch);
            if ledger.status != FileStatus::Unfinished {
                self.totals.end(ledger)?;
                self.open.remove(&index);
            }
        }
        Ok(())
    }

    /// The sum of all, once nothing moves any more.
    pub(crate) fn finish(mut self) -> Result<Totals, Error> {
        self.write(&mut MutationBatch::new())?;
        for ledger in self.open.values() {
            self.totals.add(ledger)?;
        }
        Ok(self.totals)
    }
}

impl Totals {
    fn end(&mut self, ledger: &FileLedger) -> Result<(), Error> {
        self.add(ledger)?;
        *self.ended.entry(ledger.run.clone()).or_default() += 1;
        Ok(())
    }

    fn add(&mut self, ledger: &FileLedger) -> Result<(), Error> {
        ledger.ledger.check()?;
        if let Some(damage) = ledger.damage() {
            self.damaged.push((ledger.file.clone(), damage));
        }
        Ok(())
    }
}
