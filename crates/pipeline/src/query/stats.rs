//! The statistics of one value over time.

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use rowmill_aggregate::{StoredFigures, read_row};
use rowmill_model::columns::table;
use rowmill_model::{Grain, Row};
use rowmill_rowkey::{AggregateKey, Date};
use rowmill_store::{Scan, Store};

use super::check_dimension;
use crate::aggregate::{check_reader, row_error};
use crate::dates::check_order;
use crate::error::Error;
use crate::stages::Stages;

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
pub async fn stats<'a>(
    stages: &'a Stages,
    store: &dyn Store,
    query: &StatsQuery,
) -> Result<BoxStream<'a, Result<StoredFigures, Error>>, Error> {
    check_dimension(stages, &query.dimension, query.grain)?;
    check_order(query.from.as_ref(), query.to.as_ref())?;
    let range = AggregateKey::value_between(&query.dimension, &query.value, query.from, query.to);
    let range = range.map_err(|error| Error::Query(error.to_string()))?;
    let first = async {
        let rows = store.scan(table::AGGREGATE, Scan::range(range).with_latest_only());
        // One that has ended must not be asked again.
        let mut rows = rows.fuse();
        let first = rows.try_next().await?;
        Ok((first, rows))
    };
    // The first row is on its way while the pipeline file is compared.
    let check = check_reader(stages, store, Some(&query.dimension));
    let ((), (first, rest)) = futures::try_join!(check, first)?;
    let rows = stream::iter(first.map(Ok)).chain(rest);
    let grain = query.grain;
    let read = move |row: Row| figures(stages, &row, grain);
    let figures = rows.map(move |row| read(row?).map(|found| stream::iter(found).map(Ok)));
    Ok(figures.try_flatten().boxed())
}

fn figures(stages: &Stages, row: &Row, grain: Grain) -> Result<Vec<StoredFigures>, Error> {
    let mut found = read_row(&stages.plan, row).map_err(row_error)?;
    found.retain(|stored| stored.period.grain() == grain);
    Ok(found)
}
