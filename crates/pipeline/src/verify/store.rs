//! What stands in the store, digested by who wrote it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use rowmill_model::columns::{fact, family, letter, state, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{DeadLetterKey, DeletedKey, FactKey, KeyRange, ResolvedKey, TimelineKey};
use rowmill_store::{Error as StoreError, Scan, Store};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{ByRun, VerifyReport, digest_of};
use crate::control::Control;
use crate::delete::Deleted;
use crate::digest::{Digest, RowHash};
use crate::error::Error;
use crate::file_ledger::FileLedger;
use crate::letter::{self as letters, DeadLetter};
use crate::resolved::Resolution;
use crate::slices::{SliceLimit, Slices};
use crate::stages::Stages;
use crate::unreadable::{read_event, shown_key};

/// How many rows are looked up together.
const LOOKUP: SliceLimit = SliceLimit {
    rows: 500,
    ..SliceLimit::DEFAULT
};

/// What was found in the tables.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) facts: u64,
    pub(super) letters: u64,
    facts_by_run: ByRun,
    letters_by_run: ByRun,
    /// Timeline rows, by the fact they are of.
    pub(super) timeline: Digest,
    /// The timeline rows that the facts that can be read should have.
    expected: Digest,
    /// Whether all facts were written under the present pipeline file, so that it is known what their timeline rows hold.
    same_config: bool,
}

impl Found {
    pub(super) fn facts_of(&self, ledger: &FileLedger) -> Digest {
        digest_of(&self.facts_by_run, ledger)
    }

    pub(super) fn letters_of(&self, ledger: &FileLedger) -> Digest {
        digest_of(&self.letters_by_run, ledger)
    }
}

/// Reads all tables once. Rows that cannot be read are differences.
pub(super) async fn read(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    report: &mut VerifyReport,
    control: &Control,
) -> Result<Found, Error> {
    let mut found = Found {
        same_config: true,
        ..Found::default()
    };
    let mut reader = Reader::new(stages);
    let deleted = deleted(store, &mut found, report).await?;
    let mut rows = store.scan(table::FACT, Scan::all().with_latest_only());
    while let Some(row) = rows.try_next().await? {
        control.check()?;
        control.advance(0, 1);
        reader.fact(&row, &deleted, &mut found, report);
    }
    let mut rows = store.scan(table::TIMELINE, Scan::all().with_latest_only());
    while let Some(row) = rows.try_next().await? {
        control.check()?;
        control.advance(0, 1);
        match reader.timeline(&row) {
            Ok(hash) => found.timeline.add(hash),
            Err(problem) => report.differ(table::TIMELINE, shown_key(row.key()), problem),
        }
    }
    read_letters(store, &mut found, report, control).await?;
    Ok(found)
}

/// Adds the facts that were deleted to those of the runs that wrote them. Gives, by the hash of each one's key, that of the run.
async fn deleted(
    store: &Arc<dyn Store>,
    found: &mut Found,
    report: &mut VerifyReport,
) -> Result<HashMap<u128, u64>, Error> {
    let mut deleted = HashMap::new();
    let scan = Scan::range(DeletedKey::all()).with_latest_only();
    let mut rows = store.scan(table::STATE, scan);
    while let Some(row) = rows.try_next().await? {
        match read_deleted(&row) {
            Ok((key, Deleted { run, file, cells })) => {
                let hash = RowHash {
                    key,
                    cells: cells.0,
                };
                add(&mut found.facts_by_run, &run, &file, hash);
                deleted.insert(key, xxh3_64(run.as_bytes()));
            }
            Err(problem) => report.differ(table::STATE, shown_key(row.key()), problem),
        }
    }
    Ok(deleted)
}

fn read_deleted(row: &Row) -> Result<(u128, Deleted), String> {
    let key = DeletedKey::decode(row.key()).map_err(|error| error.to_string())?;
    let json = row.value(family::STATE, state::DELETED.as_bytes());
    let note = serde_json::from_slice(json.unwrap_or_default());
    let note = note.map_err(|error| format!("is no note of a deletion: {error}"))?;
    Ok((key.0, note))
}

struct Reader<'a> {
    stages: &'a Stages,
    scratch: MutationBatch,
    timeline: MutationBatch,
    key: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(stages: &'a Stages) -> Self {
        Self {
            stages,
            scratch: MutationBatch::new(),
            timeline: MutationBatch::new(),
            key: Vec::new(),
        }
    }

    fn fact(
        &mut self,
        row: &Row,
        deleted: &HashMap<u128, u64>,
        found: &mut Found,
        report: &mut VerifyReport,
    ) {
        let hash = RowHash::of_row(row, &mut self.scratch);
        found.facts += 1;
        let text = |name: &str| {
            let value = row.value(family::METADATA, name.as_bytes());
            value
                .and_then(|value| std::str::from_utf8(value).ok())
                .unwrap_or_default()
        };
        let run = text(fact::BATCH);
        // A deletion that died before the row was gone left both.
        if deleted.get(&hash.key) != Some(&xxh3_64(run.as_bytes())) {
            add(
                &mut found.facts_by_run,
                run,
                file_of(text(fact::SOURCE)),
                hash,
            );
        }
        found.same_config &= text(fact::SCHEMA_VERSION) == self.stages.pipeline.fingerprint;
        match self.expected_timeline(row) {
            Ok(expected) => found.expected.add(expected),
            Err(problem) => report.differ(table::FACT, shown_key(row.key()), problem),
        }
    }

    /// The hashes that a fact's timeline row should have: of the fact's key, and of the timeline row. Its key is `self.key`, which is
    /// empty if the fact's key is none.
    fn expected_timeline(&mut self, row: &Row) -> Result<RowHash, String> {
        self.key.clear();
        let key = FactKey::decode(row.key()).map_err(|error| error.to_string())?;
        TimelineKey::encode_fact_into(key.timestamp.hour(), row.key(), &mut self.key);
        let stored = read_event(row, &self.stages.pipeline)?;
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
    fn timeline(&mut self, row: &Row) -> Result<RowHash, String> {
        let fact = TimelineKey::fact_bytes(row.key()).map_err(|error| error.to_string())?;
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
        digests.insert(run.to_owned(), BTreeMap::new());
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

/// Reads dead letters, and beside them those that are letters no more and left a trace. Both come in the order of the letters' keys.
async fn read_letters(
    store: &Arc<dyn Store>,
    found: &mut Found,
    report: &mut VerifyReport,
    control: &Control,
) -> Result<(), Error> {
    let resolved = Scan::range(ResolvedKey::all()).with_latest_only();
    let mut resolved = Resolved(store.scan(table::STATE, resolved));
    let mut rows = store.scan(table::DEAD_LETTERS, Scan::all().with_latest_only());
    let mut gone = resolved.next(report).await?;
    while let Some(row) = rows.try_next().await? {
        control.check()?;
        control.advance(0, 1);
        while let Some(before) = gone.take_if(|gone| gone.letter.as_slice() < row.key()) {
            found.add_gone(&before);
            gone = resolved.next(report).await?;
        }
        // One that died before the letter was removed left both.
        if gone.as_ref().is_some_and(|gone| gone.letter == row.key()) {
            gone = resolved.next(report).await?;
        }
        found.add_letter(&row, report);
    }
    while let Some(last) = gone {
        control.check()?;
        found.add_gone(&last);
        gone = resolved.next(report).await?;
    }
    Ok(())
}

/// A letter that is one no more.
struct Gone {
    /// The key that it had.
    letter: Vec<u8>,
    source: String,
    /// The run that rejected it.
    run: String,
}

/// The letters that are no more, in the order of the keys that they had.
struct Resolved(BoxStream<'static, Result<Row, StoreError>>);

impl Resolved {
    /// The next one that can be read; the others are differences.
    async fn next(&mut self, report: &mut VerifyReport) -> Result<Option<Gone>, Error> {
        while let Some(row) = self.0.try_next().await? {
            match Gone::read(&row) {
                Ok(gone) => return Ok(Some(gone)),
                Err(problem) => report.differ(table::STATE, shown_key(row.key()), problem),
            }
        }
        Ok(None)
    }
}

impl Gone {
    fn read(row: &Row) -> Result<Self, String> {
        let broken = |error: rowmill_rowkey::Error| error.to_string();
        let key = ResolvedKey::decode(row.key()).map_err(broken)?.0;
        let json = row.value(family::STATE, state::RESOLVED.as_bytes());
        let resolution: Result<Resolution, _> = serde_json::from_slice(json.unwrap_or_default());
        let resolution = resolution.map_err(|error| format!("tells of no letter: {error}"))?;
        Ok(Self {
            letter: key.encode().map_err(broken)?,
            source: key.source.into_owned(),
            run: resolution.run,
        })
    }
}

impl Found {
    fn add_gone(&mut self, gone: &Gone) {
        let hash = letters::hash(xxh3_128(&gone.letter));
        add(&mut self.letters_by_run, &gone.run, &gone.source, hash);
    }

    fn add_letter(&mut self, row: &Row, report: &mut VerifyReport) {
        let key = match DeadLetterKey::decode(row.key()) {
            Ok(key) => key,
            Err(error) => {
                let key = shown_key(row.key());
                return report.differ(table::DEAD_LETTERS, key, error.to_string());
            }
        };
        let cell = |name: &str| {
            let value = row.value(family::LETTER, name.as_bytes());
            value.unwrap_or_default()
        };
        if xxh3_128(cell(letter::RAW)) != key.content {
            let problem = "its raw bytes are not those that were rejected";
            report.differ(table::DEAD_LETTERS, shown_key(row.key()), problem);
        } else if let Err(problem) = DeadLetter::read_cells(row, false) {
            report.differ(table::DEAD_LETTERS, shown_key(row.key()), problem);
        }
        self.letters += 1;
        let run = String::from_utf8_lossy(cell(letter::RUN));
        let hash = letters::hash(xxh3_128(row.key()));
        add(&mut self.letters_by_run, &run, &key.source, hash);
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
    let mut facts = Slices::new(table::FACT, Scan::all().with_latest_only(), LOOKUP);
    let mut reader = Reader::new(stages);
    while let Some(facts) = facts.next(&**store).await? {
        control.check()?;
        control.advance(0, facts.len() as u64);
        check_facts(&mut reader, store, &facts, found.same_config, open, report).await?;
    }
    let timeline = Scan::all().with_keys_only();
    let mut timeline = Slices::new(table::TIMELINE, timeline, LOOKUP);
    while let Some(rows) = timeline.next(&**store).await? {
        control.check()?;
        control.advance(0, rows.len() as u64);
        check_timeline_rows(store, &rows, open, report).await?;
    }
    Ok(())
}

/// Looks the timeline rows of facts up. Facts that cannot be read are differences already.
async fn check_facts(
    reader: &mut Reader<'_>,
    store: &Arc<dyn Store>,
    facts: &[Row],
    compares_cells: bool,
    open: &Open,
    report: &mut VerifyReport,
) -> Result<(), Error> {
    let mut expected = BTreeMap::new();
    for fact in facts {
        let cells = reader.expected_timeline(fact).ok().map(|hash| hash.cells);
        if !reader.key.is_empty() {
            let is_open = open.wrote_in_part(fact);
            expected.insert(reader.key.clone(), (cells, is_open));
        }
    }
    let scratch = &mut reader.scratch;
    let cells = |row: &Row| RowHash::of_row(row, scratch).cells;
    let there = look_up(store, table::TIMELINE, expected.keys(), Cells::All, cells).await?;
    for (key, (cells, is_open)) in expected {
        let problem = match (there.get(&key), cells) {
            (Some(found), Some(cells)) if compares_cells && *found != cells => {
                "differs from its fact"
            }
            (None, _) if !is_open => "is missing, and its fact is there",
            _ => continue,
        };
        report.differ(table::TIMELINE, shown_key(&key), problem);
    }
    Ok(())
}

/// Looks the facts of timeline rows up. Rows whose key is none are differences already.
async fn check_timeline_rows(
    store: &Arc<dyn Store>,
    rows: &[Row],
    open: &Open,
    report: &mut VerifyReport,
) -> Result<(), Error> {
    let fact = |row: &Row| {
        Some((
            TimelineKey::fact_bytes(row.key()).ok()?.to_vec(),
            row.clone(),
        ))
    };
    let facts: Vec<_> = rows.iter().filter_map(fact).collect();
    let keys = facts.iter().map(|(fact, _)| fact);
    let there = look_up(store, table::FACT, keys, Cells::None, |_| ()).await?;
    for (fact, row) in facts {
        let hour = TimelineKey::hour_text(row.key());
        let is_open = hour.is_some_and(|hour| open.hours.contains(hour));
        if !there.contains_key(&fact) && !is_open {
            let problem = "is there, and its fact is missing";
            report.differ(table::TIMELINE, shown_key(row.key()), problem);
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

/// Which cells of the rows that are looked up are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cells {
    All,
    None,
}

/// Which of some rows are there, each with what `of` says of it: rows may be large, and are not kept.
pub(super) async fn look_up<'a, T>(
    store: &Arc<dyn Store>,
    table: &str,
    keys: impl Iterator<Item = &'a Vec<u8>>,
    cells: Cells,
    mut of: impl FnMut(&Row) -> T,
) -> Result<BTreeMap<Vec<u8>, T>, Error> {
    let ranges: Vec<_> = keys.map(|key| KeyRange::single(key.clone())).collect();
    let mut found = BTreeMap::new();
    if ranges.is_empty() {
        return Ok(found);
    }
    let scan = match cells {
        Cells::All => Scan::ranges(ranges).with_latest_only(),
        Cells::None => Scan::ranges(ranges).with_keys_only(),
    };
    let mut rows = store.scan(table, scan);
    while let Some(row) = rows.try_next().await? {
        found.insert(row.key().to_vec(), of(&row));
    }
    Ok(found)
}
