//! Why an answer is empty, found with a few rows.

use std::fmt;

use futures::TryStreamExt as _;
use rowmill_model::Grain;
use rowmill_model::columns::{family, table};
use rowmill_rowkey::{
    AggregateKey, Date, FactKey, SESSIONS_DIMENSION, TOTAL_DIMENSION, TOTAL_VALUE, Timestamp,
};
use rowmill_store::{Scan, Store};

use super::events::{UserQuery, user_id};
use crate::aggregate::row_error;
use crate::error::Error;
use crate::stages::Stages;

/// Why there is nothing to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nothing {
    /// Nothing is aggregated at all.
    NotAggregated,
    /// The value never occurred; that is a mistake in what was asked.
    UnknownValue {
        /// The dimension.
        dimension: String,
        /// The value.
        value: String,
        /// A date on which there are values.
        date: Date,
    },
    /// There is nothing at that time.
    AnotherTime {
        /// What was asked for.
        what: String,
        /// The first and the last date on which there is something.
        dates: (Date, Date),
    },
    /// The user has no events.
    UnknownUser(String),
    /// The user has no events at that time.
    AnotherTimeOfUser {
        /// The user.
        user_id: String,
        /// The times of the oldest and the newest event.
        times: (Timestamp, Timestamp),
    },
}

impl Nothing {
    /// Whether the question names something that does not exist, where it must.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::UnknownValue { .. })
    }
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAggregated => f.write_str(
                "nothing is aggregated yet; run `rowmill aggregate` after `rowmill ingest`",
            ),
            Self::UnknownValue {
                dimension,
                value,
                date,
            } => write!(
                f,
                "`{dimension}` has no value `{value}`; `rowmill query top {dimension} --on {date}` lists values"
            ),
            Self::AnotherTime {
                what,
                dates: (first, last),
            } => write!(
                f,
                "there is no data of {what}; data is from {first} to {last}"
            ),
            Self::UnknownUser(user_id) => write!(f, "there are no events of user `{user_id}`"),
            Self::AnotherTimeOfUser {
                user_id,
                times: (oldest, newest),
            } => write!(
                f,
                "there are no events of user `{user_id}` at that time; they are from {oldest} to {newest}"
            ),
        }
    }
}

/// Why there is nothing of a dimension, or of one of its values, at a time that `when` names. Reads at most four rows.
pub async fn nothing_of(
    store: &dyn Store,
    (dimension, value): (&str, Option<&str>),
    grain: Grain,
    when: &str,
) -> Result<Nothing, Error> {
    let total = dates(store, TOTAL_DIMENSION, TOTAL_VALUE, Grain::Day).await?;
    let Some(all) = total else {
        return Ok(Nothing::NotAggregated);
    };
    let Some(value) = value.filter(|_| dimension != TOTAL_DIMENSION) else {
        let what = format!("`{dimension}` {when}");
        return Ok(Nothing::AnotherTime { what, dates: all });
    };
    Ok(match dates(store, dimension, value, grain).await? {
        None if dimension == SESSIONS_DIMENSION => Nothing::NotAggregated,
        None => Nothing::UnknownValue {
            dimension: dimension.to_owned(),
            value: value.to_owned(),
            date: all.1,
        },
        Some(dates) => Nothing::AnotherTime {
            what: format!("`{value}` of `{dimension}` {when}"),
            dates,
        },
    })
}

/// The first and the last date on which a value has figures of a length of time.
async fn dates(
    store: &dyn Store,
    dimension: &str,
    value: &str,
    grain: Grain,
) -> Result<Option<(Date, Date)>, Error> {
    let range = AggregateKey::value_between(dimension, value, None, None);
    let range = range.map_err(|error| Error::Query(error.to_string()))?;
    let family = match grain {
        Grain::Hour => family::HOURLY_STATS,
        Grain::Day => family::DAILY_STATS,
        Grain::Week => family::WEEKLY_STATS,
    };
    let scan = Scan::range(range).with_families([family]);
    let date = |key: &[u8]| AggregateKey::decode(key).map(|key| key.date);
    ends(store, table::AGGREGATE, scan, date).await
}

/// Why there are no events of a user. Reads at most two rows.
pub async fn nothing_of_user(
    stages: &Stages,
    store: &dyn Store,
    query: &UserQuery,
) -> Result<Nothing, Error> {
    let user_id = user_id(stages, query)?;
    let range = FactKey::user(user_id).map_err(|error| Error::Query(error.to_string()))?;
    let time = |key: &[u8]| FactKey::decode(key).map(|key| key.timestamp);
    let times = ends(store, table::FACT, Scan::range(range), time).await?;
    let user_id = user_id.to_owned();
    Ok(match times {
        None => Nothing::UnknownUser(user_id),
        Some((newest, oldest)) => Nothing::AnotherTimeOfUser {
            user_id,
            times: (oldest, newest),
        },
    })
}

/// What the first and the last key of a scan say.
async fn ends<T, F>(
    store: &dyn Store,
    table: &str,
    scan: Scan,
    read: F,
) -> Result<Option<(T, T)>, Error>
where
    F: Fn(&[u8]) -> Result<T, rowmill_rowkey::Error>,
{
    let end = async |scan: Scan| {
        let row = store.scan(table, scan.with_limit(1)).try_next().await?;
        let read = |row: rowmill_model::Row| read(row.key()).map_err(row_error);
        row.map(read).transpose()
    };
    let scan = scan.with_keys_only();
    let (first, last) = futures::try_join!(end(scan.clone()), end(scan.reversed()))?;
    Ok(first.zip(last))
}
