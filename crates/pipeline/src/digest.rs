//! What was written, as one number that does not depend on the order: it can be added up while writing, and again while reading.

use rowmill_model::{MutationBatch, Row, RowMutation};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

/// A digest of rows: how many, the sum of their keys' hashes, and the sum of the hashes of all their cells. Sums are modulo 2^128.
///
/// Two sets of rows with the same digest are the same rows, but for a chance that does not matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// How many rows.
    pub rows: u64,
    /// Of their keys.
    pub keys: Sum,
    /// Of their keys and cells.
    pub cells: Sum,
}

/// A sum of 128-bit hashes, written as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum(pub u128);

/// The hashes of one row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowHash {
    /// Of its key.
    pub key: u128,
    /// Of its key and cells.
    pub cells: u128,
}

impl RowHash {
    /// Of a row as it is written, which must set its cells in a row's order, all with one timestamp.
    pub fn of(mutation: RowMutation<'_>) -> Self {
        let key = xxh3_128(mutation.key());
        // The product belongs to this key with these cells: two rows that swap their cells change the sum. (A seeded hash would say
        // the same, and derives its secret anew for each row.)
        let cells = xxh3_128(mutation.ops()).wrapping_mul(key | 1);
        Self { key, cells }
    }

    /// Of a row as it was read: the same as when it was written, if it is the same.
    pub fn of_row(row: &Row, scratch: &mut MutationBatch) -> Self {
        scratch.clear();
        let mut written = scratch.row(row.key());
        for cell in row.cells() {
            written.set(
                cell.family,
                cell.qualifier,
                cell.timestamp_micros,
                cell.value,
            );
        }
        written.finish();
        Self::of(scratch.get(0))
    }
}

impl Digest {
    /// Adds a row.
    pub fn add(&mut self, row: RowHash) {
        self.rows += 1;
        self.keys.0 = self.keys.0.wrapping_add(row.key);
        self.cells.0 = self.cells.0.wrapping_add(row.cells);
    }

    /// Takes a row out again.
    pub fn remove(&mut self, row: RowHash) {
        self.rows -= 1;
        self.keys.0 = self.keys.0.wrapping_sub(row.key);
        self.cells.0 = self.cells.0.wrapping_sub(row.cells);
    }

    /// The digest without the rows of another one, which are among its rows.
    pub fn without(&self, other: &Self) -> Self {
        Self {
            rows: self.rows.wrapping_sub(other.rows),
            keys: Sum(self.keys.0.wrapping_sub(other.keys.0)),
            cells: Sum(self.cells.0.wrapping_sub(other.cells.0)),
        }
    }

    /// Adds the rows of another digest.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.keys.0 = self.keys.0.wrapping_add(other.keys.0);
        self.cells.0 = self.cells.0.wrapping_add(other.cells.0);
    }
}

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        u128::from_str_radix(&digits, 16)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}
