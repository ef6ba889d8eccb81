//! `delete`: everything there is of some users.

use std::collections::BTreeSet;

use anyhow::Result;
use rowmill_pipeline::{DeleteOptions, DeleteReport, delete_users};
use serde_json::json;

use crate::arguments::{DeleteArguments, Global};
use crate::exit::{ExitStatus, UsageError};
use crate::job::Job;
use crate::printer::{Printer, counted};
use crate::session;

/// Deletes users, or says what there is to delete.
pub(crate) async fn run(
    global: &Global,
    arguments: &DeleteArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let stages = session::stages(global)?;
    let is_done = arguments.yes && !arguments.dry_run;
    let store = session::changed_store(global, is_done).await?;
    let options = DeleteOptions {
        user_ids: user_ids(arguments)?,
        name: session::process_name(),
        dry_run: !is_done,
    };
    let job = Job::start("deleting", printer);
    let report = delete_users(&stages, &store.store, &options, job.control()).await?;
    drop(job);
    print(report, options.dry_run, printer)?;
    if options.dry_run && !arguments.dry_run {
        return Err(UsageError("nothing was deleted; --yes does it".to_owned()).into());
    }
    Ok(ExitStatus::Done)
}

/// The users that were named, by options and in a file.
fn user_ids(arguments: &DeleteArguments) -> Result<BTreeSet<String>> {
    let mut user_ids: BTreeSet<_> = arguments.user.iter().cloned().collect();
    if let Some(path) = &arguments.users {
        let text = std::fs::read_to_string(path)
            .map_err(|error| UsageError(format!("{}: {error}", path.display())))?;
        let lines = text.lines().filter(|line| !line.is_empty());
        user_ids.extend(lines.map(str::to_owned));
        if user_ids.is_empty() {
            return Err(UsageError(format!("{}: it names no user", path.display())).into());
        }
    }
    Ok(user_ids)
}

fn print(report: DeleteReport, is_dry: bool, printer: &mut Printer) -> std::io::Result<()> {
    let DeleteReport {
        events,
        letters,
        unclear,
        hours,
    } = report;
    if !printer.is_for_people() {
        return printer.json(&json!({
            "events": events, "letters": letters, "unclear": unclear, "hours": hours, "dry_run": is_dry,
        }));
    }
    let has_hours = hours > 0;
    let [events, letters, hours] = [(events, "event"), (letters, "dead letter"), (hours, "hour")]
        .map(|(count, what)| counted(count, what));
    if is_dry {
        printer.line(&format!("would delete {events} of {hours}, and {letters}"))?;
    } else {
        printer.line(&format!("deleted {events} of {hours}, and {letters}"))?;
        if has_hours {
            printer.say("`rowmill aggregate` makes the aggregates of these hours anew");
        }
    }
    if unclear > 0 {
        let unclear = counted(unclear, "dead letter");
        printer.say(&format!(
            "{unclear} without a user may belong to one of these: see `rowmill dlq list`, and `rowmill dlq purge`"
        ));
    }
    Ok(())
}
