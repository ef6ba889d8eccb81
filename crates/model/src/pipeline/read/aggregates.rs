//! `[[aggregates]]`, `[measures]` and `[distinct]`.

use super::super::section::Section;
use super::super::{AggregateSpec, DistinctSpec, Grain, MeasureSpec, Pipeline, Statistic};
use super::slot;
use crate::event::Slot;
use crate::value::ValueType;

pub(super) fn aggregate(
    mut section: Section<'_, '_, '_>,
    pipeline: &Pipeline,
) -> Option<AggregateSpec> {
    let dimension = section.string("dimension");
    if dimension.is_none() {
        section.missing("dimension");
    }
    let grains = grains(&mut section);
    let problems = section.problems;
    section.finish();
    let dimension = dimension?;
    let slot = slot(problems, pipeline, &dimension.value, dimension.start)?;
    if pipeline
        .aggregates
        .iter()
        .any(|spec| spec.dimension == dimension.value)
    {
        problems.add(
            &(dimension.start..dimension.start),
            format!("`{}` is aggregated by twice", dimension.value),
        );
    }
    Some(AggregateSpec {
        dimension: dimension.value,
        slot,
        grains,
    })
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
