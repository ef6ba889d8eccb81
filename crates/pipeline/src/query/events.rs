//! A user's events.

use futures::stream::{BoxStream, StreamExt as _};
use rowmill_model::StoredEvent;
use rowmill_model::columns::table;
use rowmill_rowkey::{FactKey, Timestamp};
use rowmill_store::{Scan, Store};

use crate::aggregate::row_error;
use crate::dates::check_order;
use crate::error::Error;
use crate::stages::Stages;

/// Which of a user's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserQuery {
    /// The user; none asks for events that have no user.
    pub user_id: Option<String>,
    /// At or after this time.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// How many at most.
    pub limit: Option<u64>,
}

/// A user's events, newest first. An item that is [`Error::Row`] is a row that holds no event that the pipeline file can read; it counts
/// as one of the limit, and those after it follow.
pub fn user_events<'a>(
    stages: &'a Stages,
    store: &dyn Store,
    query: &UserQuery,
) -> Result<BoxStream<'a, Result<StoredEvent, Error>>, Error> {
    check_order(query.from.as_ref(), query.to.as_ref())?;
    let range = FactKey::user_between(user_id(stages, query)?, query.from, query.to)
        .map_err(|error| Error::Query(error.to_string()))?;
    let scan = Scan {
        limit: query.limit,
        ..Scan::range(range).with_latest_only()
    };
    let rows = store.scan(table::FACT, scan);
    let read = |row| StoredEvent::read(&row, &stages.pipeline).map_err(row_error);
    Ok(rows.map(move |row| read(row?)).boxed())
}

/// The user that is asked for, as keys name it.
pub(super) fn user_id<'a>(stages: &'a Stages, query: &'a UserQuery) -> Result<&'a str, Error> {
    let placeholder = stages.pipeline.event.user_id.placeholder.as_deref();
    let user_id = query.user_id.as_deref().or(placeholder);
    user_id.ok_or_else(|| Error::Query("the pipeline file keeps no events without a user".into()))
}
