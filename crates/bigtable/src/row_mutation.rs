//! What is written to one row.

use bytes::Bytes;
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::mutation::{
    DeleteFromColumn, DeleteFromFamily, DeleteFromRow, Mutation as Kind, SetCell,
};
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::{Mutation, TimestampRange};

/// Lets the server's clock be the cell timestamp. Such a write is not repeated by itself: it would leave two cells.
pub const SERVER_TIME: i64 = -1;

/// The mutations of one row, applied in order, all or none.
///
/// ```
/// use rowmill_bigtable::RowMutation;
///
/// let play = RowMutation::new("user-7#1")
///     .delete_family("quality")
///     .set_cell("event_data", "song", 1_541_022_000_000_000, "Sehr kosmisch");
/// assert_eq!(play.mutations.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RowMutation {
    /// The row key.
    pub key: Bytes,
    /// The mutations, as Bigtable defines them.
    pub mutations: Vec<Mutation>,
}

impl RowMutation {
    /// No mutations yet.
    pub fn new(key: impl Into<Bytes>) -> Self {
        Self {
            key: key.into(),
            mutations: Vec::new(),
        }
    }

    /// Sets one cell. `timestamp_micros` is a whole millisecond, or [`SERVER_TIME`].
    pub fn set_cell(
        self,
        family: impl Into<String>,
        qualifier: impl Into<Bytes>,
        timestamp_micros: i64,
        value: impl Into<Bytes>,
    ) -> Self {
        self.with(Kind::SetCell(SetCell {
            family_name: family.into(),
            column_qualifier: qualifier.into(),
            timestamp_micros,
            value: value.into(),
        }))
    }

    /// Deletes all versions of one column.
    pub fn delete_column(self, family: impl Into<String>, qualifier: impl Into<Bytes>) -> Self {
        self.with(Kind::DeleteFromColumn(DeleteFromColumn {
            family_name: family.into(),
            column_qualifier: qualifier.into(),
            time_range: None,
        }))
    }

    /// Deletes the versions of one column from `start_micros`, included, to `end_micros`, excluded; a zero end is no end.
    pub fn delete_versions(
        self,
        family: impl Into<String>,
        qualifier: impl Into<Bytes>,
        start_micros: i64,
        end_micros: i64,
    ) -> Self {
        self.with(Kind::DeleteFromColumn(DeleteFromColumn {
            family_name: family.into(),
            column_qualifier: qualifier.into(),
            time_range: Some(TimestampRange {
                start_timestamp_micros: start_micros,
                end_timestamp_micros: end_micros,
            }),
        }))
    }

    /// Deletes all cells of one family.
    pub fn delete_family(self, family: impl Into<String>) -> Self {
        self.with(Kind::DeleteFromFamily(DeleteFromFamily {
            family_name: family.into(),
        }))
    }

    /// Deletes the whole row.
    pub fn delete_row(self) -> Self {
        self.with(Kind::DeleteFromRow(DeleteFromRow {}))
    }

    /// Adds a mutation of any kind.
    pub fn with(mut self, mutation: Kind) -> Self {
        self.mutations.push(Mutation {
            mutation: Some(mutation),
        });
        self
    }
}

/// Whether a mutation may happen twice without harm.
pub(crate) fn is_idempotent(mutation: &Mutation) -> bool {
    match &mutation.mutation {
        Some(Kind::SetCell(cell)) => cell.timestamp_micros >= 0,
        Some(Kind::AddToCell(_) | Kind::MergeToCell(_)) => false,
        _ => true,
    }
}
