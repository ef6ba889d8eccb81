//! `query user`: a user's events.

use anyhow::Result;
use futures::TryStreamExt as _;
use rowmill_pipeline::{Error, Sheet, SheetRow, Stages, UserQuery, nothing_of_user, user_events};
use rowmill_store::Store;

use super::{Answer, say_nothing};
use crate::arguments::UserArguments;
use crate::exit::ExitStatus;
use crate::job::Job;
use crate::printer::{Listing, Printer, counted};

/// How many rows that cannot be read are named.
const NAMED_MAX: usize = 20;

/// Rows that hold no event that the pipeline file can read.
#[derive(Default)]
struct Unreadable {
    rows: u64,
    named: Vec<String>,
}

/// Prints a user's events, newest first.
pub(super) async fn print(
    stages: &Stages,
    store: &dyn Store,
    arguments: &UserArguments,
    printer: &mut Printer,
) -> Result<Answer> {
    let query = UserQuery {
        user_id: arguments.user_id.clone(),
        from: arguments.from,
        to: arguments.to,
        limit: Some(arguments.limit),
    };
    let job = Job::printing("listing");
    let mut unreadable = Unreadable::default();
    let mut listing = printer.listing(Sheet::of_events(stages.pipeline()))?;
    let work = list(stages, store, &query, &mut listing, &mut unreadable);
    let done = job.reading(work).await;
    let returned = listing.finish()?;
    done?;
    if returned == 0 && unreadable.rows == 0 {
        let nothing = nothing_of_user(stages, store, &query);
        return say_nothing(&job.reading(nothing).await?, printer);
    }
    let status = unreadable.status(printer);
    Ok(Answer { returned, status })
}

async fn list(
    stages: &Stages,
    store: &dyn Store,
    query: &UserQuery,
    listing: &mut Listing<'_>,
    unreadable: &mut Unreadable,
) -> Result<()> {
    let mut events = user_events(stages, store, query)?;
    loop {
        match events.try_next().await {
            Ok(None) => return Ok(()),
            Ok(Some(event)) => listing.row(&SheetRow::of_event(event))?,
            Err(Error::Row(problem)) => unreadable.add(problem),
            Err(other) => return Err(other.into()),
        }
    }
}

impl Unreadable {
    fn add(&mut self, problem: String) {
        self.rows += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(problem);
        }
    }

    /// Says which rows could not be read, if there are any.
    fn status(&self, printer: &mut Printer) -> ExitStatus {
        if self.rows == 0 {
            return ExitStatus::Done;
        }
        for problem in &self.named {
            printer.fail(problem);
        }
        let rows = counted(self.rows, "row");
        printer.fail(&format!(
            "{rows} of the user cannot be read with this pipeline file; all others are shown"
        ));
        ExitStatus::Failed
    }
}
