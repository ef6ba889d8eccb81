//! Where to split a table, so that its parts can be read side by side.
//!
//! The engine keeps no statistics of keys, so this looks for the first key at or after each of some places between the first and the
//! last one. Where keys crowd, parts differ in size.

use bytes::Bytes;
use fjall::Keyspace;
use rowmill_store::Result;

use crate::entry::{self, Place};
use crate::error;

/// How many parts a table is split into at most.
const PARTS: u128 = 16;
/// How many bytes after what all keys begin with tell places apart.
const PLACE_BYTES: usize = 8;

/// The row keys to split at.
pub(crate) fn keys(keyspace: &Keyspace) -> Result<Vec<Vec<u8>>> {
    let (Some(first), Some(last)) = (
        entry_at(keyspace.range::<Vec<u8>, _>(..).next())?,
        entry_at(keyspace.range::<Vec<u8>, _>(..).next_back())?,
    ) else {
        return Ok(Vec::new());
    };
    let common = first.iter().zip(&last).take_while(|(a, b)| a == b).count();
    let (low, high) = (place(&first[common..]), place(&last[common..]));
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for part in 1..PARTS {
        let at = u128::from(low) + u128::from(high - low) * part / PARTS;
        let at = u64::try_from(at).expect("between two of them");
        let start = [&first[..common], &at.to_be_bytes()].concat();
        let Some(found) = entry_at(keyspace.range(start..).next())? else {
            break;
        };
        let Some(place) = Place::of(&found) else {
            continue;
        };
        let key = entry::unescape(&found[..place.row_bytes]);
        if keys.last() != Some(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

fn entry_at(guard: Option<fjall::Guard>) -> Result<Option<Bytes>> {
    let key = guard.map(fjall::Guard::key).transpose();
    let key = key.map_err(|error| error::engine("reading a key", error))?;
    Ok(key.map(Bytes::from))
}

fn place(rest: &[u8]) -> u64 {
    let mut bytes = [0; PLACE_BYTES];
    let length = rest.len().min(PLACE_BYTES);
    bytes[..length].copy_from_slice(&rest[..length]);
    u64::from_be_bytes(bytes)
}
