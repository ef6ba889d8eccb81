//! What stands in the store, digested by who wrote it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_model::columns::{fact, family, letter, state, table};
use rowmill_model::{MutationBatch, Row, StoredEvent};
use rowmill_rowkey::{DeadLetterKey, DeletedKey, FactKey, KeyRange, ResolvedKey, TimelineKey};
use rowmill_store::{Scan, Store, StoreExt as _};
use xxhash_rust::xxh3::xxh3_128;

use super::{ByRun, VerifyReport, digest_of};
use crate::control::Control;
use crate::delete::Deleted;
use crate::digest::{Digest, RowHash};
use crate::error::Error;
use crate::file_ledger::FileLedger;
use crate::letter as letters;
use crate::resolved::Resolution;
use crate::stages::Stages;

/// How many rows are looked up together.
const LOOKUP_ROWS: usize = 500;

/// What was found in the tables.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) facts: u64,
    pub(super) letters: u64,
    facts_by_run: ByRun,
    letters_by_run: ByRun,
    /// Timeline rows, by the fact they are of.
    pub(super) timeline: Digest,
    /// The timeline rows that the facts should have.
    expected: Digest,
    /// Whether all facts were written under the present pipeline file, so that it is known what their timeline rows hold.
    same_config: bool,
    /// Letters whose raw bytes are not those that their key says.
    damaged_letters: Vec<String>,
}

impl Found {
    pub(super) fn facts_of(&self, ledger: &FileLedger) -> Digest {
        digest_of(&self.facts_by_run, ledger)
    }

    pub(super) fn letters_of(&self, ledger: &FileLedger) -> Digest {
        digest_of(&self.letters_by_run, ledger)
    }
}

/// Reads all tables once.
pub(super) async fn read(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    control: &Control,
) -> Result<Found, Error> {
    let mut found = Found {
        same_config: true,
        ..Found::default()
    };
    let mut reader = Reader {
        stages,
        scratch: MutationBatch::new(),
        timeline: MutationBatch::new(),
        key: Vec::new(),
    };
    let mut deleted = deleted(store).await?;
    let mut rows = store.scan(table::FACT, Scan::all().with_latest_only());
    while let Some(row) = rows.try_next().await? {
        control.check()?;
        control.advance(0, 1);
        reader.fact(&row, &mut deleted, &mut found)?;
    }
    for (key, Deleted { run, file, cells }) in deleted {
        let cells = cells.0;
        add(&mut found.facts_by_run, &run, &file, RowHash { key, cells });
    }
    let mut rows = store.scan(table::TIMELINE, Scan::all().with_latest_only());
    while let Some(row) = rows.try_next().await? {
        control.check()?;
        found.timeline.add(reader.timeline(&row)?);
    }
    read_letters(store, &mut found, control).await?;
    Ok(found)
}

/// The facts that were deleted, by the hash of their key.
async fn deleted(store: &Arc<dyn Store>) -> Result<HashMap<u128, Deleted>, Error> {
    let broken = |error: &dyn std::fmt::Display| Error::Row(error.to_string());
    let mut deleted = HashMap::new();
    let scan = Scan::range(DeletedKey::all()).with_latest_only();
    let mut rows = store.scan(table::STATE, scan);
    while let Some(row) = rows.try_next().await? {
        let key = DeletedKey::decode(row.key()).map_err(|error| broken(&error))?;
        let json = row.value(family::STATE, state::DELETED.as_bytes());
        let note = serde_json::from_slice(json.unwrap_or_default());
        deleted.insert(key.0, note.map_err(|error| broken(&error))?);
    }
    Ok(deleted)
}

struct Reader<'a> {
    stages: &'a Stages,
    scratch: MutationBatch,
    timeline: MutationBatch,
    key: Vec<u8>,
}

impl Reader<'_> {
    fn fact(
        &mut self,
        row: &Row,
        deleted: &mut HashMap<u128, Deleted>,
        found: &mut Found,
    ) -> Result<(), Error> {
        let hash = RowHash::of_row(row, &mut self.scratch);
        found.facts += 1;
        let text = |name: &str| {
            let value = row.value(family::METADATA, name.as_bytes());
            value
                .and_then(|value| std::str::from_utf8(value).ok())
                .unwrap_or_default()
        };
        // A deletion that died before the row was gone left both.
        if deleted
            .get(&hash.key)
            .is_some_and(|it| it.run == text(fact::BATCH))
        {
            deleted.remove(&hash.key);
        }
        let file = file_of(text(fact::SOURCE));
        add(&mut found.facts_by_run, text(fact::BATCH), file, hash);
        found.same_config &= text(fact::SCHEMA_VERSION) == self.stages.pipeline.fingerprint;
        let expected = self.expected_timeline(row)?;
        found.expected.add(expected);
        Ok(())
    }

    /// The hashes that a fact's timeline row should have: of the fact's key, and of the timeline row.
    fn expected_timeline(&mut self, row: &Row) -> Result<RowHash, Error> {
        let broken = |error: &dyn std::fmt::Display| Error::Row(error.to_string());
        let key = FactKey::decode(row.key()).map_err(|error| broken(&error))?;
        self.key.clear();
        TimelineKey::encode_fact_into(key.timestamp.hour(), row.key(), &mut self.key);
        let stored =
            StoredEvent::read(row, &self.stages.pipeline).map_err(|error| broken(&error))?;
        self.timeline.clear();
        let columns = &self.stages.timeline_columns;
        stored
            .event
            .write_timeline(&self.key, columns, &mut self.timeline);
        let written = RowHash::of(self.timeline.get(0));
        Ok(RowHash {
            key: xxh3_128(row.key()),
            cells: written.cells,
        })
    }

    /// The same hashes of the row that is there.
    fn timeline(&mut self, row: &Row) -> Result<RowHash, Error> {
        let fact =
            TimelineKey::fact_bytes(row.key()).map_err(|error| Error::Row(error.to_string()))?;
        let hash = RowHash::of_row(row, &mut self.scratch);
        Ok(RowHash {
            key: xxh3_128(fact),
            cells: hash.cells,
        })
    }
}

/// The file of a place, `file:line@offset`.
pub(crate) fn file_of(place: &str) -> &str {
    let before = |text, separator| str::rsplit_once(text, separator).map(|(before, _)| before);
    before(place, '@')
        .and_then(|text| before(text, ':'))
        .unwrap_or(place)
}

fn add(digests: &mut ByRun, run: &str, file: &str, hash: RowHash) {
    if !digests.contains_key(run) {
        digests.insert(run.to_owned(), std::collections::BTreeMap::new());
    }
    let files = digests
        .get_mut(run)
        .expect("was inserted if it was missing");
    match files.get_mut(file) {
        Some(digest) => digest.add(hash),
        None => {
            let mut digest = Digest::default();
            digest.add(hash);
            files.insert(file.to_owned(), digest);
        }
    }
}

/// Dead letters, and those that are letters no more and left a trace.
async fn read_letters(
    store: &Arc<dyn Store>,
    found: &mut Found,
    control: &Control,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    let mut rows = store.scan(table::DEAD_LETTERS, Scan::all().with_latest_only());
    while let Some(row) = rows.try_next().await? {
        control.check()?;
        let key =
            DeadLetterKey::decode(row.key()).map_err(|error| Error::Row(error.to_string()))?;
        let raw = row
            .value(family::LETTER, letter::RAW.as_bytes())
            .unwrap_or_default();
        if xxh3_128(raw) != key.content {
            found
                .damaged_letters
                .push(String::from_utf8_lossy(row.key()).into_owned());
        }
        let run = row
            .value(family::LETTER, letter::RUN.as_bytes())
            .unwrap_or_default();
        let hash = xxh3_128(row.key());
        seen.insert(hash);
        found.letters += 1;
        let run = String::from_utf8_lossy(run);
        add(
            &mut found.letters_by_run,
            &run,
            &key.source,
            letters::hash(hash),
        );
    }
    let mut rows = store.scan(
        table::STATE,
        Scan::range(ResolvedKey::all()).with_latest_only(),
    );
    while let Some(row) = rows.try_next().await? {
        let broken = |error: &dyn std::fmt::Display| Error::Row(error.to_string());
        let key = ResolvedKey::decode(row.key())
            .map_err(|error| broken(&error))?
            .0;
        let json = row
            .value(family::STATE, state::RESOLVED.as_bytes())
            .unwrap_or_default();
        let resolution: Resolution =
            serde_json::from_slice(json).map_err(|error| broken(&error))?;
        let hash = xxh3_128(&key.encode().map_err(|error| broken(&error))?);
        // One that died before the letter was removed left both.
        if seen.insert(hash) {
            let (run, source) = (&resolution.run, &key.source);
            add(&mut found.letters_by_run, run, source, letters::hash(hash));
        }
    }
    Ok(())
}

pub(super) fn check_letters(found: &Found, report: &mut VerifyReport) {
    for key in &found.damaged_letters {
        report.differ(
            table::DEAD_LETTERS,
            key.clone(),
            "its raw bytes are not those that were rejected",
        );
    }
}

/// Checks that each fact has its timeline row and each timeline row its fact; which ones do not is looked for only if some do not.
pub(super) async fn check_timeline(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    found: &Found,
    open: &Open,
    report: &mut VerifyReport,
    control: &Control,
) -> Result<(), Error> {
    let (a, b) = (found.timeline, found.expected);
    let same_keys = (a.rows, a.keys) == (b.rows, b.keys);
    if same_keys && (a.cells == b.cells || !found.same_config) {
        return Ok(());
    }
    let mut reader = Reader {
        stages,
        scratch: MutationBatch::new(),
        timeline: MutationBatch::new(),
        key: Vec::new(),
    };
    let facts = store.scan(table::FACT, Scan::all().with_latest_only());
    let mut batches = facts.try_chunks(LOOKUP_ROWS);
    while let Some(facts) = batches.try_next().await.map_err(|failed| failed.1)? {
        control.check()?;
        let mut expected = std::collections::BTreeMap::new();
        for fact in &facts {
            let hash = reader.expected_timeline(fact)?;
            let is_open = open.wrote_in_part(fact);
            expected.insert(reader.key.clone(), (hash.cells, is_open));
        }
        let rows = look_up(store, table::TIMELINE, expected.keys()).await?;
        for row in rows {
            let cells = RowHash::of_row(&row, &mut reader.scratch).cells;
            let same = expected.remove(row.key()).map(|(cells, _)| cells) == Some(cells);
            if !same && found.same_config {
                report.differ(table::TIMELINE, shown(row.key()), "differs from its fact");
            }
        }
        for (key, _) in expected.into_iter().filter(|(_, (_, is_open))| !is_open) {
            report.differ(
                table::TIMELINE,
                shown(&key),
                "is missing, and its fact is there",
            );
        }
    }
    let timeline = store.scan(table::TIMELINE, Scan::all().with_latest_only());
    let mut batches = timeline.try_chunks(LOOKUP_ROWS);
    while let Some(rows) = batches.try_next().await.map_err(|failed| failed.1)? {
        control.check()?;
        let fact = |row: &Row| TimelineKey::fact_bytes(row.key()).map(<[u8]>::to_vec);
        let facts = rows.iter().map(fact).collect::<Result<Vec<_>, _>>();
        let facts = facts.map_err(|error| Error::Row(error.to_string()))?;
        let there = look_up(store, table::FACT, facts.iter()).await?;
        let there: HashSet<_> = there.iter().map(|row| row.key().to_vec()).collect();
        for (row, fact) in rows.iter().zip(facts) {
            let hour = TimelineKey::hour_text(row.key());
            let is_open = hour.is_some_and(|hour| open.hours.contains(hour));
            if !there.contains(&fact) && !is_open {
                report.differ(
                    table::TIMELINE,
                    shown(row.key()),
                    "is there, and its fact is missing",
                );
            }
        }
    }
    Ok(())
}

/// What runs that did not come to their end may have written in part.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// The names of these runs.
    pub(super) runs: BTreeSet<String>,
    /// By run and input, up to which byte of the input everything is there.
    pub(super) checkpoints: HashMap<(String, String), u64>,
    /// The hours that they marked, if there are such runs.
    pub(super) hours: BTreeSet<Vec<u8>>,
}

impl Open {
    /// Whether a fact is of a record beyond the checkpoint of its run.
    fn wrote_in_part(&self, row: &Row) -> bool {
        let text = |name: &str| {
            let value = row.value(family::METADATA, name.as_bytes());
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let place = text(fact::SOURCE);
        let offset = place
            .rsplit_once('@')
            .and_then(|(_, offset)| offset.parse().ok());
        let of_input = (text(fact::BATCH), file_of(&place).to_owned());
        let is_beyond = |checkpoint: &u64| offset.is_none_or(|offset: u64| offset >= *checkpoint);
        // An input that has no ledger yet has no checkpoint.
        self.runs.contains(&of_input.0) && self.checkpoints.get(&of_input).is_none_or(is_beyond)
    }
}

/// The rows of some keys.
pub(super) async fn look_up<'a>(
    store: &Arc<dyn Store>,
    table: &str,
    keys: impl Iterator<Item = &'a Vec<u8>>,
) -> Result<Vec<Row>, Error> {
    let ranges = keys.map(|key| KeyRange::single(key.clone())).collect();
    let scan = Scan::ranges(ranges).with_latest_only();
    Ok(store.rows(table, scan).await?)
}

pub(super) fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}
