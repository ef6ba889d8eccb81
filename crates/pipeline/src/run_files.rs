//! The names of a run's inputs, in the order in which the run reads them: the first stand in its record, the others in rows of their own,
//! because a cell has a limit and the inputs of a run have none.

use std::collections::HashSet;

use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, state, table};
use rowmill_rowkey::RunFilesKey;
use rowmill_store::{Store, StoreExt as _};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::Error;
use crate::runs::Run;

/// The names that stand in the record of a run, and in each row beside it.
pub(crate) const PAGE_NAMES: usize = 1_000;

/// The names of a run's inputs, page by page.
#[derive(Debug)]
pub(crate) struct RunFiles<'a> {
    run: &'a Run,
    /// How many pages were given.
    given: u64,
}

impl<'a> RunFiles<'a> {
    /// Those of a run, from the first on.
    pub(crate) fn of(run: &'a Run) -> Self {
        Self { run, given: 0 }
    }

    /// The next page; none after the last.
    pub(crate) async fn next(&mut self, store: &dyn Store) -> Result<Option<Vec<String>>, Error> {
        let number = self.given;
        self.given += 1;
        if number == 0 {
            return Ok(Some(self.run.files.clone()));
        }
        if (number - 1) * PAGE_NAMES as u64 >= self.run.more_files {
            return Ok(None);
        }
        page(store, self.run, number - 1).await.map(Some)
    }
}

async fn page(store: &dyn Store, run: &Run, number: u64) -> Result<Vec<String>, Error> {
    let key = key(run, number)?;
    let row = store.row(table::STATE, &key).await?;
    let json = row.as_ref();
    let json = json.and_then(|row| row.value(family::STATE, state::FILES.as_bytes()));
    let json = json.ok_or_else(|| Error::forgot(format!("names of inputs of run {}", run.run)))?;
    serde_json::from_slice(json).map_err(|error| {
        let key = String::from_utf8_lossy(&key);
        Error::Row(format!("{key}: {error}"))
    })
}

fn key(run: &Run, page: u64) -> Result<Vec<u8>, Error> {
    let run = run.run.as_str().into();
    let key = RunFilesKey { run, page }.encode();
    key.map_err(|error| Error::Query(error.to_string()))
}

/// The hash of a name: what is known of many names is known by it.
pub(crate) fn name_hash(name: &str) -> u128 {
    xxh3_128(name.as_bytes())
}

/// A run to which inputs are added.
#[derive(Debug)]
pub(crate) struct Growing {
    pub(crate) run: Run,
    /// The names in the last row beside the record, which is not full.
    page: Vec<String>,
    /// What the run has already.
    known: HashSet<u128>,
}

impl Growing {
    /// A run with the inputs that it has.
    pub(crate) async fn new(store: &dyn Store, run: Run) -> Result<Self, Error> {
        let mut known = HashSet::new();
        let mut pages = RunFiles::of(&run);
        let mut last = Vec::new();
        while let Some(page) = pages.next(store).await? {
            known.extend(page.iter().map(|name| name_hash(name)));
            last = page;
        }
        let is_full = run.more_files.is_multiple_of(PAGE_NAMES as u64);
        Ok(Self {
            run,
            page: if is_full { Vec::new() } else { last },
            known,
        })
    }

    /// Adds an input, if it is not there. A row that is full goes into `batch`.
    pub(crate) fn add(&mut self, name: &str, batch: &mut MutationBatch) -> Result<(), Error> {
        if !self.known.insert(name_hash(name)) {
            return Ok(());
        }
        if self.run.files.len() < PAGE_NAMES && self.run.more_files == 0 {
            self.run.files.push(name.to_owned());
            return Ok(());
        }
        self.page.push(name.to_owned());
        self.run.more_files += 1;
        if self.page.len() == PAGE_NAMES {
            self.write_page(batch)?;
        }
        Ok(())
    }

    /// Puts the last row into `batch`, which must be written before the run's record is.
    pub(crate) fn finish(mut self, batch: &mut MutationBatch) -> Result<Run, Error> {
        if !self.page.is_empty() {
            self.write_page(batch)?;
        }
        Ok(self.run)
    }

    fn write_page(&mut self, batch: &mut MutationBatch) -> Result<(), Error> {
        let names = std::mem::take(&mut self.page);
        let number = (self.run.more_files - 1) / PAGE_NAMES as u64;
        let json = serde_json::to_vec(&names).expect("names are JSON");
        let mut row = batch.row(&key(&self.run, number)?);
        let time = self.run.started.cell_micros();
        row.set(family::STATE, state::FILES.as_bytes(), time, &json);
        row.finish();
        Ok(())
    }
}
