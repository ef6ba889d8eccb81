//! `aggregate`.

use anyhow::Result;
use rowmill_pipeline::{
    AggregateOptions, AggregateReport, DateRange, RebuildOptions, RebuildReport, Scope, Shard,
    Unreadable, aggregate, plan_aggregate, rebuild_timeline,
};
use serde_json::json;

use crate::arguments::{AggregateArguments, Global};
use crate::exit::{ExitStatus, UsageError};
use crate::job::Job;
use crate::printer::{Printer, counted};
use crate::{session, unreadable};

/// Aggregates the hours that changed, a range of dates, or everything anew.
pub(crate) async fn run(
    global: &Global,
    arguments: &AggregateArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let stages = session::stages(global)?;
    let options = options(arguments)?;
    let store = session::changed_store(global, !arguments.dry_run).await?;
    if arguments.dry_run {
        let job = Job::start("planning", printer);
        let hours = job.reading(plan_aggregate(&store.store, &options)).await?;
        drop(job);
        for hour in hours {
            printer.line(&hour.to_string())?;
        }
        printer.say("a dry run: nothing was written");
        return Ok(ExitStatus::Done);
    }
    let first = if arguments.rebuild {
        "rebuilding"
    } else {
        "aggregating"
    };
    let mut job = Job::start(first, printer);
    let mut unreadable = Unreadable::default();
    if arguments.rebuild {
        let rebuild = RebuildOptions {
            now: options.now,
            memory_bytes: options.memory_bytes,
        };
        let done = rebuild_timeline(&stages, &store.store, &rebuild, job.control()).await?;
        job.next("aggregating");
        say_rebuilt(&done, printer);
        unreadable = done.unreadable;
    }
    let done = aggregate(&stages, &store.store, &options, job.control()).await?;
    unreadable.join(job.control().unreadable());
    drop(job);
    print(done, printer)?;
    if done.shards_missing > 0 {
        printer.say(&format!(
            "{} still to come; the last one merges, or `rowmill aggregate --merge`",
            counted(done.shards_missing.into(), "shard"),
        ));
    }
    Ok(unreadable::end(&unreadable, printer))
}

/// Says what a rebuild did.
fn say_rebuilt(done: &RebuildReport, printer: &mut Printer) {
    let RebuildReport {
        facts,
        expired,
        orphans,
        orphans_left,
        ..
    } = done;
    printer.say(&format!(
        "made the timeline of {} anew, and removed {} without a fact",
        counted(*facts, "fact"),
        counted(*orphans, "row")
    ));
    if *expired > 0 {
        printer.say(&format!(
            "{} whose attributes are older than what events_fact keeps: their rows of the timeline are as they were",
            counted(*expired, "fact")
        ));
    }
    if *orphans_left > 0 {
        printer.say(&format!(
            "{} without a fact stay, because a run has not ended, see `rowmill runs list`; rebuild again then",
            counted(*orphans_left, "row")
        ));
    }
}

fn options(arguments: &AggregateArguments) -> Result<AggregateOptions> {
    let scope = match (arguments.from, arguments.to) {
        _ if arguments.all || arguments.rebuild => Scope::All,
        (None, None) => Scope::Pending,
        (from, to) => Scope::Between(DateRange::new(from, to)?),
    };
    // Whoever only merges is none of them, whatever the variables say.
    let shard = if arguments.merge {
        Shard::ALONE
    } else {
        arguments.shard.shard().map_err(UsageError)?
    };
    if arguments.rebuild && !shard.is_alone() {
        let problem = "`--rebuild` is done by one process, and this is one of several tasks";
        return Err(UsageError(format!("{problem}; run it as a job of one task")).into());
    }
    Ok(AggregateOptions {
        shard,
        job: arguments.job.clone(),
        merge_only: arguments.merge,
        memory_bytes: usize::try_from(arguments.memory).map_or(usize::MAX, |mib| mib << 20),
        ..session::aggregate_options(scope)
    })
}

/// Prints what was aggregated.
pub(crate) fn print(done: AggregateReport, printer: &mut Printer) -> std::io::Result<()> {
    let AggregateReport {
        hours,
        days,
        weeks,
        events,
        rows,
        expired,
        postponed,
        cut_boards,
        cut_values,
        shards_missing,
    } = done;
    if !printer.is_for_people() {
        return printer.json(&json!({
            "hours": hours, "days": days, "weeks": weeks, "events": events, "rows": rows,
            "expired_hours": expired, "postponed_weeks": postponed, "cut_boards": cut_boards, "cut_values": cut_values, "shards_missing": shards_missing,
        }));
    }
    if expired > 0 {
        let expired = counted(expired, "hour");
        printer.say(&format!(
            "{expired} older than what the timeline keeps were left as they are"
        ));
    }
    if postponed > 0 {
        let postponed = counted(postponed, "week");
        printer.say(&format!(
            "{postponed} were left to another process that works on them too; what is not done by then waits for the next aggregation"
        ));
    }
    if cut_boards > 0 {
        let boards = counted(cut_boards, "leaderboard");
        printer.say(&format!(
            "{boards} lack places that a cell of 4 MiB has no room for; `top.size` of the pipeline file says how many there are to be"
        ));
    }
    if cut_values > 0 {
        let rows = counted(cut_values, "row");
        printer.say(&format!("{rows} name only the first 64 KiB of their value"));
    }
    printer.line(&format!(
        "aggregated {} of {} on {} in {} into {}",
        counted(events, "event"),
        counted(hours, "hour"),
        counted(days, "day"),
        counted(weeks, "week"),
        counted(rows, "row"),
    ))
}
