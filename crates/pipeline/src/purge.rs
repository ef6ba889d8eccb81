//! Taking dead letters out: a copy, or for good.

use std::io::Write;

use rowmill_store::Store;

use crate::control::Control;
use crate::error::Error;
use crate::letter::DeadLetter;
use crate::letters::{LetterFilter, LetterSlices, letters};
use crate::resolved::{Resolution, resolve};
use crate::unreadable::Unreadable;

/// Writes the letters that are meant as a line of JSON each. Gives their number, and the rows that hold no letter.
pub async fn export_letters(
    store: &dyn Store,
    filter: &LetterFilter,
    out: &mut (dyn Write + Send),
    control: &Control,
) -> Result<(u64, Unreadable), Error> {
    let (mut found, mut count) = (letters(store, filter)?, 0);
    while let Some(letter) = found.next().await? {
        control.check()?;
        control.advance(0, 1);
        writeln!(out, "{}", letter.to_json())?;
        count += 1;
    }
    out.flush()?;
    Ok((count, found.unreadable().clone()))
}

/// Removes the letters that are meant. Gives their number, and the rows that hold no letter, which stay. `archive` is called with some
/// letters before they are removed, and must have kept them when it returns.
pub async fn purge_letters(
    store: &dyn Store,
    filter: &LetterFilter,
    archive: &mut (dyn FnMut(&[DeadLetter]) -> std::io::Result<()> + Send),
    control: &Control,
) -> Result<(u64, Unreadable), Error> {
    let (mut slices, mut count) = (LetterSlices::new(filter)?, 0);
    while let Some(slice) = slices.next(store, &mut |_| {}).await? {
        control.check()?;
        if slice.is_empty() {
            continue;
        }
        archive(&slice)?;
        let resolutions: Vec<_> = slice.iter().map(purged).collect();
        let keys = slice.iter().map(|letter| letter.key.as_bytes());
        resolve(store, store, keys.zip(&resolutions)).await?;
        control.advance(0, slice.len() as u64);
        count += slice.len() as u64;
    }
    Ok((count, slices.into_unreadable()))
}

fn purged(letter: &DeadLetter) -> Resolution {
    Resolution {
        run: letter.run.clone(),
        by: "purge".to_owned(),
        how: "purged".to_owned(),
    }
}
