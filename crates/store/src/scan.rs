//! What to read of a table.

use rowmill_rowkey::KeyRange;

/// Which rows of a table, and which of their cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The keys to read; no ranges are no rows. They may overlap and come in any order.
    pub ranges: Vec<KeyRange>,
    /// Only cells of these families.
    pub families: Option<Vec<String>>,
    /// Only cells of these columns.
    pub qualifiers: Option<Vec<Vec<u8>>>,
    /// Only cells of these times.
    pub time: Option<TimeRange>,
    /// Only so many newest cells of each column.
    pub cells_per_column: Option<u32>,
    /// Only one cell of each row, without its value: for whoever asks which rows there are.
    pub keys_only: bool,
    /// Only so many rows.
    pub limit: Option<u64>,
    /// From the last key to the first.
    pub reverse: bool,
}

/// Cell timestamps from `start`, included, to `end`, excluded, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The first timestamp.
    pub start: i64,
    /// The first one after.
    pub end: i64,
}

impl Scan {
    /// Everything.
    pub fn all() -> Self {
        Self::range(KeyRange::all())
    }

    /// The rows of a range.
    pub fn range(range: KeyRange) -> Self {
        Self::ranges(vec![range])
    }

    /// The rows whose keys start with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self::range(KeyRange::prefix(prefix.to_vec()))
    }

    /// The one row of `key`.
    pub fn row(key: &[u8]) -> Self {
        Self::range(KeyRange::single(key.to_vec()))
    }

    /// The rows of any of the ranges.
    pub fn ranges(ranges: Vec<KeyRange>) -> Self {
        Self {
            ranges,
            families: None,
            qualifiers: None,
            time: None,
            cells_per_column: None,
            keys_only: false,
            limit: None,
            reverse: false,
        }
    }

    /// Only cells of `families`.
    pub fn with_families<'a>(self, families: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            families: Some(families.into_iter().map(str::to_owned).collect()),
            ..self
        }
    }

    /// Only cells of the columns `qualifiers`.
    pub fn with_qualifiers<'a>(self, qualifiers: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self {
            qualifiers: Some(qualifiers.into_iter().map(<[u8]>::to_vec).collect()),
            ..self
        }
    }

    /// Only cells from `start`, included, to `end`, excluded.
    pub fn with_time(self, start: i64, end: i64) -> Self {
        Self {
            time: Some(TimeRange { start, end }),
            ..self
        }
    }

    /// Only the newest cell of each column.
    pub fn with_latest_only(self) -> Self {
        Self {
            cells_per_column: Some(1),
            ..self
        }
    }

    /// Only one cell of each row, without its value.
    pub fn with_keys_only(self) -> Self {
        Self {
            keys_only: true,
            ..self
        }
    }

    /// Only `limit` rows.
    pub fn with_limit(self, limit: u64) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// From the last key to the first.
    pub fn reversed(self) -> Self {
        Self {
            reverse: true,
            ..self
        }
    }

    /// What is left of the scan after `rows` rows of it, the last of which was `last`.
    pub fn rest(&self, last: &[u8], rows: u64) -> Self {
        let beyond = |range: KeyRange| {
            if self.reverse {
                let end = range.end.filter(|end| end.as_slice() < last);
                KeyRange {
                    end: Some(end.unwrap_or_else(|| last.to_vec())),
                    ..range
                }
            } else {
                KeyRange {
                    start: range.start.max([last, &[0]].concat()),
                    ..range
                }
            }
        };
        Self {
            ranges: self.joined_ranges().into_iter().map(beyond).collect(),
            limit: self.limit.map(|limit| limit.saturating_sub(rows)),
            ..self.clone()
        }
    }

    /// The ranges in key order, joined where they meet, without those that are empty.
    pub fn joined_ranges(&self) -> Vec<KeyRange> {
        let mut ranges: Vec<_> = self
            .ranges
            .iter()
            .filter(|range| !range.is_empty())
            .cloned()
            .collect();
        ranges.sort_by(|a, b| a.start.cmp(&b.start));
        let mut joined: Vec<KeyRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last) if last.end.as_ref().is_none_or(|end| range.start <= *end) => {
                    last.end = last.end.take().zip(range.end).map(|(a, b)| a.max(b));
                }
                _ => joined.push(range),
            }
        }
        joined
    }
}
