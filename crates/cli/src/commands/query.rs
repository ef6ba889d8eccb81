//! `query user`, `query stats`, `query top`.

use anyhow::Result;
use rowmill_aggregate::Period;
use rowmill_pipeline::{
    OpenStore, Sheet, SheetRow, Stages, StatsQuery, TopQuery, UserQuery, count_dead_letters, stats,
    top, user_events,
};
use rowmill_rowkey::{Date, Hour};

use crate::arguments::{Global, Query, StatsArguments, TopArguments, UserArguments};
use crate::exit::{ExitStatus, UsageError};
use crate::printer::{Printer, grouped};
use crate::session;

/// Asks what was asked.
pub(crate) async fn run(
    global: &Global,
    query: &Query,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let stages = session::stages(global)?;
    if let Query::Top(arguments) = query {
        // What is wrong with the question comes before what is wrong with the store.
        period(arguments)?;
    }
    let store = session::existing_store(global).await?;
    match query {
        Query::User(arguments) => user(&stages, &store, arguments, printer).await?,
        Query::Stats(arguments) => print_stats(&stages, &store, arguments, printer).await?,
        Query::Top(arguments) => print_top(&stages, &store, arguments, printer).await?,
    }
    let letters = count_dead_letters(&*store.store).await?;
    if letters > 0 && printer.is_for_people() {
        printer.say(&format!(
            "{} rejected records wait in dead_letters",
            grouped(letters)
        ));
    }
    Ok(ExitStatus::Done)
}

async fn user(
    stages: &Stages,
    store: &OpenStore,
    arguments: &UserArguments,
    printer: &mut Printer,
) -> Result<()> {
    let query = UserQuery {
        user_id: arguments.user_id.clone(),
        from: arguments.from,
        to: arguments.to,
        limit: Some(arguments.limit),
    };
    let events = user_events(stages, &*store.store, &query).await?;
    if events.is_empty() {
        printer.say("no events");
    }
    let rows: Vec<_> = events.into_iter().map(SheetRow::of_event).collect();
    Ok(printer.rows(&Sheet::of_events(stages.pipeline()), &rows)?)
}

async fn print_stats(
    stages: &Stages,
    store: &OpenStore,
    arguments: &StatsArguments,
    printer: &mut Printer,
) -> Result<()> {
    let query = StatsQuery {
        dimension: arguments.dimension.clone(),
        value: arguments.value.clone(),
        grain: arguments.by.into(),
        from: arguments.from,
        to: arguments.to,
    };
    let found = stats(stages, &*store.store, &query).await?;
    let rows = found
        .iter()
        .map(|bucket| SheetRow::of_bucket(stages, bucket));
    print_aggregates(stages, rows.collect(), printer)
}

async fn print_top(
    stages: &Stages,
    store: &OpenStore,
    arguments: &TopArguments,
    printer: &mut Printer,
) -> Result<()> {
    let query = TopQuery {
        dimension: arguments.dimension.clone(),
        period: period(arguments)?,
        by: arguments.by.clone(),
        limit: arguments.limit,
    };
    let places = top(stages, &*store.store, &query).await?;
    let row = |place| SheetRow::of_place(stages, query.period, &query.dimension, place);
    print_aggregates(stages, places.into_iter().map(row).collect(), printer)
}

fn period(arguments: &TopArguments) -> Result<Period> {
    let on = arguments.on.as_str();
    match (on.parse::<Date>(), on.parse::<Hour>()) {
        (Ok(date), _) if arguments.week => Ok(Period::Week(date.monday())),
        (Ok(date), _) => Ok(Period::Day(date)),
        (_, Ok(hour)) if !arguments.week => Ok(Period::Hour(hour)),
        _ => Err(UsageError(format!(
            "--on {on}: is no date such as 2018-11-15 and no hour such as 2018-11-15T14"
        ))
        .into()),
    }
}

fn print_aggregates(stages: &Stages, rows: Vec<SheetRow>, printer: &mut Printer) -> Result<()> {
    if rows.is_empty() {
        printer.say(
            "nothing was aggregated for this; `rowmill aggregate` does it after `rowmill ingest`",
        );
    }
    Ok(printer.rows(&Sheet::of_aggregates(stages), &rows)?)
}
