//! `[[aggregates]]`, `[measures]` and `[distinct]`.

use super::super::section::{Problems, Section};
use super::super::{
    AggregateSpec, DimensionSource, DistinctSpec, Grain, MeasureSpec, Pipeline, SessionSpec,
    Statistic, TopSpec,
};
use super::slot;
use crate::event::Slot;
use crate::value::ValueType;

pub(super) fn aggregate(
    mut section: Section<'_, '_, '_>,
    pipeline: &Pipeline,
) -> Option<AggregateSpec> {
    let fields = section.strings("dimension").unwrap_or_default();
    let name = section.string("name");
    let expression = section.string("value");
    let filter = section.string("where");
    if fields.is_empty() {
        section.missing("dimension");
    }
    let grains = grains(&mut section);
    let top = top(&mut section);
    let problems = section.problems;
    section.finish();
    let first = fields.first()?;
    let joined = fields.iter().map(|field| field.value.as_str());
    let joined = joined.collect::<Vec<_>>().join(",");
    let at = name.as_ref().map_or(first.start, |name| name.start);
    let name = name.map_or(joined, |name| name.value);
    check_name(problems, pipeline, &name, at);
    let source = if let Some(expression) = expression {
        DimensionSource::Expression(expression)
    } else {
        let slots = fields
            .iter()
            .map(|field| slot(problems, pipeline, &field.value, field.start));
        DimensionSource::Fields(slots.collect::<Option<_>>()?)
    };
    Some(AggregateSpec {
        name,
        source,
        filter,
        grains,
        top,
    })
}

fn check_name(problems: &Problems<'_>, pipeline: &Pipeline, name: &str, at: usize) {
    const NAME_BYTES_MAX: usize = 256;
    let problem = if pipeline.aggregates.iter().any(|spec| spec.name == name) {
        format!("`{name}` is aggregated by twice; `name` tells them apart")
    } else if name.starts_with('_') {
        format!("`{name}` is no name of a dimension: those with `_` in front are rowmill's own")
    } else if name.is_empty() || name.len() > NAME_BYTES_MAX {
        format!("a dimension's name has 1 to {NAME_BYTES_MAX} bytes")
    } else {
        return;
    };
    problems.add(&(at..at), problem);
}

fn top(section: &mut Section<'_, '_, '_>) -> TopSpec {
    let mut top = TopSpec::default();
    let Some(mut inner) = section.table("top") else {
        return top;
    };
    top.by = inner.strings("by").unwrap_or(top.by);
    if let Some(size) = inner.count("size") {
        if size > TopSpec::SIZE_MAX {
            let message = format!("a leaderboard has at most {} places", TopSpec::SIZE_MAX);
            inner.problems.add(&inner.span, message);
        }
        top.size = usize::try_from(size).unwrap_or(usize::MAX);
    }
    inner.finish();
    top
}

pub(super) fn sessions(
    mut section: Section<'_, '_, '_>,
    pipeline: &Pipeline,
) -> Option<SessionSpec> {
    let field = section.string("field");
    let gap = section.string("gap");
    let problems = section.problems;
    let spec = match (field, gap) {
        (Some(field), None) => {
            slot(problems, pipeline, &field.value, field.start).map(|slot| SessionSpec {
                slot,
                gap_micros: None,
            })
        }
        (None, Some(gap)) => {
            let micros = gap_micros(&gap.value);
            if micros.is_none() {
                let message = format!("`{}` is no length of time such as 30m or 2h", gap.value);
                problems.add(&(gap.start..gap.start), message);
            }
            micros.map(|micros| SessionSpec {
                slot: Slot::UserId,
                gap_micros: Some(micros),
            })
        }
        _ => {
            let message = "[sessions] has either a `field` that names the session, or a `gap`";
            problems.add(&section.span, message);
            None
        }
    };
    section.finish();
    spec
}

fn gap_micros(text: &str) -> Option<i64> {
    let (digits, seconds) = if let Some(minutes) = text.strip_suffix('m') {
        (minutes, 60)
    } else {
        (text.strip_suffix('h')?, 3_600)
    };
    let count = digits.parse::<i64>().ok().filter(|count| *count > 0)?;
    count.checked_mul(seconds * 1_000_000)
}

fn grains(section: &mut Section<'_, '_, '_>) -> Vec<Grain> {
    let Some(names) = section.strings("grains") else {
        return Grain::ALL.to_vec();
    };
    let mut grains = Vec::new();
    for name in names {
        match Grain::ALL
            .into_iter()
            .find(|grain| grain.name() == name.value)
        {
            Some(grain) => grains.push(grain),
            None => {
                let message = format!(
                    "`{}` is no grain, which is `hour`, `day` or `week`",
                    name.value
                );
                section.problems.add(&(name.start..name.start), message);
            }
        }
    }
    grains.sort_unstable();
    grains.dedup();
    grains
}

pub(super) fn measures(mut section: Section<'_, '_, '_>, pipeline: &Pipeline) -> Vec<MeasureSpec> {
    let problems = section.problems;
    let mut measures = Vec::new();
    for (name, span, node) in section.rest() {
        let Some(mut inner) = section.as_table(&name, node) else {
            continue;
        };
        let stats = statistics(&mut inner);
        inner.finish();
        match slot(problems, pipeline, &name, span.start) {
            Some(Slot::Field(field)) if is_number(pipeline.fields[field].value_type) => {
                measures.push(MeasureSpec { name, field, stats });
            }
            Some(_) => problems.add(
                &span,
                format!("`{name}` is no number and cannot be measured"),
            ),
            None => {}
        }
    }
    measures
}

fn is_number(value_type: ValueType) -> bool {
    matches!(value_type, ValueType::Int | ValueType::Float)
}

fn statistics(section: &mut Section<'_, '_, '_>) -> Vec<Statistic> {
    let Some(names) = section.strings("stats") else {
        return vec![
            Statistic::Sum,
            Statistic::Min,
            Statistic::Max,
            Statistic::Avg,
        ];
    };
    let mut stats = Vec::new();
    for name in names {
        match Statistic::from_name(&name.value) {
            Some(statistic) if !stats.contains(&statistic) => stats.push(statistic),
            Some(_) => {}
            None => {
                let message = format!("`{}` is no statistic", name.value);
                let hint = Some("there are count, sum, min, max, avg, and p1 to p99".into());
                section
                    .problems
                    .add_with_hint(&(name.start..name.start), message, hint);
            }
        }
    }
    stats
}

pub(super) fn distinct(mut section: Section<'_, '_, '_>, pipeline: &Pipeline) -> Vec<DistinctSpec> {
    let mut specs = Vec::new();
    for (name, _, node) in section.rest() {
        let Some(field) = section.as_string(&name, &node) else {
            continue;
        };
        let slot = slot(section.problems, pipeline, &field.value, field.start);
        specs.extend(slot.map(|slot| DistinctSpec { name, slot }));
    }
    specs
}
