//! `query user`, `query stats`, `query top`, `query explain`, `query count`.

mod aggregates;
mod explain;
mod user;

use std::sync::Arc;

use anyhow::Result;
use rowmill_pipeline::{
    Logged, Nothing, OpenStore, QUERY_ROWS_MAX, ScanLog, Stages, check_dimension, count_rows,
};
use rowmill_rowkey::{SESSIONS_DIMENSION, TOTAL_DIMENSION, TOTAL_VALUE};

use crate::arguments::{CountArguments, Global, Query, QueryArguments, StatsArguments};
use crate::exit::{ExitStatus, UsageError};
use crate::job::Job;
use crate::printer::{Printer, counted, grouped};
use crate::session;

use aggregates::period;

/// What came of a question.
struct Answer {
    /// How many rows were returned.
    returned: u64,
    status: ExitStatus,
}

impl Answer {
    fn of(returned: u64) -> Self {
        let status = ExitStatus::Done;
        Self { returned, status }
    }
}

/// Asks what was asked.
pub(crate) async fn run(
    global: &Global,
    arguments: &QueryArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let stages = session::stages(global)?;
    // What is wrong with the question comes before what is wrong with the store.
    check(&stages, &arguments.query)?;
    let log = ScanLog::new(rows_max(arguments));
    let store = session::existing_store(global).await?;
    let store = store.wearing(|store| Arc::new(Logged::new(store, log.clone())));
    let answer = answer(&stages, &store, &log, &arguments.query, printer).await;
    if log.is_exceeded() {
        printer.finish()?;
        let most = grouped(QUERY_ROWS_MAX);
        let message = format!("this reads more than {most} rows; --full-scan allows it");
        return Err(UsageError(message).into());
    }
    let Answer { returned, status } = answer?;
    // Explaining a number says what it read without being asked.
    if arguments.explain || matches!(arguments.query, Query::Explain(_)) {
        show_log(&log, returned, printer);
    }
    Ok(status)
}

fn check(stages: &Stages, query: &Query) -> Result<()> {
    match query {
        Query::Top(top) => {
            let period = period(&top.on, top.week)?;
            check_dimension(stages, &top.dimension, period.grain())?;
        }
        Query::Explain(explain) => {
            let period = period(&explain.on, explain.week)?;
            check_dimension(stages, &explain.dimension, period.grain())?;
        }
        Query::Stats(stats) => {
            check_dimension(stages, &stats.dimension, stats.by.into())?;
            value(stats)?;
        }
        Query::User(_) | Query::Count(_) => {}
    }
    Ok(())
}

/// The value that statistics are asked of, which only what has a single one may leave out.
fn value(stats: &StatsArguments) -> Result<&str> {
    let dimension = stats.dimension.as_str();
    match &stats.value {
        Some(value) => Ok(value),
        None if [TOTAL_DIMENSION, SESSIONS_DIMENSION].contains(&dimension) => Ok(TOTAL_VALUE),
        None => Err(UsageError(format!(
            "which value of `{dimension}`? `rowmill query top {dimension} --on DATE` lists values"
        ))
        .into()),
    }
}

/// How many rows a question may read without having been asked to. A user's events are as many as `--limit` says; a number that is
/// explained, and a table that is counted, take what they take, in memory that does not grow.
fn rows_max(arguments: &QueryArguments) -> u64 {
    match arguments.query {
        Query::Stats(_) | Query::Top(_) if !arguments.full_scan => QUERY_ROWS_MAX,
        _ => u64::MAX,
    }
}

async fn answer(
    stages: &Stages,
    store: &OpenStore,
    log: &ScanLog,
    query: &Query,
    printer: &mut Printer,
) -> Result<Answer> {
    let store = &store.store;
    match query {
        Query::User(arguments) => user::print(stages, &**store, arguments, printer).await,
        Query::Stats(arguments) => aggregates::stats(stages, &**store, arguments, printer).await,
        Query::Top(arguments) => aggregates::top(stages, &**store, arguments, printer).await,
        Query::Explain(arguments) => explain::print(stages, store, log, arguments, printer).await,
        Query::Count(arguments) => {
            let job = Job::start("counting", printer);
            let name = arguments.table.name();
            let rows = job.reading(count_rows(store, name, job.control())).await?;
            drop(job);
            print_count(rows, arguments, printer)
        }
    }
}

fn print_count(rows: u64, arguments: &CountArguments, printer: &mut Printer) -> Result<Answer> {
    if printer.is_for_people() {
        printer.line(&grouped(rows))?;
    } else {
        let table = arguments.table.name();
        printer.json(&serde_json::json!({"table": table, "rows": rows}))?;
    }
    Ok(Answer::of(1))
}

/// Says why there is nothing to show, which is no failure unless the question is wrong.
fn say_nothing(nothing: &Nothing, printer: &Printer) -> Result<Answer> {
    if nothing.is_usage() {
        return Err(UsageError(nothing.to_string()).into());
    }
    printer.say(&nothing.to_string());
    Ok(Answer::of(0))
}

fn show_log(log: &ScanLog, returned: u64, printer: &Printer) {
    for scan in log.scans() {
        printer.say(&format!("read {scan}"));
    }
    printer.say(&format!(
        "{} seen, {}, {} returned",
        counted(log.rows(), "row"),
        counted(log.bytes(), "byte"),
        grouped(returned)
    ));
}
