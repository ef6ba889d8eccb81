//! The cells of one row while mutations are applied to it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rowmill_model::{Cell, Mutation, RowMutation};

/// The cells of a row, by family, qualifier, and newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowCells(BTreeMap<String, BTreeMap<Vec<u8>, Versions>>);

/// The values of one column, newest first.
type Versions = BTreeMap<Reverse<i64>, Vec<u8>>;

impl RowCells {
    /// Applies a mutation.
    pub fn apply(&mut self, mutation: RowMutation<'_>) {
        for operation in mutation.mutations() {
            match operation {
                Mutation::Set {
                    family,
                    qualifier,
                    timestamp_micros,
                    value,
                } => {
                    let columns = self.0.entry(family.to_owned()).or_default();
                    let versions = columns.entry(qualifier.to_vec()).or_default();
                    versions.insert(Reverse(timestamp_micros), value.to_vec());
                }
                Mutation::DeleteColumn { family, qualifier } => {
                    if let Some(columns) = self.0.get_mut(family) {
                        columns.remove(qualifier);
                    }
                }
                Mutation::DeleteFamily { family } => {
                    self.0.remove(family);
                }
                Mutation::DeleteRow => self.0.clear(),
            }
        }
    }

    /// The cells in a row's order.
    pub fn iter(&self) -> impl Iterator<Item = Cell<'_>> {
        self.0.iter().flat_map(|(family, columns)| {
            columns.iter().flat_map(move |(qualifier, versions)| {
                versions
                    .iter()
                    .map(move |(Reverse(timestamp_micros), value)| Cell {
                        family,
                        qualifier,
                        timestamp_micros: *timestamp_micros,
                        value,
                    })
            })
        })
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}
