//! `check`, `ingest` and `run`.

use std::sync::Arc;

use anyhow::Result;
use rowmill_model::{GcRule, RetentionSpec};
use rowmill_pipeline::{
    IngestOptions, IngestReport, Inputs, OpenStore, PreparedInputs, Scope, Search, Shard, Stages,
    aggregate, check as check_inputs, create_missing_tables, ingest, narrower_rules,
};
use rowmill_store::{Clock as _, SystemClock};

use super::{aggregate as aggregate_command, ledger};
use crate::arguments::{CreateTables, Format, Global, IngestArguments, InputArguments};
use crate::exit::{ExitStatus, UsageError};
use crate::job::Job;
use crate::printer::{Printer, counted};
use crate::session;
use crate::unreadable;

/// Reads files and says what is wrong with them.
pub(crate) async fn check(
    global: &Global,
    arguments: &InputArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    check_shard(global, arguments, Shard::ALONE, printer).await
}

async fn check_shard(
    global: &Global,
    arguments: &InputArguments,
    shard: Shard,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let stages = session::stages(global)?;
    let inputs = find(global, arguments, shard, printer).await?;
    let inputs = prepare(&stages, inputs).await?;
    let options = options(&stages, arguments);
    let job = Job::of_bytes("reading", inputs.bytes(), printer);
    let report = check_inputs(&stages, inputs, &options, job.control()).await?;
    drop(job);
    finish(&stages, &report, false, printer)
}

/// Reads files into the fact table.
pub(crate) async fn run(
    global: &Global,
    arguments: &IngestArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    if arguments.dry_run {
        return dry_run(global, arguments, printer).await;
    }
    let stages = session::stages(global)?;
    let (_, report) = read(global, &stages, arguments, printer).await?;
    finish(&stages, &report, arguments.again, printer)
}

/// Reads files into the fact table, aggregates what changed, and sums up.
pub(crate) async fn run_all(
    global: &Global,
    arguments: &IngestArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    if arguments.dry_run {
        return dry_run(global, arguments, printer).await;
    }
    let stages = session::stages(global)?;
    let (store, report) = read(global, &stages, arguments, printer).await?;
    let status = finish(&stages, &report, arguments.again, printer)?;
    if status == ExitStatus::Interrupted {
        return Ok(status);
    }
    let job = Job::start("aggregating", printer);
    let options = session::aggregate_options(Scope::Pending);
    let done = aggregate(&stages, &store.store, &options, job.control()).await?;
    let passed_over = job.control().unreadable();
    drop(job);
    aggregate_command::print(done, printer)?;
    let listed = unreadable::end(&passed_over, printer);
    Ok(if status == ExitStatus::Done {
        listed
    } else {
        status
    })
}

async fn dry_run(
    global: &Global,
    arguments: &IngestArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    let shard = arguments.shard.shard().map_err(UsageError)?;
    let status = check_shard(global, &arguments.input, shard, printer).await?;
    printer.say("a dry run: nothing was written");
    Ok(status)
}

/// Finds all inputs.
async fn find(
    global: &Global,
    arguments: &InputArguments,
    shard: Shard,
    printer: &Printer,
) -> Result<Inputs> {
    if printer.format() == Some(Format::Csv) {
        return Err(UsageError("a ledger is printed as a table or as json".into()).into());
    }
    let names = arguments.inputs.clone();
    let search = Search {
        format: arguments.input_format.map(Into::into),
        storage: session::storage(global),
        may_be_none: arguments.allow_none,
    };
    let found = tokio::task::spawn_blocking(move || Inputs::find_with(&names, &search));
    let inputs = found.await??.of_shard(shard)?;
    if inputs.left_out > 0 {
        let left_out = counted(inputs.left_out, "file");
        printer.say(&format!(
            "left out {left_out} whose names end with none of csv, tsv, json, jsonl, ndjson"
        ));
    }
    for link in &inputs.broken_links {
        printer.say(&format!(
            "left out {link}: the symbolic link leads to nothing, or back to a directory that it is in"
        ));
    }
    Ok(inputs)
}

/// Looks into inputs, before anything is written.
async fn prepare(stages: &Arc<Stages>, inputs: Inputs) -> Result<PreparedInputs> {
    let stages = Arc::clone(stages);
    // A pipe may keep this waiting, which must not keep Ctrl-C waiting.
    let prepared = tokio::task::spawn_blocking(move || inputs.prepare(&stages));
    Ok(prepared.await??)
}

fn options(stages: &Stages, arguments: &InputArguments) -> IngestOptions {
    IngestOptions {
        examples: arguments.examples,
        duplicate_window: usize::try_from(arguments.duplicate_window).unwrap_or(usize::MAX / 4),
        max_rejects: arguments.max_rejects.or(stages.pipeline().max_rejects),
        ..session::ingest_options()
    }
}

/// Ingests the inputs.
async fn read(
    global: &Global,
    stages: &Arc<Stages>,
    arguments: &IngestArguments,
    printer: &Printer,
) -> Result<(OpenStore, IngestReport)> {
    let shard = arguments.shard.shard().map_err(UsageError)?;
    let inputs = find(global, &arguments.input, shard, printer).await?;
    let may_be_done = inputs.are_objects() && !arguments.again;
    let (inputs, store) = if may_be_done && !session::uri(global)?.is_new() {
        let store = open(global, stages, arguments, printer).await?;
        let left = inputs.leave_done(stages, &*store.store).await?;
        (prepare(stages, left).await?, store)
    } else {
        let inputs = prepare(stages, inputs).await?;
        (inputs, open(global, stages, arguments, printer).await?)
    };
    let options = IngestOptions {
        again: arguments.again,
        batch_rows: arguments.batch_rows as usize,
        ..options(stages, &arguments.input)
    };
    let job = Job::of_bytes("reading", inputs.bytes(), printer);
    let report = ingest(stages, &store.store, inputs, &options, job.control()).await;
    session::log_store(&store);
    Ok((store, report?))
}

/// Opens the store and looks at its tables before anything is written: whether they are there, and keep what the pipeline file keeps.
async fn open(
    global: &Global,
    stages: &Stages,
    arguments: &IngestArguments,
    printer: &Printer,
) -> Result<OpenStore> {
    let store = match arguments.create_tables {
        CreateTables::Auto => session::store(global).await?,
        CreateTables::Always | CreateTables::Never => session::store_as_it_is(global).await?,
    };
    if arguments.create_tables == CreateTables::Always {
        create_missing_tables(&*store.admin, stages.pipeline()).await?;
    }
    for change in narrower_rules(&*store.admin, stages.pipeline()).await? {
        printer.say(&format!(
            "the store keeps less than the pipeline file, and may drop older cells at once, also of events that are written now: {}; \
             `rowmill tables create` makes it keep them",
            change.to_string().trim_start_matches("~ ")
        ));
    }
    Ok(store)
}

fn finish(
    stages: &Stages,
    report: &IngestReport,
    again: bool,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    ledger::print(report, printer)?;
    printer.finish()?;
    warn_of_retention(stages, report, printer);
    Ok(ledger::status(report, again, printer))
}

/// Says so when events were written that are older than what the pipeline file keeps.
fn warn_of_retention(stages: &Stages, report: &IngestReport, printer: &Printer) {
    let Some(earliest) = report.earliest else {
        return;
    };
    let age_micros = SystemClock.now().micros() - earliest.start().micros();
    let age_seconds = u64::try_from(age_micros / 1_000_000).unwrap_or(0);
    let is_exceeded = |spec: &&RetentionSpec| spec.seconds < age_seconds;
    for spec in stages.pipeline().retention.iter().filter(is_exceeded) {
        let family = spec.family.as_ref().map(|family| format!(".{family}"));
        printer.say(&format!(
            "events since {earliest} were written, and {}{} keeps {}: what is older may be dropped at once",
            spec.table,
            family.unwrap_or_default(),
            GcRule::age_seconds(spec.seconds)
        ));
    }
}
