//! The inputs of runs that are taken up.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rowmill_ingest::Format;
use rowmill_objects::Endpoint;
use rowmill_store::Store;

use super::{NewRun, Plan, Start, Task};
use crate::error::Error;
use crate::file_ledger::{FileLedger, FileStatus};
use crate::input::{Inputs, Search};
use crate::past_ledgers::ledgers_in;
use crate::run_files::{RunFiles, name_hash};
use crate::runs::find_run;
use crate::stages::Stages;

impl Plan {
    /// Puts the inputs of runs that are taken up into the order in which these runs read them, before all others, and adds those that are
    /// done and were not named: which of two records is the duplicate must not depend on how the command is given again.
    pub(super) async fn follow_interrupted(
        &mut self,
        stages: &Arc<Stages>,
        store: &Arc<dyn Store>,
        storage: &Endpoint,
    ) -> Result<(), Error> {
        let resumed = self.standings.iter();
        let resumed = resumed.filter_map(|(_, standing)| standing.resumed_in());
        let resumed: BTreeSet<String> = resumed.map(str::to_owned).collect();
        if resumed.is_empty() {
            return Ok(());
        }
        let hash = |task: &Task| name_hash(&task.prepared.name);
        let mut named: HashSet<u128> = self.tasks.iter().map(hash).collect();
        let mut places: HashMap<u128, usize> = HashMap::new();
        for run in &resumed {
            let Some(record) = find_run(&**store, run).await? else {
                continue;
            };
            let mut pages = RunFiles::of(&record);
            while let Some(names) = pages.next(&**store).await? {
                let is_missing = |name: &&String| named.insert(name_hash(name));
                let missing: Vec<_> = names.iter().filter(is_missing).cloned().collect();
                let ledgers = ledgers_in(&**store, run, &missing).await?;
                let is_done = |ledger: &FileLedger| ledger.status == FileStatus::Done;
                for ledger in ledgers.into_iter().filter(is_done) {
                    self.tasks.push(remembered(stages, ledger, storage).await?);
                }
                for name in &names {
                    let next = places.len();
                    places.entry(name_hash(name)).or_insert(next);
                }
            }
        }
        self.tasks.sort_by_cached_key(|task| {
            let place = places.get(&hash(task)).copied();
            place
                .filter(|_| resumed.contains(task.run()))
                .unwrap_or(usize::MAX)
        });
        Ok(())
    }

    /// Inputs that no run knows join the run that is taken up, if there is one: they may be those that it was killed before it
    /// could name.
    pub(super) fn join_interrupted(&mut self) {
        let mut standings = self.standings.iter();
        let resumed = standings.find_map(|(_, standing)| standing.resumed_in());
        let Some(taken_up) = resumed.and_then(|run| self.runs.get(run)) else {
            return;
        };
        for task in self.tasks.iter_mut().filter(|task| task.is_unknown) {
            if let Start::Beginning { run, .. } = &mut task.start {
                *run = Arc::clone(taken_up);
            }
        }
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
    let run = Arc::new(NewRun::of(&ledger));
    Ok(Task::remembered(prepared, run, ledger.position))
}
