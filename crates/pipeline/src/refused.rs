//! Rows that the store refuses and always will: their records become dead letters.

use std::collections::BTreeMap;

use rowmill_ingest::Record;
use rowmill_model::columns::table;
use rowmill_model::{Finding, MutationBatch, Reason};
use rowmill_store::limits::check_key;
use rowmill_store::{Error as StoreError, Result as StoreResult, Store, StoreExt as _};
use xxhash_rust::xxh3::xxh3_128;

use crate::batch::Batch;
use crate::digest::RowHash;
use crate::error::Error;
use crate::letter;
use crate::writer::{Target, is_refused};

/// The events that the store refuses, by their place in the batch, each with the reason. Any other failure is one of the whole batch.
pub(crate) fn rows(
    facts: Vec<StoreResult<()>>,
    timeline: Vec<StoreResult<()>>,
) -> Result<BTreeMap<usize, StoreError>, Error> {
    let mut refused = BTreeMap::new();
    for (row, outcome) in facts
        .into_iter()
        .enumerate()
        .chain(timeline.into_iter().enumerate())
    {
        match outcome {
            Ok(()) => {}
            Err(error) if is_refused(&error) => {
                refused.entry(row).or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(refused)
}

/// The dead letters of refused events, in whose place they are written. The batch's progress is corrected.
pub(crate) fn letters(
    target: &Target,
    batch: &mut Batch,
    facts: &MutationBatch,
    refused: &BTreeMap<usize, StoreError>,
) -> MutationBatch {
    let mut letters = MutationBatch::new();
    for (row, error) in refused {
        let origin = batch.origins[*row];
        let (file, chunk) = &batch.chunks[origin.chunk];
        let record = chunk.record(origin.record);
        let finding = Finding::reject(Reason::Store, "", error.to_string());
        let hash = write_letter(target, *file, &record, &finding, &mut letters);
        let progress = batch.progress.get_mut(file);
        let progress = progress.expect("a record's input has progress");
        progress.ledger.refuse(&finding, record.position.length);
        progress.facts.remove(RowHash::of(facts.get(*row)));
        progress.letters.add(hash);
    }
    letters
}

fn write_letter(
    target: &Target,
    file: usize,
    record: &Record<'_>,
    finding: &Finding,
    letters: &mut MutationBatch,
) -> RowHash {
    let source = target.files[file].source();
    let findings = std::slice::from_ref(finding);
    letter::write(&source, &target.config_hash, record, findings, letters);
    letter::hash(xxh3_128(letters.get(letters.len() - 1).key()))
}

/// Removes whichever of the two rows of refused events was written: an event is there as a whole or not at all.
pub(crate) async fn remove(
    store: &dyn Store,
    facts: &MutationBatch,
    timeline: &MutationBatch,
    refused: impl Iterator<Item = usize> + Clone,
) -> Result<(), Error> {
    for (name, rows) in [(table::FACT, facts), (table::TIMELINE, timeline)] {
        let keys = refused.clone().map(|row| rows.get(row).key());
        let mut removals = MutationBatch::new();
        for key in keys.filter(|key| check_key(key).is_ok()) {
            let mut row = removals.row(key);
            row.delete_row();
            row.finish();
        }
        store.apply_all(name, removals).await?;
    }
    Ok(())
}
