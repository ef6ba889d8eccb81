//! Rows that the store refuses and always will: their records become dead letters.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use rowmill_ingest::Record;
use rowmill_model::columns::table;
use rowmill_model::{Finding, MutationBatch, Reason, Row};
use rowmill_rowkey::KeyRange;
use rowmill_store::limits::check_key;
use rowmill_store::{Error as StoreError, Result as StoreResult, Scan, Store, StoreExt as _};
use xxhash_rust::xxh3::xxh3_128;

use crate::batch::Batch;
use crate::digest::RowHash;
use crate::error::Error;
use crate::letter;
use crate::open_file::OpenFile;
use crate::stages::Stages;
use crate::unreadable::read_event;
use crate::writer::{Target, is_refused};

/// An event of which the store refuses a row.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: StoreError,
    /// Whether the fact is refused: then an earlier version of it is still there.
    fact: bool,
    /// Whether the timeline row is refused.
    timeline: bool,
}

/// The refused events of a batch, by their place in it.
pub(crate) type Refused = BTreeMap<usize, Refusal>;

/// The events that the store refuses, each with the reason. Any other failure is one of the whole batch.
pub(crate) fn rows(
    facts: Vec<StoreResult<()>>,
    timeline: Vec<StoreResult<()>>,
) -> Result<Refused, Error> {
    let mut refused = Refused::new();
    let facts = facts
        .into_iter()
        .enumerate()
        .map(|(row, it)| (row, true, it));
    let timeline = timeline.into_iter().enumerate();
    for (row, is_fact, outcome) in facts.chain(timeline.map(|(row, it)| (row, false, it))) {
        match outcome {
            Ok(()) => {}
            Err(error) if is_refused(&error) => {
                let refusal = refused.entry(row).or_insert(Refusal {
                    error,
                    fact: false,
                    timeline: false,
                });
                refusal.fact |= is_fact;
                refusal.timeline |= !is_fact;
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
    refused: &Refused,
) -> MutationBatch {
    let mut letters = MutationBatch::new();
    for (row, Refusal { error, .. }) in refused {
        let origin = batch.origins[*row];
        let (file, chunk) = &batch.chunks[origin.chunk];
        let record = chunk.record(origin.record);
        let finding = Finding::reject(Reason::Store, "", error.to_string());
        let hash = write_letter(target, file, &record, &finding, &mut letters);
        let progress = batch.progress.get_mut(&file.index);
        let (_, progress) = progress.expect("a record's input has progress");
        progress.ledger.refuse(&finding, record.position.length);
        progress.facts.remove(RowHash::of(facts.get(*row)));
        progress.letters.add(hash);
    }
    letters
}

fn write_letter(
    target: &Target,
    file: &OpenFile,
    record: &Record<'_>,
    finding: &Finding,
    letters: &mut MutationBatch,
) -> RowHash {
    let source = file.source();
    let findings = std::slice::from_ref(finding);
    letter::write(
        &source,
        &target.config_hash,
        record,
        None,
        findings,
        letters,
    );
    letter::hash(xxh3_128(letters.get(letters.len() - 1).key()))
}

/// Takes refused events back, so that each is there as a whole or not at all: whichever of its two rows was written is removed.
///
/// An earlier version of the event stays where the store refused to replace its fact, and its timeline row is made from it again.
pub(crate) async fn take_back(
    stages: &Stages,
    store: &dyn Store,
    facts: &MutationBatch,
    timeline: &MutationBatch,
    refused: &Refused,
) -> Result<(), Error> {
    let earlier = earlier(store, facts, refused).await?;
    let [mut facts_gone, mut timeline_gone, mut restored] = [(); 3].map(|()| MutationBatch::new());
    for (row, refusal) in refused {
        let (fact_key, timeline_key) = (facts.get(*row).key(), timeline.get(*row).key());
        let earlier = earlier.get(fact_key);
        if earlier.is_none() {
            delete_row(&mut facts_gone, fact_key);
        }
        if earlier.is_none() || !refusal.timeline {
            delete_row(&mut timeline_gone, timeline_key);
        }
        // The timeline row of a fact that cannot be read is not known; `aggregate --rebuild` lists the fact.
        if let Some(Ok(stored)) = earlier.map(|row| read_event(row, &stages.pipeline))
            && !refusal.timeline
        {
            let columns = &stages.timeline_columns;
            stored
                .event
                .write_timeline(timeline_key, columns, &mut restored);
        }
    }
    store.apply_all(table::FACT, facts_gone).await?;
    store.apply_all(table::TIMELINE, timeline_gone).await?;
    store.apply_all(table::TIMELINE, restored).await?;
    Ok(())
}

/// The facts that are there although their writing was refused: earlier versions of the events, by key.
async fn earlier(
    store: &dyn Store,
    facts: &MutationBatch,
    refused: &Refused,
) -> Result<BTreeMap<Vec<u8>, Row>, Error> {
    const LOOKUP_ROWS: usize = 500;
    let keys = refused.iter().filter(|(_, refusal)| refusal.fact);
    let keys = keys.map(|(row, _)| facts.get(*row).key());
    let ranges = keys.filter(|key| check_key(key).is_ok());
    let ranges: Vec<_> = ranges.map(|key| KeyRange::single(key.to_vec())).collect();
    let mut found = BTreeMap::new();
    for ranges in ranges.chunks(LOOKUP_ROWS) {
        let scan = Scan::ranges(ranges.to_vec()).with_latest_only();
        let mut rows = store.scan(table::FACT, scan);
        while let Some(row) = rows.try_next().await? {
            found.insert(row.key().to_vec(), row);
        }
    }
    Ok(found)
}

/// Deletes a row, if its key can be one.
fn delete_row(batch: &mut MutationBatch, key: &[u8]) {
    if check_key(key).is_ok() {
        let mut row = batch.row(key);
        row.delete_row();
        row.finish();
    }
}
