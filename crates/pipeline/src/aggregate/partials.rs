//! Partials in the store: the chunks of a period, one row each, in the aggregate table's own reserved dimension.
//!
//! What is needed to roll a period up lives in the family, and by the times, of what it is rolled up to, so that rules of age keep it
//! as long: hours with days, days and weeks with weeks.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use rowmill_aggregate::{Merge, Period, Plan, Step};
use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{AggregateKey, Date, DimensionValue, Hour, KeyRange, PARTIAL_DIMENSION};
use rowmill_store::{Error as StoreError, Scan, Store, StoreExt as _};

use super::row_error;
use crate::error::Error;
use crate::spool::{Room, Spool};

/// The qualifier of a chunk.
const CHUNK: &[u8] = b"chunk";

/// Rows that are written together: chunks are large.
const BATCH_BYTES: usize = 16 << 20;

/// Whose partial it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A period's.
    Period(Period),
    /// A shard's, of an hour.
    Shard { hour: Hour, index: u32, count: u32 },
}

impl Owner {
    fn name(self) -> String {
        match self {
            Self::Period(period) => format!("{}.{period}", period.grain().name()),
            Self::Shard { hour, index, count } => format!("shard.{hour}.{index:05}of{count:05}"),
        }
    }

    fn date(self) -> Date {
        match self {
            Self::Period(period) => period.date(),
            Self::Shard { hour, .. } => hour.date(),
        }
    }

    fn family(self) -> &'static str {
        match self {
            Self::Period(Period::Day(_) | Period::Week(_)) => family::WEEKLY_STATS,
            Self::Period(Period::Hour(_)) | Self::Shard { .. } => family::DAILY_STATS,
        }
    }

    fn key(self, chunk: usize) -> Vec<u8> {
        let value = format!("{}.{chunk:06}", self.name());
        let key = AggregateKey::new(PARTIAL_DIMENSION, value, self.date()).encode();
        key.expect("a partial's name is short")
    }

    fn range(self) -> KeyRange {
        KeyRange::prefix(prefix(&format!("{}.", self.name())))
    }
}

/// What keys of partials begin with whose names begin with `name`.
fn prefix(name: &str) -> Vec<u8> {
    format!("{PARTIAL_DIMENSION}#{name}").into_bytes()
}

/// The ranges of everything in the aggregate table but the partials of shards.
pub(crate) fn all_but_shards() -> Vec<KeyRange> {
    let KeyRange { start, end } = KeyRange::prefix(prefix("shard."));
    let before = KeyRange {
        start: Vec::new(),
        end: Some(start),
    };
    let after = KeyRange {
        start: end.expect("a prefix of letters has an end"),
        end: None,
    };
    vec![before, after]
}

/// Where the chunks of a partial come from.
pub(crate) enum Source<'a> {
    /// Rows of the store.
    Stored(BoxStream<'static, Result<Row, StoreError>>),
    /// What was just made, or read before.
    Spool(&'a Spool, usize),
    /// Nowhere.
    Empty,
}

impl Source<'_> {
    pub(crate) fn stored(store: &dyn Store, owner: Owner) -> Self {
        let scan = Scan::range(owner.range()).with_families([owner.family()]);
        Self::Stored(store.scan(table::AGGREGATE, scan.with_latest_only()))
    }

    pub(crate) fn spool(spool: &Spool) -> Source<'_> {
        Source::Spool(spool, 0)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self {
            Self::Stored(rows) => {
                let row = rows.try_next().await?;
                let chunk = |row: Row| {
                    let cell = row.cells().find(|cell| cell.qualifier == CHUNK);
                    cell.map(|cell| Bytes::copy_from_slice(cell.value))
                };
                Ok(row.and_then(chunk))
            }
            Self::Empty => Ok(None),
            Self::Spool(spool, at) => {
                let chunk = spool.chunk(*at)?;
                *at += 1;
                Ok(chunk)
            }
        }
    }
}

/// A merge and the sources of its chunks.
pub(crate) struct Merging<'a> {
    merge: Merge,
    sources: Vec<Source<'a>>,
}

impl Merging<'_> {
    /// Moves on to the next group; false if there is none.
    pub(crate) async fn next(&mut self) -> Result<bool, Error> {
        loop {
            match self.merge.step().map_err(row_error)? {
                Step::NeedsChunk(input) => {
                    let chunk = self.sources[input].next().await?;
                    self.merge.feed(input, chunk).map_err(row_error)?;
                }
                Step::Group => return Ok(true),
                Step::Done => return Ok(false),
            }
        }
    }

    /// The group's key.
    pub(crate) fn key(&self) -> &[u8] {
        self.merge.key()
    }

    /// The group's states, in no order.
    pub(crate) fn states(&self) -> impl Iterator<Item = &[u8]> {
        self.merge.states().map(|(_, state)| state)
    }
}

/// A merge of partials from these sources.
pub(crate) fn merge_partials<'a>(plan: &Plan, sources: Vec<Source<'a>>) -> Merging<'a> {
    Merging {
        merge: plan.merge(sources.len()),
        sources,
    }
}

/// Drives a merge, and calls `each` at every group.
pub(crate) async fn merge(
    plan: &Arc<Plan>,
    sources: Vec<Source<'_>>,
    mut each: impl FnMut(&Merge) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut merging = merge_partials(plan, sources);
    while merging.next().await? {
        each(&merging.merge)?;
    }
    Ok(())
}

/// The partials of periods in these ranges, read in one scan, by period; of some only how many chunks there are.
pub(crate) async fn load(
    store: &dyn Store,
    ranges: Vec<KeyRange>,
    is_wanted: impl Fn(Period) -> bool,
    room: &Room,
) -> Result<BTreeMap<Period, Spool>, Error> {
    let scan = Scan::ranges(ranges).with_latest_only();
    let mut rows = store.scan(table::AGGREGATE, scan);
    let mut loaded: BTreeMap<Period, Spool> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let period = period_of(row.key()).ok_or_else(|| invalid_key(row.key()))?;
        let cell = row.cells().find(|cell| cell.qualifier == CHUNK);
        let chunk = match cell {
            Some(cell) if is_wanted(period) => Bytes::copy_from_slice(cell.value),
            _ => Bytes::new(),
        };
        let spool = loaded.entry(period).or_insert_with(|| Spool::new(room));
        spool.push(chunk)?;
    }
    Ok(loaded)
}

/// Where the partials of a day's hours are.
pub(crate) fn hours_of(date: Date) -> Vec<KeyRange> {
    vec![KeyRange::prefix(prefix(&format!("hour.{date}T")))]
}

/// Where the partials of a week's days, and of itself, are.
pub(crate) fn days_of(monday: Date) -> Vec<KeyRange> {
    let of_day = |date: Date| KeyRange::prefix(prefix(&format!("day.{date}.")));
    let last = monday.plus_days(6).unwrap_or(Date::MAX);
    let days = KeyRange {
        start: of_day(monday).start,
        end: of_day(last).end,
    };
    vec![days, KeyRange::prefix(prefix(&format!("week.{monday}.")))]
}

/// The period whose partial a key is of.
fn period_of(key: &[u8]) -> Option<Period> {
    let key = AggregateKey::decode(key).ok()?;
    let DimensionValue::Whole(name) = &key.value else {
        return None;
    };
    let mut parts = name.split('.');
    let (grain, time) = (parts.next()?, parts.next()?);
    match grain {
        "hour" => time.parse().ok().map(Period::Hour),
        "day" => time.parse().ok().map(Period::Day),
        "week" => time.parse().ok().map(Period::Week),
        _ => None,
    }
}

fn invalid_key(key: &[u8]) -> Error {
    let key = String::from_utf8_lossy(key);
    Error::Row(format!(
        "the row {key:?} of events_aggregate has no valid key"
    ))
}

/// Writes a partial over what there was of it: so many chunks.
pub(crate) async fn write(
    store: &Arc<dyn Store>,
    owner: Owner,
    spool: &Spool,
    stored: usize,
    batch: &mut MutationBatch,
) -> Result<(), Error> {
    for index in 0..spool.len() {
        let chunk = spool.chunk(index)?.expect("there is a chunk at each index");
        let mut row = batch.row(&owner.key(index));
        let time = owner.date().start().cell_micros();
        row.set(owner.family(), CHUNK, time, &chunk);
        row.finish();
        flush(store, batch, BATCH_BYTES).await?;
    }
    for index in spool.len()..stored {
        delete(batch, &owner.key(index));
    }
    Ok(())
}

/// How many chunks of a partial are stored.
pub(crate) async fn stored(store: &dyn Store, owner: Owner) -> Result<usize, Error> {
    Ok(keys(store, owner.range()).await?.len())
}

/// Writes a batch once it has so many bytes.
pub(crate) async fn flush(
    store: &Arc<dyn Store>,
    batch: &mut MutationBatch,
    bytes: usize,
) -> Result<(), Error> {
    if batch.bytes() >= bytes && !batch.is_empty() {
        store
            .apply_all(table::AGGREGATE, std::mem::take(batch))
            .await?;
    }
    Ok(())
}

/// Removes a partial.
pub(crate) async fn remove(
    store: &dyn Store,
    owner: Owner,
    batch: &mut MutationBatch,
) -> Result<(), Error> {
    for key in keys(store, owner.range()).await? {
        delete(batch, &key);
    }
    Ok(())
}

fn delete(batch: &mut MutationBatch, key: &[u8]) {
    let mut row = batch.row(key);
    row.delete_row();
    row.finish();
}

async fn keys(store: &dyn Store, range: KeyRange) -> Result<Vec<Vec<u8>>, Error> {
    let scan = Scan::range(range).with_keys_only();
    let rows = store.rows(table::AGGREGATE, scan).await?;
    Ok(rows.iter().map(|row| row.key().to_vec()).collect())
}

/// The hours of which there are partials, of periods or of shards, between two dates.
pub(crate) async fn hours(
    store: &dyn Store,
    of_shards: bool,
    from: Date,
    to: Date,
) -> Result<Vec<Hour>, Error> {
    let kind = if of_shards { "shard." } else { "hour." };
    let mut hours: Vec<Hour> = Vec::new();
    let mut start = prefix(&format!("{kind}{}", from.hour(0)));
    let end = KeyRange::prefix(prefix(&format!("{kind}{}", to.hour(23)))).end;
    // From one hour to the next, past the chunks between.
    loop {
        let range = KeyRange {
            start,
            end: end.clone(),
        };
        let scan = Scan::range(range).with_limit(1).with_keys_only();
        let Some(row) = store.rows(table::AGGREGATE, scan).await?.pop() else {
            return Ok(hours);
        };
        let hour = hour_of(row.key(), kind).ok_or_else(|| invalid_key(row.key()))?;
        hours.push(hour);
        let past = KeyRange::prefix(prefix(&format!("{kind}{hour}"))).end;
        start = past.expect("a prefix of letters has an end");
    }
}

fn hour_of(key: &[u8], kind: &str) -> Option<Hour> {
    const HOUR_BYTES: usize = "2018-11-15T14".len();
    let key = AggregateKey::decode(key).ok()?;
    let DimensionValue::Whole(name) = &key.value else {
        return None;
    };
    name.strip_prefix(kind)?.get(..HOUR_BYTES)?.parse().ok()
}
