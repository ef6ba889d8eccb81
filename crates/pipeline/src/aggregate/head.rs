//! The head of a week: which partials of its periods are the current ones.
//!
//! Whoever aggregates a week [claims](super::claim) it, reads the head, leaves new partials of hours beside the current ones, writes rows,
//! then partials of days and of the week, and in the end sets the head, which is one cell.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt as _;
use rowmill_aggregate::Period;
use rowmill_model::columns::{family, table};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::Date;
use rowmill_store::{Scan, Store, StoreExt as _};
use serde::{Deserialize, Serialize};

use super::partials::{Version, own_key, own_prefix, period_name, period_of};
use super::row_error;
use crate::error::Error;

/// The qualifier of a head, and what the name of its row begins with.
const HEAD: &str = "head";

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
    /// The head of a week; of none that was aggregated, one that names nothing.
    pub(crate) async fn of_week(store: &dyn Store, monday: Date) -> Result<Self, Error> {
        let row = store.row(table::AGGREGATE, &head_key(monday)).await?;
        row.as_ref().map_or_else(|| Ok(Self::default()), Self::read)
    }

    fn read(row: &Row) -> Result<Self, Error> {
        let json = row.value(family::WEEKLY_STATS, HEAD.as_bytes());
        let stored: Stored = serde_json::from_slice(json.unwrap_or_default()).map_err(|error| {
            let key = String::from_utf8_lossy(row.key());
            row_error(format!(
                "the head of a week, {key:?} of events_aggregate, cannot be read: {error}; `rowmill aggregate --rebuild` makes it anew"
            ))
        })?;
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
    pub(super) fn names(&self, period: Period, hash: u64) -> bool {
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
