//! Which rows of a source a later record of it wrote again.

use std::collections::HashMap;

use crate::control::Control;
use crate::digest::{Digest, RowHash};
use crate::error::Error;
use crate::spool::{PARTITIONS, Partitions, Room};

const HASH_BYTES: usize = size_of::<u128>();

/// The hashes of rows in the order in which they are written, of which memory holds as many as there is room for.
pub(super) struct Versions(Partitions<{ 2 * HASH_BYTES }>);

impl Versions {
    pub(super) fn new(room: &Room) -> Self {
        Self(Partitions::new(room))
    }

    /// A gatherer, which is given the rows in their order.
    pub(super) fn gather(&self) -> Gathered<'_> {
        Gathered(self.0.gather())
    }

    /// The rows that are not the last ones of their keys.
    pub(super) fn written_again(&self, control: &Control) -> Result<Digest, Error> {
        let mut again = Digest::default();
        for partition in 0..PARTITIONS {
            control.check()?;
            let mut latest: HashMap<u128, u128> = HashMap::new();
            self.0.each(partition, |rows| {
                for row in rows {
                    let (key, cells) = row.split_at(HASH_BYTES);
                    let [key, cells] = [key, cells].map(|hash| {
                        u128::from_be_bytes(hash.try_into().expect("half of the entry"))
                    });
                    if let Some(cells) = latest.insert(key, cells) {
                        again.add(RowHash { key, cells });
                    }
                }
            })?;
        }
        Ok(again)
    }
}

/// Gathers hashes of rows.
pub(super) struct Gathered<'a>(crate::spool::Gathered<'a, { 2 * HASH_BYTES }>);

impl Gathered<'_> {
    pub(super) fn add(&mut self, row: RowHash) -> Result<(), Error> {
        let mut entry = [0; 2 * HASH_BYTES];
        entry[..HASH_BYTES].copy_from_slice(&row.key.to_be_bytes());
        entry[HASH_BYTES..].copy_from_slice(&row.cells.to_be_bytes());
        self.0.add(entry)
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        self.0.finish()
    }
}
