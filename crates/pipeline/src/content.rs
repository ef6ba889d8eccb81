//! Whether the content of an input is what was read of it before.

use std::io::Read as _;

use xxhash_rust::xxh3::Xxh3;

use crate::error::Error;
use crate::file_ledger::{FileLedger, FileStatus};
use crate::input::Prepared;

/// How the content of an input stands to what was read of it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It is the same, as far as it was read; of what comes before its last record, this is the hash.
    Same { before_tail: u128 },
    /// It begins with the same, and goes on.
    Grown { before_tail: u128 },
    /// It is other content.
    Other,
}

pub(crate) async fn compare(
    prepared: Prepared,
    latest: &FileLedger,
) -> Result<(Prepared, Relation), Error> {
    let is_as_it_was = prepared.stamp.is_some() && prepared.stamp == latest.stamp;
    if is_as_it_was && latest.status != FileStatus::Broken {
        return Ok((prepared, Relation::Same { before_tail: 0 }));
    }
    let latest = latest.clone();
    let compared = tokio::task::spawn_blocking(move || {
        let relation = compare_content(&prepared, &latest);
        (prepared, relation)
    });
    let (prepared, relation) = compared.await.expect("comparing content does not panic");
    let name = prepared.name.clone();
    let relation = relation.map_err(|source| Error::Read { name, source })?;
    Ok((prepared, relation))
}

/// Reads as much of an input as a ledger counts, and looks whether there is more. Blocks.
pub(crate) fn compare_content(
    prepared: &Prepared,
    latest: &FileLedger,
) -> Result<Relation, rowmill_ingest::Error> {
    let (position, expected) = (latest.position, latest.content_hash.0);
    let tail = latest.tail.as_ref().map_or(position, |tail| tail.offset);
    let mut content = prepared.content()?;
    let mut hash = Xxh3::new();
    let mut before_tail = hash.digest128();
    let mut passed = 0;
    let mut block = vec![0; 256 << 10];
    while passed < position {
        let until = if passed < tail { tail } else { position };
        let most = block
            .len()
            .min(usize::try_from(until - passed).unwrap_or(usize::MAX));
        let read = match content.read(&mut block[..most]) {
            // What cannot be read that far is not what it was; reading its records will tell why.
            Ok(0) | Err(_) => return Ok(Relation::Other),
            Ok(read) => read,
        };
        hash.update(&block[..read]);
        passed += read as u64;
        if passed == tail {
            before_tail = hash.digest128();
        }
    }
    if hash.digest128() != expected {
        return Ok(Relation::Other);
    }
    Ok(match content.read(&mut block[..1]) {
        Ok(0) | Err(_) => Relation::Same { before_tail },
        Ok(_) => Relation::Grown { before_tail },
    })
}
