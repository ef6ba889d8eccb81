//! One chunk of records: from bytes to judged, encoded events. Pure; runs on any thread.

use std::sync::{Arc, Mutex, PoisonError};

use rowmill_ingest::{Chunk, CsvRows, Defect, Format, Position, Record};
use rowmill_model::{Event, EventIdSpec, Finding, MutationBatch, Provenance, Reason, Severity};
use rowmill_quality::{Identity, Verdict};
use rowmill_rowkey::{FactKey, Hour, TimelineKey, Timestamp};
use rowmill_transform::{Columns, Outcome, Place, Worker};
use xxhash_rust::xxh3::xxh3_128;

use crate::digest::RowHash;
use crate::ledger::Ledger;
use crate::letter;
use crate::stages::Stages;

/// What a chunk comes from, and what its events are written with.
#[derive(Debug, Clone, Copy)]
pub struct ChunkSource<'a> {
    /// What findings and dead letters call the file.
    pub name: &'a str,
    /// The file without its folders, which ids by place go by.
    pub file_name: &'a str,
    /// What the file's records look like.
    pub format: Format,
    /// What stands between two fields of CSV.
    pub delimiter: u8,
    /// What the columns of CSV mean; none for JSON.
    pub columns: Option<&'a Columns>,
    /// The header of CSV as a JSON array, for dead letters; none if the pipeline file names the columns.
    pub header: Option<&'a str>,
    /// The run that reads it.
    pub run: &'a str,
    /// When that run began.
    pub now: Timestamp,
    /// Whether rows are hashed and dead letters encoded, as they are but for benchmarks.
    pub accounting: bool,
}

/// What became of a chunk's records. Events and rejected records are in the order of the records.
#[derive(Debug, Default)]
pub struct Processed {
    /// A row of `events_fact` for each event.
    pub facts: MutationBatch,
    /// A row of `events_timeline` for each event.
    pub timeline: MutationBatch,
    /// What else is known of each event.
    pub events: Vec<Accepted>,
    /// A row of `dead_letters` for each rejected record.
    pub letters: MutationBatch,
    /// What is wrong with each.
    pub rejected: Vec<Rejected>,
    /// Everything but what was written and what is a duplicate, which only the run as a whole can tell.
    pub ledger: Ledger,
    /// The first record that is no UTF-8, and how many there are.
    pub not_utf8: Option<(Position, u64)>,
    /// What shows that the file is cut off here.
    pub problem: Option<String>,
}

/// An event of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The record it was, by its place in the chunk.
    pub record: usize,
    /// What makes it itself.
    pub identity: Identity,
    /// When it happened.
    pub hour: Hour,
    /// Of its fact row.
    pub hash: RowHash,
}

/// A rejected record of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The record, by its place in the chunk.
    pub record: usize,
    /// Whose it is, if that much can be read.
    pub user_id: Option<String>,
    /// Everything found wrong with it.
    pub findings: Vec<Finding>,
    /// Of its dead letter.
    pub hash: RowHash,
}

/// Processed chunks that are done with, for the memory of their rows: it is made by one thread, and another one would free it. Clones are
/// the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpareProcessed(Arc<Mutex<Vec<Processed>>>);

impl SpareProcessed {
    /// An empty one, with the memory of one that was given if there is one.
    pub(crate) fn take(&self) -> Processed {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Processed {
            mut facts,
            mut timeline,
            mut events,
            mut letters,
            ..
        } = spare.unwrap_or_default();
        facts.clear();
        timeline.clear();
        events.clear();
        letters.clear();
        Processed {
            facts,
            timeline,
            events,
            letters,
            ..Processed::default()
        }
    }

    /// Keeps the memory of one that is done with.
    pub(crate) fn give(&self, processed: Processed) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(processed);
    }
}

/// Transforms, judges and encodes the records of a chunk.
pub fn process_chunk(stages: &Stages, source: &ChunkSource<'_>, chunk: &Chunk) -> Processed {
    process_chunk_into(Processed::default(), stages, source, chunk)
}

/// Does the same as [`process_chunk`], and uses the memory of `done`, which is empty.
pub(crate) fn process_chunk_into(
    mut done: Processed,
    stages: &Stages,
    source: &ChunkSource<'_>,
    chunk: &Chunk,
) -> Processed {
    // An event's fact row is about half as long again as its JSON, its timeline row a third as long.
    done.facts.reserve_exact(chunk.len(), chunk.bytes() * 7 / 4);
    done.timeline.reserve_exact(chunk.len(), chunk.bytes() / 2);
    done.events.reserve(chunk.len());
    let rows = source
        .columns
        .map(|_| CsvRows::parse(chunk, source.delimiter));
    let mut job = Job {
        stages,
        source,
        worker: stages.transformer.worker(),
        done,
        key: Vec::new(),
        timeline_key: Vec::new(),
        place: String::new(),
    };
    match (&rows, source.columns) {
        (Some(rows), Some(columns)) => {
            for (index, (record, row)) in chunk.records().zip(rows.iter()).enumerate() {
                let outcome = match row {
                    Some(row) if row.len() == columns.len() && !is_cut(&record) => {
                        job.worker.csv(columns, row.fields(), job.place_of(&record))
                    }
                    Some(row) if row.len() != columns.len() && !is_cut(&record) => unreadable(
                        format!("has {} fields, the header has {}", row.len(), columns.len()),
                    ),
                    _ => job.unreadable(&record),
                };
                job.judge(index, &record, outcome);
            }
        }
        _ => {
            for (index, record) in chunk.records().enumerate() {
                let text = std::str::from_utf8(record.raw)
                    .ok()
                    .filter(|_| record.defect.is_none());
                let outcome = match text {
                    Some(text) => job.worker.json(text, job.place_of(&record)),
                    None => job.unreadable(&record),
                };
                job.judge(index, &record, outcome);
            }
        }
    }
    job.done
}

fn is_cut(record: &Record<'_>) -> bool {
    record.defect.is_some_and(Defect::is_cut)
}

fn unreadable<'a>(message: String) -> Outcome<'a> {
    let findings = vec![Finding::reject(Reason::Unreadable, "", message)];
    Outcome {
        event: None,
        has_time: false,
        findings,
    }
}

struct Job<'s, 'a> {
    stages: &'s Stages,
    source: &'s ChunkSource<'s>,
    worker: Worker<'s, 'a>,
    done: Processed,
    key: Vec<u8>,
    timeline_key: Vec<u8>,
    place: String,
}

impl<'s> Job<'s, '_> {
    fn place_of(&self, record: &Record<'_>) -> Place<'s> {
        Place {
            source: self.source.file_name,
            record: record.position.number,
        }
    }

    /// The outcome of a record that is no text, or has a defect.
    fn unreadable<'o>(&mut self, record: &Record<'_>) -> Outcome<'o> {
        let Some(defect) = record.defect else {
            let (_, count) = self.done.not_utf8.get_or_insert((record.position, 0));
            *count += 1;
            return unreadable("is not valid UTF-8".to_owned());
        };
        if defect == Defect::UnclosedArray {
            self.done.problem = Some(defect.to_string());
        }
        unreadable(defect.to_string())
    }

    /// Decides what becomes of a record, and counts it.
    fn judge(&mut self, index: usize, record: &Record<'_>, outcome: Outcome<'_>) {
        let length = record.position.length;
        self.done.ledger.read(length);
        let Outcome {
            event,
            has_time,
            mut findings,
        } = outcome;
        let verdict = match &event {
            Some(event) => self.stages.checks.check(event, has_time, &mut findings),
            None => Verdict::Reject,
        };
        let user_id = |event: &Event<'_>| event.user_id.as_deref().map(str::to_owned);
        match (verdict, event) {
            (Verdict::Filter, _) => self.done.ledger.filter(length),
            (Verdict::Accept, Some(event)) => match self.encode_key(&event) {
                Ok(()) => self.accept(index, record, &event, &findings),
                Err(finding) => {
                    findings.push(finding);
                    self.reject(index, record, user_id(&event), findings);
                    return;
                }
            },
            (_, event) => {
                self.reject(index, record, event.as_ref().and_then(user_id), findings);
                return;
            }
        }
        self.done.ledger.find(&findings);
    }

    fn reject(
        &mut self,
        index: usize,
        record: &Record<'_>,
        user_id: Option<String>,
        findings: Vec<Finding>,
    ) {
        // A batch that grows by doubling holds a record of 8 MB three times.
        const LARGE_BYTES: usize = 1 << 20;
        const MARGIN_BYTES: usize = 16 << 10;
        self.done.ledger.reject(&findings, record.position.length);
        if !self.source.accounting {
            return;
        }
        if record.raw.len() > LARGE_BYTES {
            self.done
                .letters
                .reserve_exact(1, record.raw.len() + MARGIN_BYTES);
        }
        let config_hash = &self.stages.pipeline.fingerprint;
        letter::write(
            self.source,
            config_hash,
            record,
            user_id.as_deref(),
            &findings,
            &mut self.done.letters,
        );
        let written = self.done.letters.get(self.done.letters.len() - 1);
        let hash = letter::hash(xxh3_128(written.key()));
        self.done.rejected.push(Rejected {
            record: index,
            user_id,
            findings,
            hash,
        });
    }

    fn encode_key(&mut self, event: &Event<'_>) -> Result<(), Finding> {
        let placeholder = self.stages.pipeline.event.user_id.placeholder.as_deref();
        let user_id = event.user_id.as_deref().or(placeholder).unwrap_or_default();
        self.key.clear();
        let key = FactKey::new(user_id, event.timestamp, &*event.event_id);
        key.encode_into(&mut self.key)
            .map_err(|error| Finding::reject(Reason::Key, error.part().name(), error.to_string()))
    }

    /// Writes the rows of an event whose key is encoded.
    fn accept(
        &mut self,
        index: usize,
        record: &Record<'_>,
        event: &Event<'_>,
        findings: &[Finding],
    ) {
        let stages = self.stages;
        let hour = event.timestamp.hour();
        self.timeline_key.clear();
        TimelineKey::encode_fact_into(hour, &self.key, &mut self.timeline_key);
        self.write_place(record);
        let provenance = Provenance {
            source: &self.place,
            batch: self.source.run,
            ingested_at: self.source.now,
            schema_version: &stages.pipeline.fingerprint,
        };
        let warnings = warnings(findings);
        event.write_fact(
            &stages.pipeline,
            &self.key,
            &provenance,
            &warnings,
            &mut self.done.facts,
        );
        event.write_timeline(
            &self.timeline_key,
            &stages.timeline_columns,
            &mut self.done.timeline,
        );
        let hash = if stages.hashes_ids || self.source.accounting {
            RowHash::of(self.done.facts.get(self.done.facts.len() - 1))
        } else {
            RowHash::default()
        };
        self.done.events.push(Accepted {
            record: index,
            identity: self.identity(event, hash.key),
            hour,
            hash,
        });
    }

    /// `file:line@offset`
    fn write_place(&mut self, record: &Record<'_>) {
        self.place.clear();
        let Position { line, offset, .. } = record.position;
        let mut number = itoa::Buffer::new();
        for part in [self.source.name, ":", number.format(line)] {
            self.place.push_str(part);
        }
        self.place.push('@');
        self.place.push_str(number.format(offset));
    }

    fn identity(&self, event: &Event<'_>, key_hash: u128) -> Identity {
        match &self.stages.pipeline.event.event_id {
            EventIdSpec::Natural(_) => Identity::natural(
                event.user_id.as_deref().unwrap_or_default(),
                &event.event_id,
            ),
            EventIdSpec::Content | EventIdSpec::Place => Identity::of_hash(key_hash),
        }
    }
}

/// The warnings of a stored event as a JSON array of texts; empty if there are none.
fn warnings(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let warnings: Vec<_> = findings
        .iter()
        .filter(|it| it.severity == Severity::Warn)
        .map(ToString::to_string)
        .collect();
    if warnings.is_empty() {
        String::new()
    } else {
        serde_json::to_string(&warnings).expect("texts are JSON")
    }
}
