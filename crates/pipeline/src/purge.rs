//! Taking dead letters out: a copy, or for good.

use std::io::Write;

use futures::TryStreamExt as _;
use rowmill_store::Store;

use crate::control::Control;
use crate::error::Error;
use crate::letter::DeadLetter;
use crate::letters::{LetterFilter, letters};
use crate::resolved::{Resolution, resolve};

/// How many letters are removed together.
const BATCH_LETTERS: usize = 500;

/// Writes the letters that are meant as a line of JSON each, and gives their number.
pub async fn export_letters(
    store: &dyn Store,
    filter: &LetterFilter,
    out: &mut (dyn Write + Send),
    control: &Control,
) -> Result<u64, Error> {
    let (mut found, mut count) = (letters(store, filter)?, 0);
    while let Some(letter) = found.try_next().await? {
        control.check()?;
        writeln!(out, "{}", letter.to_json())?;
        count += 1;
    }
    out.flush()?;
    Ok(count)
}

/// Removes the letters that are meant, and gives their number. `archive` is called with some letters before they are removed, and
/// must have kept them when it returns.
pub async fn purge_letters(
    store: &dyn Store,
    filter: &LetterFilter,
    archive: &mut (dyn FnMut(&[DeadLetter]) -> std::io::Result<()> + Send),
    control: &Control,
) -> Result<u64, Error> {
    let found = letters(store, filter)?;
    let mut batches = found.try_chunks(BATCH_LETTERS);
    let mut count = 0;
    while let Some(batch) = batches.try_next().await.map_err(|failed| failed.1)? {
        control.check()?;
        archive(&batch)?;
        let resolutions: Vec<_> = batch.iter().map(purged).collect();
        let keys = batch.iter().map(|letter| letter.key.as_bytes());
        resolve(store, store, keys.zip(&resolutions)).await?;
        count += batch.len() as u64;
    }
    Ok(count)
}

fn purged(letter: &DeadLetter) -> Resolution {
    Resolution {
        run: letter.run.clone(),
        by: "purge".to_owned(),
        how: "purged".to_owned(),
    }
}
