//! What the stored aggregates were made by, so that a change of the pipeline file is noticed.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use rowmill_aggregate::description;
use rowmill_model::columns::{family, state, table};
use rowmill_model::{MutationBatch, RowWriter};
use rowmill_rowkey::{AGGREGATE_PLAN_KEY, Date, SESSIONS_DIMENSION};
use rowmill_store::{Scan, Store, StoreExt as _};
use serde::{Deserialize, Serialize};

use super::horizon::Horizon;
use super::partials::clear;
use super::{AggregateOptions, Scope};
use crate::control::Control;
use crate::error::Error;
use crate::stages::Stages;

/// What is stored.
///
/// Each part has cells of its own in the row, and each of the timeline's columns one, because several processes write it at once: who
/// narrows the columns deletes some, and who says how far aggregates are made says no more than that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PlanState {
    /// Fingerprint of what the aggregates were made by; empty if nothing was aggregated yet.
    plan: String,
    /// The same in words.
    description: Vec<String>,
    progress: Progress,
    /// The columns, with their types, that every row of the timeline has if its event does.
    timeline: BTreeSet<String>,
    /// Whether they have cells of their own, and not what earlier versions wrote.
    has_columns: bool,
}

/// The cell of the plan. Earlier versions wrote all of the state into it.
#[derive(Serialize, Deserialize)]
struct Stored {
    plan: String,
    description: Vec<String>,
    #[serde(default)]
    progress: Progress,
    #[serde(default, skip_serializing)]
    timeline: BTreeSet<String>,
}

/// How far it is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Progress {
    /// What was made before is being removed.
    Clearing,
    /// That is removed, and not all is made anew.
    Making,
    /// Everything is there.
    #[default]
    Complete,
}

/// The qualifiers of the timeline's columns begin so; the cell of this name says that there are such.
const COLUMN: &str = "column ";

async fn read(store: &dyn Store) -> Result<Option<PlanState>, Error> {
    let Some(row) = store.row(table::STATE, AGGREGATE_PLAN_KEY).await? else {
        return Ok(None);
    };
    let value = |name: &str| row.value(family::STATE, name.as_bytes());
    let state = value(state::PLAN).map(serde_json::from_slice::<Stored>);
    let state = state.transpose().map_err(|error| unreadable(&error))?;
    let progress = value(state::PROGRESS).map(serde_json::from_slice);
    let progress = progress.transpose().map_err(|error| unreadable(&error))?;
    let columns = row.cells().filter_map(|cell| {
        let name = std::str::from_utf8(cell.qualifier).ok()?;
        Some(name.strip_prefix(COLUMN)?.to_owned())
    });
    let has_columns = value(COLUMN).is_some();
    let of_cells: BTreeSet<String> = columns.filter(|column| !column.is_empty()).collect();
    let found = state.map(|stored| PlanState {
        plan: stored.plan,
        description: stored.description,
        progress: stored.progress,
        timeline: stored.timeline,
        has_columns,
    });
    let mut found = found.unwrap_or_default();
    found.progress = progress.unwrap_or(found.progress);
    found.has_columns = has_columns;
    if has_columns {
        found.timeline = of_cells;
    }
    Ok(Some(found))
}

fn unreadable(error: &serde_json::Error) -> Error {
    Error::Row(format!("what is aggregated cannot be read: {error}"))
}

impl PlanState {
    /// Writes what aggregates are made by, and how far.
    fn write_plan(&self, row: &mut RowWriter<'_>) {
        let stored = Stored {
            plan: self.plan.clone(),
            description: self.description.clone(),
            progress: self.progress,
            timeline: BTreeSet::new(),
        };
        let json = serde_json::to_vec(&stored).expect("a state is JSON");
        row.set(family::STATE, state::PLAN.as_bytes(), 0, &json);
        if !self.has_columns {
            self.write_columns(&Self::default(), row);
        }
        self.write_progress(row);
    }

    /// Writes how far aggregates are made.
    fn write_progress(&self, row: &mut RowWriter<'_>) {
        let json = serde_json::to_vec(&self.progress).expect("a state is JSON");
        row.set(family::STATE, state::PROGRESS.as_bytes(), 0, &json);
    }

    /// Writes the columns that the timeline has, and deletes others that it had.
    fn write_columns(&self, before: &Self, row: &mut RowWriter<'_>) {
        for column in before.timeline.difference(&self.timeline) {
            row.delete_column(family::STATE, format!("{COLUMN}{column}").as_bytes());
        }
        let known = before.has_columns.then_some(&before.timeline);
        let is_new = |column: &&String| known.is_none_or(|known| !known.contains(*column));
        for column in self.timeline.iter().filter(is_new) {
            let name = format!("{COLUMN}{column}");
            row.set(family::STATE, name.as_bytes(), 0, b"");
        }
        if !before.has_columns {
            row.set(family::STATE, COLUMN.as_bytes(), 0, b"");
        }
    }
}

/// Writes to the row of the state.
async fn write(store: &dyn Store, fill: impl FnOnce(&mut RowWriter<'_>)) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    let mut row = batch.row(AGGREGATE_PLAN_KEY);
    fill(&mut row);
    row.finish();
    Ok(store.apply_all(table::STATE, batch).await?)
}

/// Notes, before rows of the timeline are written, that they have no other columns than the pipeline file's.
pub(crate) async fn narrow_timeline(stages: &Stages, store: &dyn Store) -> Result<(), Error> {
    let columns = columns(stages);
    let found = read(store).await?.unwrap_or_default();
    let mut state = found.clone();
    if state.timeline != columns && has_no_timeline(store).await? {
        state.timeline = columns;
    } else {
        state.timeline.retain(|column| columns.contains(column));
    }
    if found.timeline != state.timeline || !found.has_columns {
        write(store, |row| state.write_columns(&found, row)).await?;
    }
    Ok(())
}

fn columns(stages: &Stages) -> BTreeSet<String> {
    stages.plan.column_texts().into_iter().collect()
}

async fn has_no_timeline(store: &dyn Store) -> Result<bool, Error> {
    let scan = Scan::all().with_limit(1).with_keys_only();
    Ok(store.rows(table::TIMELINE, scan).await?.is_empty())
}

/// Notes that every row of the timeline has the pipeline file's columns, and removes all aggregates that can be made anew by it.
pub(crate) async fn start_anew(
    stages: &Stages,
    store: &Arc<dyn Store>,
    horizon: Horizon,
    control: &Control,
) -> Result<(), Error> {
    let state = PlanState {
        plan: stages.plan.fingerprint(),
        description: description(&stages.pipeline),
        progress: Progress::Clearing,
        timeline: columns(stages),
        has_columns: true,
    };
    let before = read(&**store).await?.unwrap_or_default();
    let fill = |row: &mut RowWriter<'_>| {
        state.write_columns(&before, row);
        state.write_plan(row);
    };
    write(&**store, fill).await?;
    remove(store, state, horizon, control).await
}

/// Removes what can be made anew by `state`.
async fn remove(
    store: &Arc<dyn Store>,
    mut state: PlanState,
    horizon: Horizon,
    control: &Control,
) -> Result<(), Error> {
    // Whoever dies in between leaves word that not everything is removed.
    state.progress = Progress::Clearing;
    write(&**store, |row| state.write_plan(row)).await?;
    clear(store, horizon.first_monday()..=Date::MAX, control).await?;
    state.progress = Progress::Making;
    write(&**store, |row| state.write_progress(row)).await
}

/// Makes sure that what is stored and what would be added to it are of one kind. If all is made anew, it need not be: what is stored
/// is removed first.
pub(super) async fn check(
    stages: &Stages,
    store: &Arc<dyn Store>,
    options: &AggregateOptions,
    control: &Control,
) -> Result<(), Error> {
    let is_whole = options.scope == Scope::All && !options.merge_only;
    let mut found = read(&**store).await?.unwrap_or_default();
    let plan = stages.plan.fingerprint();
    let columns = columns(stages);
    if found.timeline != columns && has_no_timeline(&**store).await? {
        found.timeline.clone_from(&columns);
    }
    let missing: Vec<_> = columns
        .iter()
        .filter(|column| !found.timeline.contains(*column))
        .map(|column| format!("`{}`", column.split(' ').next().unwrap_or(column)))
        .collect();
    if !missing.is_empty() {
        return Err(Error::Query(format!(
            "the timeline lacks {} of events that are stored already; run `rowmill aggregate --rebuild`, which reads the facts",
            missing.join(", ")
        )));
    }
    // Shards that make everything anew have said so; merging what they left comes after.
    let may_be_incomplete = is_whole || options.merge_only;
    let is_usable = match found.progress {
        Progress::Complete => true,
        Progress::Making => may_be_incomplete,
        Progress::Clearing => false,
    };
    if found.plan == plan && is_usable {
        return Ok(());
    }
    let wanted = description(&stages.pipeline);
    if !found.plan.is_empty() && !is_whole {
        return Err(Error::Query(changed(&found, &wanted)));
    }
    let is_first = found.plan.is_empty();
    (found.plan, found.description) = (plan, wanted);
    if is_first {
        return write(&**store, |row| found.write_plan(row)).await;
    }
    let horizon = Horizon::new(stages, options.now);
    remove(store, found, horizon, control).await
}

const NOT_COMPLETE: &str = "the aggregates are being made anew, or were not made to their end; if no process is at work, run `rowmill aggregate --all`";

/// Makes sure that what is stored of a dimension, or of all, is what the pipeline file says.
pub(crate) async fn check_reader(
    stages: &Stages,
    store: &dyn Store,
    dimension: Option<&str>,
) -> Result<(), Error> {
    let mut found = read(store).await?.unwrap_or_default();
    if !found.plan.is_empty() && found.progress != Progress::Complete {
        return Err(Error::Query(NOT_COMPLETE.into()));
    }
    if found.plan.is_empty() || found.plan == stages.plan.fingerprint() {
        return Ok(());
    }
    let matters = |line: &String| {
        dimension.is_none_or(|name| match line.split(' ').next() {
            Some("dimension") => line.starts_with(&format!("dimension `{name}` ")),
            Some("sessions") => name == SESSIONS_DIMENSION,
            _ => true,
        })
    };
    let mut wanted = description(&stages.pipeline);
    for lines in [&mut wanted, &mut found.description] {
        lines.retain(matters);
        lines.sort_unstable();
    }
    if wanted == found.description {
        return Ok(());
    }
    Err(Error::Query(changed(&found, &wanted)))
}

/// Notes that all there is was made by the pipeline file.
pub(super) async fn complete(stages: &Stages, store: &Arc<dyn Store>) -> Result<(), Error> {
    let mut state = read(&**store).await?.unwrap_or_default();
    if state.plan == stages.plan.fingerprint() && state.progress == Progress::Making {
        state.progress = Progress::Complete;
        write(&**store, |row| state.write_progress(row)).await?;
    }
    Ok(())
}

fn changed(found: &PlanState, wanted: &[String]) -> String {
    if found.progress != Progress::Complete && found.description == wanted {
        return NOT_COMPLETE.into();
    }
    let new = wanted.iter().filter(|it| !found.description.contains(it));
    let gone = found.description.iter().filter(|it| !wanted.contains(it));
    let changes: Vec<_> = new
        .map(|it| format!("\n  now: {it}"))
        .chain(gone.map(|it| format!("\n  stored: {it}")))
        .collect();
    format!(
        "the pipeline file aggregates otherwise than the stored aggregates; run `rowmill aggregate --all`, which makes them anew from the timeline{}",
        changes.concat()
    )
}
