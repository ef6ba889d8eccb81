//! The head of a week: which partials of its periods are the current ones; and who is at work on it.
//!
//! Whoever aggregates a week claims it, reads the head, leaves new partials of hours beside the current ones, writes rows, then partials
//! of days and of the week, and in the end sets the head, which is one cell. What a process that died has left is known by its claim;
//! its partials of hours, which no head names, hold every group whose rows it may have written, and these are made anew.
//!
//! Of two that work at once, the one that came later goes on: the earlier one finds the other's claim, or its own gone, before it would
//! set the head. It sets nothing then, and leaves its hours marked.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use rowmill_aggregate::Period;
use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::{Date, KeyRange};
use rowmill_store::{Scan, Store, StoreExt as _};
use serde::{Deserialize, Serialize};

use super::partials::{
    Owner, Version, chunk_of, delete, own_key, own_name, own_prefix, period_name, period_of, remove,
};
use super::row_error;
use crate::error::Error;
use crate::spool::{Room, Spool};

/// The qualifiers of a head and of a claim, and what their rows' names begin with.
const HEAD: &str = "head";
const CLAIM: &str = "claim";

/// Which partials of a week are the current ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Fingerprint of what was aggregated.
    pub(crate) plan: String,
    pub(crate) partials: BTreeMap<Period, Version>,
}

/// A head as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    plan: String,
    partials: BTreeMap<String, Version>,
}

impl Head {
    fn read(row: &Row) -> Result<Self, Error> {
        let json = row.value(family::WEEKLY_STATS, HEAD.as_bytes());
        let stored: Stored = serde_json::from_slice(json.unwrap_or_default())
            .map_err(|error| Error::Row(format!("the head of a week cannot be read: {error}")))?;
        let period = |(name, version): (String, _)| Some((period_of(&name)?, version));
        Ok(Self {
            plan: stored.plan,
            partials: stored.partials.into_iter().filter_map(period).collect(),
        })
    }

    /// Sets the head of a week.
    pub(crate) async fn write(&self, store: &dyn Store, monday: Date) -> Result<(), Error> {
        let partials = self.partials.iter();
        let stored = Stored {
            plan: self.plan.clone(),
            partials: partials
                .map(|(period, version)| (period_name(*period), *version))
                .collect(),
        };
        let json = serde_json::to_vec(&stored).expect("a head is JSON");
        let mut batch = MutationBatch::new();
        let mut row = batch.row(&head_key(monday));
        if self.partials.is_empty() {
            row.delete_row();
        } else {
            let time = monday.start().cell_micros();
            row.set(family::WEEKLY_STATS, HEAD.as_bytes(), time, &json);
        }
        row.finish();
        Ok(store.apply_all(table::AGGREGATE, batch).await?)
    }

    /// Whether a period's partial of this hash is the current one.
    fn names(&self, period: Period, hash: u64) -> bool {
        let version = self.partials.get(&period);
        version.is_some_and(|version| version.hash == hash)
    }

    /// Sets, or forgets, the current partial of a period.
    pub(crate) fn set(&mut self, period: Period, version: Option<Version>) {
        match version {
            Some(version) => self.partials.insert(period, version),
            None => self.partials.remove(&period),
        };
    }
}

fn head_key(monday: Date) -> Vec<u8> {
    own_key(&format!("{HEAD}.{monday}"), monday)
}

/// The dates of which there are partials.
pub(crate) async fn dates_with_partials(store: &dyn Store) -> Result<BTreeSet<Date>, Error> {
    let scan = Scan::range(own_prefix(&format!("{HEAD}."))).with_latest_only();
    let mut heads = store.scan(table::AGGREGATE, scan);
    let mut dates = BTreeSet::new();
    while let Some(row) = heads.try_next().await? {
        let periods = Head::read(&row)?.partials.into_keys();
        dates.extend(periods.filter_map(|period| match period {
            Period::Hour(hour) => Some(hour.date()),
            Period::Day(date) => Some(date),
            Period::Week(_) => None,
        }));
    }
    Ok(dates)
}

/// A week that somebody is at work on, and how it was found.
#[derive(Debug)]
pub(crate) struct Claim {
    monday: Date,
    key: Vec<u8>,
    /// The claims of others that were there already.
    others: BTreeSet<Vec<u8>>,
    /// Whether somebody began before and did not come to an end, so far.
    pub(crate) is_after_others: bool,
    pub(crate) head: Head,
}

impl Claim {
    /// Claims a week for the process of this name.
    pub(crate) async fn make(store: &dyn Store, monday: Date, name: &str) -> Result<Self, Error> {
        let key = own_key(&format!("{CLAIM}.{monday}.{name}"), monday);
        // One of this very name is of the same process, before it died.
        let was_there = !claims(store, monday).await?.is_empty();
        put(store, monday, &key).await?;
        let mut others = claims(store, monday).await?;
        others.remove(&key);
        Ok(Self {
            is_after_others: was_there || !others.is_empty(),
            head: read(store, monday).await?,
            monday,
            key,
            others,
        })
    }

    /// Whether the head may be set to `new`: nobody has begun since, nor come to an end with something else.
    pub(crate) async fn holds(&self, store: &dyn Store, new: &Head) -> Result<bool, Error> {
        let mut claims = claims(store, self.monday).await?;
        let has_own = claims.remove(&self.key);
        let has_no_newer = claims.is_subset(&self.others);
        let found = read(store, self.monday).await?;
        Ok(found == *new || (has_own && has_no_newer && found == self.head))
    }

    /// Makes the claim again: somebody may have taken it for a dead one's.
    pub(crate) async fn renew(&self, store: &dyn Store) -> Result<(), Error> {
        put(store, self.monday, &self.key).await
    }

    /// Gives the week up, and with it what others were found to have left undone.
    pub(crate) async fn release(&self, store: &dyn Store) -> Result<(), Error> {
        let mut batch = MutationBatch::new();
        for key in self.others.iter().chain([&self.key]) {
            delete(&mut batch, key);
        }
        Ok(store.apply_all(table::AGGREGATE, batch).await?)
    }
}

async fn put(store: &dyn Store, monday: Date, key: &[u8]) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    let mut row = batch.row(key);
    let time = monday.start().cell_micros();
    row.set(family::WEEKLY_STATS, CLAIM.as_bytes(), time, b"");
    row.finish();
    Ok(store.apply_all(table::AGGREGATE, batch).await?)
}

async fn claims(store: &dyn Store, monday: Date) -> Result<BTreeSet<Vec<u8>>, Error> {
    let scan = Scan::range(own_prefix(&format!("{CLAIM}.{monday}."))).with_keys_only();
    let rows = store.rows(table::AGGREGATE, scan).await?;
    Ok(rows.iter().map(|row| row.key().to_vec()).collect())
}

async fn read(store: &dyn Store, monday: Date) -> Result<Head, Error> {
    let row = store.row(table::AGGREGATE, &head_key(monday)).await?;
    row.as_ref().map_or_else(|| Ok(Head::default()), Head::read)
}

/// Partials of a week's periods as they were stored.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    /// Those that the head names.
    current: BTreeMap<Period, Spool>,
    /// Those of hours that it does not name, of which rows may have been written.
    strays: BTreeMap<(Period, u64), Spool>,
    /// The rows of all that it does not name.
    stray_keys: Vec<Vec<u8>>,
}

impl Partials {
    /// Reads what is in these ranges.
    pub(crate) async fn load(
        store: &dyn Store,
        head: &Head,
        ranges: Vec<KeyRange>,
        room: &Room,
    ) -> Result<Self, Error> {
        let mut rows = store.scan(table::AGGREGATE, Scan::ranges(ranges).with_latest_only());
        let mut loaded = Self::default();
        while let Some(row) = rows.try_next().await? {
            let (period, hash) = named(row.key()).ok_or_else(|| {
                let key = String::from_utf8_lossy(row.key());
                row_error(format!(
                    "the row {key:?} of events_aggregate has no valid key"
                ))
            })?;
            let spool = if head.names(period, hash) {
                loaded
                    .current
                    .entry(period)
                    .or_insert_with(|| Spool::new(room))
            } else {
                loaded.stray_keys.push(row.key().to_vec());
                if !matches!(period, Period::Hour(_)) {
                    continue;
                }
                let stray = loaded.strays.entry((period, hash));
                stray.or_insert_with(|| Spool::new(room))
            };
            spool.push(chunk_of(&row))?;
        }
        Ok(loaded)
    }

    /// Whether all that a head names, of the periods that were asked for, is there as it was written.
    pub(crate) fn are_whole(&self, head: &Head, was_asked: impl Fn(Period) -> bool) -> bool {
        let mut named = head.partials.iter().filter(|it| was_asked(*it.0));
        named.all(|(period, version)| {
            let found = self.current(*period).and_then(Version::of);
            found == Some(*version)
        })
    }

    pub(crate) fn current(&self, period: Period) -> Option<&Spool> {
        self.current.get(&period)
    }

    /// Partials of hours of a date that the head does not name.
    pub(crate) fn strays(&self, date: Date) -> impl Iterator<Item = (Period, &Spool)> {
        let strays = self.strays.iter();
        let strays = strays.map(|((period, _), spool)| (*period, spool));
        strays.filter(move |(period, _)| period.date() == date)
    }

    /// The dates of which there are such.
    pub(crate) fn stray_dates(&self) -> BTreeSet<Date> {
        let strays = self.strays.keys();
        strays.map(|(period, _)| period.date()).collect()
    }

    /// Removes what a new head does not name, of what was found and of what the head before it named.
    pub(crate) fn remove_old(&self, before: &Head, now: &Head, batch: &mut MutationBatch) {
        for key in &self.stray_keys {
            if named(key).is_none_or(|(period, hash)| !now.names(period, hash)) {
                delete(batch, key);
            }
        }
        for (period, version) in &before.partials {
            if now.partials.get(period) != Some(version) {
                remove(Owner::Period(*period), *version, batch);
            }
        }
    }
}

/// The period, and the hash in the name, of a chunk's row.
fn named(key: &[u8]) -> Option<(Period, u64)> {
    let name = own_name(key)?;
    let hash = name.split('.').nth(2)?;
    Some((period_of(&name)?, u64::from_str_radix(hash, 16).ok()?))
}
