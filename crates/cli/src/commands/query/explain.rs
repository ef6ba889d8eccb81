//! `query explain`: what is behind a number.

use std::sync::Arc;

use anyhow::Result;
use rowmill_pipeline::{
    ExplainQuery, Explanation, ScanLog, Sheet, SheetRow, SourceShare, Stages, explain, nothing_of,
};
use rowmill_store::Store;
use serde_json::json;

use super::aggregates::{period, when};
use super::{Answer, say_nothing};
use crate::arguments::ExplainArguments;
use crate::job::Job;
use crate::printer::{Printer, counted, grouped};

/// Prints where the events behind a number came from.
pub(super) async fn print(
    stages: &Stages,
    store: &Arc<dyn Store>,
    log: &ScanLog,
    arguments: &ExplainArguments,
    printer: &mut Printer,
) -> Result<Answer> {
    let query = ExplainQuery {
        dimension: arguments.dimension.clone(),
        value: arguments.value.clone(),
        period: period(&arguments.on, arguments.week)?,
    };
    let job = Job::start("explaining", printer);
    let work = explain(stages, store, &query, job.control());
    let found = job.reading(work).await?;
    if found.stored.is_none() && found.events == 0 {
        let about = (query.dimension.as_str(), Some(query.value.as_str()));
        let when = when(query.period);
        let nothing = nothing_of(&**store, about, query.period.grain(), &when);
        let nothing = job.reading(nothing).await?;
        drop(job);
        let answer = say_nothing(&nothing, printer)?;
        if !printer.is_for_people() {
            printer.json(&as_json(stages, &query, &found, log))?;
        }
        return Ok(answer);
    }
    drop(job);
    if printer.is_for_people() {
        for_people(stages, &found, printer)?;
    } else {
        printer.json(&as_json(stages, &query, &found, log))?;
    }
    Ok(Answer::of(found.sources.len() as u64))
}

fn for_people(stages: &Stages, found: &Explanation, printer: &mut Printer) -> Result<()> {
    match &found.stored {
        Some(stored) => {
            let row = SheetRow::of_stored(stages, stored);
            printer.rows(&Sheet::of_aggregates(stages), &[row])?;
        }
        None => printer.say("this is not aggregated yet; `rowmill aggregate` does it"),
    }
    let header = ["file", "run", "events", "late", "duplicates", "rejected"];
    let sources = found.sources.iter().map(|source| {
        let late = if source.is_late { source.events } else { 0 };
        vec![
            source.file.clone(),
            source.run.clone(),
            grouped(source.events),
            grouped(late),
            grouped(source.duplicates),
            grouped(source.rejected),
        ]
    });
    printer.plain_table(&header.map(str::to_owned), sources.collect())?;
    printer.line(&format!(
        "{}, {} of them late; duplicates and rejected records are those of the whole input",
        counted(found.events, "event"),
        grouped(late(found))
    ))?;
    if !found.pending.is_empty() {
        let hours = counted(found.pending.len() as u64, "hour");
        printer.say(&format!(
            "{hours} of it await aggregation: see `rowmill aggregate`"
        ));
    }
    Ok(())
}

fn late(found: &Explanation) -> u64 {
    let late = found.sources.iter().filter(|source| source.is_late);
    late.map(|source| source.events).sum()
}

fn as_json(
    stages: &Stages,
    query: &ExplainQuery,
    found: &Explanation,
    log: &ScanLog,
) -> serde_json::Value {
    let names = stages.plan().layout_of(&query.dimension).figure_names();
    let figures = found.stored.as_ref().map(|stored| {
        let number = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        let pairs = names.into_iter().zip(stored.figures.texts());
        let figures = pairs.map(|(name, text)| (name, json!(number(&text))));
        figures.collect::<serde_json::Map<_, _>>()
    });
    let source = |it: &SourceShare| {
        json!({
            "file": it.file, "run": it.run, "ingested_at": it.ingested_at.to_string(), "events": it.events,
            "late": it.is_late, "duplicates": it.duplicates, "rejected": it.rejected,
        })
    };
    json!({
        "dimension": query.dimension,
        "value": query.value,
        "period": query.period.to_string(),
        "stored": figures,
        "events": found.events,
        "late": late(found),
        "sources": found.sources.iter().map(source).collect::<Vec<_>>(),
        "read": log.scans(),
        "pending": found.pending.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
