//! One file for each command.

mod aggregate;
mod delete;
mod demo;
mod dlq;
mod export;
mod generate;
mod ingest;
mod ledger;
mod query;
mod runs;
mod schema;
mod store;
mod tables;
mod verify;

use anyhow::Result;

use crate::arguments::{Arguments, Command, Schema};
use crate::exit::ExitStatus;
use crate::printer::Printer;
use crate::session;

/// Runs the command that was asked for.
pub(crate) async fn run(arguments: Arguments, printer: &mut Printer) -> Result<ExitStatus> {
    let Arguments { global, command } = arguments;
    if opens_store(&command)
        && let Some(note) = session::note_of_emulator(&global)
    {
        printer.say(&note);
    }
    let status = match command {
        Command::Demo(arguments) => demo::run(&arguments, printer).await,
        Command::Check(arguments) => ingest::check(&global, &arguments, printer).await,
        Command::Ingest(arguments) => ingest::run(&global, &arguments, printer).await,
        Command::Aggregate(arguments) => aggregate::run(&global, &arguments, printer).await,
        Command::Run(arguments) => ingest::run_all(&global, &arguments, printer).await,
        Command::Query(arguments) => query::run(&global, &arguments, printer).await,
        Command::Delete(arguments) => delete::run(&global, &arguments, printer).await,
        Command::Export(arguments) => export::run(&global, &arguments, printer).await,
        Command::Dlq(dlq) => dlq::run(&global, &dlq, printer).await,
        Command::Runs(runs) => runs::run(&global, &runs, printer).await,
        Command::Verify(arguments) => verify::run(&global, &arguments, printer).await,
        Command::Tables(arguments) => tables::run(&global, &arguments, printer).await,
        Command::Store(command) => store::run(&global, &command, printer),
        Command::Schema(Schema::Export(arguments)) => schema::export(&global, &arguments, printer),
        Command::Generate(arguments) => generate::run(&arguments, printer),
    }?;
    printer.finish()?;
    Ok(status)
}

/// Whether a command looks into the store, or writes to it.
fn opens_store(command: &Command) -> bool {
    !matches!(
        command,
        Command::Demo(_) | Command::Check(_) | Command::Schema(_) | Command::Generate(_)
    )
}
