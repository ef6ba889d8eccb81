//! What nearly every command needs: the pipeline file, the store, and a name for the run.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rowmill_model::Pipeline;
use rowmill_pipeline::{
    AggregateOptions, Error, IngestOptions, OpenStore, Purpose, Scope, Stages, StorageEndpoint,
    StoreUri, open_store_for,
};
use rowmill_store::{Clock as _, Faulty, Retry, RetryBudget, Store, SystemClock, Timeout};

use crate::arguments::Global;
use crate::exit::UsageError;
use crate::signals;

/// The compiled stages of the pipeline file.
pub(crate) fn stages(global: &Global) -> Result<Arc<Stages>> {
    let text = std::fs::read_to_string(&global.config).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "no such file; name the pipeline file with --config, or see one with `rowmill demo`"
            }
            _ => return UsageError(format!("{}: {error}", global.config.display())),
        };
        UsageError(format!("{}: {hint}", global.config.display()))
    })?;
    compile(&text, &global.set, &global.config)
}

/// The compiled stages of a pipeline file's text. Each problem is shown with the file's name before its place.
pub(crate) fn compile(text: &str, set: &[String], file: &Path) -> Result<Arc<Stages>> {
    let stages = Pipeline::parse_with(text, set).and_then(Stages::new);
    stages.map(Arc::new).map_err(|error| {
        let show = |problem: &rowmill_model::Problem| match problem.location {
            rowmill_model::Location::File { .. } => format!("{}:{problem}", file.display()),
            rowmill_model::Location::Override(_) => problem.to_string(),
        };
        let problems: Vec<_> = error.problems().iter().map(show).collect();
        UsageError(problems.join("\n")).into()
    })
}

/// Names the emulator that every client of Bigtable uses instead of the service.
const EMULATOR_HOST: &str = "BIGTABLE_EMULATOR_HOST";

/// No call to a store takes longer: beyond what the Bigtable client allows itself with all its attempts.
const STORE_TIMEOUT: Duration = Duration::from_mins(15);

/// The store that was asked for, with its tables; made if need be.
pub(crate) async fn store(global: &Global) -> Result<OpenStore> {
    store_for(global, Purpose::Making).await
}

/// The store that was asked for, which must exist, to be looked at. One in a folder is not changed by a byte.
pub(crate) async fn existing_store(global: &Global) -> Result<OpenStore> {
    store_for(global, Purpose::Reading).await
}

/// The store that was asked for, which must exist, to be looked at or changed.
pub(crate) async fn changed_store(global: &Global, is_changed: bool) -> Result<OpenStore> {
    let purpose = if is_changed {
        Purpose::Writing
    } else {
        Purpose::Reading
    };
    store_for(global, purpose).await
}

async fn store_for(global: &Global, purpose: Purpose) -> Result<OpenStore> {
    let opened = open_store_for(&uri(global)?, purpose).await?;
    Ok(wearing_wrappers(global, opened.prepare().await?))
}

/// The store that was asked for, with whatever tables it has, to be written to.
pub(crate) async fn store_as_it_is(global: &Global) -> Result<OpenStore> {
    let opened = open_store_for(&uri(global)?, Purpose::Making).await?;
    Ok(wearing_wrappers(global, opened))
}

/// What may succeed later is tried again, and nothing waits for ever.
fn wearing_wrappers(global: &Global, opened: OpenStore) -> OpenStore {
    signals::control().watch_store(opened.meter.clone());
    let faults = global.chaos.map(|chaos| (chaos, global.chaos_seed));
    opened.wearing(|store| {
        let store: Arc<dyn Store> = match faults {
            Some((chaos, seed)) => {
                let kill = Arc::new(|| std::process::abort());
                Arc::new(Faulty::new(store, chaos, seed, kill))
            }
            None => store,
        };
        let timed = Timeout::new(store, STORE_TIMEOUT);
        Arc::new(Retry::new(timed, RetryBudget::default()))
    })
}

/// Logs what went to a store and came from it.
pub(crate) fn log_store(opened: &OpenStore) {
    let counts = opened.meter.counts();
    let failed: u64 = counts.rows_failed.values().sum();
    tracing::info!(
        writes = counts.writes,
        rows_written = counts.rows_written,
        rows_failed = failed,
        bytes_sent = counts.bytes_sent,
        write_seconds = counts.write_time.as_secs_f64(),
        rows_read = counts.rows_read,
        "store"
    );
}

/// The store that was asked for, with whatever tables it has.
pub(crate) async fn bare_store(global: &Global, purpose: Purpose) -> Result<OpenStore> {
    Ok(open_store_for(&uri(global)?, purpose).await?)
}

/// Where the store is.
pub(crate) fn uri(global: &Global) -> Result<StoreUri, Error> {
    // An empty variable is as good as none.
    let emulator = global.emulator_host.as_deref();
    StoreUri::parse(&global.store, emulator.filter(|host| !host.is_empty()))
}

/// What to say of an emulator that is used because a variable of the environment says so; the variable may have been set for
/// something else.
#[expect(
    clippy::disallowed_methods,
    reason = "where a value came from is not told by the parser of arguments"
)]
pub(crate) fn note_of_emulator(global: &Global) -> Option<String> {
    let host = global.emulator_host.as_ref().filter(|it| !it.is_empty())?;
    let variable = std::env::var(EMULATOR_HOST).ok();
    let is_used = global.store.starts_with("bigtable:") && variable.as_ref() == Some(host);
    is_used.then(|| {
        format!(
            "{EMULATOR_HOST} is set: {} is on the emulator at {host}, not on the service",
            global.store
        )
    })
}

/// Where objects are read from. A host without a scheme is one of plain HTTP, as emulators are.
pub(crate) fn storage(global: &Global) -> StorageEndpoint {
    let endpoint = global.storage_endpoint.as_deref();
    match endpoint.filter(|endpoint| !endpoint.is_empty()) {
        None => StorageEndpoint::Service,
        Some(url) if url.contains("://") => {
            StorageEndpoint::Emulator(url.trim_end_matches('/').to_owned())
        }
        Some(host) => StorageEndpoint::Emulator(format!("http://{host}")),
    }
}

/// What this process is called in what it writes: no other has that name. Time and process tell a person which one it was; the random
/// number tells it from processes that began at the same time, each the first of its container.
pub(crate) fn process_name() -> String {
    // The keys of a hasher are random bits of the system.
    let random = RandomState::new().build_hasher().finish();
    format!("{}-{}-{random:016x}", SystemClock.now(), std::process::id())
}

/// The options of a run that begins now.
pub(crate) fn ingest_options() -> IngestOptions {
    IngestOptions::new(process_name(), SystemClock.now())
}

/// The options of an aggregation that begins now.
pub(crate) fn aggregate_options(scope: Scope) -> AggregateOptions {
    AggregateOptions::new(process_name(), scope, SystemClock.now())
}
