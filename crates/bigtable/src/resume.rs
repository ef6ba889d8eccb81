//! What is left of a read when part of it has come.

use bytes::Bytes;
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::row_range::{EndKey, StartKey};
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::{RowRange, RowSet};

/// The keys and ranges of `rows` beyond `last`; none if nothing is left, which must not be sent: an empty row set is the whole
/// table.
pub(crate) fn beyond(rows: Option<&RowSet>, last: &Bytes, reversed: bool) -> Option<RowSet> {
    let whole = RowSet {
        row_keys: Vec::new(),
        row_ranges: vec![RowRange::default()],
    };
    let is_whole = |rows: &&RowSet| rows.row_keys.is_empty() && rows.row_ranges.is_empty();
    let rows = rows.filter(|rows| !is_whole(rows)).unwrap_or(&whole);
    let is_left = |key: &&Bytes| if reversed { *key < last } else { *key > last };
    let cut = |range: &RowRange| {
        if reversed {
            cut_end(range, last)
        } else {
            cut_start(range, last)
        }
    };
    let left = RowSet {
        row_keys: rows.row_keys.iter().filter(is_left).cloned().collect(),
        row_ranges: rows.row_ranges.iter().filter_map(cut).collect(),
    };
    (!is_whole(&&left)).then_some(left)
}

/// The part of a range after `last`.
fn cut_start(range: &RowRange, last: &Bytes) -> Option<RowRange> {
    let ends_before = match &range.end_key {
        Some(EndKey::EndKeyClosed(end)) if !end.is_empty() => end <= last,
        // Nothing lies between a key and its successor.
        Some(EndKey::EndKeyOpen(end)) if !end.is_empty() => end <= last || is_successor(end, last),
        _ => false,
    };
    if ends_before {
        return None;
    }
    let begins_after = match &range.start_key {
        Some(StartKey::StartKeyClosed(start)) => start > last,
        Some(StartKey::StartKeyOpen(start)) => start >= last,
        None => false,
    };
    let start_key = if begins_after {
        range.start_key.clone()
    } else {
        Some(StartKey::StartKeyOpen(last.clone()))
    };
    Some(RowRange {
        start_key,
        end_key: range.end_key.clone(),
    })
}

/// The part of a range before `last`.
fn cut_end(range: &RowRange, last: &Bytes) -> Option<RowRange> {
    let begins_after = match &range.start_key {
        Some(StartKey::StartKeyClosed(start)) => start >= last,
        Some(StartKey::StartKeyOpen(start)) => start >= last || is_successor(last, start),
        None => false,
    };
    if begins_after {
        return None;
    }
    let ends_before = match &range.end_key {
        Some(EndKey::EndKeyClosed(end)) if !end.is_empty() => end < last,
        Some(EndKey::EndKeyOpen(end)) if !end.is_empty() => end <= last,
        _ => false,
    };
    let end_key = if ends_before {
        range.end_key.clone()
    } else {
        Some(EndKey::EndKeyOpen(last.clone()))
    };
    Some(RowRange {
        start_key: range.start_key.clone(),
        end_key,
    })
}

/// Whether a range holds one key at most: it ends at its start, or with the first key after it.
pub(crate) fn is_single(range: &RowRange) -> bool {
    match (&range.start_key, &range.end_key) {
        (Some(StartKey::StartKeyClosed(start)), Some(EndKey::EndKeyOpen(end))) => {
            is_successor(end, start)
        }
        (Some(StartKey::StartKeyClosed(start)), Some(EndKey::EndKeyClosed(end))) => {
            start == end && !end.is_empty()
        }
        _ => false,
    }
}

/// Whether `after` is the first key after `key`.
fn is_successor(after: &[u8], key: &[u8]) -> bool {
    after.split_last() == Some((&0, key))
}
