//! A ledger proved from its source: the input is read once more, and each row that it gives is looked up.

use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::sync::Arc;

use futures::TryStreamExt as _;
use futures::stream::{self, StreamExt as _};
use rowmill_ingest::{Chunk, Format};
use rowmill_model::columns::{fact, family, table};
use rowmill_model::{EventIdSpec, MutationBatch, Row};
use rowmill_objects::Endpoint;
use rowmill_quality::Seen;
use rowmill_rowkey::{DeadLetterKey, FactKey, ResolvedKey};
use rowmill_store::{Scan, Store};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::store::{Cells, look_up};
use super::versions::Versions;
use super::{Depth, VerifyOptions, VerifyReport};
use crate::content::{Relation, compare_content};
use crate::control::Control;
use crate::digest::{Digest, RowHash};
use crate::error::Error;
use crate::file_ledger::FileLedger;
use crate::ingest::DUPLICATE_WINDOW;
use crate::input::{Inputs, Prepared, Search};
use crate::letter;
use crate::open_file::OpenFile;
use crate::parts::on_own_thread;
use crate::process::process_chunk;
use crate::runs::RunKind;
use crate::spool::Room;
use crate::stages::Stages;
use crate::unreadable::shown_key;

/// What reading the source came to.
#[derive(Debug)]
pub(super) enum Proof {
    Proved {
        events: u64,
        rewritten: u64,
    },
    /// What differs is in the report.
    Different,
    /// The source is not there, or not what it was.
    Impossible(String),
}

/// What a record of the source should have left in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Expected {
    Event {
        key: Vec<u8>,
        cells: u128,
        timeline_key: Vec<u8>,
        timeline_cells: u128,
        place: String,
        /// The letter that the record is if the store refused its event.
        letter: Vec<u8>,
    },
    Letter {
        key: Vec<u8>,
    },
}

/// The memory that hashes of a source's events may take; what exceeds it goes to a temporary file.
const VERSIONS_BYTES: usize = 32 << 20;

/// How many records are looked up together.
const LOOKUP_RECORDS: usize = 500;

/// How many events may be missing before they are looked for at other times of their users.
const MISSING_MAX: usize = 10_000;

/// How many users are looked through in one scan, and how many such scans work at once.
const USERS_TOGETHER: usize = 250;
const SCANS_AT_ONCE: usize = 4;

/// Proves a ledger from its source: all of it, or a sample.
pub(super) async fn prove(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    ledger: &FileLedger,
    options: &VerifyOptions,
    control: &Control,
    report: &mut VerifyReport,
) -> Result<Proof, Error> {
    let sample = match options.depth {
        Depth::Sample(records) => Some(records),
        Depth::Store | Depth::Full => None,
    };
    let prepared = match prepare_within(stages, ledger, options).await {
        Ok(prepared) => prepared,
        Err(why) => return Ok(Proof::Impossible(why)),
    };
    let (sender, mut records) = mpsc::channel(2);
    let reading = {
        let (stages, ledger) = (Arc::clone(stages), ledger.clone());
        let work = move || read(&stages, prepared, &ledger, sample, &sender);
        on_own_thread("source", work)?
    };
    let mut lookup = Lookup {
        store,
        ledger,
        natural_ids: matches!(stages.pipeline.event.event_id, EventIdSpec::Natural(_)),
        events: 0,
        rewritten: 0,
        missing: Vec::new(),
        report,
        is_different: false,
        control,
    };
    while let Some(records) = records.recv().await {
        for records in records.chunks(LOOKUP_RECORDS) {
            control.check()?;
            control.advance(0, records.len() as u64);
            lookup.take(records).await?;
        }
    }
    lookup.find_missing().await?;
    match reading.await.expect("reading a source does not panic") {
        Err(why) => Ok(Proof::Impossible(why)),
        Ok(()) if lookup.is_different => Ok(Proof::Different),
        Ok(()) => Ok(Proof::Proved {
            events: lookup.events,
            rewritten: lookup.rewritten,
        }),
    }
}

fn prepare(stages: &Stages, ledger: &FileLedger, storage: &Endpoint) -> Result<Prepared, String> {
    let search = Search {
        format: Format::named(&ledger.format),
        storage: storage.clone(),
        ..Search::default()
    };
    let inputs = Inputs::find_with(std::slice::from_ref(&ledger.file), &search);
    let prepared = inputs.and_then(|inputs| inputs.prepare(stages));
    let prepared = prepared.map_err(|error| format!("its source cannot be read: {error}"))?;
    let only = prepared.inputs.into_iter().next();
    only.filter(Prepared::is_repeatable)
        .ok_or_else(|| "its source cannot be read again".to_owned())
}

/// The rows of the source that a later record of it wrote again; none if the source does not give exactly the rows that the ledger counts.
/// If the store holds all the others, everything is proved, and no row needs to be looked up.
pub(super) async fn written_again(
    stages: &Arc<Stages>,
    ledger: &FileLedger,
    options: &VerifyOptions,
    control: &Control,
) -> Result<Option<Digest>, Error> {
    let Ok(prepared) = prepare_within(stages, ledger, options).await else {
        return Ok(None);
    };
    let (sender, mut records) = mpsc::channel(2);
    let reading = {
        let (stages, ledger) = (Arc::clone(stages), ledger.clone());
        let work = move || read(&stages, prepared, &ledger, None, &sender);
        on_own_thread("source", work)?
    };
    let versions = Versions::new(&Room::new(VERSIONS_BYTES));
    let mut gathered = versions.gather();
    let (mut facts, mut letters) = (Digest::default(), Digest::default());
    while let Some(records) = records.recv().await {
        control.check()?;
        control.advance(0, records.len() as u64);
        for record in &records {
            match record {
                Expected::Event { key, cells, .. } => {
                    let row = RowHash {
                        key: xxh3_128(key),
                        cells: *cells,
                    };
                    facts.add(row);
                    gathered.add(row)?;
                }
                Expected::Letter { key } => letters.add(letter::hash(xxh3_128(key))),
            }
        }
    }
    let is_read = reading.await.expect("reading a source does not panic");
    let is_as_written = facts == ledger.facts && letters == ledger.letters;
    if is_read.is_err() || !is_as_written {
        return Ok(None);
    }
    gathered.finish()?;
    versions.written_again(control).map(Some)
}

async fn prepare_within(
    stages: &Arc<Stages>,
    ledger: &FileLedger,
    options: &VerifyOptions,
) -> Result<Prepared, String> {
    if ledger.kind == RunKind::Replay {
        return Err("it was replayed from dead letters that are no more".to_owned());
    }
    if ledger.config_hash != stages.pipeline.fingerprint {
        return Err("it was written under another pipeline file".to_owned());
    }
    if ledger.stamp.is_none() {
        return Err("its source cannot be read again".to_owned());
    }
    let (stages, ledger) = (Arc::clone(stages), ledger.clone());
    let storage = options.storage.clone();
    let preparing = tokio::task::spawn_blocking(move || prepare(&stages, &ledger, &storage));
    preparing.await.expect("looking at a source does not panic")
}

/// Sends what the records that the ledger counts should have left, some at a time.
fn read(
    stages: &Stages,
    mut prepared: Prepared,
    ledger: &FileLedger,
    sample: Option<usize>,
    sender: &mpsc::Sender<Vec<Expected>>,
) -> Result<(), String> {
    let relation = compare_content(&prepared, ledger).map_err(|error| error.to_string())?;
    let until = match relation {
        Relation::Same { .. } => ledger.position,
        // The last record was not whole then, and is another one now.
        Relation::Grown { .. } => match &ledger.tail {
            Some(tail) => tail.offset,
            None => ledger.position,
        },
        Relation::Other => return Err("its source is not what it was".to_owned()),
    };
    let mut chunks = prepared.open().map_err(|error| error.to_string())?;
    let file = OpenFile::new(0, &prepared, ledger.clone(), true, true);
    let mut sampled = Sample::new(sample);
    let window = ledger
        .duplicate_window
        .and_then(|window| usize::try_from(window).ok());
    let mut seen = Seen::new(window.unwrap_or(DUPLICATE_WINDOW));
    // What cannot be read is beyond what the ledger counts.
    for chunk in chunks.by_ref().map_while(Result::ok) {
        let is_last = chunk.end() >= until;
        let (known, chunk) = chunk.split_at(ledger.from);
        // Records before the run began are remembered, as the run remembered them.
        expected(stages, &file, &known, &mut seen);
        let (chunk, _) = chunk.split_at(until);
        for records in expected(stages, &file, &chunk, &mut seen).chunks(LOOKUP_RECORDS) {
            let records = sampled.take(records.to_vec());
            if !records.is_empty() && sender.blocking_send(records).is_err() {
                return Ok(());
            }
        }
        if is_last {
            break;
        }
    }
    let rest = sampled.finish();
    if !rest.is_empty() {
        sender.blocking_send(rest).ok();
    }
    Ok(())
}

/// What the records of a chunk should have left. A repeat of an event of the same input leaves nothing.
fn expected(stages: &Stages, file: &OpenFile, chunk: &Chunk, seen: &mut Seen) -> Vec<Expected> {
    let source = file.source();
    let processed = process_chunk(stages, &source, chunk);
    let letter_key = |record: usize| {
        let key = letter::key(source.name, &chunk.record(record)).encode();
        key.expect("an input's name is short enough for a key")
    };
    let events = processed.events.iter().enumerate();
    let events = events.filter(|(_, event)| seen.insert(event.identity));
    let events = events.map(|(index, event)| {
        let (fact, timeline) = (processed.facts.get(index), processed.timeline.get(index));
        let position = chunk.record(event.record).position;
        Expected::Event {
            key: fact.key().to_vec(),
            cells: event.hash.cells,
            timeline_key: timeline.key().to_vec(),
            timeline_cells: RowHash::of(timeline).cells,
            place: format!("{}:{}@{}", source.name, position.line, position.offset),
            letter: letter_key(event.record),
        }
    });
    let letters = processed.rejected.iter().map(|rejected| Expected::Letter {
        key: letter_key(rejected.record),
    });
    events.chain(letters).collect()
}

/// All records, or those with the least hashes: as good as chance, and the same every time.
enum Sample {
    All,
    Least(usize, BinaryHeap<(u64, Expected)>),
}

impl Sample {
    fn new(records: Option<usize>) -> Self {
        records.map_or(Self::All, |records| Self::Least(records, BinaryHeap::new()))
    }

    /// Those of `records` to be looked up now.
    fn take(&mut self, records: Vec<Expected>) -> Vec<Expected> {
        let Self::Least(most, least) = self else {
            return records;
        };
        for record in records {
            let key = match &record {
                Expected::Event { key, .. } | Expected::Letter { key } => key,
            };
            least.push((xxh3_64(key), record));
            if least.len() > *most {
                least.pop();
            }
        }
        Vec::new()
    }

    fn finish(self) -> Vec<Expected> {
        match self {
            Self::All => Vec::new(),
            Self::Least(_, least) => least.into_iter().map(|(_, record)| record).collect(),
        }
    }
}

struct Lookup<'a> {
    store: &'a Arc<dyn Store>,
    ledger: &'a FileLedger,
    natural_ids: bool,
    events: u64,
    rewritten: u64,
    /// Keys of events that are not there, and may be at another time of their user.
    missing: Vec<Vec<u8>>,
    report: &'a mut VerifyReport,
    is_different: bool,
    control: &'a Control,
}

/// A fact that was looked up: what tells who wrote it, and whether it is as it was written.
struct FoundFact {
    source: Vec<u8>,
    batch: Vec<u8>,
    cells: u128,
}

impl FoundFact {
    fn of(row: &Row, scratch: &mut MutationBatch) -> Self {
        let text = |name: &str| {
            let value = row.value(family::METADATA, name.as_bytes());
            value.unwrap_or_default().to_vec()
        };
        Self {
            source: text(fact::SOURCE),
            batch: text(fact::BATCH),
            cells: RowHash::of_row(row, scratch).cells,
        }
    }
}

type Facts = BTreeMap<Vec<u8>, FoundFact>;
/// By key, the hash of the cells.
type Timelines = BTreeMap<Vec<u8>, u128>;

impl Lookup<'_> {
    async fn take(&mut self, records: &[Expected]) -> Result<(), Error> {
        let (facts, timelines) = self.look_up_events(records).await?;
        let mut letters = Vec::new();
        for record in records {
            match record {
                Expected::Letter { key } => letters.push((key.clone(), None)),
                Expected::Event { key, letter, .. } if !facts.contains_key(key) => {
                    letters.push((letter.clone(), Some(key.clone())));
                }
                Expected::Event { .. } => self.event(record, &facts, &timelines),
            }
        }
        self.letters(letters).await
    }

    async fn look_up_events(&self, records: &[Expected]) -> Result<(Facts, Timelines), Error> {
        let (mut facts, mut timelines) = (Vec::new(), Vec::new());
        for record in records {
            if let Expected::Event {
                key, timeline_key, ..
            } = record
            {
                facts.push(key.clone());
                timelines.push(timeline_key.clone());
            }
        }
        let mut scratch = MutationBatch::new();
        let of = |row: &Row| FoundFact::of(row, &mut scratch);
        let facts = look_up(self.store, table::FACT, facts.iter(), Cells::All, of).await?;
        let of = |row: &Row| RowHash::of_row(row, &mut scratch).cells;
        let timelines = look_up(
            self.store,
            table::TIMELINE,
            timelines.iter(),
            Cells::All,
            of,
        );
        Ok((facts, timelines.await?))
    }

    /// Compares an event whose fact is there.
    fn event(&mut self, expected: &Expected, facts: &Facts, timelines: &Timelines) {
        let Expected::Event {
            key,
            cells,
            timeline_key,
            timeline_cells,
            place,
            ..
        } = expected
        else {
            return;
        };
        self.events += 1;
        let found = &facts[key];
        let is_own = found.source == place.as_bytes() && found.batch == self.ledger.run.as_bytes();
        let mut differ = |table, key: &[u8], problem: &str| {
            self.is_different = true;
            let problem = format!("{problem}, by {place}");
            self.report.differ(table, shown_key(key), problem);
        };
        match timelines.get(timeline_key) {
            None => differ(table::TIMELINE, timeline_key, "is missing"),
            Some(cells) if is_own && cells != timeline_cells => {
                differ(table::TIMELINE, timeline_key, "is not as it was written");
            }
            Some(_) => {}
        }
        if !is_own {
            // Another record, or a later run, wrote the same event again.
            self.rewritten += 1;
        } else if found.cells != *cells {
            differ(table::FACT, key, "is not as it was written");
        }
    }

    /// Checks that letters are there, or were resolved. Those of events that are not facts may be letters because the store refused
    /// them; if they are neither, the fact is what is missing.
    async fn letters(&mut self, wanted: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), Error> {
        let keys = wanted.iter().map(|(key, _)| key);
        let there = look_up(self.store, table::DEAD_LETTERS, keys, Cells::None, |_| ()).await?;
        let missing: Vec<_> = wanted
            .into_iter()
            .filter(|(key, _)| !there.contains_key(key))
            .collect();
        let resolved_key = |key: &[u8]| {
            DeadLetterKey::decode(key)
                .and_then(|key| ResolvedKey(key).encode())
                .map_err(|error| Error::Row(error.to_string()))
        };
        let keys = missing
            .iter()
            .map(|(key, _)| resolved_key(key))
            .collect::<Result<Vec<_>, _>>()?;
        let resolved = look_up(self.store, table::STATE, keys.iter(), Cells::None, |_| ());
        let resolved = resolved.await?;
        for ((letter, fact), key) in missing.into_iter().zip(keys) {
            match fact {
                _ if resolved.contains_key(&key) => {}
                Some(fact) if self.natural_ids => self.missing.push(fact),
                Some(fact) => self.miss(table::FACT, &fact),
                None => self.miss(table::DEAD_LETTERS, &letter),
            }
        }
        if self.missing.len() >= MISSING_MAX {
            self.find_missing().await?;
        }
        Ok(())
    }

    fn miss(&mut self, table: &'static str, key: &[u8]) {
        self.is_different = true;
        self.report.differ(table, shown_key(key), "is missing");
    }

    /// Looks for missing events at other times of their users: an event whose own id tells which it is may be a repeat of one that
    /// another input of the run gave. Once the report lists no more of them, they are only counted.
    async fn find_missing(&mut self) -> Result<(), Error> {
        let missing = std::mem::take(&mut self.missing);
        let there = if self.report.is_full() {
            HashSet::new()
        } else {
            self.elsewhere(&missing).await?
        };
        for fact in missing {
            if identity(&fact).is_some_and(|identity| there.contains(&identity)) {
                self.events += 1;
                self.rewritten += 1;
            } else {
                self.miss(table::FACT, &fact);
            }
        }
        Ok(())
    }

    /// Which of the users' events there are, whenever they happened: one scan for many users, and only of keys.
    async fn elsewhere(&self, missing: &[Vec<u8>]) -> Result<HashSet<u128>, Error> {
        let broken = |error: rowmill_rowkey::Error| Error::Row(error.to_string());
        let wanted: HashSet<u128> = missing.iter().filter_map(|fact| identity(fact)).collect();
        let mut users = BTreeMap::new();
        for fact in missing {
            let user_id = FactKey::decode(fact).map_err(broken)?.user_id;
            let range = FactKey::user(&user_id).map_err(broken)?;
            users.insert(user_id, range);
        }
        let ranges: Vec<_> = users.into_values().collect();
        let scans = ranges.chunks(USERS_TOGETHER).map(|ranges| {
            let scan = Scan::ranges(ranges.to_vec()).with_families([family::METADATA]);
            self.identities(scan.with_keys_only(), &wanted)
        });
        let scans: Vec<_> = scans.collect();
        let mut found = stream::iter(scans).buffer_unordered(SCANS_AT_ONCE);
        let mut there = HashSet::new();
        while let Some(of_scan) = found.try_next().await? {
            there.extend(of_scan);
        }
        Ok(there)
    }

    /// Those of the wanted events that a scan of facts finds.
    async fn identities(&self, scan: Scan, wanted: &HashSet<u128>) -> Result<Vec<u128>, Error> {
        let (mut rows, mut found) = (self.store.scan(table::FACT, scan), Vec::new());
        while let Some(row) = rows.try_next().await? {
            self.control.check()?;
            self.control.advance(0, 1);
            let identity = identity(row.key());
            found.extend(identity.filter(|identity| wanted.contains(identity)));
        }
        Ok(found)
    }
}

/// Tells an event whose id is its own, whenever it happened; none if the key is no fact's.
fn identity(fact: &[u8]) -> Option<u128> {
    let key = FactKey::decode(fact).ok()?;
    let length = key.user_id.len().to_be_bytes();
    let text = [&length, key.user_id.as_bytes(), key.event_id.as_bytes()].concat();
    Some(xxh3_128(&text))
}
