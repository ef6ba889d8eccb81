//! Processes that write the state of the plan at once, in every order of their calls.

use std::collections::BTreeSet;
use std::sync::Arc;

use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Pipeline};
use rowmill_rowkey::AGGREGATE_PLAN_KEY;
use rowmill_store::{Admin, MemoryStore, Store, StoreExt as _, TableSchema};

use super::{PlanState, Progress, columns, complete, narrow_timeline, read, write};
use crate::stages::Stages;
use crate::stepped::Process;

fn stages(measures: &str) -> Arc<Stages> {
    let text = format!(
        "[pipeline]\nname = \"test\"\n[event]\nuser_id = \"user\"\ntimestamp = \"time\"\n[fields]\na = {{ type = \"int\" }}\nb = {{ type = \"int\" }}\n{measures}"
    );
    Arc::new(Stages::new(Pipeline::parse(&text).unwrap()).unwrap())
}

fn wide() -> Arc<Stages> {
    stages("[measures.a]\nstats = [\"sum\"]\n[measures.b]\nstats = [\"sum\"]\n")
}

fn narrow() -> Arc<Stages> {
    stages("[measures.a]\nstats = [\"sum\"]\n")
}

/// A store with a row of the timeline.
async fn store() -> Arc<dyn Store> {
    let store = MemoryStore::new();
    for (name, family) in [
        (table::STATE, family::STATE),
        (table::TIMELINE, family::EVENT),
    ] {
        let schema = TableSchema::new(name, [family]);
        store.create_table(&schema).await.unwrap();
    }
    let mut batch = MutationBatch::new();
    let mut row = batch.row(b"an event");
    row.set(family::EVENT, b"a", 0, b"1");
    row.finish();
    store.apply_all(table::TIMELINE, batch).await.unwrap();
    Arc::new(store)
}

async fn making(store: &Arc<dyn Store>) -> PlanState {
    let stages = wide();
    let state = PlanState {
        plan: stages.plan.fingerprint(),
        progress: Progress::Making,
        timeline: columns(&stages),
        ..PlanState::default()
    };
    write(&**store, |row| state.write_plan(row)).await.unwrap();
    state
}

#[test]
fn columns_that_one_narrows_are_not_restored_by_another() {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        for order in 0_u32..64 {
            let store = store().await;
            making(&store).await;
            let completing = |store: Arc<dyn Store>| async move { complete(&wide(), &store).await };
            let narrowing =
                |store: Arc<dyn Store>| async move { narrow_timeline(&narrow(), &*store).await };
            let mut both = [
                Process::new(&store, completing),
                Process::new(&store, narrowing),
            ];
            let order = (0..6).map(|step| usize::from(order >> step & 1 == 1));
            for number in order.chain([0; 6]).chain([1; 6]) {
                both[number].step();
            }
            assert!(both.iter().all(Process::is_done));
            let found = read(&*store).await.unwrap().unwrap();
            assert_eq!(found.progress, Progress::Complete);
            assert_eq!(found.timeline, columns(&narrow()));
        }
    });
}

#[tokio::test]
async fn what_earlier_versions_wrote_is_read() {
    let (store, stages) = (store().await, wide());
    let all: Vec<_> = columns(&stages).into_iter().collect();
    let json = serde_json::json!({
        "plan": "p", "description": ["d"], "progress": "making", "timeline": all,
    });
    let json = json.to_string();
    let fill = |row: &mut rowmill_model::RowWriter<'_>| {
        row.set(family::STATE, b"plan", 0, json.as_bytes());
    };
    write(&*store, fill).await.unwrap();
    let found = read(&*store).await.unwrap().unwrap();
    assert_eq!(
        (found.plan.as_str(), found.progress),
        ("p", Progress::Making)
    );
    assert_eq!(found.timeline, columns(&stages));
    narrow_timeline(&narrow(), &*store).await.unwrap();
    let narrowed = read(&*store).await.unwrap().unwrap();
    assert_eq!(narrowed.timeline, columns(&narrow()));
    let row = store.row(table::STATE, AGGREGATE_PLAN_KEY).await.unwrap();
    let names: BTreeSet<_> = row
        .unwrap()
        .cells()
        .map(|cell| cell.qualifier.len())
        .collect();
    assert!(names.len() > 1, "columns have cells of their own");
}
