//! What is aggregated, compiled from a pipeline file.

use std::borrow::Cow;

use rowmill_model::columns::family;
use rowmill_model::{Grain, Pipeline, Row, Slot, Statistic, Value, ValueType};
use rowmill_rowkey::{Hour, TOTAL_DIMENSION, TimelineKey};
use xxhash_rust::xxh3::xxh3_64;

use crate::bucket::Bucket;

/// What is aggregated: dimensions, measures, distinct counts, and where a timeline row has their values.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) dimensions: Vec<Dimension>,
    pub(crate) measures: Vec<MeasurePlan>,
    pub(crate) distinct: Vec<DistinctPlan>,
    /// The slots whose values are needed, each once; what dimensions and measures point into.
    slots: Vec<Slot>,
    /// The slots that are columns of the timeline, by name, with their type and their place in `slots`.
    columns: Vec<Column>,
    placeholder: Option<String>,
    /// Of everything that a bucket's bytes depend on.
    pub(crate) fingerprint: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Dimension {
    pub(crate) name: String,
    /// Which of an observation's values; none for the total.
    pub(crate) value: Option<usize>,
    pub(crate) grains: Vec<Grain>,
}

#[derive(Debug, Clone)]
pub(crate) struct MeasurePlan {
    pub(crate) name: String,
    pub(crate) value: usize,
    pub(crate) is_int: bool,
    pub(crate) stats: Vec<Statistic>,
    pub(crate) with_quantiles: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct DistinctPlan {
    pub(crate) name: String,
    pub(crate) value: usize,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    slot: Slot,
    value_type: ValueType,
    value: usize,
}

/// What aggregation sees of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation<'a> {
    /// When it happened.
    pub hour: Hour,
    pub(crate) values: Vec<Value<'a>>,
}

/// A row of the timeline that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the timeline row {key:?} holds {problem}")]
pub struct PlanError {
    key: String,
    problem: String,
}

impl Plan {
    /// The plan of a pipeline file.
    pub fn new(pipeline: &Pipeline) -> Self {
        let mut slots = Vec::new();
        let mut value = |slot: Slot| {
            slots
                .iter()
                .position(|other| *other == slot)
                .unwrap_or_else(|| {
                    slots.push(slot);
                    slots.len() - 1
                })
        };
        let total = Dimension {
            name: TOTAL_DIMENSION.to_owned(),
            value: None,
            grains: Grain::ALL.to_vec(),
        };
        let dimension = |spec: &rowmill_model::AggregateSpec| Dimension {
            name: spec.dimension.clone(),
            value: Some(value(spec.slot)),
            grains: spec.grains.clone(),
        };
        let dimensions = std::iter::once(total)
            .chain(pipeline.aggregates.iter().map(dimension))
            .collect();
        let measure = |spec: &rowmill_model::MeasureSpec| MeasurePlan {
            name: spec.name.clone(),
            value: value(Slot::Field(spec.field)),
            is_int: pipeline.fields[spec.field].value_type == ValueType::Int,
            stats: spec.stats.clone(),
            with_quantiles: spec
                .stats
                .iter()
                .any(|stat| matches!(stat, Statistic::Percentile(_))),
        };
        let measures: Vec<_> = pipeline.measures.iter().map(measure).collect();
        let distinct = |spec: &rowmill_model::DistinctSpec| DistinctPlan {
            name: spec.name.clone(),
            value: value(spec.slot),
        };
        let distinct: Vec<_> = pipeline.distinct.iter().map(distinct).collect();
        let fingerprint = fingerprint(&measures, &distinct);
        let columns = columns(pipeline, &slots);
        let placeholder = pipeline.event.user_id.placeholder.clone();
        Self {
            dimensions,
            measures,
            distinct,
            slots,
            columns,
            placeholder,
            fingerprint,
        }
    }

    /// The columns that a timeline row needs, ordered by name. User, id and time are in its key.
    pub fn timeline_columns(&self) -> Vec<(String, Slot)> {
        self.columns
            .iter()
            .map(|column| (column.name.clone(), column.slot))
            .collect()
    }

    /// What a timeline row says.
    pub fn observe<'a>(&self, row: &'a Row) -> Result<Observation<'a>, PlanError> {
        let error = |problem: String| PlanError {
            key: String::from_utf8_lossy(row.key()).into_owned(),
            problem,
        };
        let fact = TimelineKey::decode(row.key())
            .map_err(|it| error(it.to_string()))?
            .fact;
        let mut values = vec![Value::Null; self.slots.len()];
        for cell in row.cells().filter(|cell| cell.family == family::EVENT) {
            if let Ok(at) = self
                .columns
                .binary_search_by(|column| column.name.as_bytes().cmp(cell.qualifier))
            {
                let column = &self.columns[at];
                values[column.value] = Value::decode(column.value_type, cell.value)
                    .map_err(|it| error(format!("no valid `{}`: {it}", column.name)))?;
            }
        }
        let hour = fact.timestamp.hour();
        for (value, slot) in values.iter_mut().zip(&self.slots) {
            match slot {
                Slot::UserId if Some(&*fact.user_id) != self.placeholder.as_deref() => {
                    *value = Value::String(fact.user_id.clone());
                }
                Slot::EventId => *value = Value::String(fact.event_id.clone()),
                Slot::Timestamp => *value = Value::Timestamp(fact.timestamp),
                Slot::UserId | Slot::EventType | Slot::Field(_) => {}
            }
        }
        Ok(Observation { hour, values })
    }

    /// The names of the dimensions, the total first.
    pub fn dimension_names(&self) -> impl Iterator<Item = &str> {
        self.dimensions
            .iter()
            .map(|dimension| dimension.name.as_str())
    }

    /// The names of what [`Plan::figures`] gives: `count`, the distinct counts, and each statistic of each measure.
    pub fn figure_names(&self) -> Vec<String> {
        let distinct = self
            .distinct
            .iter()
            .map(|distinct| format!("distinct_{}", distinct.name));
        let of_measure = |measure: &'_ MeasurePlan| {
            let name = measure.name.clone();
            measure
                .stats
                .clone()
                .into_iter()
                .map(move |stat| format!("{name}_{stat}"))
        };
        let measures = self.measures.iter().flat_map(of_measure);
        std::iter::once("count".to_owned())
            .chain(distinct)
            .chain(measures)
            .collect()
    }

    /// What a bucket shows, as values of cells, in the order of [`Plan::figure_names`].
    pub fn figures(&self, bucket: &Bucket) -> Vec<Value<'static>> {
        let count = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let distinct = bucket
            .distinct
            .iter()
            .map(|distinct| count(distinct.count()));
        let measures = bucket
            .measures
            .iter()
            .zip(&self.measures)
            .flat_map(|(measure, plan)| {
                plan.stats
                    .iter()
                    .map(|stat| measure.statistic(*stat, plan.is_int))
            });
        std::iter::once(count(bucket.count))
            .chain(distinct)
            .chain(measures)
            .collect()
    }

    /// The same as text, with sums in all their digits.
    pub fn exact_figures(&self, bucket: &Bucket) -> Vec<Cow<'static, str>> {
        let mut texts: Vec<Cow<'static, str>> = self
            .figures(bucket)
            .into_iter()
            .map(|value| Cow::Owned(value.to_text().into_owned()))
            .collect();
        let mut at = 1 + self.distinct.len();
        for (measure, plan) in bucket.measures.iter().zip(&self.measures) {
            for stat in &plan.stats {
                if *stat == Statistic::Sum {
                    texts[at] = Cow::Owned(measure.sum().to_string());
                }
                at += 1;
            }
        }
        texts
    }
}

fn columns(pipeline: &Pipeline, slots: &[Slot]) -> Vec<Column> {
    let is_column = |slot: &Slot| matches!(slot, Slot::EventType | Slot::Field(_));
    let column = |(value, slot): (usize, &Slot)| Column {
        name: pipeline.slot_name(*slot).to_owned(),
        slot: *slot,
        value_type: pipeline.slot_type(*slot),
        value,
    };
    let mut columns: Vec<_> = slots
        .iter()
        .enumerate()
        .filter(|(_, slot)| is_column(slot))
        .map(column)
        .collect();
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    columns
}

fn fingerprint(measures: &[MeasurePlan], distinct: &[DistinctPlan]) -> u64 {
    let mut text = String::new();
    for measure in measures {
        text += &format!(
            "measure {} {} {}\n",
            measure.name, measure.is_int, measure.with_quantiles
        );
    }
    for count in distinct {
        text += &format!("distinct {}\n", count.name);
    }
    xxh3_64(text.as_bytes())
}
