//! What became of dead letters that are letters no more: so that a ledger that counts them can still be proved.

use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, state, table};
use rowmill_rowkey::{DeadLetterKey, ResolvedKey};
use rowmill_store::{Store, StoreExt as _};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resolution {
    /// The run that rejected it, whose ledger counts it.
    pub(crate) run: String,
    /// The run that resolved it, or the command.
    pub(crate) by: String,
    /// How.
    pub(crate) how: String,
}

/// Removes letters, after it is written what became of them: whoever dies in between leaves letters that are found once more.
pub(crate) async fn resolve<'a>(
    state: &dyn Store,
    dead_letters: &dyn Store,
    letters: impl Iterator<Item = (&'a [u8], &'a Resolution)>,
) -> Result<(), Error> {
    let (mut resolved, mut removed) = (MutationBatch::new(), MutationBatch::new());
    for (key, resolution) in letters {
        let decoded = DeadLetterKey::decode(key).map_err(|error| Error::Row(error.to_string()))?;
        let state_key = ResolvedKey(decoded)
            .encode()
            .map_err(|error| Error::Row(error.to_string()))?;
        let json = serde_json::to_vec(resolution).expect("a resolution is JSON");
        let mut row = resolved.row(&state_key);
        row.set(family::STATE, state::RESOLVED.as_bytes(), 0, &json);
        row.finish();
        let mut row = removed.row(key);
        row.delete_row();
        row.finish();
    }
    state.apply_all(table::STATE, resolved).await?;
    dead_letters.apply_all(table::DEAD_LETTERS, removed).await?;
    Ok(())
}
