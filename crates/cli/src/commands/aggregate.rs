//! `aggregate`.

use anyhow::Result;
use rowmill_pipeline::{AggregateReport, Scope, aggregate, plan_aggregate};
use rowmill_rowkey::Date;
use serde_json::json;

use crate::arguments::{AggregateArguments, Global};
use crate::exit::ExitStatus;
use crate::printer::{Printer, grouped};
use crate::progress::Progress;
use crate::session;

/// Aggregates the hours that changed, or a range of dates.
pub(crate) async fn run(
    global: &Global,
    arguments: &AggregateArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let stages = session::stages(global)?;
    let control = session::control();
    let store = session::existing_store(global).await?;
    let scope = match (arguments.all, arguments.from, arguments.to) {
        (true, _, _) => Scope::All,
        (false, None, None) => Scope::Pending,
        (false, from, to) => Scope::Between(from.unwrap_or(Date::MIN), to.unwrap_or(Date::MAX)),
    };
    let options = session::aggregate_options(scope);
    if arguments.dry_run {
        for hour in plan_aggregate(&store.store, &options).await? {
            printer.line(&hour.to_string())?;
        }
        printer.say("a dry run: nothing was written");
        return Ok(ExitStatus::Done);
    }
    let progress = Progress::watch("aggregating", &control, 0, printer.is_quiet());
    let done = aggregate(&stages, &store.store, &options, &control).await?;
    drop(progress);
    print(done, printer)?;
    Ok(ExitStatus::Done)
}

/// Prints what was aggregated.
pub(crate) fn print(done: AggregateReport, printer: &mut Printer) -> std::io::Result<()> {
    let AggregateReport {
        hours,
        days,
        weeks,
        events,
        rows,
        ..
    } = done;
    if !printer.is_for_people() {
        return printer.json(
            &json!({"hours": hours, "days": days, "weeks": weeks, "events": events, "rows": rows}),
        );
    }
    let [hours, days, weeks, events, rows] = [hours, days, weeks, events, rows].map(grouped);
    printer.line(&format!(
        "aggregated {events} events of {hours} hours on {days} days in {weeks} weeks into {rows} rows"
    ))
}
