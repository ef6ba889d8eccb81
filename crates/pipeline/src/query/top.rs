//! The values of a dimension with the greatest figures.

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use rowmill_aggregate::{
    BOARD_BYTES_MAX, BoardEntry, Period, board_name, rank, read_board, read_row,
};
use rowmill_model::columns::table;
use rowmill_rowkey::{AggregateKey, TOP_DIMENSION};
use rowmill_store::{Scan, Store, StoreExt as _};

use super::check_dimension;
use super::ranking::{Place, Ranked, Ranking};
use crate::aggregate::{check_reader, row_error};
use crate::error::Error;
use crate::stages::Stages;

/// Which values of a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopQuery {
    /// The dimension.
    pub dimension: String,
    /// The hour, day or week.
    pub period: Period,
    /// The figure to order by, as [`rowmill_aggregate::Plan::figure_names`] calls it.
    pub by: String,
    /// How many at most.
    pub limit: usize,
}

/// How much memory places may take before they are put aside in a temporary file.
const RANKING_BYTES: usize = 16 << 20;

/// The values of a dimension with the greatest figures, greatest first; those of one figure by value.
///
/// Reads one row if there is a leaderboard by that figure with so many places, and the whole dimension otherwise: a key leads to a
/// value's days, not to a day's values. However many places are asked for, they take no more than a constant of memory.
pub async fn top(
    stages: &Stages,
    store: &dyn Store,
    query: &TopQuery,
) -> Result<BoxStream<'static, Result<BoardEntry, Error>>, Error> {
    check_dimension(stages, &query.dimension, query.period.grain())?;
    let names = stages.plan.figure_names();
    let Some(figure) = names.iter().position(|name| *name == query.by) else {
        return Err(Error::Query(format!(
            "there is no figure `{}`; there are {}",
            query.by,
            names.join(", ")
        )));
    };
    let check = check_reader(stages, store, Some(&query.dimension));
    if stages.plan.has_board(&query.dimension, figure, query.limit) {
        let ((), places) = futures::try_join!(check, board(stages, store, query))?;
        if let Some(places) = places {
            return Ok(stream::iter(places).map(Ok).boxed());
        }
    } else {
        check.await?;
    }
    let ranked = rank_all(stages, store, query, figure).await?;
    Ok(stream::iter(ranked).map_err(Error::from).boxed())
}

/// The places of a leaderboard; none if its cell may have had no room for as many as are asked for.
async fn board(
    stages: &Stages,
    store: &dyn Store,
    query: &TopQuery,
) -> Result<Option<Vec<BoardEntry>>, Error> {
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
        return Ok(Some(Vec::new()));
    };
    let mut places = read_board(stages.plan.layout(), cell.value).map_err(row_error)?;
    if places.len() < query.limit && cell.value.len() > BOARD_BYTES_MAX / 2 {
        return Ok(None);
    }
    places.truncate(query.limit);
    Ok(Some(places))
}

async fn rank_all(
    stages: &Stages,
    store: &dyn Store,
    query: &TopQuery,
    figure: usize,
) -> Result<Ranked, Error> {
    let range = AggregateKey::dimension(&query.dimension)
        .map_err(|error| Error::Query(error.to_string()))?;
    let time = query.period.date().start().cell_micros();
    let scan = Scan::range(range).with_time(time, time + 1);
    let mut rows = store.scan(table::AGGREGATE, scan.with_latest_only());
    let mut ranking = Ranking::new(query.limit, RANKING_BYTES);
    while let Some(row) = rows.try_next().await? {
        let stored = read_row(&stages.plan, &row).map_err(row_error)?;
        for stored in stored.into_iter().filter(|it| it.period == query.period) {
            let figure = rank(stored.figures.value(figure));
            if ranking.admits(figure, &stored.value) {
                let figures = stored.figures.texts();
                let value = stored.value;
                let entry = BoardEntry { value, figures };
                ranking.add(Place { figure, entry })?;
            }
        }
    }
    Ok(ranking.finish()?)
}
