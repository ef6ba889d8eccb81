//! The partials of a week as they are stored: those that its head names, and what dead or simultaneous processes left beside them.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use rowmill_aggregate::Period;
use rowmill_model::MutationBatch;
use rowmill_model::columns::table;
use rowmill_rowkey::{Date, KeyRange};
use rowmill_store::{Scan, Store as _};

use super::fold::Folder;
use super::head::Head;
use super::partials::{Owner, Version, chunk_of, delete, own_name, period_of, remove};
use crate::error::Error;
use crate::spool::Spool;

/// Partials of a week's periods as they were stored.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    /// Those that the head names.
    current: BTreeMap<Period, Spool>,
    /// Those of hours that it does not name, of which rows may have been written.
    strays: BTreeMap<(Period, u64), Spool>,
    /// The rows of all that it does not name.
    stray_keys: Vec<Vec<u8>>,
    /// Whether some of these are of another plan.
    pub(crate) has_others: bool,
}

impl Partials {
    /// Reads what is in these ranges.
    pub(crate) async fn load(
        folder: &Folder,
        head: &Head,
        ranges: Vec<KeyRange>,
    ) -> Result<Self, Error> {
        let (store, room) = (&folder.store, &folder.room);
        let mut rows = store.scan(table::AGGREGATE, Scan::ranges(ranges).with_latest_only());
        let mut loaded = Self::default();
        while let Some(row) = rows.try_next().await? {
            let Some((period, hash)) = named(row.key()) else {
                let problem = "its key is no partial's";
                folder
                    .control
                    .pass_over(table::AGGREGATE, row.key(), problem);
                continue;
            };
            let chunk = chunk_of(&row);
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
                if !folder.plan.reads(&chunk) {
                    loaded.has_others = true;
                    continue;
                }
                let stray = loaded.strays.entry((period, hash));
                stray.or_insert_with(|| Spool::new(room))
            };
            spool.push(chunk)?;
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
        self.all_strays()
            .filter(move |(period, _)| period.date() == date)
    }

    /// All such.
    pub(crate) fn all_strays(&self) -> impl Iterator<Item = (Period, &Spool)> {
        let strays = self.strays.iter();
        strays.map(|((period, _), spool)| (*period, spool))
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
