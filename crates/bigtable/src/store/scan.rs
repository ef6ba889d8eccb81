//! Scans: what the server filters, what is left to the view, and rows as stores know them.

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use rowmill_model::{Cell, Row, RowBuilder};
use rowmill_rowkey::KeyRange;
use rowmill_store::{Result, Scan, TableSchema, View};

use crate::client::Client;
use crate::filter;
use crate::proto::RowFilter;
use crate::read::ReadRows;
use crate::row;

/// The keys of one read are at most 1 MiB; half of it leaves room for what goes around them.
const KEYS_BYTES_MAX: usize = 512 << 10;

/// The rows of a scan.
pub(super) fn rows(
    client: &Client,
    table: &str,
    scan: &Scan,
    schema: &TableSchema,
    view: View,
) -> BoxStream<'static, Result<Row>> {
    let limit = scan.limit.unwrap_or(u64::MAX);
    let Some((filters, is_exact)) = server_filters(scan, schema, &view).filter(|_| limit > 0)
    else {
        return stream::empty().boxed();
    };
    let read = |ranges: &[KeyRange]| {
        let mut read = ReadRows::new(table);
        for range in ranges {
            read = read.range(range);
        }
        if let Some(limit) = scan.limit.filter(|_| is_exact) {
            read = read.limit(limit);
        }
        if scan.reverse {
            read = read.reversed();
        }
        if filters.is_empty() {
            return read;
        }
        read.filter(filter::chain(filters.clone()))
    };
    let mut ranges = scan.joined_ranges();
    if scan.reverse {
        ranges.reverse();
    }
    let reads: Vec<_> = parts(&ranges).map(read).collect();
    let client = client.clone();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    stream::iter(reads)
        .flat_map(move |read| client.read_rows(read))
        .map_err(rowmill_store::Error::from)
        .try_filter_map(move |row| {
            let shown = shown(&row, &view);
            async move { Ok(shown) }
        })
        .take(limit)
        .boxed()
}

/// Ranges in parts that one request may carry.
fn parts(ranges: &[KeyRange]) -> impl Iterator<Item = &[KeyRange]> {
    let bytes = |range: &KeyRange| range.start.len() + range.end.as_ref().map_or(0, Vec::len) + 16;
    let mut total = 0;
    ranges.chunk_by(move |_, next| {
        total += bytes(next);
        if total <= KEYS_BYTES_MAX {
            return true;
        }
        total = 0;
        false
    })
}

/// What of a scan the server can filter, and whether nothing is left for the view to filter out; none if nothing can pass.
///
/// A rule of versions counts a column's cells before any other filter sees them. Where all families have one rule, it stands
/// before those; where they differ, what follows it is left to the view.
fn server_filters(
    scan: &Scan,
    schema: &TableSchema,
    view: &View,
) -> Option<(Vec<RowFilter>, bool)> {
    let asked = |name: &str| {
        let families = scan.families.as_ref();
        families.is_none_or(|families| families.iter().any(|it| it == name))
    };
    let shown: Vec<_> = schema
        .families
        .iter()
        .filter(|(name, _)| asked(name))
        .collect();
    if shown.is_empty() {
        return None;
    }
    let mut filters = Vec::new();
    // A family that came later is not shown. Where rows or cells are counted its own must not count; elsewhere the view leaves them
    // out, and a filter that lets everything else through would only cost the server time.
    let counts = scan.limit.is_some() || scan.keys_only;
    if counts || shown.len() < schema.families.len() {
        let families = shown.iter().map(|(name, _)| name.as_str());
        filters.push(filter::families(families));
    }
    let names = scan.qualifiers.as_ref();
    // A pattern is text; names that are none are left to the view.
    let are_text =
        |names: &Vec<Vec<u8>>| names.iter().all(|name| std::str::from_utf8(name).is_ok());
    let mut is_exact = names.is_none_or(are_text);
    if let Some(names) = names.filter(|names| are_text(names)) {
        filters.push(filter::qualifiers(names.iter().map(Vec::as_slice)));
    }
    let is_uniform = shown.windows(2).all(|pair| pair[0].1 == pair[1].1);
    is_exact &= is_uniform;
    if !is_uniform {
        return Some((filters, is_exact));
    }
    let versions = shown.first().and_then(|(_, rule)| rule.versions_max);
    if let Some(versions) = versions {
        filters.push(filter::cells_per_column(versions));
    }
    let oldest = view.oldest_micros().unwrap_or(0).max(0);
    let time = scan.time.map_or((0, 0), |time| (time.start, time.end));
    if scan.time.is_some() && time.1 <= time.0.max(oldest) {
        return None;
    }
    if scan.time.is_some() || oldest > 0 {
        // The server takes whole milliseconds only; what they include too much is the view's.
        let (start, end) = (floor(time.0.max(oldest)), ceil(time.1));
        is_exact &= start == time.0.max(oldest) && end == time.1;
        filters.push(filter::timestamps(start, end));
    }
    let is_narrower = |cells: &u32| versions.is_none_or(|versions| *cells < versions);
    if let Some(cells) = scan.cells_per_column.filter(is_narrower) {
        filters.push(filter::cells_per_column(cells));
    }
    if scan.keys_only && is_exact {
        filters.extend([filter::cells_per_row(1), filter::without_values()]);
    }
    Some((filters, is_exact))
}

fn floor(micros: i64) -> i64 {
    micros - micros.rem_euclid(rowmill_model::TIMESTAMP_MICROS_STEP)
}

fn ceil(micros: i64) -> i64 {
    let step = rowmill_model::TIMESTAMP_MICROS_STEP;
    floor(micros.saturating_add(step - 1))
}

/// What the view shows of a row; none if that is nothing.
fn shown(row: &row::Row, view: &View) -> Option<Row> {
    let mut cells: Vec<Cell<'_>> = row
        .cells
        .iter()
        .map(|cell| Cell {
            family: &cell.family,
            qualifier: &cell.qualifier,
            timestamp_micros: cell.timestamp_micros,
            value: &cell.value,
        })
        .collect();
    let place = |cell: &Cell<'_>| {
        let newest_first = std::cmp::Reverse(cell.timestamp_micros);
        (
            cell.family.to_owned(),
            cell.qualifier.to_vec(),
            newest_first,
        )
    };
    let is_before = |a: &Cell<'_>, b: &Cell<'_>| {
        (a.family, a.qualifier, b.timestamp_micros) < (b.family, b.qualifier, a.timestamp_micros)
    };
    // The order of families is the server's; and an emulator whose families were altered may list a cell twice.
    if !cells.is_sorted_by(is_before) {
        cells.sort_by_cached_key(place);
        cells.dedup_by(|b, a| !is_before(a, b));
    }
    RowBuilder::build(row.key.clone(), view.select(cells.into_iter()))
}
