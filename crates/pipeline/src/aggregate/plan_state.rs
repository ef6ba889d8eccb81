//! What the stored aggregates were made by, so that a change of the pipeline file is noticed.

use std::pin::pin;
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_aggregate::description;
use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, state, table};
use rowmill_rowkey::{AGGREGATE_PLAN_KEY, AggregateKey, Date, SESSIONS_DIMENSION};
use rowmill_store::{Scan, Store, StoreExt as _};
use serde::{Deserialize, Serialize};

use super::partials::{all_but_shards, delete};
use super::{AggregateOptions, Scope, oldest, row_error};
use crate::error::Error;
use crate::stages::Stages;

/// What is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PlanState {
    /// Fingerprint of what the aggregates were made by; empty if nothing was aggregated yet.
    plan: String,
    /// The same in words.
    description: Vec<String>,
    /// Whether all that had to be made anew was.
    complete: bool,
    /// The columns, with their types, that every row of the timeline has if its event does.
    timeline: Vec<String>,
}

async fn read(store: &dyn Store) -> Result<Option<PlanState>, Error> {
    let row = store.row(table::STATE, AGGREGATE_PLAN_KEY).await?;
    let json = row
        .as_ref()
        .and_then(|row| row.value(family::STATE, state::PLAN.as_bytes()));
    let state = json.map(serde_json::from_slice).transpose();
    state.map_err(|error| Error::Row(format!("what is aggregated cannot be read: {error}")))
}

async fn write(store: &dyn Store, plan: &PlanState) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    let mut row = batch.row(AGGREGATE_PLAN_KEY);
    let json = serde_json::to_vec(plan).expect("a state is JSON");
    row.set(family::STATE, state::PLAN.as_bytes(), 0, &json);
    row.finish();
    Ok(store.apply_all(table::STATE, batch).await?)
}

/// Notes, before rows of the timeline are written, that they have no other columns than the pipeline file's.
pub(crate) async fn narrow_timeline(stages: &Stages, store: &dyn Store) -> Result<(), Error> {
    let columns = stages.plan.column_texts();
    let found = read(store).await?;
    let mut state = found.clone().unwrap_or_default();
    if state.timeline != columns && has_no_timeline(store).await? {
        state.timeline = columns;
    } else {
        state.timeline.retain(|column| columns.contains(column));
    }
    if found.as_ref() != Some(&state) {
        write(store, &state).await?;
    }
    Ok(())
}

async fn has_no_timeline(store: &dyn Store) -> Result<bool, Error> {
    let scan = Scan::all().with_limit(1).with_keys_only();
    Ok(store.rows(table::TIMELINE, scan).await?.is_empty())
}

/// Notes that every row of the timeline has the pipeline file's columns, and removes all aggregates from the date `oldest` on: they are
/// to be made anew by it.
pub(crate) async fn start_anew(
    stages: &Stages,
    store: &Arc<dyn Store>,
    oldest: Date,
) -> Result<(), Error> {
    let state = PlanState {
        plan: stages.plan.fingerprint(),
        description: description(&stages.pipeline),
        complete: false,
        timeline: stages.plan.column_texts(),
    };
    write(&**store, &state).await?;
    clear(store, oldest).await
}

/// Makes sure that what is stored and what would be added to it are of one kind. If all is made anew, it need not be: what is stored
/// is removed first.
pub(super) async fn check(
    stages: &Stages,
    store: &Arc<dyn Store>,
    options: &AggregateOptions,
) -> Result<(), Error> {
    let is_whole = options.scope == Scope::All && !options.merge_only;
    let mut found = read(&**store).await?.unwrap_or_default();
    let plan = stages.plan.fingerprint();
    let columns = stages.plan.column_texts();
    if found.timeline != columns && has_no_timeline(&**store).await? {
        found.timeline.clone_from(&columns);
    }
    let missing: Vec<_> = columns
        .iter()
        .filter(|column| !found.timeline.contains(column))
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
    if found.plan == plan && (found.complete || may_be_incomplete) {
        return Ok(());
    }
    let wanted = description(&stages.pipeline);
    if !found.plan.is_empty() && !is_whole {
        return Err(Error::Query(changed(&found, &wanted)));
    }
    let is_first = found.plan.is_empty();
    found.complete = is_first;
    (found.plan, found.description) = (plan, wanted);
    // Whoever dies in between leaves word that not everything is there.
    write(&**store, &found).await?;
    if !is_first {
        clear(store, oldest(stages, options.now)).await?;
    }
    Ok(())
}

/// Makes sure that what is stored of a dimension, or of all, is what the pipeline file says.
pub(crate) async fn check_reader(
    stages: &Stages,
    store: &dyn Store,
    dimension: Option<&str>,
) -> Result<(), Error> {
    let mut found = read(store).await?.unwrap_or_default();
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
    if state.plan == stages.plan.fingerprint() && !state.complete {
        state.complete = true;
        write(&**store, &state).await?;
    }
    Ok(())
}

fn changed(found: &PlanState, wanted: &[String]) -> String {
    if !found.complete && found.description == wanted {
        return "the aggregates were not made anew to their end; run `rowmill aggregate --all`"
            .into();
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

/// Removes all aggregates that can be made anew: of weeks from the date `oldest` on. What shards left stays too: another one may have
/// been faster than this process.
async fn clear(store: &Arc<dyn Store>, oldest: Date) -> Result<(), Error> {
    const BATCH_ROWS: usize = 10_000;
    let first = match oldest.monday() {
        monday if monday == oldest => monday,
        monday => monday.plus_days(7).unwrap_or(Date::MAX),
    };
    let scan = Scan::ranges(all_but_shards()).with_keys_only();
    let rows = store.scan(table::AGGREGATE, scan).map_err(Error::from);
    let keys = rows.try_filter_map(|row| async move {
        let date = AggregateKey::decode(row.key()).map_err(row_error)?.date;
        Ok::<_, Error>((date >= first).then(|| row.key().to_vec()))
    });
    let mut keys = pin!(keys.try_chunks(BATCH_ROWS));
    while let Some(keys) = keys.try_next().await.map_err(|failed| failed.1)? {
        let mut batch = MutationBatch::new();
        for key in &keys {
            delete(&mut batch, key);
        }
        store.apply_all(table::AGGREGATE, batch).await?;
    }
    Ok(())
}
