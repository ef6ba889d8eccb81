//! The verify job: proves from the store that what the ledgers say was written is there, byte for byte.
//!
//! Two ways lead to a proof. *From the store alone*: the rows that carry a run's name are digested, and the digest compared with the
//! one that was taken while they were written; one scan of each table proves every ledger. *From the source*: the input is read
//! once more, and each row that it gives is looked up. The second is taken where it is asked for, and where the first fails: because
//! a later run may have written some of the same events again, which leaves fewer rows under the first one's name and no row less.

mod aggregates;
mod source;
mod store;
mod versions;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rowmill_model::columns::table;
use rowmill_objects::Endpoint;
use rowmill_rowkey::Timestamp;
use rowmill_store::Store;

use crate::control::Control;
use crate::digest::Digest;
use crate::error::Error;
use crate::file_ledger::{FileLedger, FileStatus};
use crate::ledger::Ledger;
use crate::marks::marks;
use crate::runs::{FileLedgers, Run, RunKind, RunStatus, readable_file_ledgers, readable_runs};
use crate::stages::Stages;
use crate::unreadable::Unreadable;

pub use aggregates::{VerifyAggregatesOptions, VerifyAggregatesReport, verify_aggregates};
use source::Proof;
use store::Found;
pub(crate) use store::file_of;

/// What to verify, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Only this run.
    pub run: Option<String>,
    /// Only this input.
    pub file: Option<String>,
    /// How thoroughly.
    pub depth: Depth,
    /// Where sources that are objects are.
    pub storage: Endpoint,
}

/// How thoroughly to verify.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    /// From the store; from the sources where that does not prove it.
    #[default]
    Store,
    /// Of each input, so many events, looked up one by one as its source gives them.
    Sample(usize),
    /// From the store and, event by event, from the sources.
    Full,
}

/// What was proved, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Every ledger that was looked at.
    pub ledgers: Vec<Verified>,
    /// Rows of the fact table, if it was read.
    pub facts: u64,
    /// Rows of the timeline, if it was read.
    pub timeline: u64,
    /// Dead letters, if they were read.
    pub letters: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// How many more there are, at most: an event that is not at its key is not looked for elsewhere once the list is full.
    pub more: u64,
}

/// One input in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The run.
    pub run: String,
    /// The input.
    pub file: String,
    /// Events that the ledger says were written.
    pub written: u64,
    /// How it was proved, or why not.
    pub verdict: Verdict,
}

/// What verifying a ledger came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The rows under the run's name are those that were written, byte for byte.
    Proved,
    /// Every event that the source gives is there; so many of them a later run or record wrote again.
    ProvedFromSource {
        /// Events looked up.
        events: u64,
        /// Those that stand there as another record wrote them.
        rewritten: u64,
    },
    /// A later run read the whole input again, and answers for it.
    Superseded,
    /// The run has not come to its end: what its checkpoint says is there, and maybe more.
    Unfinished,
    /// See the differences.
    Different,
}

impl Verdict {
    /// For tables.
    pub fn name(&self) -> String {
        match self {
            Self::Proved => "proved".to_owned(),
            Self::ProvedFromSource {
                events,
                rewritten: 0,
            } => format!("proved from the source, {events} events"),
            Self::ProvedFromSource { events, rewritten } => format!(
                "proved from the source, {events} events, {rewritten} of them written again since"
            ),
            Self::Superseded => "read again by a later run".to_owned(),
            Self::Unfinished => "unfinished".to_owned(),
            Self::Different => "DIFFERENT".to_owned(),
        }
    }
}

/// Something that is not as the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The row, or the ledger.
    pub key: String,
    /// What is wrong, as a fragment.
    pub problem: String,
}

/// How many differences are kept.
const DIFFERENCES_MAX: usize = 100;

impl VerifyReport {
    /// Whether everything is as the ledgers say.
    pub fn is_proved(&self) -> bool {
        self.differences.is_empty()
    }

    fn differ(&mut self, table: &'static str, key: impl Into<String>, problem: impl Into<String>) {
        let mut differences = Differences {
            kept: &mut self.differences,
            more: &mut self.more,
        };
        differences.add(table, key, problem);
    }

    /// Takes rows that cannot be read for differences.
    fn differ_unreadable(&mut self, unreadable: Unreadable) {
        self.more += unreadable.count - unreadable.rows.len() as u64;
        for row in unreadable.rows {
            self.differ(row.table, row.key, row.problem);
        }
    }

    /// Something of `pipeline_state`, or none and a difference if a row of it cannot be read.
    fn readable<T>(&mut self, read: Result<T, Error>) -> Result<Option<T>, Error> {
        match read {
            Err(Error::Row(problem)) => {
                self.differ(table::STATE, "pending hours", problem);
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    /// Whether as many differences are kept as there may be.
    fn is_full(&self) -> bool {
        self.differences.len() >= DIFFERENCES_MAX
    }
}

/// Collects differences, and counts those that are too many to keep.
struct Differences<'a> {
    kept: &'a mut Vec<Difference>,
    more: &'a mut u64,
}

impl Differences<'_> {
    fn add(&mut self, table: &'static str, key: impl Into<String>, problem: impl Into<String>) {
        if self.kept.len() == DIFFERENCES_MAX {
            *self.more += 1;
            return;
        }
        self.kept.push(Difference {
            table,
            key: key.into(),
            problem: problem.into(),
        });
    }
}

/// Verifies what `options` say.
pub async fn verify(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &VerifyOptions,
    control: &Control,
) -> Result<VerifyReport, Error> {
    let (mut report, mut unreadable) = (VerifyReport::default(), Unreadable::default());
    let ledgers = readable_file_ledgers(&**store, &mut unreadable).await?;
    let superseded = superseded(&ledgers);
    let all: Vec<_> = ledgers.into_values().flatten().collect();
    let runs = readable_runs(&**store, &mut unreadable).await?;
    report.differ_unreadable(unreadable);
    let asked = |ledger: &&FileLedger| {
        options.run.as_ref().is_none_or(|run| *run == ledger.run)
            && options
                .file
                .as_ref()
                .is_none_or(|file| *file == ledger.file)
    };
    check_asked(options, &runs, all.iter().any(|ledger| asked(&ledger)))?;
    balance(&all, &runs, options, &mut report);
    let found = match options.depth {
        Depth::Sample(_) => None,
        Depth::Store | Depth::Full => Some(store::read(stages, store, &mut report, control).await?),
    };
    if let Some(found) = &found {
        (report.facts, report.timeline, report.letters) =
            (found.facts, found.timeline.rows, found.letters);
        let open = open(&**store, &runs, &all, &mut report).await?;
        store::check_timeline(stages, store, found, &open, &mut report, control).await?;
    }
    let each = all.iter().zip(superseded);
    for (ledger, is_superseded) in each.filter(|(ledger, _)| asked(ledger)) {
        let mut verifier = Verifier {
            stages,
            store,
            options,
            found: found.as_ref(),
            report: &mut report,
            control,
        };
        let verdict = verifier.ledger(ledger, is_superseded).await?;
        report.ledgers.push(Verified {
            run: ledger.run.clone(),
            file: ledger.file.clone(),
            written: ledger.ledger.written,
            verdict,
        });
    }
    Ok(report)
}

/// What is being written, or was when a process died.
async fn open(
    store: &dyn Store,
    runs: &[Run],
    ledgers: &[FileLedger],
    report: &mut VerifyReport,
) -> Result<store::Open, Error> {
    let is_over = |run: &Run| matches!(run.status, RunStatus::Done | RunStatus::Damaged);
    let open_runs = runs.iter().filter(|run| !is_over(run));
    let names: BTreeSet<String> = open_runs.map(|run| run.run.clone()).collect();
    let checkpoint = |ledger: &FileLedger| {
        // Dead letters are replayed in the order of their keys, and written before their ledger is.
        let position = match ledger.kind {
            RunKind::Ingest => ledger.position,
            RunKind::Replay => 0,
        };
        ((ledger.run.clone(), ledger.file.clone()), position)
    };
    let marks = report.readable(marks(store).await)?.unwrap_or_default();
    report.differ_unreadable(marks.unreadable.clone());
    let hours = if names.is_empty() {
        BTreeSet::new()
    } else {
        let hours = marks.hours();
        hours.map(|hour| hour.to_string().into_bytes()).collect()
    };
    Ok(store::Open {
        checkpoints: ledgers.iter().map(checkpoint).collect(),
        runs: names,
        hours,
    })
}

fn check_asked(options: &VerifyOptions, runs: &[Run], is_found: bool) -> Result<(), Error> {
    if let Some(run) = &options.run
        && runs.iter().all(|known| known.run != *run)
    {
        let message = format!("there is no run `{run}`; see `rowmill runs list`");
        return Err(Error::Query(message));
    }
    match &options.file {
        Some(file) if !is_found => Err(Error::Query(format!(
            "no run has read `{file}`; see `rowmill runs list`"
        ))),
        _ => Ok(()),
    }
}

/// Of each ledger, file by file, whether a later run read the same content again, and so answers for everything that it counts.
fn superseded(ledgers: &FileLedgers) -> Vec<bool> {
    let mut superseded = Vec::new();
    for of_file in ledgers.values() {
        let begins = superseded.len();
        let mut later = Later::default();
        for ledger in of_file.iter().rev() {
            superseded.push(later.answers_for(ledger));
            later.add(ledger);
        }
        // Replays have no number among an input's ledgers, and are told from the others by time.
        superseded[begins..].reverse();
        for (ledger, is_superseded) in of_file.iter().zip(&mut superseded[begins..]) {
            if ledger.kind == RunKind::Replay {
                *is_superseded = later.latest > Some((ledger.started, &ledger.run));
            }
        }
    }
    superseded
}

/// The runs that read all of an input, later than the one that is looked at.
#[derive(Default)]
struct Later<'a> {
    /// What they read: how much, and its hash.
    contents: HashSet<(u64, u128)>,
    /// The one that began last.
    latest: Option<(Timestamp, &'a String)>,
}

impl<'a> Later<'a> {
    fn add(&mut self, ledger: &'a FileLedger) {
        let reads_all = ledger.kind == RunKind::Ingest && ledger.from == 0;
        if reads_all && ledger.status == FileStatus::Done {
            let content = (ledger.position, ledger.content_hash.0);
            self.contents.insert(content);
            self.latest = self.latest.max(Some((ledger.started, &ledger.run)));
        }
    }

    /// A run that was given up before its end, because its input changed or the pipeline file did, is answered for too.
    fn answers_for(&self, ledger: &FileLedger) -> bool {
        let content = (ledger.position, ledger.content_hash.0);
        let is_given_up = ledger.status != FileStatus::Done && !self.contents.is_empty();
        is_given_up || self.contents.contains(&content)
    }
}

/// Checks that every ledger balances, and that runs are the sum of their inputs.
fn balance(all: &[FileLedger], runs: &[Run], options: &VerifyOptions, report: &mut VerifyReport) {
    const STATE: &str = table::STATE;
    for ledger in all.iter().filter(|ledger| !ledger.ledger.is_balanced()) {
        let key = format!("{} in {}", ledger.file, ledger.run);
        report.differ(STATE, key, "the ledger does not balance");
    }
    let mut sums: HashMap<&str, (Ledger, Digest)> = HashMap::new();
    for file in all {
        let (ledger, facts) = sums.entry(&file.run).or_default();
        ledger.merge(&file.ledger);
        facts.merge(&file.facts);
    }
    let asked = |run: &&Run| options.run.as_ref().is_none_or(|asked| *asked == run.run);
    let is_over = |run: &&Run| run.status != RunStatus::Unfinished;
    for run in runs.iter().filter(asked).filter(is_over) {
        let sum = sums.remove(run.run.as_str()).unwrap_or_default();
        if (&sum.0, sum.1) != (&run.ledger, run.facts) {
            let problem = "the run is not the sum of its inputs";
            report.differ(STATE, run.run.clone(), problem);
        }
    }
}

struct Verifier<'a> {
    stages: &'a Arc<Stages>,
    store: &'a Arc<dyn Store>,
    options: &'a VerifyOptions,
    found: Option<&'a Found>,
    report: &'a mut VerifyReport,
    control: &'a Control,
}

impl Verifier<'_> {
    /// Proves one ledger.
    async fn ledger(&mut self, ledger: &FileLedger, is_superseded: bool) -> Result<Verdict, Error> {
        let from_store = self.found.and_then(|found| from_store(found, ledger));
        match &from_store {
            Some(verdict) if self.options.depth == Depth::Store => return Ok(verdict.clone()),
            None if is_superseded => return Ok(Verdict::Superseded),
            _ => {}
        }
        if let Some(verdict) = self.without_lookups(ledger).await? {
            return Ok(verdict);
        }
        let proof = source::prove(
            self.stages,
            self.store,
            ledger,
            self.options,
            self.control,
            self.report,
        )
        .await?;
        match (proof, from_store) {
            (Proof::Proved { events, rewritten }, _) => {
                Ok(Verdict::ProvedFromSource { events, rewritten })
            }
            (Proof::Different, _) => Ok(Verdict::Different),
            // What the store proves by itself needs no source.
            (Proof::Impossible(_), Some(verdict)) => Ok(verdict),
            (Proof::Impossible(why), None) => {
                self.unproved(ledger, &why);
                Ok(Verdict::Different)
            }
        }
    }

    /// The verdict that the source and the store's digests give together; none if rows have to be looked up.
    async fn without_lookups(&self, ledger: &FileLedger) -> Result<Option<Verdict>, Error> {
        let is_whole_table = self.options.run.is_none() && self.options.file.is_none();
        let Some(found) = self.found.filter(|_| is_whole_table) else {
            return Ok(None);
        };
        let (stored, letters) = (found.facts_of(ledger), found.letters_of(ledger));
        // More rows than were written, or none, no source explains.
        if letters != ledger.letters || stored.rows > ledger.facts.rows || stored.rows == 0 {
            return Ok(None);
        }
        let again = source::written_again(self.stages, ledger, self.options, self.control).await?;
        let expected = again.map(|again| (again.rows, ledger.facts.without(&again)));
        Ok(expected
            .filter(|(_, last)| *last == stored)
            .map(|(rewritten, _)| Verdict::ProvedFromSource {
                events: ledger.facts.rows,
                rewritten,
            }))
    }

    fn unproved(&mut self, ledger: &FileLedger, why: &str) {
        let key = format!("{} in {}", ledger.file, ledger.run);
        let Some(found) = self.found else {
            let problem = format!("cannot be proved from its source: {why}");
            return self.report.differ("pipeline_state", key, problem);
        };
        let (facts, letters) = (found.facts_of(ledger), found.letters_of(ledger));
        let mut differ = |table, found: Digest, expected: Digest| {
            if found.rows != expected.rows || found.keys != expected.keys {
                let problem = format!(
                    "{} rows of {} are there under its name; which ones are missing, or who wrote them again, cannot be told: {why}",
                    found.rows, expected.rows
                );
                self.report.differ(table, key.clone(), problem);
            } else if found.cells != expected.cells {
                let problem = format!(
                    "its {} rows are there, but not as they were written; which ones differ cannot be told: {why}",
                    found.rows
                );
                self.report.differ(table, key.clone(), problem);
            }
        };
        differ("events_fact", facts, ledger.facts);
        differ("dead_letters", letters, ledger.letters);
    }
}

/// What the store alone says of a ledger; none if it does not prove it.
fn from_store(found: &Found, ledger: &FileLedger) -> Option<Verdict> {
    let (facts, letters) = (found.facts_of(ledger), found.letters_of(ledger));
    if facts == ledger.facts && letters == ledger.letters {
        return Some(if ledger.status == FileStatus::Unfinished {
            Verdict::Unfinished
        } else {
            Verdict::Proved
        });
    }
    let has_all = facts.rows >= ledger.facts.rows && letters.rows >= ledger.letters.rows;
    // Beyond its checkpoint an unfinished run may have written more than its ledger says.
    (ledger.status == FileStatus::Unfinished && has_all).then_some(Verdict::Unfinished)
}

/// Digests by run, and by input within it.
type ByRun = BTreeMap<String, BTreeMap<String, Digest>>;

fn digest_of(digests: &ByRun, ledger: &FileLedger) -> Digest {
    let of_run = digests.get(&ledger.run);
    let of_file = of_run.and_then(|files| files.get(&ledger.file));
    of_file.copied().unwrap_or_default()
}
