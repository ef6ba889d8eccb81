//! `generate`.

use std::path::Path;

use anyhow::{Context as _, Result};
use rowmill_ingest::Format;
use rowmill_pipeline::{Control, GenerateOptions, Generator};

use crate::arguments::{self, GenerateArguments};
use crate::exit::{ExitStatus, UsageError};
use crate::job::Job;
use crate::output::OutputFile;
use crate::printer::Printer;

/// Makes up listening events.
pub(crate) fn run(arguments: &GenerateArguments, printer: &mut Printer) -> Result<ExitStatus> {
    let format = match printer.format() {
        None | Some(arguments::Format::Jsonl) => Format::Jsonl,
        Some(arguments::Format::Json) => Format::Json,
        Some(arguments::Format::Csv) => Format::Csv,
        Some(arguments::Format::Table) => {
            return Err(UsageError("events are generated as jsonl, json or csv".into()).into());
        }
    };
    if i32::try_from(arguments.days)
        .ok()
        .and_then(|days| arguments.start.plus_days(days))
        .is_none()
    {
        return Err(UsageError("--days: the last day is beyond the year 9999".into()).into());
    }
    let options = GenerateOptions {
        events: arguments.events,
        days: arguments.days,
        start: arguments.start,
        seed: arguments.seed,
        format,
        bad_percent: arguments.bad,
    };
    match &arguments.out {
        None => {
            let job = Job::printing("generating");
            let write = |control: &Control| {
                Ok(Generator::new(options).write_watched(printer.out(), control)?)
            };
            job.computing(write)?;
        }
        Some(path) => {
            let job = Job::start("generating", printer);
            job.computing(|control| to_file(options, path, control))?;
        }
    }
    Ok(ExitStatus::Done)
}

/// Writes everything that the options ask for to a new file.
pub(crate) fn to_file(options: GenerateOptions, path: &Path, control: &Control) -> Result<()> {
    let mut out = OutputFile::create(path)?;
    let written = Generator::new(options).write_watched(&mut out, control);
    written.with_context(|| path.display().to_string())?;
    out.finish()
}
