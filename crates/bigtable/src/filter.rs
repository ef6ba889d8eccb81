//! The filters that reads use most; others are made of [`proto::RowFilter`](crate::proto::RowFilter).

use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::row_filter::{
    Chain, Filter, Interleave,
};
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::{RowFilter, TimestampRange};

fn of(filter: Filter) -> RowFilter {
    RowFilter {
        filter: Some(filter),
    }
}

/// What passes all of `filters`, each seeing what the one before let through. A single one is itself.
pub fn chain(filters: impl IntoIterator<Item = RowFilter>) -> RowFilter {
    let mut filters: Vec<_> = filters.into_iter().collect();
    match filters.len() {
        0 => of(Filter::PassAllFilter(true)),
        1 => filters.remove(0),
        _ => of(Filter::Chain(Chain { filters })),
    }
}

/// What passes any of `filters`; cells that pass several come several times.
pub fn interleave(filters: impl IntoIterator<Item = RowFilter>) -> RowFilter {
    let filters = filters.into_iter().collect();
    of(Filter::Interleave(Interleave { filters }))
}

/// Cells of the family `name`.
pub fn family(name: &str) -> RowFilter {
    families([name])
}

/// Cells of any of the families `names`.
pub fn families<'a>(names: impl IntoIterator<Item = &'a str>) -> RowFilter {
    let pattern = any_of(names.into_iter().map(str::as_bytes));
    let pattern = String::from_utf8(pattern).expect("names are text, and so are they quoted");
    of(Filter::FamilyNameRegexFilter(pattern))
}

/// Cells of any of the columns `names`, of whatever family.
pub fn qualifiers<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> RowFilter {
    of(Filter::ColumnQualifierRegexFilter(any_of(names).into()))
}

/// Cells with timestamps from `start`, included, to `end`, excluded, in microseconds. A zero `end` is no end.
pub fn timestamps(start_micros: i64, end_micros: i64) -> RowFilter {
    of(Filter::TimestampRangeFilter(TimestampRange {
        start_timestamp_micros: start_micros,
        end_timestamp_micros: end_micros,
    }))
}

/// Only so many newest cells of each column.
pub fn cells_per_column(cells: u32) -> RowFilter {
    let cells = i32::try_from(cells).unwrap_or(i32::MAX);
    of(Filter::CellsPerColumnLimitFilter(cells))
}

/// Only so many first cells of each row.
pub fn cells_per_row(cells: u32) -> RowFilter {
    let cells = i32::try_from(cells).unwrap_or(i32::MAX);
    of(Filter::CellsPerRowLimitFilter(cells))
}

/// Cells without their values, for whoever only counts.
pub fn without_values() -> RowFilter {
    of(Filter::StripValueTransformer(true))
}

/// An RE2 pattern for exactly one of the byte strings.
fn any_of<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut pattern = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        if index > 0 {
            pattern.push(b'|');
        }
        quote(name, &mut pattern);
    }
    pattern
}

/// Quotes bytes for RE2, as its own `QuoteMeta` does: bytes beyond ASCII stand as they are.
fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            0 => out.extend_from_slice(b"\\x00"),
            b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => out.push(*byte),
            _ => out.extend_from_slice(&[b'\\', *byte]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let pattern = any_of([&b"a.b"[..], b"\0|", "\u{e9}".as_bytes()]);
        assert_eq!(pattern, b"a\\.b|\\x00\\||\xc3\xa9");
    }

    #[test]
    fn a_chain_of_one_is_that_one() {
        assert_eq!(chain([cells_per_column(1)]), cells_per_column(1));
    }
}
