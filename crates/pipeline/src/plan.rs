//! What to do with each input of a run: read it, go on in it, or leave it, by what its ledgers say.

use std::collections::BTreeSet;
use std::sync::Arc;

use rowmill_ingest::Format;
use rowmill_objects::Endpoint;
use rowmill_rowkey::Timestamp;
use rowmill_store::Store;

use crate::content::{Relation, compare};
use crate::digest::Sum;
use crate::error::Error;
use crate::file_ledger::{FileLedger, FileStatus};
use crate::input::{Inputs, Prepared, PreparedInputs, Search};
use crate::letter;
use crate::runs::{FileLedgers, RunKind, find_run, latest_ingest, ledgers_of};
use crate::stages::Stages;

/// How an input stands to what was ingested before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is new, or is to be ingested again.
    New,
    /// A run was stopped in it, and goes on.
    Resumed {
        /// The run.
        run: String,
        /// Where it goes on, in bytes of content.
        position: u64,
    },
    /// It is done, and there is nothing to do.
    Done {
        /// The run that did it.
        run: String,
        /// Whether that was under another pipeline file.
        other_config: bool,
    },
    /// It is done and has grown since; what is new is read.
    Grown {
        /// Where that begins, in bytes of content.
        from: u64,
    },
    /// It is another file than the one of that name that was ingested; it is read as a new one.
    Changed,
    /// A run under another pipeline file was stopped in it; it is read from its beginning.
    OtherConfig,
}

impl Standing {
    /// That of an input which a ledger says is done, under the pipeline file of this fingerprint or another.
    pub(crate) fn done(ledger: &FileLedger, config_hash: &str) -> Self {
        Self::Done {
            run: ledger.run.clone(),
            other_config: ledger.config_hash != config_hash,
        }
    }

    /// The run that is taken up.
    fn resumed_in(&self) -> Option<&str> {
        match self {
            Self::Resumed { run, .. } => Some(run),
            _ => None,
        }
    }

    /// The run that did all of it.
    pub(crate) fn done_in(&self) -> Option<&str> {
        match self {
            Self::Done { run, .. } => Some(run),
            _ => None,
        }
    }
}

/// What is to be done with one input.
pub(crate) struct Task {
    pub(crate) prepared: Prepared,
    /// What became of it so far in the run it belongs to.
    pub(crate) ledger: FileLedger,
    pub(crate) role: Role,
    /// The record at the checkpoint may be a dead letter of the run that is named, of the time when it was not whole.
    reread: Option<String>,
}

/// What is to be written of an input before anything of it is read.
pub(crate) struct Begun {
    pub(crate) ledger: FileLedger,
    pub(crate) reread: Option<String>,
}

/// Whether an input is written, or only remembered to tell duplicates in those that are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Records from the checkpoint on are written; those before it are remembered.
    Write,
    /// All of it is remembered.
    Remember,
}

/// What is to be done with all inputs.
pub(crate) struct Plan {
    pub(crate) tasks: Vec<Task>,
    pub(crate) standings: Vec<(String, Standing)>,
}

/// The run that inputs belong to which belong to none yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRun<'a> {
    pub(crate) run: &'a str,
    pub(crate) started: Timestamp,
    pub(crate) config_hash: &'a str,
}

impl Plan {
    /// The plan of a job that has no store: everything is new.
    pub(crate) fn without_store(inputs: PreparedInputs, new_run: NewRun<'_>) -> Self {
        let tasks = inputs.inputs.into_iter().map(|prepared| {
            let ledger = new_run.ledger(&prepared);
            Task::write(prepared, ledger)
        });
        Self {
            tasks: tasks.collect(),
            standings: Vec::new(),
        }
    }

    /// The inputs that will be written.
    pub(crate) fn begun(&self) -> Vec<Begun> {
        let written = self.tasks.iter().filter(|task| task.role == Role::Write);
        let begun = |task: &Task| Begun {
            ledger: task.ledger.clone(),
            reread: task.reread.clone(),
        };
        written.map(begun).collect()
    }

    /// Looks up every input. Content is read only where neither size nor time of change tell that it is as it was.
    pub(crate) async fn of(
        stages: &Arc<Stages>,
        inputs: PreparedInputs,
        store: &Arc<dyn Store>,
        new_run: NewRun<'_>,
        again: bool,
    ) -> Result<Self, Error> {
        let names: Vec<_> = inputs
            .inputs
            .iter()
            .map(|input| input.name.clone())
            .collect();
        let known = ledgers_of(&**store, &names).await?;
        let storage = inputs.storage.clone();
        let mut plan = Self {
            tasks: Vec::new(),
            standings: Vec::new(),
        };
        for prepared in inputs.inputs {
            plan.add(prepared, &known, new_run, again).await?;
        }
        plan.join_interrupted(&known);
        plan.follow_interrupted(stages, store, &storage).await?;
        plan.forget_what_nobody_needs();
        // They have no tasks, and so come last: until here a standing is that of the task in its place.
        plan.standings.extend(inputs.done);
        Ok(plan)
    }

    /// Puts the inputs of runs that are taken up into the order in which these runs read them, before all others, and adds those that are
    /// done and were not named: which of two records is the duplicate must not depend on how the command is given again.
    async fn follow_interrupted(
        &mut self,
        stages: &Arc<Stages>,
        store: &Arc<dyn Store>,
        storage: &Endpoint,
    ) -> Result<(), Error> {
        let resumed = self.standings.iter();
        let resumed = resumed.filter_map(|(_, standing)| standing.resumed_in());
        let resumed: BTreeSet<_> = resumed.map(str::to_owned).collect();
        let mut order: Vec<String> = Vec::new();
        for run in &resumed {
            let Some(record) = find_run(&**store, run).await? else {
                continue;
            };
            let named: BTreeSet<_> = self.tasks.iter().map(|task| &task.ledger.file).collect();
            let missing = record.files.iter().filter(|file| !named.contains(file));
            let missing: Vec<_> = missing.cloned().collect();
            let ledgers = ledgers_of(&**store, &missing).await?;
            let is_done =
                |ledger: &FileLedger| ledger.run == *run && ledger.status == FileStatus::Done;
            for ledger in ledgers.into_values().flatten().filter(is_done) {
                self.tasks.push(remembered(stages, ledger, storage).await?);
            }
            order.extend(record.files);
        }
        self.tasks.sort_by_cached_key(|task| {
            let place = order.iter().position(|file| *file == task.ledger.file);
            place
                .filter(|_| resumed.contains(&task.ledger.run))
                .unwrap_or(usize::MAX)
        });
        Ok(())
    }

    /// Inputs that no run knows join the run that is taken up, if there is one: they may be those that it was killed before it
    /// could name.
    fn join_interrupted(&mut self, known: &FileLedgers) {
        let mut standings = self.standings.iter();
        let resumed = standings.position(|(_, standing)| standing.resumed_in().is_some());
        let Some(ledger) = resumed.map(|at| &self.tasks[at].ledger) else {
            return;
        };
        let (run, started) = (ledger.run.clone(), ledger.started);
        let unknown = |task: &&mut Task| !known.contains_key(&task.ledger.file);
        for task in self.tasks.iter_mut().filter(unknown) {
            task.ledger.run.clone_from(&run);
            task.ledger.started = started;
        }
    }

    async fn add(
        &mut self,
        prepared: Prepared,
        known: &FileLedgers,
        new_run: NewRun<'_>,
        again: bool,
    ) -> Result<(), Error> {
        let latest = known.get(&prepared.name);
        let latest = latest.and_then(|runs| latest_ingest(runs));
        let Some(latest) = latest.filter(|_| !again && prepared.is_repeatable()) else {
            let ledger = new_run.ledger(&prepared);
            self.push(Task::write(prepared, ledger), Standing::New);
            return Ok(());
        };
        let (prepared, relation) = compare(prepared, latest).await?;
        let other_config = latest.config_hash != new_run.config_hash;
        match (relation, latest.status) {
            (Relation::Other, _) => {
                let ledger = new_run.ledger(&prepared);
                self.push(Task::write(prepared, ledger), Standing::Changed);
            }
            (_, FileStatus::Unfinished | FileStatus::Broken) if other_config => {
                let ledger = new_run.ledger(&prepared);
                self.push(Task::write(prepared, ledger), Standing::OtherConfig);
            }
            (Relation::Same { before_tail } | Relation::Grown { before_tail }, status) => {
                let is_grown = matches!(relation, Relation::Grown { .. });
                match status {
                    FileStatus::Done if is_grown => {
                        self.grow(prepared, latest, before_tail, new_run)
                    }
                    FileStatus::Done => self.leave(prepared, latest, new_run.config_hash),
                    FileStatus::Unfinished | FileStatus::Broken => {
                        self.resume(prepared, latest, before_tail);
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, task: Task, standing: Standing) {
        self.standings.push((task.prepared.name.clone(), standing));
        self.tasks.push(task);
    }

    fn leave(&mut self, prepared: Prepared, latest: &FileLedger, config_hash: &str) {
        let standing = Standing::done(latest, config_hash);
        let task = Task {
            role: Role::Remember,
            ..Task::write(prepared, latest.clone())
        };
        self.push(task, standing);
    }

    /// Goes on at the checkpoint; where the input broke off in a record, at that record.
    fn resume(&mut self, prepared: Prepared, latest: &FileLedger, before_tail: u128) {
        let mut ledger = latest.clone();
        let tail = ledger.tail.clone().filter(|tail| tail.cut);
        if let Some(tail) = tail.as_ref().filter(|tail| tail.offset < ledger.position) {
            ledger.ledger.take_back_cut(tail.records, tail.length);
            for key in &tail.letters {
                ledger.letters.remove(letter::hash(key.0));
            }
            ledger.position = tail.offset;
            ledger.content_hash = Sum(before_tail);
        }
        ledger.status = FileStatus::Unfinished;
        ledger.problem = None;
        ledger.stamp.clone_from(&prepared.stamp);
        let standing = Standing::Resumed {
            run: ledger.run.clone(),
            position: ledger.position,
        };
        let task = Task {
            reread: tail.map(|_| ledger.run.clone()),
            ..Task::write(prepared, ledger)
        };
        self.push(task, standing);
    }

    /// Reads what is new, from the last record on if that was not closed by a line break.
    fn grow(
        &mut self,
        prepared: Prepared,
        latest: &FileLedger,
        before_tail: u128,
        new_run: NewRun<'_>,
    ) {
        let mut ledger = new_run.ledger(&prepared);
        (ledger.from, ledger.content_hash) = match &latest.tail {
            Some(tail) => (tail.offset, Sum(before_tail)),
            None => (latest.position, latest.content_hash),
        };
        ledger.position = ledger.from;
        let standing = Standing::Grown { from: ledger.from };
        let task = Task {
            reread: latest.tail.as_ref().map(|_| latest.run.clone()),
            ..Task::write(prepared, ledger)
        };
        self.push(task, standing);
    }

    /// What is done is remembered only for the sake of later inputs of the same run.
    fn forget_what_nobody_needs(&mut self) {
        let written: Vec<_> = self
            .tasks
            .iter()
            .map(|task| (task.role, task.ledger.run.clone()))
            .collect();
        let mut index = 0;
        self.tasks.retain(|task| {
            let later = &written[index + 1..];
            index += 1;
            let is_needed = later
                .iter()
                .any(|(role, run)| *role == Role::Write && *run == task.ledger.run);
            task.role == Role::Write || is_needed
        });
    }
}

/// An input that is done, to be remembered.
async fn remembered(
    stages: &Arc<Stages>,
    ledger: FileLedger,
    storage: &Endpoint,
) -> Result<Task, Error> {
    let (stages, name) = (Arc::clone(stages), ledger.file.clone());
    let search = Search {
        format: Format::named(&ledger.format),
        storage: storage.clone(),
        ..Search::default()
    };
    let prepared = tokio::task::spawn_blocking(move || {
        let inputs = Inputs::find_with(std::slice::from_ref(&name), &search)?;
        inputs.prepare(&stages)
    });
    let prepared = prepared.await.expect("looking at an input does not panic");
    let lost = |problem: String| Error::Lost {
        name: ledger.file.clone(),
        problem,
    };
    let prepared = prepared
        .map_err(|error| lost(error.to_string()))?
        .inputs
        .pop();
    let prepared = prepared.ok_or_else(|| lost("it names no file any more".to_owned()))?;
    Ok(Task {
        role: Role::Remember,
        ..Task::write(prepared, ledger)
    })
}

impl Task {
    fn write(prepared: Prepared, ledger: FileLedger) -> Self {
        Self {
            prepared,
            ledger,
            role: Role::Write,
            reread: None,
        }
    }
}

impl NewRun<'_> {
    fn ledger(&self, prepared: &Prepared) -> FileLedger {
        let Self {
            run,
            started,
            config_hash,
        } = *self;
        FileLedger {
            format: prepared.options.format.name().to_owned(),
            stamp: prepared.stamp.clone(),
            ..FileLedger::new(RunKind::Ingest, &prepared.name, run, started, config_hash)
        }
    }
}
