//! Deleting a user, for requests of privacy: events, their rows of the timeline, dead letters; and the hours are marked, so that
//! aggregates forget the user too.
//!
//! What is deleted is noted row by row, as a hash that says nothing of the user, so that the ledgers of the runs that wrote the rows can
//! still be proved. Notes come before the rows are deleted; a deletion that dies is done again.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_model::columns::{fact, family, state, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{DeletedKey, FactKey, Hour, TimelineKey, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};
use serde::{Deserialize, Serialize};

use crate::aggregate::row_error;
use crate::control::Control;
use crate::digest::{RowHash, Sum};
use crate::error::Error;
use crate::letter::DeadLetter;
use crate::letter_reader::LetterReader;
use crate::letters::{LetterFilter, letters};
use crate::marks::Marker;
use crate::resolved::{Resolution, resolve};
use crate::stages::Stages;

/// Whom to delete, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOptions {
    /// The user.
    pub user_id: String,
    /// What the process is called in marks that it makes: no other may have that name.
    pub name: String,
    /// Count, and delete nothing.
    pub dry_run: bool,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeleteReport {
    /// Events.
    pub events: u64,
    /// Dead letters.
    pub letters: u64,
    /// Dead letters that stay: they cannot be read, and the user's name is somewhere in them.
    pub unclear: u64,
    /// Hours that await aggregation because of it.
    pub hours: u64,
}

/// What is noted of a fact that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deleted {
    /// The run that wrote it.
    pub(crate) run: String,
    /// The input that it came from.
    pub(crate) file: String,
    /// The hash of its key and cells.
    pub(crate) cells: Sum,
}

/// How many rows are deleted together.
const BATCH_ROWS: usize = 2_000;

/// Deletes everything there is of a user.
pub async fn delete_user(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &DeleteOptions,
    control: &Control,
) -> Result<DeleteReport, Error> {
    let mut report = DeleteReport::default();
    delete_events(store, options, control, &mut report).await?;
    delete_letters(stages, store, options, control, &mut report).await?;
    Ok(report)
}

async fn delete_events(
    store: &Arc<dyn Store>,
    options: &DeleteOptions,
    control: &Control,
    report: &mut DeleteReport,
) -> Result<(), Error> {
    let range = FactKey::user(&options.user_id);
    let range = range.map_err(|error| Error::Query(error.to_string()))?;
    let facts = store.scan(table::FACT, Scan::range(range).with_latest_only());
    let mut batches = facts.try_chunks(BATCH_ROWS);
    let mut all_hours = BTreeSet::new();
    let marker = Marker::new(Arc::clone(store), options.name.as_str());
    while let Some(facts) = batches.try_next().await.map_err(|failed| failed.1)? {
        control.check()?;
        let hour = |row: &Row| Ok(FactKey::decode(row.key())?.timestamp.hour());
        let hours: Vec<Hour> = facts
            .iter()
            .map(hour)
            .collect::<Result<_, rowmill_rowkey::Error>>()
            .map_err(row_error)?;
        report.events += facts.len() as u64;
        control.advance(0, facts.len() as u64);
        let of_batch: BTreeSet<Hour> = hours.iter().copied().collect();
        if !options.dry_run {
            // Before and after, as for writing: whoever aggregates in between sees them in part.
            marker.mark(&of_batch).await?;
            delete_batch(store, &facts, &hours).await?;
            marker.mark(&of_batch).await?;
        }
        all_hours.extend(of_batch);
    }
    report.hours = all_hours.len() as u64;
    Ok(())
}

/// Notes facts as deleted, and deletes their rows of the timeline, and then them: as long as a fact is there, it is found again.
async fn delete_batch(store: &Arc<dyn Store>, facts: &[Row], hours: &[Hour]) -> Result<(), Error> {
    let [mut notes, mut timeline, mut gone] = [(); 3].map(|()| MutationBatch::new());
    let (mut scratch, mut key) = (MutationBatch::new(), Vec::new());
    for (row, hour) in facts.iter().zip(hours) {
        let hash = RowHash::of_row(row, &mut scratch);
        let text = |name: &str| {
            let value = row.value(family::METADATA, name.as_bytes());
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let note = Deleted {
            run: text(fact::BATCH),
            file: crate::verify::file_of(&text(fact::SOURCE)).to_owned(),
            cells: Sum(hash.cells),
        };
        let json = serde_json::to_vec(&note).expect("a note is JSON");
        let mut written = notes.row(&DeletedKey(hash.key).encode());
        written.set(family::STATE, state::DELETED.as_bytes(), 0, &json);
        written.finish();
        key.clear();
        TimelineKey::encode_fact_into(*hour, row.key(), &mut key);
        for (batch, key) in [(&mut timeline, key.as_slice()), (&mut gone, row.key())] {
            let mut row = batch.row(key);
            row.delete_row();
            row.finish();
        }
    }
    store.apply_all(table::STATE, notes).await?;
    store.apply_all(table::TIMELINE, timeline).await?;
    store.apply_all(table::FACT, gone).await?;
    Ok(())
}

async fn delete_letters(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &DeleteOptions,
    control: &Control,
    report: &mut DeleteReport,
) -> Result<(), Error> {
    let found = letters(&**store, &LetterFilter::default())?;
    let mut batches = found.try_chunks(BATCH_ROWS);
    while let Some(batch) = batches.try_next().await.map_err(|failed| failed.1)? {
        control.check()?;
        let mut resolutions = Vec::new();
        for letter in &batch {
            match owner(stages, letter) {
                Owner::Users(users) if users.contains(&options.user_id) => {
                    let resolution = Resolution {
                        run: letter.run.clone(),
                        by: "delete".to_owned(),
                        how: "deleted".to_owned(),
                    };
                    resolutions.push((letter.key.as_bytes(), resolution));
                }
                Owner::Users(_) => {}
                Owner::Unclear => {
                    let raw = String::from_utf8_lossy(&letter.raw);
                    report.unclear += u64::from(raw.contains(&options.user_id));
                }
            }
        }
        report.letters += resolutions.len() as u64;
        if !options.dry_run {
            let each = resolutions
                .iter()
                .map(|(key, resolution)| (*key, resolution));
            resolve(&**store, &**store, each).await?;
        }
    }
    Ok(())
}

/// Whose a letter is.
enum Owner {
    Users(BTreeSet<String>),
    /// It cannot be read as far as that.
    Unclear,
}

fn owner(stages: &Stages, letter: &DeadLetter) -> Owner {
    let epoch = Timestamp::from_micros(0).expect("1970 is a time");
    let Ok((processed, _)) = LetterReader::new(stages).read(letter, "", epoch) else {
        return Owner::Unclear;
    };
    let mut users = BTreeSet::new();
    for row in processed.facts.iter() {
        if let Ok(key) = FactKey::decode(row.key()) {
            users.insert(key.user_id.into_owned());
        }
    }
    for rejected in processed.rejected {
        match rejected.user_id {
            Some(user) => {
                users.insert(user);
            }
            None => return Owner::Unclear,
        }
    }
    Owner::Users(users)
}
