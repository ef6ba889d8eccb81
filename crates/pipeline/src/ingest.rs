//! The ingest job: files to facts, timeline and dead letters, and a ledger that balances.
//!
//! ```text
//! reader thread      chunks of whole records, in order, a few ahead
//! worker threads     transform, judge, encode: one chunk each, any of them at once
//! sequencer          in the order of the input: tell duplicates, collect batches
//! writer             some batches at once, as the store likes it, while the next is collected
//! ```
//!
//! Everything between two of them is bounded, so memory follows from the options and not from the input. Because
//! duplicates are told in the order of the input, the first of two stands whatever the number of threads.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{self, Stream};
use rowmill_ingest::Chunk;
use rowmill_quality::Seen;
use rowmill_rowkey::{Hour, Timestamp};
use rowmill_store::Store;
use tokio::sync::mpsc;

use crate::control::Control;
use crate::error::Error;
use crate::input::{Prepared, PreparedInputs};
use crate::ledger::Ledger;
use crate::process::{ChunkSource, Letter, Processed, process_chunk};
use crate::runs;
use crate::stages::Stages;
use crate::writer::{Batch, Writer};

/// How many identities are remembered at least, unless the options say otherwise: as many as fill a hash table of 2^20
/// places, twice.
pub const DUPLICATE_WINDOW: usize = 900_000;

/// How to ingest.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// What the run is called in the rows it writes.
    pub run: String,
    /// When it began.
    pub now: Timestamp,
    /// How many threads transform.
    pub threads: usize,
    /// How many rows are written together.
    pub batch_rows: usize,
    /// How many bytes are written together, about; as many as the store likes if none.
    pub batch_bytes: Option<usize>,
    /// How many of the latest identities are remembered, at least, to tell duplicates.
    pub duplicate_window: usize,
    /// How many rejected records the report shows.
    pub examples: usize,
}

impl IngestOptions {
    /// The options of a run: as many threads as there are cores, batches as the store likes them, a window of
    /// [`DUPLICATE_WINDOW`] identities.
    pub fn new(run: impl Into<String>, now: Timestamp) -> Self {
        Self {
            run: run.into(),
            now,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            batch_rows: 40_000,
            batch_bytes: None,
            duplicate_window: DUPLICATE_WINDOW,
            examples: 5,
        }
    }
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// What became of every record.
    pub ledger: Ledger,
    /// The first rejected records: their place, and every reason.
    pub examples: Vec<(String, Vec<String>)>,
    /// Inputs without a single record.
    pub empty: Vec<String>,
    /// The hour of the earliest event that was written.
    pub earliest: Option<Hour>,
    /// Whether the run was stopped before its end.
    pub interrupted: bool,
}

/// Reads the inputs into the store.
pub async fn ingest(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    inputs: PreparedInputs,
    options: &IngestOptions,
    control: &Control,
) -> Result<IngestReport, Error> {
    let writer = Writer::new(Arc::clone(store), &options.run);
    let liked_bytes = store.capability().writes.batch_bytes;
    let options = &IngestOptions {
        batch_bytes: options.batch_bytes.or(Some(liked_bytes)),
        ..options.clone()
    };
    let report = run(stages, inputs, options, control, Some(writer)).await?;
    runs::record(&**store, &options.run, options.now, &report.ledger).await?;
    tracing::info!(
        run = options.run,
        read = report.ledger.read,
        written = report.ledger.written,
        "ingested"
    );
    Ok(report)
}

/// Does everything that [`ingest`] does, but writes nothing and needs no store.
pub async fn check(
    stages: &Arc<Stages>,
    inputs: PreparedInputs,
    options: &IngestOptions,
    control: &Control,
) -> Result<IngestReport, Error> {
    run(stages, inputs, options, control, None).await
}

async fn run(
    stages: &Arc<Stages>,
    inputs: PreparedInputs,
    options: &IngestOptions,
    control: &Control,
    writer: Option<Writer>,
) -> Result<IngestReport, Error> {
    let shared = Arc::new(options.clone());
    let chunks = read(inputs.inputs, options.threads, control.clone());
    let processed = chunks.map(|chunk| {
        let (stages, options) = (Arc::clone(stages), Arc::clone(&shared));
        async move {
            let Piece { file, chunk } = chunk?;
            let work = move || {
                let processed = process_chunk(&stages, &file.source(&options), &chunk);
                (file, processed)
            };
            Ok::<_, Error>(
                tokio::task::spawn_blocking(work)
                    .await
                    .expect("processing a chunk does not panic"),
            )
        }
    });
    let mut processed = std::pin::pin!(processed.buffered(options.threads + 1));
    let mut sequencer = Sequencer::new(stages, options, writer);
    while let Some(next) = processed.next().await {
        let (file, processed) = next?;
        control.advance(processed.bytes, processed.ledger.read);
        sequencer.take(&file, processed).await?;
    }
    let mut report = sequencer.finish().await?;
    report.interrupted = control.is_stopped();
    report.ledger.check()?;
    Ok(report)
}

/// A file that is being read.
#[derive(Debug)]
struct OpenFile {
    name: String,
    file_name: String,
    options: rowmill_ingest::Options,
    columns: Option<rowmill_transform::Columns>,
}

impl OpenFile {
    fn source<'a>(&'a self, options: &'a IngestOptions) -> ChunkSource<'a> {
        ChunkSource {
            name: &self.name,
            file_name: &self.file_name,
            delimiter: self.options.delimiter,
            columns: self.columns.as_ref(),
            run: &options.run,
            now: options.now,
        }
    }
}

/// A chunk and the file it is of.
struct Piece {
    file: Arc<OpenFile>,
    chunk: Chunk,
}

/// The chunks of all files in order, read a few ahead on a thread of their own.
fn read(
    files: Vec<Prepared>,
    ahead: usize,
    control: Control,
) -> impl Stream<Item = Result<Piece, Error>> {
    let (sender, receiver) = mpsc::channel(ahead);
    tokio::task::spawn_blocking(move || {
        for file in files {
            if let Err(error) = read_file(file, &sender, &control) {
                // The receiver is gone only if the job failed already.
                sender.blocking_send(Err(error)).ok();
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    })
}

fn read_file(
    mut file: Prepared,
    pieces: &mpsc::Sender<Result<Piece, Error>>,
    control: &Control,
) -> Result<(), Error> {
    let chunks = file.open()?;
    let Prepared {
        name,
        file_name,
        options,
        columns,
        ..
    } = file;
    let file = Arc::new(OpenFile {
        name,
        file_name,
        options,
        columns,
    });
    let mut is_empty = true;
    for chunk in chunks {
        let chunk = chunk.map_err(|source| Error::Read {
            name: file.name.clone(),
            source,
        })?;
        is_empty = false;
        if control.is_stopped()
            || pieces
                .blocking_send(Ok(Piece {
                    file: Arc::clone(&file),
                    chunk,
                }))
                .is_err()
        {
            return Ok(());
        }
    }
    if is_empty {
        let chunk = Chunk::default();
        pieces.blocking_send(Ok(Piece { file, chunk })).ok();
    }
    Ok(())
}

/// Takes processed chunks in the order of the input: tells duplicates, counts, and collects batches.
struct Sequencer<'a> {
    options: &'a IngestOptions,
    config_hash: &'a str,
    seen: Seen,
    hours: BTreeSet<Hour>,
    batch: Batch,
    /// When the batch is large enough to be written.
    batch_bytes: usize,
    writer: Option<Writer>,
    report: IngestReport,
}

impl<'a> Sequencer<'a> {
    fn new(stages: &'a Stages, options: &'a IngestOptions, mut writer: Option<Writer>) -> Self {
        let batch_bytes = options.batch_bytes.unwrap_or(usize::MAX);
        let batch = writer
            .as_mut()
            .map(|writer| writer.empty_batch(options.batch_rows, batch_bytes));
        Self {
            options,
            config_hash: &stages.pipeline.fingerprint,
            seen: Seen::new(options.duplicate_window),
            hours: BTreeSet::new(),
            batch: batch.unwrap_or_default(),
            batch_bytes,
            writer,
            report: IngestReport::default(),
        }
    }

    async fn take(&mut self, file: &OpenFile, processed: Processed) -> Result<(), Error> {
        if processed.ledger.read == 0 {
            self.report.empty.push(file.name.clone());
        }
        self.report.ledger.merge(&processed.ledger);
        for (index, (identity, hour)) in processed.events.iter().enumerate() {
            if !self.seen.insert(*identity) {
                self.report.ledger.duplicate += 1;
                continue;
            }
            self.report.ledger.written += 1;
            let earliest = self.report.earliest.get_or_insert(*hour);
            *earliest = (*earliest).min(*hour);
            if self.writer.is_some() {
                self.batch.facts.push(processed.facts.get(index));
                self.batch.timeline.push(processed.timeline.get(index));
                self.batch.hours.insert(*hour);
            }
        }
        for letter in &processed.letters {
            self.take_letter(file, letter)?;
        }
        let full =
            self.batch.rows() >= self.options.batch_rows || self.batch.bytes() >= self.batch_bytes;
        if full { self.flush().await } else { Ok(()) }
    }

    fn take_letter(&mut self, file: &OpenFile, letter: &Letter) -> Result<(), Error> {
        if self.report.examples.len() < self.options.examples {
            let place = format!("{}:{}", file.name, letter.position.line);
            self.report.examples.push((
                place,
                letter.findings.iter().map(ToString::to_string).collect(),
            ));
        }
        if self.writer.is_none() {
            return Ok(());
        }
        self.batch
            .push_letter(&file.name, &self.options.run, self.config_hash, letter)
            .map_err(|error| Error::Input {
                name: file.name.clone(),
                problem: error.to_string(),
            })
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.hours.extend(&self.batch.hours);
        let Some(writer) = self.writer.as_mut().filter(|_| self.batch.rows() > 0) else {
            return Ok(());
        };
        let empty = writer.empty_batch(self.options.batch_rows, self.batch_bytes);
        writer
            .write(std::mem::replace(&mut self.batch, empty))
            .await
    }

    /// Writes what is left. The hours are marked once more: whoever aggregated them meanwhile did not see all.
    async fn finish(mut self) -> Result<IngestReport, Error> {
        self.flush().await?;
        if let Some(writer) = &mut self.writer {
            writer.wait().await?;
            writer.mark(&self.hours).await?;
        }

        Ok(self.report)
    }
}
