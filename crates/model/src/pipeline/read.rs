//! From the file's text to a [`Pipeline`]: section by section, all problems at once.

mod aggregates;
mod event;
mod fields;
mod retention;

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::{Node, Problems, Section, integer};
use super::{CsvSpec, Pipeline, PipelineError, Problem, RejectLimit, RuleSpec, SourceText};
use crate::event::Slot;
use aggregates::{aggregate, distinct, measures, sessions};
use event::event;
use fields::{fields, severity};
use retention::retention;

/// The pipeline of a file and the values set over it.
pub(super) fn pipeline(source: &SourceText) -> Result<Pipeline, PipelineError> {
    let table = merged_table(source)?;
    let problems = Problems::new(source);
    let pipeline = read_file(Section::new(&problems, "file".into(), 0..0, table), source);
    problems.into_result()?;
    Ok(pipeline.expect("what is missing is a problem"))
}

fn merged_table(source: &SourceText) -> Result<DeTable<'_>, PipelineError> {
    let mut merged = parse(&source.file, 0, source)?;
    let mut start = source.file.len() + 1;
    for setting in &source.overrides {
        merge(&mut merged, parse(setting, start, source)?);
        start += setting.len() + 1;
    }
    Ok(merged)
}

fn parse<'i>(
    text: &'i str,
    shift: usize,
    source: &SourceText,
) -> Result<DeTable<'i>, PipelineError> {
    match DeTable::parse(text) {
        Ok(table) => Ok(shift_table(table.into_inner(), shift)),
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start);
            let location = source.locate(start + shift);
            let message = error.message().trim().replace('\n', ", ");
            Err(PipelineError::new(vec![Problem {
                location,
                message,
                hint: None,
            }]))
        }
    }
}

fn shift_table(table: DeTable<'_>, shift: usize) -> DeTable<'_> {
    table
        .into_iter()
        .map(|(key, node)| (shift_span(key, shift), shift_node(node, shift)))
        .collect()
}

fn shift_node(node: Node<'_>, shift: usize) -> Node<'_> {
    let moved = shift_span(node, shift);
    let span = moved.span();
    let value = match moved.into_inner() {
        DeValue::Table(table) => DeValue::Table(shift_table(table, shift)),
        other => other,
    };
    Spanned::new(span, value)
}

fn shift_span<T>(spanned: Spanned<T>, shift: usize) -> Spanned<T> {
    let Range { start, end } = spanned.span();
    Spanned::new(start + shift..end + shift, spanned.into_inner())
}

/// Lays `layer` over `base`. Where a table meets a plain path, the path becomes the table's `from`.
fn merge<'i>(base: &mut DeTable<'i>, layer: DeTable<'i>) {
    for (key, node) in layer {
        let DeValue::Table(inner) = node.get_ref() else {
            base.insert(key, node);
            continue;
        };
        let inner = inner.clone();
        match base.get_mut(&key) {
            None => {
                base.insert(key, node);
            }
            Some(existing) => {
                if existing.get_ref().is_str() {
                    let from = Spanned::new(existing.span(), "from".into());
                    let table = DeTable::from_iter([(from, existing.clone())]);
                    *existing.get_mut() = DeValue::Table(table);
                }
                match existing.get_mut() {
                    DeValue::Table(table) => merge(table, inner),
                    _ => *existing = node,
                }
            }
        }
    }
}

fn read_file(mut file: Section<'_, '_, '_>, source: &SourceText) -> Option<Pipeline> {
    let problems = file.problems;
    let mut pipeline = file.table("pipeline");
    let name = pipeline.as_mut().and_then(|section| section.string("name"));
    let max_rejects = pipeline.as_mut().and_then(reject_limit);
    match pipeline {
        Some(section) => {
            if name.is_none() {
                section.missing("name");
            }
            section.finish();
        }
        None => file.missing("pipeline"),
    }
    let event = match file.table("event") {
        Some(section) => event(section),
        None => {
            file.missing("event");
            None
        }
    };
    let (fields, unknown) = file.table("fields").map(fields).unwrap_or_default();
    let csv = file.table("csv").map(csv).unwrap_or_default();
    let mut pipeline = Pipeline {
        name: name?.value,
        max_rejects,
        event: event?,
        fields,
        unknown,
        csv,
        rules: file.tables("rules").into_iter().filter_map(rule).collect(),
        aggregates: Vec::new(),
        measures: Vec::new(),
        distinct: Vec::new(),
        sessions: None,
        retention: file.table("retention").map(retention).unwrap_or_default(),
        fingerprint: fingerprint(source),
        source: source.clone(),
    };
    duplicate_names(problems, &pipeline);
    for section in file.tables("aggregates") {
        let spec = aggregate(section, &pipeline);
        pipeline.aggregates.extend(spec);
    }
    pipeline.measures = file
        .table("measures")
        .map(|section| measures(section, &pipeline))
        .unwrap_or_default();
    pipeline.distinct = file
        .table("distinct")
        .map(|section| distinct(section, &pipeline))
        .unwrap_or_default();
    pipeline.sessions = file
        .table("sessions")
        .and_then(|section| sessions(section, &pipeline));
    file.finish();
    Some(pipeline)
}

fn fingerprint(source: &SourceText) -> String {
    let text = [std::slice::from_ref(&source.file), &source.overrides]
        .concat()
        .join("\n--set ");
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

fn reject_limit(section: &mut Section<'_, '_, '_>) -> Option<RejectLimit> {
    let node = section.node("max_rejects")?;
    let limit = match node.get_ref() {
        DeValue::String(text) => text.parse().ok(),
        other => integer(other)
            .and_then(|count| u64::try_from(count).ok())
            .map(RejectLimit::Count),
    };
    if limit.is_none() {
        section.wrong_type("max_rejects", "a count, or a share such as \"5%\"", &node);
    }
    limit
}

fn csv(mut section: Section<'_, '_, '_>) -> CsvSpec {
    let delimiter = section
        .string("delimiter")
        .and_then(|text| match text.value.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Some(*byte),
            _ if text.value == "tab" => Some(b'\t'),
            _ => {
                let message = format!(
                    "`{}` is no delimiter, which is one ASCII character or `tab`",
                    text.value
                );
                section.problems.add(&(text.start..text.start), message);
                None
            }
        });
    let columns = section
        .strings("columns")
        .map(|columns| columns.into_iter().map(|text| text.value).collect());
    section.finish();
    CsvSpec {
        delimiter: delimiter.unwrap_or(b','),
        columns,
    }
}

fn rule(mut section: Section<'_, '_, '_>) -> Option<RuleSpec> {
    let name = section.string("name");
    let when = section.string("when");
    let check = section.string("check");
    let severity = severity(&mut section);
    for (key, found) in [("name", name.is_some()), ("check", check.is_some())] {
        if !found {
            section.missing(key);
        }
    }
    section.finish();
    Some(RuleSpec {
        name: name?.value,
        when,
        check: check?,
        severity,
    })
}

fn duplicate_names(problems: &Problems<'_>, pipeline: &Pipeline) {
    for (index, rule) in pipeline.rules.iter().enumerate() {
        if pipeline.rules[..index]
            .iter()
            .any(|earlier| earlier.name == rule.name)
        {
            problems.add(
                &(rule.check.start..rule.check.start),
                format!("a second rule is called `{}`", rule.name),
            );
        }
    }
}

/// The slot that `name` means, or a problem that names the nearest one.
fn slot(problems: &Problems<'_>, pipeline: &Pipeline, name: &str, at: usize) -> Option<Slot> {
    let slot = pipeline.slot(name);
    if slot.is_none() {
        let hint = pipeline.nearest_slot(name);
        problems.add_with_hint(&(at..at), format!("there is no field `{name}`"), hint);
    }
    slot
}
