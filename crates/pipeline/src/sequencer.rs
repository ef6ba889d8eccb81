//! The sequencer of an ingest: takes processed chunks in the order of the input, tells duplicates, counts, and collects batches.

use std::sync::Arc;

use rowmill_ingest::Chunk;
use rowmill_model::{MutationBatch, RejectLimit};
use rowmill_quality::Seen;

use crate::batch::{Batch, Origin};
use crate::error::Error;
use crate::file_ledger::{NotUtf8, Progress, joined};
use crate::ingest::{IngestOptions, IngestReport, Part};
use crate::ledger::Ledger;
use crate::open_file::OpenFile;
use crate::open_ledgers::{OpenLedgers, Totals};
use crate::process::{Processed, SpareProcessed};
use crate::read::InputEnd;
use crate::writer::Writer;

/// A share of rejected records is judged once so many were read: the first record alone says nothing.
const SHARE_RECORDS_MIN: u64 = 1_000;

/// A batch is written once it is worth so much for so many inputs: what it knows of each is held until then.
const BATCH_INPUTS: usize = 1_000;

/// Takes what pieces became, in the order of the input.
pub(crate) struct Sequencer<'a> {
    options: &'a IngestOptions,
    /// Without a writer: what the inputs' ledgers would be.
    ledgers: OpenLedgers,
    seen: Seen,
    batch: Batch,
    /// When the batch is large enough to be written.
    batch_bytes: usize,
    writer: Option<Writer>,
    spare: SpareProcessed,
    report: IngestReport,
    /// Records read and rejected so far, before an interruption too.
    read: u64,
    rejected: u64,
}

impl<'a> Sequencer<'a> {
    pub(crate) fn new(
        options: &'a IngestOptions,
        before: &Ledger,
        mut writer: Option<Writer>,
        spare: SpareProcessed,
    ) -> Self {
        let batch_bytes = options.batch_bytes.unwrap_or(usize::MAX);
        let batch = writer
            .as_mut()
            .map(|writer| writer.empty_batch(options.batch_rows, batch_bytes));
        Self {
            options,
            read: before.read,
            rejected: before.rejected(),
            ledgers: OpenLedgers::new(before.clone()),
            seen: Seen::new(options.duplicate_window),
            batch: batch.unwrap_or_default(),
            batch_bytes,
            writer,
            spare,
            report: IngestReport::default(),
        }
    }

    pub(crate) async fn take(&mut self, file: Arc<OpenFile>, part: Part) -> Result<(), Error> {
        match part {
            Part::Known(processed) => {
                for event in &processed.events {
                    self.seen.insert(event.identity);
                }
                self.spare.give(processed);
                Ok(())
            }
            Part::New(processed, chunk) => {
                self.add(&file, processed, chunk);
                let full = self.batch.rows() >= self.options.batch_rows
                    || self.batch.bytes() >= self.batch_bytes
                    || self.batch.input_bytes >= self.batch_bytes;
                if full { self.flush().await } else { Ok(()) }
            }
            Part::End(end) => {
                self.end(&file, end);
                let full = self.batch.progress.len() >= BATCH_INPUTS;
                if full { self.flush().await } else { Ok(()) }
            }
            Part::Lost(problem) => Err(Error::Lost {
                name: file.name().to_owned(),
                problem,
            }),
        }
    }

    /// Whether more records were rejected than allowed, as far as that can be said already.
    pub(crate) fn has_too_many_rejects(&self) -> bool {
        let is_share = matches!(self.options.max_rejects, Some(RejectLimit::Percent(_)));
        let is_early = is_share && self.read < SHARE_RECORDS_MIN;
        let limit = self.options.max_rejects.filter(|_| !is_early);
        limit.is_some_and(|limit| limit.is_exceeded(self.rejected, self.read))
    }

    /// Writes what is left, and gives the sum of all ledgers.
    pub(crate) async fn finish(mut self) -> Result<(IngestReport, Totals), Error> {
        self.flush().await?;
        let totals = match self.writer {
            Some(writer) => writer.finish().await?,
            None => self.ledgers.finish()?,
        };
        Ok((self.report, totals))
    }

    fn add(&mut self, file: &Arc<OpenFile>, mut processed: Processed, chunk: Arc<Chunk>) {
        self.read += processed.ledger.read;
        self.rejected += processed.ledger.rejected();
        let mut progress = Progress {
            position: chunk.end(),
            content_hash: chunk.content_hash(),
            problem: processed.problem.take(),
            not_utf8: processed.not_utf8.map(|(position, records)| NotUtf8 {
                line: position.line,
                records,
            }),
            ledger: std::mem::take(&mut processed.ledger),
            ..Progress::default()
        };
        for (index, event) in processed.events.iter().enumerate() {
            let length = chunk.record(event.record).position.length;
            if !self.seen.insert(event.identity) {
                progress.ledger.repeat(length);
                continue;
            }
            progress.ledger.write(length);
            progress.facts.add(event.hash);
            let earliest = self.report.earliest.get_or_insert(event.hour);
            *earliest = (*earliest).min(event.hour);
            if self.writer.is_some() {
                self.batch.facts.push(processed.facts.get(index));
                self.batch.timeline.push(processed.timeline.get(index));
                self.batch.hours.insert(event.hour);
                self.batch.origins.push(Origin {
                    chunk: self.batch.chunks.len(),
                    record: event.record,
                });
            }
        }
        for rejected in &processed.rejected {
            progress.letters.add(rejected.hash);
        }
        self.show_examples(file, &processed, &chunk);
        self.batch.input_bytes += chunk.bytes();
        if self.writer.is_some() {
            self.batch.take_letters(&processed.letters);
            let is_origin = |origin: &Origin| origin.chunk == self.batch.chunks.len();
            if self.batch.origins.last().is_some_and(is_origin) {
                self.batch.chunks.push((Arc::clone(file), chunk));
            }
        }
        self.advance(file, progress);
        self.spare.give(processed);
    }

    fn show_examples(&mut self, file: &OpenFile, processed: &Processed, chunk: &Chunk) {
        let missing = self.options.examples - self.report.examples.len();
        for rejected in processed.rejected.iter().take(missing) {
            let line = chunk.record(rejected.record).position.line;
            let reasons = rejected.findings.iter().map(ToString::to_string);
            let place = format!("{}:{line}", file.name());
            self.report.examples.push((place, reasons.collect()));
        }
    }

    fn end(&mut self, file: &Arc<OpenFile>, end: InputEnd) {
        if end.is_empty && end.problem.is_none() {
            self.report.empty.push(file.name().to_owned());
        }
        let progress = Progress {
            position: end.position,
            content_hash: end.content_hash,
            tail: end.tail,
            end: Some(end.status),
            problem: end.problem,
            ..Progress::default()
        };
        self.advance(file, progress);
    }

    /// Adds to what the batch is worth for an input.
    fn advance(&mut self, file: &Arc<OpenFile>, progress: Progress) {
        let known = self.batch.progress.entry(file.index);
        let (_, known) = known.or_insert_with(|| (Arc::clone(file), Progress::default()));
        known.position = progress.position;
        known.content_hash = progress.content_hash;
        known.tail = progress.tail;
        known.end = progress.end;
        known.problem = known.problem.take().or(progress.problem);
        known.not_utf8 = joined(known.not_utf8, progress.not_utf8);
        known.ledger.merge(&progress.ledger);
        known.facts.merge(&progress.facts);
        known.letters.merge(&progress.letters);
    }

    async fn flush(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let Some(writer) = &mut self.writer else {
            for (file, progress) in std::mem::take(&mut self.batch.progress).into_values() {
                self.ledgers.advance(&file, progress);
            }
            return self.ledgers.write(&mut MutationBatch::new());
        };
        let empty = writer.empty_batch(self.options.batch_rows, self.batch_bytes);
        writer
            .write(std::mem::replace(&mut self.batch, empty))
            .await
    }
}
