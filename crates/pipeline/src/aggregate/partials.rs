//! Partials in the store: the chunks of a period or of a shard, one row each, in the aggregate table's own reserved dimension.
//!
//! A partial is called by a hash of its contents, and never written over: the next one of the same period stands beside it until the
//! week's [head](super::head) names it.
//!
//! What is needed to roll a period up lives in the family, and by the times, of what it is rolled up to, so that rules of age keep it
//! as long: hours with days, days and weeks with weeks.

use std::fmt;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use rowmill_aggregate::{Merge, Period, Plan, Step};
use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{AggregateKey, Date, DimensionValue, Hour, KeyRange, PARTIAL_DIMENSION};
use rowmill_store::{Error as StoreError, Scan, Store, StoreExt as _};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::fold::Folder;
use super::row_error;
use crate::control::Control;
use crate::error::Error;
use crate::spool::Spool;

/// The qualifier of a chunk.
const CHUNK: &[u8] = b"chunk";

/// Rows that are written together: chunks are large, and so many bytes of them become a sorted run of the embedded store.
const BATCH_BYTES: usize = 8 << 20;

/// A batch for chunks, that need not grow: what is reserved and not used costs nothing.
pub(super) fn batch_of_chunks() -> MutationBatch {
    MutationBatch::with_capacity(0, BATCH_BYTES + BATCH_BYTES / 8)
}

/// Which of the partials of one owner, by what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Version {
    pub(super) hash: u64,
    chunks: usize,
}

impl Version {
    /// The version of a partial that says that nothing is left of the period: it stands until the head no longer names the one before.
    const EMPTIED: Self = Self { hash: 0, chunks: 1 };

    /// Another name for the same, which only the process of this name gives.
    fn of_process(self, name: &str) -> Self {
        Self {
            hash: self.hash ^ xxh3_64(name.as_bytes()),
            ..self
        }
    }

    /// The version of what is in a spool; none if that is nothing.
    pub(crate) fn of(spool: &Spool) -> Option<Self> {
        let (hash, chunks) = (spool.hash(), spool.len());
        (chunks > 0).then_some(Self { hash, chunks })
    }
}

impl fmt::Display for Version {
    /// `0123456789abcdef.3`: hash and number of chunks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.hash, self.chunks)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text.split_once('.').and_then(|(hash, chunks)| {
            let hash = u64::from_str_radix(hash, 16).ok()?;
            Some((hash, chunks.parse().ok()?))
        });
        let (hash, chunks) = parts.ok_or_else(|| format!("{text:?} is no version"))?;
        Ok(Self { hash, chunks })
    }
}

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
            Self::Period(period) => period_name(period),
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

    fn key(self, version: Version, chunk: usize) -> Vec<u8> {
        let value = format!("{}.{:016x}.{chunk:06}", self.name(), version.hash);
        own_key(&value, self.date())
    }
}

/// The key of a row that is aggregation's own.
pub(super) fn own_key(name: &str, date: Date) -> Vec<u8> {
    let key = AggregateKey::new(PARTIAL_DIMENSION, name, date).encode();
    key.expect("a partial's dimension is a name")
}

/// What keys of such rows begin with whose names begin with `name`.
pub(super) fn own_prefix(name: &str) -> KeyRange {
    KeyRange::prefix(format!("{PARTIAL_DIMENSION}#{name}").into_bytes())
}

/// The name in such a key.
pub(super) fn own_name(key: &[u8]) -> Option<String> {
    match AggregateKey::decode(key).ok()?.value {
        DimensionValue::Whole(name) => Some(name.into_owned()),
        DimensionValue::Cut { .. } => None,
    }
}

/// What a period is called: `hour.2018-11-15T14`.
pub(super) fn period_name(period: Period) -> String {
    format!("{}.{period}", period.grain().name())
}

/// The period of a name that begins with its own.
pub(super) fn period_of(name: &str) -> Option<Period> {
    fn parsed<T: FromStr>(text: &str) -> Option<T> {
        text.parse().ok()
    }
    let mut parts = name.split('.');
    let (grain, time) = (parts.next()?, parts.next()?);
    match grain {
        "hour" => parsed(time).map(Period::Hour),
        "day" => parsed(time).map(Period::Day),
        "week" => parsed(time).map(Period::Week),
        _ => None,
    }
}

/// The ranges of everything in the aggregate table but the partials of shards.
fn all_but_shards() -> Vec<KeyRange> {
    let KeyRange { start, end } = own_prefix("shard.");
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

/// Where the partials of a day's hours are.
pub(crate) fn hours_of(date: Date) -> KeyRange {
    own_prefix(&format!("hour.{date}T"))
}

/// Where the partials of a week's days, and of itself, are.
pub(crate) fn days_of(monday: Date) -> [KeyRange; 2] {
    let of_day = |date: Date| own_prefix(&format!("day.{date}."));
    let last = monday.plus_days(6).unwrap_or(Date::MAX);
    let days = KeyRange {
        start: of_day(monday).start,
        end: of_day(last).end,
    };
    [days, own_prefix(&format!("week.{monday}."))]
}

/// Where the chunks of a partial come from.
pub(crate) enum Source<'a> {
    /// Rows of the store, so many that are still to come.
    Stored(BoxStream<'static, Result<Row, StoreError>>, usize),
    /// What was just made, or read before.
    Spool(&'a Spool, usize),
    /// Nowhere.
    Empty,
}

impl Source<'_> {
    pub(crate) fn stored(store: &dyn Store, owner: Owner, version: Version) -> Self {
        let range = own_prefix(&format!("{}.{:016x}.", owner.name(), version.hash));
        let scan = Scan::range(range).with_families([owner.family()]);
        let rows = store.scan(table::AGGREGATE, scan.with_latest_only());
        Self::Stored(rows, version.chunks)
    }

    pub(crate) fn spool(spool: &Spool) -> Source<'_> {
        Source::Spool(spool, 0)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self {
            Self::Stored(rows, left) => {
                let row = rows.try_next().await?;
                if row.is_some() == (*left == 0) {
                    let problem = "what a shard left is gone, or there is too much of it";
                    return Err(Error::Row(format!("{problem}; run all shards again")));
                }
                *left = left.saturating_sub(1);
                Ok(row.as_ref().map(chunk_of))
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

/// The chunk in its row.
pub(super) fn chunk_of(row: &Row) -> Bytes {
    let cell = row.cells().find(|cell| cell.qualifier == CHUNK);
    cell.map_or_else(Bytes::new, |cell| Bytes::copy_from_slice(cell.value))
}

/// A merge and the sources of its chunks.
pub(crate) struct Merging<'a> {
    merge: Merge,
    sources: Vec<Source<'a>>,
    control: &'a Control,
    groups: u64,
}

impl<'a> Merging<'a> {
    /// A merge of partials from these sources.
    pub(crate) fn new(plan: &Plan, sources: Vec<Source<'a>>, control: &'a Control) -> Self {
        Self {
            merge: plan.merge(sources.len()),
            sources,
            control,
            groups: 0,
        }
    }

    /// Moves on to the next group; none at the end. Partials in memory are merged without waiting for anything, so that it is asked now
    /// and then whether the job is to stop.
    pub(crate) async fn next(&mut self) -> Result<Option<&Merge>, Error> {
        self.groups += 1;
        if self.groups.is_multiple_of(256) {
            self.control.check()?;
        }
        loop {
            match self.merge.step().map_err(row_error)? {
                Step::NeedsChunk(input) => {
                    let chunk = self.sources[input].next().await?;
                    self.merge.feed(input, chunk).map_err(row_error)?;
                }
                Step::Group => return Ok(Some(&self.merge)),
                Step::Done => return Ok(None),
            }
        }
    }
}

/// Adds a partial to a batch, which is written whenever it is large enough.
pub(crate) async fn write(
    store: &Arc<dyn Store>,
    owner: Owner,
    spool: &Spool,
    batch: &mut MutationBatch,
) -> Result<(), Error> {
    match Version::of(spool) {
        Some(version) => write_as(store, owner, version, spool, batch).await,
        None => Ok(()),
    }
}

/// The same under a name that only this process gives, so that nobody removes it who has not read it; also of nothing.
pub(crate) async fn write_own(
    folder: &Folder,
    owner: Owner,
    spool: &Spool,
    process: &str,
    batch: &mut MutationBatch,
) -> Result<(), Error> {
    let Some(version) = Version::of(spool) else {
        let version = Version::EMPTIED.of_process(process);
        let nothing = folder.plan.chunk_of_nothing();
        write_chunk(owner, version, 0, &nothing, batch);
        return Ok(());
    };
    let version = version.of_process(process);
    write_as(&folder.store, owner, version, spool, batch).await
}

async fn write_as(
    store: &Arc<dyn Store>,
    owner: Owner,
    version: Version,
    spool: &Spool,
    batch: &mut MutationBatch,
) -> Result<(), Error> {
    for index in 0..version.chunks {
        let chunk = spool.chunk(index)?.expect("there is a chunk at each index");
        write_chunk(owner, version, index, &chunk, batch);
        flush(store, batch, BATCH_BYTES).await?;
    }
    Ok(())
}

fn write_chunk(
    owner: Owner,
    version: Version,
    index: usize,
    chunk: &[u8],
    batch: &mut MutationBatch,
) {
    let mut row = batch.row(&owner.key(version, index));
    let time = owner.date().start().cell_micros();
    row.set(owner.family(), CHUNK, time, chunk);
    row.finish();
}

/// Writes a batch once it has so many bytes.
pub(crate) async fn flush(
    store: &Arc<dyn Store>,
    batch: &mut MutationBatch,
    bytes: usize,
) -> Result<(), Error> {
    if batch.bytes() >= bytes && !batch.is_empty() {
        store
            .apply_all(
                table::AGGREGATE,
                std::mem::replace(batch, batch_of_chunks()),
            )
            .await?;
    }
    Ok(())
}

/// Adds word to a batch that nothing is left of what was current.
pub(crate) fn write_emptied(plan: &Plan, owner: Owner, batch: &mut MutationBatch) {
    write_chunk(owner, Version::EMPTIED, 0, &plan.chunk_of_nothing(), batch);
}

/// Adds the removal of that word to a batch.
pub(crate) fn remove_emptied(owner: Owner, batch: &mut MutationBatch) {
    remove(owner, Version::EMPTIED, batch);
}

/// Adds the removal of a partial to a batch.
pub(crate) fn remove(owner: Owner, version: Version, batch: &mut MutationBatch) {
    for chunk in 0..version.chunks {
        delete(batch, &owner.key(version, chunk));
    }
}

/// Adds the removal of everything that a shard ever left of an hour to a batch.
pub(crate) async fn remove_all(
    store: &dyn Store,
    owner: Owner,
    batch: &mut MutationBatch,
) -> Result<(), Error> {
    let scan = Scan::range(own_prefix(&format!("{}.", owner.name()))).with_keys_only();
    for row in store.rows(table::AGGREGATE, scan).await? {
        delete(batch, row.key());
    }
    Ok(())
}

pub(super) fn delete(batch: &mut MutationBatch, key: &[u8]) {
    let mut row = batch.row(key);
    row.delete_row();
    row.finish();
}

/// Removes everything of some dates, but what shards left, for another one may have been faster than this process, and rows that are none
/// of ours.
pub(crate) async fn clear(
    store: &Arc<dyn Store>,
    dates: RangeInclusive<Date>,
    control: &Control,
) -> Result<(), Error> {
    const BATCH_ROWS: usize = 10_000;
    let scan = Scan::ranges(all_but_shards()).with_keys_only();
    let rows = store.scan(table::AGGREGATE, scan).map_err(Error::from);
    let keys = rows.try_filter_map(|row| {
        let is_one = match AggregateKey::decode(row.key()) {
            Ok(key) => dates.contains(&key.date),
            Err(problem) => {
                control.pass_over(table::AGGREGATE, row.key(), problem);
                false
            }
        };
        std::future::ready(Ok(is_one.then(|| row.key().to_vec())))
    });
    let mut keys = pin!(keys.try_chunks(BATCH_ROWS));
    while let Some(keys) = keys.try_next().await.map_err(|failed| failed.1)? {
        let mut batch = MutationBatch::new();
        for key in &keys {
            delete(&mut batch, key);
        }
        store.apply_all(table::AGGREGATE, batch).await?;
    }
    Ok(())
}
