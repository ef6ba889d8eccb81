//! Deleting users, for requests of privacy: events, their rows of the timeline, dead letters; and the hours are marked, so that
//! aggregates forget the users too.
//!
//! What is deleted is noted row by row, as a hash that says nothing of the user, so that the ledgers of the runs that wrote the rows can
//! still be proved. Notes come before the rows are deleted; a deletion that dies is done again.

use std::collections::BTreeSet;
use std::sync::Arc;

use aho_corasick::AhoCorasick;
use rowmill_model::columns::{fact, family, state, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{DeletedKey, FactKey, Hour, KeyRange, TimelineKey, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};
use serde::{Deserialize, Serialize};

use crate::control::Control;
use crate::digest::{RowHash, Sum};
use crate::error::Error;
use crate::letter::DeadLetter;
use crate::letter_reader::LetterReader;
use crate::letters::{LetterFilter, LetterSlices};
use crate::marks::Marker;
use crate::resolved::{Resolution, resolve};
use crate::slices::{SliceLimit, Slices};
use crate::stages::Stages;

/// Whom to delete, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOptions {
    /// The users.
    pub user_ids: BTreeSet<String>,
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
    /// Dead letters that stay: they cannot be read, and the id of one of the users is somewhere in them.
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

/// How many users are looked for in one scan.
const SCAN_USERS: usize = 500;

/// Deletes everything there is of some users. However many they are, dead letters are read once.
pub async fn delete_users(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &DeleteOptions,
    control: &Control,
) -> Result<DeleteReport, Error> {
    let range = |user_id: &String| {
        FactKey::user(user_id).map_err(|error| Error::Query(format!("user `{user_id}`: {error}")))
    };
    // An id that cannot be one is told before anything is deleted.
    let ranges: Result<Vec<_>, _> = options.user_ids.iter().map(range).collect();
    let mut job = Delete {
        store,
        options,
        control,
        marker: Marker::new(Arc::clone(store), options.name.as_str()),
        hours: BTreeSet::new(),
        report: DeleteReport::default(),
    };
    for users in ranges?.chunks(SCAN_USERS) {
        job.events(users.to_vec()).await?;
    }
    job.letters(stages).await?;
    job.report.hours = job.hours.len() as u64;
    Ok(job.report)
}

struct Delete<'a> {
    store: &'a Arc<dyn Store>,
    options: &'a DeleteOptions,
    control: &'a Control,
    marker: Marker,
    hours: BTreeSet<Hour>,
    report: DeleteReport,
}

impl Delete<'_> {
    async fn events(&mut self, users: Vec<KeyRange>) -> Result<(), Error> {
        let scan = Scan::ranges(users).with_latest_only();
        let mut slices = Slices::new(table::FACT, scan, SliceLimit::DEFAULT);
        while let Some(facts) = slices.next(&**self.store).await? {
            self.control.check()?;
            // A row whose key tells no time has no row of the timeline, and is the user's all the same.
            let hour = |row: &Row| Some(FactKey::decode(row.key()).ok()?.timestamp.hour());
            let hours: Vec<_> = facts.iter().map(hour).collect();
            self.report.events += facts.len() as u64;
            self.control.advance(0, facts.len() as u64);
            let of_slice: BTreeSet<Hour> = hours.iter().flatten().copied().collect();
            if !self.options.dry_run {
                // Before and after, as for writing: whoever aggregates in between sees them in part.
                self.marker.mark(&of_slice).await?;
                delete_batch(self.store, &facts, &hours).await?;
                self.marker.mark(&of_slice).await?;
            }
            self.hours.extend(of_slice);
        }
        Ok(())
    }

    async fn letters(&mut self, stages: &Stages) -> Result<(), Error> {
        let users = AhoCorasick::new(&self.options.user_ids)
            .map_err(|error| Error::Query(format!("{error}; name fewer users at once")))?;
        let mut reader = LetterReader::new(stages);
        let mut slices = LetterSlices::new(&LetterFilter::default())?;
        let mut damaged = 0;
        let names_any = |row: &Row| row.cells().any(|cell| users.is_match(cell.value));
        let mut unreadable = |row: &Row| damaged += u64::from(names_any(row));
        while let Some(slice) = slices.next(&**self.store, &mut unreadable).await? {
            self.control.check()?;
            self.control.advance(0, slice.len() as u64);
            let mut meant = Vec::new();
            for letter in &slice {
                match owner(&mut reader, letter) {
                    Owner::Users(of_letter) => {
                        let mut of_letter = of_letter.iter();
                        if of_letter.any(|user| self.options.user_ids.contains(user)) {
                            meant.push((letter.key.as_bytes(), deleted(letter)));
                        }
                    }
                    Owner::Unclear => {
                        self.report.unclear += u64::from(users.is_match(&letter.raw));
                    }
                }
            }
            self.report.letters += meant.len() as u64;
            if !self.options.dry_run {
                let each = meant.iter().map(|(key, resolution)| (*key, resolution));
                resolve(&**self.store, &**self.store, each).await?;
            }
        }
        self.report.unclear += damaged;
        Ok(())
    }
}

/// Notes facts as deleted, and deletes their rows of the timeline, and then them: as long as a fact is there, it is found again.
async fn delete_batch(
    store: &Arc<dyn Store>,
    facts: &[Row],
    hours: &[Option<Hour>],
) -> Result<(), Error> {
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
        if let Some(hour) = hour {
            key.clear();
            TimelineKey::encode_fact_into(*hour, row.key(), &mut key);
            delete_row(&mut timeline, &key);
        }
        delete_row(&mut gone, row.key());
    }
    store.apply_all(table::STATE, notes).await?;
    store.apply_all(table::TIMELINE, timeline).await?;
    store.apply_all(table::FACT, gone).await?;
    Ok(())
}

fn delete_row(batch: &mut MutationBatch, key: &[u8]) {
    let mut row = batch.row(key);
    row.delete_row();
    row.finish();
}

fn deleted(letter: &DeadLetter) -> Resolution {
    Resolution {
        run: letter.run.clone(),
        by: "delete".to_owned(),
        how: "deleted".to_owned(),
    }
}

/// Whose a letter is.
enum Owner {
    Users(BTreeSet<String>),
    /// It cannot be read as far as that.
    Unclear,
}

/// Reads a letter's records for their users, unless the present pipeline file read its user before.
fn owner(reader: &mut LetterReader<'_>, letter: &DeadLetter) -> Owner {
    if let Some(user_id) = &letter.user_id
        && letter.config_hash == reader.fingerprint()
    {
        return Owner::Users(BTreeSet::from([user_id.clone()]));
    }
    let epoch = Timestamp::from_micros(0).expect("1970 is a time");
    let Ok((processed, _)) = reader.read(letter, "", epoch) else {
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
