//! Questions to the tables: a user's events, a value's statistics, the top values of a day.

use futures::TryStreamExt as _;
use rowmill_aggregate::{
    BoardEntry, Period, StoredFigures, board_name, rank, read_board, read_row,
};
use rowmill_model::columns::table;
use rowmill_model::{Grain, StoredEvent};
use rowmill_rowkey::{AggregateKey, Date, FactKey, SESSIONS_DIMENSION, TOP_DIMENSION, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::aggregate::{check_reader, row_error};
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
    /// So many at most.
    pub limit: Option<u64>,
}

/// A user's events, newest first.
pub async fn user_events(
    stages: &Stages,
    store: &dyn Store,
    query: &UserQuery,
) -> Result<Vec<StoredEvent>, Error> {
    let placeholder = stages.pipeline.event.user_id.placeholder.as_deref();
    let user_id = query.user_id.as_deref().or(placeholder);
    let user_id = user_id
        .ok_or_else(|| Error::Query("the pipeline file keeps no events without a user".into()))?;
    let range = FactKey::user_between(user_id, query.from, query.to)
        .map_err(|error| Error::Query(error.to_string()))?;
    let scan = Scan {
        limit: query.limit,
        ..Scan::range(range).with_latest_only()
    };
    let rows = store.rows(table::FACT, scan).await?;
    let read = |row| StoredEvent::read(row, &stages.pipeline).map_err(row_error);
    rows.iter().map(read).collect()
}

/// Which of a value's statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsQuery {
    /// The dimension.
    pub dimension: String,
    /// Its value.
    pub value: String,
    /// By the hour, the day or the week.
    pub grain: Grain,
    /// On or after this date.
    pub from: Option<Date>,
    /// On or before this date.
    pub to: Option<Date>,
}

/// The statistics of one value, oldest first.
pub async fn stats(
    stages: &Stages,
    store: &dyn Store,
    query: &StatsQuery,
) -> Result<Vec<StoredFigures>, Error> {
    known_dimension(stages, &query.dimension)?;
    let range = AggregateKey::value_between(&query.dimension, &query.value, query.from, query.to);
    let range = range.map_err(|error| Error::Query(error.to_string()))?;
    let rows = async {
        let scan = Scan::range(range).with_latest_only();
        Ok(store.rows(table::AGGREGATE, scan).await?)
    };
    let check = check_reader(stages, store, Some(&query.dimension));
    let ((), rows) = futures::try_join!(check, rows)?;
    let mut found = Vec::new();
    for row in &rows {
        let stored = read_row(&stages.plan, row).map_err(row_error)?;
        let of_grain = |it: &StoredFigures| it.period.grain() == query.grain;
        found.extend(stored.into_iter().filter(of_grain));
    }
    Ok(found)
}

/// Which values of a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopQuery {
    /// The dimension.
    pub dimension: String,
    /// The hour, day or week.
    pub period: Period,
    /// The figure to order by, as [`rowmill_aggregate::Plan::figure_names`] calls it.
    pub by: String,
    /// So many at most.
    pub limit: usize,
}

/// The values of a dimension with the greatest figures, greatest first; those of one figure by value.
///
/// Reads one row if there is a leaderboard by that figure with so many places, and the whole dimension otherwise: a key leads to a
/// value's days, not to a day's values.
pub async fn top(
    stages: &Stages,
    store: &dyn Store,
    query: &TopQuery,
) -> Result<Vec<BoardEntry>, Error> {
    known_dimension(stages, &query.dimension)?;
    let names = stages.plan.figure_names();
    let Some(figure) = names.iter().position(|name| *name == query.by) else {
        return Err(Error::Query(format!(
            "there is no figure `{}`; there are {}",
            query.by,
            names.join(", ")
        )));
    };
    let places = async {
        if stages.plan.has_board(&query.dimension, figure, query.limit) {
            board(stages, store, query).await
        } else {
            rank_all(stages, store, query, figure).await
        }
    };
    let check = check_reader(stages, store, Some(&query.dimension));
    let ((), places) = futures::try_join!(check, places)?;
    Ok(places)
}

async fn board(
    stages: &Stages,
    store: &dyn Store,
    query: &TopQuery,
) -> Result<Vec<BoardEntry>, Error> {
    let name = query.dimension.as_str();
    let key = AggregateKey::new(TOP_DIMENSION, name, query.period.date()).encode();
    let key = key.map_err(|error| Error::Query(error.to_string()))?;
    let qualifier = board_name(query.period, &query.by);
    let scan = Scan::row(&key)
        .with_families([query.period.family()])
        .with_qualifiers([qualifier.as_bytes()])
        .with_latest_only();
    let rows = store.rows(table::AGGREGATE, scan).await?;
    let cell = rows.first().and_then(|row| row.cells().next());
    let Some(cell) = cell else {
        return Ok(Vec::new());
    };
    let mut places = read_board(stages.plan.layout(), cell.value).map_err(row_error)?;
    places.truncate(query.limit);
    Ok(places)
}

async fn rank_all(
    stages: &Stages,
    store: &dyn Store,
    query: &TopQuery,
    figure: usize,
) -> Result<Vec<BoardEntry>, Error> {
    let range = AggregateKey::dimension(&query.dimension)
        .map_err(|error| Error::Query(error.to_string()))?;
    let time = query.period.date().start().cell_micros();
    let mut rows = store.scan(
        table::AGGREGATE,
        Scan::range(range)
            .with_time(time, time + 1)
            .with_latest_only(),
    );
    let mut found = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let stored = read_row(&stages.plan, &row).map_err(row_error)?;
        for stored in stored.into_iter().filter(|it| it.period == query.period) {
            let figure = rank(stored.figures.value(figure));
            found.push((figure, stored));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.value.cmp(&b.1.value)));
    let place = |(_, stored): (f64, StoredFigures)| BoardEntry {
        figures: stored.figures.texts(),
        value: stored.value,
    };
    Ok(found.into_iter().take(query.limit).map(place).collect())
}

fn known_dimension(stages: &Stages, dimension: &str) -> Result<(), Error> {
    let mut names: Vec<_> = stages.plan.dimension_names().collect();
    names.extend(stages.plan.sessions().map(|_| SESSIONS_DIMENSION));
    if names.contains(&dimension) {
        return Ok(());
    }
    Err(Error::Query(format!(
        "there is no dimension `{dimension}`; there are {}",
        names.join(", ")
    )))
}

/// How many records wait in the dead letters.
pub async fn count_dead_letters(store: &dyn Store) -> Result<u64, Error> {
    let scan = Scan::all().with_qualifiers([rowmill_model::columns::letter::LINE.as_bytes()]);
    Ok(store.count(table::DEAD_LETTERS, scan).await?)
}
