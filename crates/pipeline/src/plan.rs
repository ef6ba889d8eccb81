//! What to do with each input of a run: read it, go on in it, or leave it, by what its ledgers say.

mod resumed;
mod standing;
mod task;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rowmill_store::Store;

use crate::content::{Relation, compare};
use crate::digest::Sum;
use crate::error::Error;
use crate::file_ledger::{FileLedger, FileStatus};
use crate::input::{Prepared, PreparedInputs};
use crate::ledger::Ledger;
use crate::letter;
use crate::past_ledgers::LEDGERS_MAX;
use crate::runs::{latest_ingest, ledgers_of};
use crate::stages::Stages;

pub use standing::Standing;
pub(crate) use task::{NewRun, Role, Start, Task};

/// The ledgers of so many inputs are looked up together.
const INPUTS_AT_ONCE: usize = 1_000;

/// What is to be done with all inputs.
pub(crate) struct Plan {
    pub(crate) tasks: Vec<Task>,
    pub(crate) standings: Vec<(String, Standing)>,
    /// What became before of the inputs that are written.
    pub(crate) before: Ledger,
    /// The runs that inputs belong to, each once.
    runs: HashMap<String, Arc<NewRun>>,
}

impl Plan {
    /// The plan of a job that has no store: everything is new.
    pub(crate) fn without_store(inputs: PreparedInputs, new_run: NewRun) -> Self {
        let mut plan = Self::empty();
        let new_run = Arc::new(new_run);
        let tasks = inputs.inputs.into_iter();
        let tasks = tasks.map(|prepared| Task::new(prepared, &new_run, 0));
        plan.tasks = tasks.collect();
        plan
    }

    /// Looks up every input. Content is read only where neither size nor time of change tell that it is as it was.
    pub(crate) async fn of(
        stages: &Arc<Stages>,
        inputs: PreparedInputs,
        store: &Arc<dyn Store>,
        new_run: NewRun,
        again: bool,
    ) -> Result<Self, Error> {
        let storage = inputs.storage.clone();
        let (mut plan, new_run) = (Self::empty(), Arc::new(new_run));
        plan.tasks.reserve_exact(inputs.inputs.len());
        plan.standings.reserve_exact(inputs.inputs.len());
        let mut rest = inputs.inputs.into_iter();
        loop {
            let some: Vec<_> = rest.by_ref().take(INPUTS_AT_ONCE).collect();
            if some.is_empty() {
                break;
            }
            let names: Vec<_> = some.iter().map(|input| input.name.clone()).collect();
            let mut known = ledgers_of(&**store, &names).await?;
            for prepared in some {
                let ledgers = known.remove(&prepared.name).unwrap_or_default();
                plan.add(prepared, &ledgers, &new_run, again).await?;
            }
        }
        plan.join_interrupted();
        plan.follow_interrupted(stages, store, &storage).await?;
        plan.forget_what_nobody_needs();
        plan.sum_up_before();
        // They have no tasks, and so come last: until here a standing is that of the task in its place.
        plan.standings.extend(inputs.done);
        Ok(plan)
    }

    fn empty() -> Self {
        Self {
            tasks: Vec::new(),
            standings: Vec::new(),
            before: Ledger::default(),
            runs: HashMap::new(),
        }
    }

    /// How many inputs are written.
    pub(crate) fn written(&self) -> usize {
        let written = self.tasks.iter().filter(|task| task.role == Role::Write);
        written.count()
    }

    /// The run of a ledger, which is held once.
    fn run_of(&mut self, ledger: &FileLedger) -> Arc<NewRun> {
        if let Some(run) = self.runs.get(&ledger.run) {
            return Arc::clone(run);
        }
        let run = Arc::new(NewRun::of(ledger));
        self.runs.insert(ledger.run.clone(), Arc::clone(&run));
        run
    }

    async fn add(
        &mut self,
        prepared: Prepared,
        ledgers: &[FileLedger],
        new_run: &Arc<NewRun>,
        again: bool,
    ) -> Result<(), Error> {
        let number = ledgers.iter().map(|ledger| ledger.number).max();
        let number = number.map_or(0, |number| number + 1);
        let anew = |prepared| Task {
            is_unknown: ledgers.is_empty(),
            is_crowded: ledgers.len() > LEDGERS_MAX,
            ..Task::new(prepared, new_run, number)
        };
        let latest = latest_ingest(ledgers);
        let Some(latest) = latest.filter(|_| !again && prepared.is_repeatable()) else {
            self.push(anew(prepared), Standing::New);
            return Ok(());
        };
        let (prepared, relation) = compare(prepared, latest).await?;
        let other_config = *latest.config_hash != *new_run.config_hash;
        match (relation, latest.status) {
            (Relation::Other, _) => self.push(anew(prepared), Standing::Changed),
            (_, FileStatus::Unfinished | FileStatus::Broken) if other_config => {
                self.push(anew(prepared), Standing::OtherConfig);
            }
            (Relation::Grown { before_tail }, FileStatus::Done) => {
                self.grow(anew(prepared), latest, before_tail);
            }
            (Relation::Same { .. }, FileStatus::Done) => {
                self.leave(prepared, latest, other_config);
            }
            (
                Relation::Same { before_tail } | Relation::Grown { before_tail },
                FileStatus::Unfinished | FileStatus::Broken,
            ) => self.resume(prepared, latest, before_tail),
        }
        Ok(())
    }

    fn push(&mut self, task: Task, standing: Standing) {
        self.standings.push((task.prepared.name.clone(), standing));
        self.tasks.push(task);
    }

    fn leave(&mut self, prepared: Prepared, latest: &FileLedger, other_config: bool) {
        let run = self.run_of(latest);
        let standing = Standing::Done {
            run: Arc::clone(&run.run),
            other_config,
        };
        self.push(Task::remembered(prepared, run, latest.position), standing);
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
        let run = self.run_of(&ledger);
        let standing = Standing::Resumed {
            run: Arc::clone(&run.run),
            position: ledger.position,
        };
        let reread = tail.map(|_| Arc::clone(&run.run));
        // Of an input of which nothing was read there is nothing to hold.
        let task = if ledger.is_at_its_beginning() && reread.is_none() {
            Task::new(prepared, &run, ledger.number)
        } else {
            Task {
                reread,
                ..Task::at(prepared, ledger)
            }
        };
        self.push(task, standing);
    }

    /// Reads what is new, from the last record on if that was not closed by a line break.
    fn grow(&mut self, task: Task, latest: &FileLedger, before_tail: u128) {
        let mut ledger = task.ledger();
        (ledger.from, ledger.content_hash) = match &latest.tail {
            Some(tail) => (tail.offset, Sum(before_tail)),
            None => (latest.position, latest.content_hash),
        };
        ledger.position = ledger.from;
        let standing = Standing::Grown { from: ledger.from };
        let reread = latest.tail.is_some().then(|| self.run_of(latest));
        let task = Task {
            start: Start::Checkpoint(Box::new(ledger)),
            reread: reread.map(|run| Arc::clone(&run.run)),
            ..task
        };
        self.push(task, standing);
    }

    /// What is done is remembered only for the sake of later inputs of the same run.
    fn forget_what_nobody_needs(&mut self) {
        let mut written: HashSet<Arc<str>> = HashSet::new();
        let mut is_needed = Vec::with_capacity(self.tasks.len());
        for task in self.tasks.iter().rev() {
            is_needed.push(task.role == Role::Write || written.contains(task.run()));
            if task.role == Role::Write && !written.contains(task.run()) {
                written.insert(task.run().into());
            }
        }
        self.tasks
            .retain(|_| is_needed.pop().expect("each task was looked at"));
    }

    fn sum_up_before(&mut self) {
        for task in self.tasks.iter().filter(|task| task.role == Role::Write) {
            if let Start::Checkpoint(ledger) = &task.start {
                self.before.merge(&ledger.ledger);
            }
        }
    }
}
