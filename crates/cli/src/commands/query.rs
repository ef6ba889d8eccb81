//! `query user`, `query stats`, `query top`, `query explain`, `query count`.

mod explain;

use std::sync::Arc;

use anyhow::Result;
use rowmill_aggregate::Period;
use rowmill_pipeline::{
    Logged, OpenStore, QUERY_ROWS_MAX, ScanLog, Sheet, SheetRow, Stages, StatsQuery, TopQuery,
    UserQuery, count_dead_letters, count_rows, stats, top, user_events,
};
use rowmill_rowkey::{Date, Hour};

use crate::arguments::{
    CountArguments, Global, Query, QueryArguments, StatsArguments, TopArguments, UserArguments,
};
use crate::exit::{ExitStatus, UsageError};
use crate::printer::{Printer, counted, grouped};
use crate::progress::Progress;
use crate::session;

/// Asks what was asked.
pub(crate) async fn run(
    global: &Global,
    arguments: &QueryArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let stages = session::stages(global)?;
    // What is wrong with the question comes before what is wrong with the store.
    match &arguments.query {
        Query::Top(top) => drop(period(&top.on, top.week)?),
        Query::Explain(explain) => drop(period(&explain.on, explain.week)?),
        Query::User(_) | Query::Stats(_) | Query::Count(_) => {}
    }
    let is_bounded = !arguments.full_scan && !matches!(arguments.query, Query::Count(_));
    let log = ScanLog::new(if is_bounded { QUERY_ROWS_MAX } else { u64::MAX });
    let store = session::existing_store(global).await?;
    let store = store.wearing(|store| Arc::new(Logged::new(store, log.clone())));
    let returned = match &arguments.query {
        Query::User(arguments) => user(&stages, &store, arguments, printer).await,
        Query::Stats(arguments) => print_stats(&stages, &store, arguments, printer).await,
        Query::Top(arguments) => print_top(&stages, &store, arguments, printer).await,
        Query::Explain(arguments) => {
            explain::print(&stages, &store, &log, arguments, printer).await
        }
        Query::Count(arguments) => count(&store, arguments, printer).await,
    };
    if log.is_exceeded() {
        let most = grouped(QUERY_ROWS_MAX);
        let message = format!("this reads more than {most} rows; --full-scan allows it");
        return Err(UsageError(message).into());
    }
    let returned = returned?;
    // Explaining a number says what it read without being asked.
    if arguments.explain || matches!(arguments.query, Query::Explain(_)) {
        show_log(&log, returned, printer);
    }
    if matches!(arguments.query, Query::Count(_)) {
        return Ok(ExitStatus::Done);
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

fn show_log(log: &ScanLog, returned: usize, printer: &Printer) {
    for scan in log.scans() {
        printer.say(&format!("read {scan}"));
    }
    printer.say(&format!(
        "{} seen, {}, {} returned",
        counted(log.rows(), "row"),
        counted(log.bytes(), "byte"),
        grouped(returned as u64)
    ));
}

async fn count(
    store: &OpenStore,
    arguments: &CountArguments,
    printer: &mut Printer,
) -> Result<usize> {
    let control = session::control();
    let progress = Progress::watch("counting", &control, 0, printer.is_quiet());
    let name = arguments.table.name();
    let rows = count_rows(&store.store, name, &control).await?;
    drop(progress);
    if printer.is_for_people() {
        printer.line(&grouped(rows))?;
    } else {
        printer.json(&serde_json::json!({"table": name, "rows": rows}))?;
    }
    Ok(1)
}

async fn user(
    stages: &Stages,
    store: &OpenStore,
    arguments: &UserArguments,
    printer: &mut Printer,
) -> Result<usize> {
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
    printer.rows(&Sheet::of_events(stages.pipeline()), &rows)?;
    Ok(rows.len())
}

async fn print_stats(
    stages: &Stages,
    store: &OpenStore,
    arguments: &StatsArguments,
    printer: &mut Printer,
) -> Result<usize> {
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
        .map(|stored| SheetRow::of_stored(stages, stored));
    print_aggregates(stages, &rows.collect::<Vec<_>>(), printer)
}

async fn print_top(
    stages: &Stages,
    store: &OpenStore,
    arguments: &TopArguments,
    printer: &mut Printer,
) -> Result<usize> {
    let query = TopQuery {
        dimension: arguments.dimension.clone(),
        period: period(&arguments.on, arguments.week)?,
        by: arguments.by.clone(),
        limit: arguments.limit,
    };
    let places = top(stages, &*store.store, &query).await?;
    let row = |place| SheetRow::of_place(stages, query.period, &query.dimension, place);
    let rows: Vec<_> = places.into_iter().map(row).collect();
    print_aggregates(stages, &rows, printer)
}

/// The period that a date or an hour names.
fn period(on: &str, is_week: bool) -> Result<Period> {
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

fn print_aggregates(stages: &Stages, rows: &[SheetRow], printer: &mut Printer) -> Result<usize> {
    if rows.is_empty() {
        printer.say(
            "nothing was aggregated for this; `rowmill aggregate` does it after `rowmill ingest`",
        );
    }
    printer.rows(&Sheet::of_aggregates(stages), rows)?;
    Ok(rows.len())
}
