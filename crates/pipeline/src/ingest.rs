//! The ingest job: files to facts, timeline and dead letters, and a ledger that balances.
//!
//! ```text
//! plan               what the ledgers say of each input: new, to be taken up, grown, or done
//! reader thread      chunks of whole records, in order, a few ahead
//! worker threads     transform, judge, encode: one chunk each, any of them at once
//! sequencer          in the order of the input: tell duplicates, collect batches
//! writer             some batches at once, as the store likes it, while the next is collected; checkpoints behind them
//! ```
//!
//! Everything between two of them is bounded, so memory follows from the options and not from the input; and where the store is
//! slow, the reader waits. Because duplicates are told in the order of the input, the first of two stands whatever the number of
//! threads. A run that was stopped is taken up under its own name: what was read before the checkpoint is read once more, but only
//! to remember it, so that duplicates are told as if nothing had happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::Stream;
use rowmill_model::RejectLimit;
use rowmill_rowkey::{Hour, Timestamp};
use rowmill_store::{Clock, Store, SystemClock};

use crate::aggregate::narrow_timeline;
use crate::control::Control;
use crate::error::Error;
use crate::input::PreparedInputs;
use crate::ledger::Ledger;
use crate::marks::Marker;
use crate::open_file::OpenFile;
use crate::open_ledgers::OpenLedgers;
use crate::plan::{NewRun, Plan, Standing};
use crate::process::{Processed, SpareProcessed, process_chunk_into};
use crate::read::{Content, InputEnd, Permit, Piece, Reader};
use crate::run_state::{self, End};
use crate::runs::RunStatus;
use crate::sequencer::Sequencer;
use crate::stages::Stages;
use crate::witnesses::StoreWatch;
use crate::writer::{Target, Writer};

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
    /// How many bytes of a file are read and processed together, about.
    pub chunk_bytes: usize,
    /// How many rows are written together.
    pub batch_rows: usize,
    /// How many bytes are written together, about; as many as the store likes if none.
    pub batch_bytes: Option<usize>,
    /// How many of the latest identities are remembered, at least, to tell duplicates.
    pub duplicate_window: usize,
    /// How many rejected records the report shows.
    pub examples: usize,
    /// Ingest also what is done already, as a new run.
    pub again: bool,
    /// Stop when more records than this were rejected.
    pub max_rejects: Option<RejectLimit>,
    /// What tells when it ended.
    pub clock: Arc<dyn Clock>,
    /// Whether ledgers, checkpoints and dead letters are written. Only benchmarks that ask what they cost say no.
    pub accounting: bool,
}

impl IngestOptions {
    /// The options of a run: as many threads as there are cores, batches as the store likes them, a window of
    /// [`DUPLICATE_WINDOW`] identities.
    pub fn new(run: impl Into<String>, now: Timestamp) -> Self {
        Self {
            run: run.into(),
            now,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            chunk_bytes: 256 << 10,
            batch_rows: 40_000,
            batch_bytes: None,
            duplicate_window: DUPLICATE_WINDOW,
            examples: 5,
            again: false,
            max_rejects: None,
            clock: Arc::new(SystemClock),
            accounting: true,
        }
    }
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IngestReport {
    /// What became of every record of the inputs that were read, also before an interruption.
    pub ledger: Ledger,
    /// The first rejected records: their place, and every reason.
    pub examples: Vec<(String, Vec<String>)>,
    /// Inputs without a single record.
    pub empty: Vec<String>,
    /// Inputs that could not be read to their end, or are no text in places, and why.
    pub damaged: Vec<(String, String)>,
    /// How each input stood to what was ingested before; none if nothing was to be written.
    pub standings: Vec<(String, Standing)>,
    /// The hour of the earliest event that was written.
    pub earliest: Option<Hour>,
    /// Why the run was stopped before its end, if it was.
    pub stopped: Option<Stopped>,
}

/// Why a run was stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Its caller wanted it.
    Interrupted,
    /// More records were rejected than allowed.
    TooManyRejects,
}

impl IngestReport {
    /// How the run ended.
    pub fn status(&self) -> RunStatus {
        match self.stopped {
            Some(Stopped::Interrupted) => RunStatus::Interrupted,
            Some(Stopped::TooManyRejects) => RunStatus::TooManyRejects,
            None if !self.damaged.is_empty() => RunStatus::Damaged,
            None => RunStatus::Done,
        }
    }
}

/// Reads the inputs into the store, as far as they were not read before.
pub async fn ingest(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    inputs: PreparedInputs,
    options: &IngestOptions,
    control: &Control,
) -> Result<IngestReport, Error> {
    let plan = Plan::of(
        stages,
        inputs,
        store,
        new_run(stages, options),
        options.again,
    )
    .await?;
    let accounted = if options.accounting {
        plan.tasks.as_slice()
    } else {
        &[]
    };
    narrow_timeline(stages, &**store).await?;
    let worked = run_state::begin(store, accounted, &stages.pipeline.fingerprint).await?;
    let watch = StoreWatch::new(stages, store, &options.clock, &worked)?;
    let watch = options.accounting.then(|| Arc::new(watch));
    // A run that was killed when all of its inputs were done has not been recorded as such.
    let left = plan
        .standings
        .iter()
        .filter_map(|(_, standing)| standing.done_in());
    let left: BTreeSet<String> = left.map(str::to_owned).collect();
    let liked_bytes = store.capability().writes.batch_bytes;
    let options = IngestOptions {
        batch_bytes: options.batch_bytes.or(Some(liked_bytes)),
        ..options.clone()
    };
    let into = Destination {
        store: Arc::clone(store),
        watch: watch.clone(),
    };
    let ended = run(stages, plan, &options, control, Some(into)).await;
    let ended = ended.map_err(Error::of_known_tables);
    let nothing = BTreeMap::new();
    let end = End {
        worked: &worked,
        left: &left,
        ended: ended.as_ref().map_or(&nothing, |(_, ended)| ended),
        status: ended
            .as_ref()
            .map_or(RunStatus::Failed, |(report, _)| report.status()),
        now: options.clock.now(),
    };
    let recorded = end.record(store).await;
    // A failure that keeps the run from being recorded is the one that ended it, most likely.
    let (report, _) = ended?;
    recorded.map_err(Error::of_known_tables)?;
    if let Some(watch) = watch {
        watch.confirm().await.map_err(Error::of_known_tables)?;
    }
    log(&options.run, &report);
    Ok(report)
}

/// What alerts and dashboards are made of: their filters name this message and these fields.
fn log(run: &str, report: &IngestReport) {
    let Ledger {
        read,
        written,
        duplicate,
        filtered,
        ..
    } = report.ledger;
    let (rejected, status) = (report.ledger.rejected(), report.status().name());
    #[expect(clippy::cast_precision_loss, reason = "a share, for people")]
    let rejected_share = rejected as f64 / read.max(1) as f64;
    tracing::info!(
        run,
        read,
        written,
        duplicate,
        filtered,
        rejected,
        rejected_share,
        status,
        "ingested"
    );
}

/// Does everything that [`ingest`] does, but writes nothing and needs no store.
pub async fn check(
    stages: &Arc<Stages>,
    inputs: PreparedInputs,
    options: &IngestOptions,
    control: &Control,
) -> Result<IngestReport, Error> {
    let plan = Plan::without_store(inputs, new_run(stages, options));
    let (report, _) = run(stages, plan, options, control, None).await?;
    Ok(report)
}

fn new_run(stages: &Stages, options: &IngestOptions) -> NewRun {
    NewRun {
        run: options.run.as_str().into(),
        started: options.now,
        config_hash: stages.pipeline.fingerprint.as_str().into(),
        duplicate_window: Some(options.duplicate_window)
            .filter(|window| *window != DUPLICATE_WINDOW)
            .map(|window| window as u64),
    }
}

/// Where an ingest writes to, and what watches that it stays there.
struct Destination {
    store: Arc<dyn Store>,
    watch: Option<Arc<StoreWatch>>,
}

/// What became of the inputs; and how many came to their end, by run.
type Ended = (IngestReport, BTreeMap<String, u64>);

async fn run(
    stages: &Arc<Stages>,
    plan: Plan,
    options: &IngestOptions,
    control: &Control,
    into: Option<Destination>,
) -> Result<Ended, Error> {
    let written = plan.written() as u64;
    let writer = into.map(|Destination { store, watch }| {
        let target = Target {
            marker: Arc::new(Marker::new(Arc::clone(&store), options.run.as_str())),
            stages: Arc::clone(stages),
            store,
            config_hash: stages.pipeline.fingerprint.as_str().into(),
            accounting: options.accounting,
            watch,
        };
        let ledgers = OpenLedgers::new(plan.before.clone());
        Writer::new(target, ledgers, control.clone())
    });
    let spare = SpareProcessed::default();
    let mut sequencer = Sequencer::new(options, &plan.before, writer, spare.clone());
    let reader = Reader::new(options, control.clone());
    let parts = parts(stages, reader.pieces(plan.tasks)?, options.threads, spare);
    let mut parts = std::pin::pin!(parts);
    let mut has_too_many_rejects = sequencer.has_too_many_rejects();
    while !has_too_many_rejects {
        // Who waits for an input that gives nothing can be stopped all the same.
        let next = tokio::select! {
            biased;
            next = parts.next() => next,
            () = control.stopped() => None,
        };
        let Some((file, part, _permit)) = next else {
            break;
        };
        control.advance(part.bytes(), part.records());
        sequencer.take(file, part).await?;
        has_too_many_rejects = sequencer.has_too_many_rejects();
    }
    let (mut report, totals) = sequencer.finish().await?;
    report.standings = plan.standings;
    let is_finished = totals.ended.values().sum::<u64>() == written;
    (report.ledger, report.damaged) = (totals.ledger, totals.damaged);
    report.stopped = stopped(&report.ledger, has_too_many_rejects, options)
        .or_else(|| (control.is_stopped() && !is_finished).then_some(Stopped::Interrupted));
    debug_assert!(
        is_finished || report.stopped.is_some(),
        "what is not finished was stopped"
    );
    Ok((report, totals.ended))
}

/// What a piece of an input became.
pub(crate) enum Part {
    Known(Processed),
    New(Processed, Arc<rowmill_ingest::Chunk>),
    End(InputEnd),
    Lost(String),
}

impl Part {
    fn bytes(&self) -> u64 {
        match self {
            Self::New(_, chunk) => chunk.bytes() as u64,
            Self::Known(processed) => processed.ledger.bytes.read,
            Self::End(_) | Self::Lost(_) => 0,
        }
    }

    fn records(&self) -> u64 {
        match self {
            Self::New(processed, _) | Self::Known(processed) => processed.ledger.read,
            Self::End(_) | Self::Lost(_) => 0,
        }
    }
}

/// Processes pieces on some threads at once, and gives what they became in their order.
fn parts(
    stages: &Arc<Stages>,
    pieces: impl Stream<Item = Piece>,
    threads: usize,
    spare: SpareProcessed,
) -> impl Stream<Item = (Arc<OpenFile>, Part, Permit)> {
    let stages = Arc::clone(stages);
    let processed = pieces.map(move |piece| {
        let (stages, spare) = (Arc::clone(&stages), spare.clone());
        let Piece {
            file,
            content,
            permit,
        } = piece;
        async move {
            let (chunk, is_new) = match content {
                Content::End(end) => return (file, Part::End(end), permit),
                Content::Lost(problem) => return (file, Part::Lost(problem), permit),
                Content::Known(chunk) => (chunk, false),
                Content::New(chunk) => (chunk, true),
            };
            let of_file = Arc::clone(&file);
            let work = move || {
                let source = of_file.source();
                let processed = process_chunk_into(spare.take(), &stages, &source, &chunk);
                if is_new {
                    Part::New(processed, chunk)
                } else {
                    Part::Known(processed)
                }
            };
            let part = tokio::task::spawn_blocking(work).await;
            let part = part.expect("processing a chunk does not panic");
            (file, part, permit)
        }
    });
    processed.buffered(threads + 1)
}

/// Whether more records were rejected than allowed.
fn stopped(ledger: &Ledger, has_too_many: bool, options: &IngestOptions) -> Option<Stopped> {
    let is_exceeded = |limit: RejectLimit| limit.is_exceeded(ledger.rejected(), ledger.read);
    let is_too_many = has_too_many || options.max_rejects.is_some_and(is_exceeded);
    is_too_many.then_some(Stopped::TooManyRejects)
}
