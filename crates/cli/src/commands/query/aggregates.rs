//! `query stats` and `query top`: what is aggregated.

use anyhow::Result;
use futures::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use rowmill_aggregate::Period;
use rowmill_pipeline::{
    DateRange, Error, Sheet, SheetRow, Stages, StatsQuery, TopQuery, nothing_of,
    stats as ask_stats, top as ask_top,
};
use rowmill_rowkey::{Date, Hour};
use rowmill_store::Store;

use super::{Answer, say_nothing, value};
use crate::arguments::{StatsArguments, TopArguments};
use crate::exit::UsageError;
use crate::job::Job;
use crate::printer::{Listing, Printer};

type Rows<'a> = BoxStream<'a, Result<SheetRow, Error>>;

/// Prints a value's statistics, oldest first.
pub(super) async fn stats(
    stages: &Stages,
    store: &dyn Store,
    arguments: &StatsArguments,
    printer: &mut Printer,
) -> Result<Answer> {
    DateRange::new(arguments.from, arguments.to)?;
    let query = StatsQuery {
        dimension: arguments.dimension.clone(),
        value: value(arguments)?.to_owned(),
        grain: arguments.by.into(),
        from: arguments.from,
        to: arguments.to,
    };
    let ask = async {
        let found = ask_stats(stages, store, &query).await?;
        let row = |stored| SheetRow::of_stored(stages, &stored);
        Ok(found.map_ok(row).boxed())
    };
    let job = Job::printing("listing");
    let returned = print_rows(stages, &job, ask, printer).await?;
    if returned > 0 {
        return Ok(Answer::of(returned));
    }
    let about = (query.dimension.as_str(), Some(query.value.as_str()));
    let when = between(query.from, query.to);
    let nothing = job.reading(nothing_of(store, about, query.grain, &when));
    say_nothing(&nothing.await?, printer)
}

/// Prints the values with the greatest figures, greatest first.
pub(super) async fn top(
    stages: &Stages,
    store: &dyn Store,
    arguments: &TopArguments,
    printer: &mut Printer,
) -> Result<Answer> {
    let query = TopQuery {
        dimension: arguments.dimension.clone(),
        period: period(&arguments.on, arguments.week)?,
        by: arguments.by.clone(),
        limit: usize::try_from(arguments.limit).unwrap_or(usize::MAX),
    };
    let ask = async {
        let found = ask_top(stages, store, &query).await?;
        let row = |place| SheetRow::of_place(stages, query.period, &query.dimension, place);
        Ok(found.map_ok(row).boxed())
    };
    let job = Job::printing("listing");
    let returned = print_rows(stages, &job, ask, printer).await?;
    if returned > 0 {
        return Ok(Answer::of(returned));
    }
    let (about, grain) = ((query.dimension.as_str(), None), query.period.grain());
    let when = when(query.period);
    let nothing = job.reading(nothing_of(store, about, grain, &when));
    say_nothing(&nothing.await?, printer)
}

/// Prints the rows that come, and gives their number.
async fn print_rows<'a>(
    stages: &Stages,
    job: &Job,
    ask: impl Future<Output = Result<Rows<'a>, Error>>,
    printer: &mut Printer,
) -> Result<u64> {
    let mut rows = job.reading(ask).await?;
    let mut listing = printer.listing(Sheet::of_aggregates(stages))?;
    let done = job.reading(list(&mut rows, &mut listing)).await;
    let returned = listing.finish()?;
    done?;
    Ok(returned)
}

async fn list(rows: &mut Rows<'_>, listing: &mut Listing<'_>) -> Result<()> {
    while let Some(row) = rows.try_next().await? {
        listing.row(&row)?;
    }
    Ok(())
}

/// The period that a date or an hour names.
pub(super) fn period(on: &str, is_week: bool) -> Result<Period> {
    match (on.parse::<Date>(), on.parse::<Hour>()) {
        (Ok(date), _) if is_week => Ok(Period::Week(date.monday())),
        (Ok(date), _) => Ok(Period::Day(date)),
        (_, Ok(hour)) if !is_week => Ok(Period::Hour(hour)),
        _ => Err(UsageError(format!(
            "{on}: is no date such as 2018-11-15 and no hour such as 2018-11-15T14"
        ))
        .into()),
    }
}

/// A period for people.
pub(super) fn when(period: Period) -> String {
    match period {
        Period::Hour(hour) => format!("in the hour {hour}"),
        Period::Day(date) => format!("on {date}"),
        Period::Week(monday) => format!("in the week of {monday}"),
    }
}

/// A range of dates for people.
fn between(from: Option<Date>, to: Option<Date>) -> String {
    match (from, to) {
        (Some(from), Some(to)) if from == to => format!("on {from}"),
        (Some(from), Some(to)) => format!("from {from} to {to}"),
        (Some(from), None) => format!("from {from} on"),
        (None, Some(to)) => format!("up to {to}"),
        (None, None) => "at any time".to_owned(),
    }
}
