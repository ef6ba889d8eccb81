//! One chunk of records: from bytes to judged, encoded events. Pure; runs on any thread.

use std::fmt::Write as _;

use rowmill_ingest::{Chunk, CsvRows, Position, Record};
use rowmill_model::{Event, EventIdSpec, Finding, MutationBatch, Provenance, Reason, Severity};
use rowmill_quality::{Identity, Verdict};
use rowmill_rowkey::{FactKey, Hour, TimelineKey, Timestamp};
use rowmill_transform::{Columns, Outcome, Place, Worker};

use crate::ledger::Ledger;
use crate::stages::Stages;

/// What a chunk comes from, and what its events are written with.
#[derive(Debug, Clone, Copy)]
pub struct ChunkSource<'a> {
    /// What findings and dead letters call the file.
    pub name: &'a str,
    /// The file without its folders, which ids by place go by.
    pub file_name: &'a str,
    /// What stands between two fields of CSV.
    pub delimiter: u8,
    /// What the columns of CSV mean; none for JSON.
    pub columns: Option<&'a Columns>,
    /// The run that reads it.
    pub run: &'a str,
    /// When that run began.
    pub now: Timestamp,
}

/// What became of a chunk's records. The events are in the order of the records.
#[derive(Debug, Default)]
pub struct Processed {
    /// A row of `events_fact` for each event.
    pub facts: MutationBatch,
    /// A row of `events_timeline` for each event.
    pub timeline: MutationBatch,
    /// What makes each event itself, and when it happened.
    pub events: Vec<(Identity, Hour)>,
    /// Records that are rejected.
    pub letters: Vec<Letter>,
    /// Everything but what was written and what is a duplicate, which only the run as a whole can tell.
    pub ledger: Ledger,
    /// How many bytes of the input the chunk covers.
    pub bytes: u64,
}

/// A rejected record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Where it stands.
    pub position: Position,
    /// Its original bytes.
    pub raw: Vec<u8>,
    /// Everything found wrong with it.
    pub findings: Vec<Finding>,
}

/// Transforms, judges and encodes the records of a chunk.
pub fn process_chunk(stages: &Stages, source: &ChunkSource<'_>, chunk: &Chunk) -> Processed {
    let rows = source
        .columns
        .map(|_| CsvRows::parse(chunk, source.delimiter));
    let mut job = Job {
        stages,
        source,
        worker: stages.transformer.worker(),
        done: Processed {
            // An event's fact row is about half as long again as its JSON, its timeline row a third as long.
            facts: MutationBatch::with_capacity(chunk.len(), chunk.bytes() * 7 / 4),
            timeline: MutationBatch::with_capacity(chunk.len(), chunk.bytes() / 2),
            events: Vec::with_capacity(chunk.len()),
            bytes: chunk.bytes() as u64,
            ..Processed::default()
        },
        key: Vec::new(),
        timeline_key: Vec::new(),
        place: String::new(),
    };
    match (&rows, source.columns) {
        (Some(rows), Some(columns)) => {
            for (record, row) in chunk.records().zip(rows.iter()) {
                let outcome = match row {
                    Some(row) if row.len() == columns.len() => {
                        job.worker.csv(columns, row.fields(), job.place_of(&record))
                    }
                    Some(row) => unreadable(format!(
                        "has {} fields, the header has {}",
                        row.len(),
                        columns.len()
                    )),
                    None => unreadable(defect(&record)),
                };
                job.judge(&record, outcome);
            }
        }
        _ => {
            for record in chunk.records() {
                let text = std::str::from_utf8(record.raw)
                    .ok()
                    .filter(|_| record.defect.is_none());
                let outcome = match text {
                    Some(text) => job.worker.json(text, job.place_of(&record)),
                    None => unreadable(defect(&record)),
                };
                job.judge(&record, outcome);
            }
        }
    }
    job.done
}

fn unreadable<'a>(message: String) -> Outcome<'a> {
    let findings = vec![Finding::reject(Reason::Unreadable, "", message)];
    Outcome {
        event: None,
        has_time: false,
        findings,
    }
}

fn defect(record: &Record<'_>) -> String {
    record.defect.map_or_else(
        || "is not valid UTF-8".to_owned(),
        |defect| defect.to_string(),
    )
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

    /// Decides what becomes of a record, and counts it.
    fn judge(&mut self, record: &Record<'_>, outcome: Outcome<'_>) {
        self.done.ledger.read += 1;
        let Outcome {
            event,
            has_time,
            mut findings,
        } = outcome;
        let verdict = match &event {
            Some(event) => self.stages.checks.check(event, has_time, &mut findings),
            None => Verdict::Reject,
        };
        match (verdict, event) {
            (Verdict::Filter, _) => self.done.ledger.filtered += 1,
            (Verdict::Accept, Some(event)) => match self.encode_key(&event) {
                Ok(()) => self.accept(record, &event, &findings),
                Err(finding) => {
                    findings.push(finding);
                    self.reject(record, findings);
                    return;
                }
            },
            _ => {
                self.reject(record, findings);
                return;
            }
        }
        self.done.ledger.find(&findings);
    }

    fn reject(&mut self, record: &Record<'_>, findings: Vec<Finding>) {
        self.done.ledger.find(&findings);
        self.done.ledger.reject(&findings);
        self.done.letters.push(Letter {
            position: record.position,
            raw: record.raw.to_vec(),
            findings,
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
    fn accept(&mut self, record: &Record<'_>, event: &Event<'_>, findings: &[Finding]) {
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
        self.done.events.push((self.identity(event), hour));
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

    fn identity(&self, event: &Event<'_>) -> Identity {
        match &self.stages.pipeline.event.event_id {
            EventIdSpec::Natural(_) => Identity::natural(
                event.user_id.as_deref().unwrap_or_default(),
                &event.event_id,
            ),
            EventIdSpec::Content | EventIdSpec::Place => Identity::of_key(&self.key),
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

/// Every reason of a rejected record as a JSON array of objects.
pub(crate) fn reasons(findings: &[Finding]) -> String {
    let mut reasons = String::from("[");
    for (index, finding) in findings.iter().enumerate() {
        let text = |text: &str| serde_json::to_string(text).expect("a text is JSON");
        let separator = if index == 0 { "" } else { "," };
        write!(
            reasons,
            "{separator}{{\"reason\":{},\"subject\":{},\"severity\":{},\"message\":{}}}",
            text(finding.reason.name()),
            text(&finding.subject),
            text(finding.severity.name()),
            text(&finding.message),
        )
        .expect("writing to a string");
    }
    reasons.push(']');
    reasons
}
