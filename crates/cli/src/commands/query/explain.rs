//! `query explain`: what is behind a number.

use anyhow::Result;
use rowmill_pipeline::{
    ExplainQuery, Explanation, OpenStore, ScanLog, SheetRow, SourceShare, Stages, explain,
};
use serde_json::json;

use super::{period, print_aggregates};
use crate::arguments::ExplainArguments;
use crate::printer::{Printer, counted, grouped};

/// Prints where the events behind a number came from.
pub(super) async fn print(
    stages: &Stages,
    store: &OpenStore,
    log: &ScanLog,
    arguments: &ExplainArguments,
    printer: &mut Printer,
) -> Result<usize> {
    let query = ExplainQuery {
        dimension: arguments.dimension.clone(),
        value: arguments.value.clone(),
        period: period(&arguments.on, arguments.week)?,
    };
    let found = explain(stages, &store.store, &query).await?;
    if printer.is_for_people() {
        for_people(stages, &found, printer)?;
    } else {
        printer.json(&as_json(stages, &query, &found, log))?;
    }
    Ok(found.sources.len())
}

fn for_people(stages: &Stages, found: &Explanation, printer: &mut Printer) -> Result<()> {
    let stored = found.stored.iter();
    let rows = stored.map(|stored| SheetRow::of_stored(stages, stored));
    print_aggregates(stages, &rows.collect::<Vec<_>>(), printer)?;
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
