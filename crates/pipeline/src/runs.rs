//! The record of a run, which outlives it.

use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, state, table};
use rowmill_rowkey::{RunKey, Timestamp};
use rowmill_store::{Store, StoreExt as _};

use crate::error::Error;
use crate::ledger::Ledger;

/// Writes the ledger of a finished run.
pub(crate) async fn record(
    store: &dyn Store,
    run: &str,
    now: Timestamp,
    ledger: &Ledger,
) -> Result<(), Error> {
    let key = RunKey(run.into())
        .encode()
        .map_err(|error| Error::Query(error.to_string()))?;
    let json = serde_json::to_vec(ledger).expect("a ledger is JSON");
    let mut batch = MutationBatch::new();
    let mut row = batch.row(&key);
    row.set(
        family::STATE,
        state::LEDGER.as_bytes(),
        now.cell_micros(),
        &json,
    );
    row.finish();
    store.apply_all(table::STATE, batch).await?;
    Ok(())
}
