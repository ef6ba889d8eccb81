//! What a bucket is made of.

use std::borrow::Cow;

use rowmill_model::{Statistic, Value, ValueType};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::bucket::Bucket;
use crate::exact_sum::ExactSum;

/// The measures and distinct counts of a kind of bucket. Buckets of one layout merge.
#[derive(Debug, Clone)]
pub struct Layout {
    pub(crate) measures: Vec<MeasurePlan>,
    /// The names of the distinct counts.
    pub(crate) distinct: Vec<String>,
    pub(crate) figures: Vec<FigurePlan>,
    /// Of everything that a bucket's bytes depend on.
    pub(crate) fingerprint: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct MeasurePlan {
    pub(crate) name: String,
    pub(crate) is_int: bool,
    pub(crate) stats: Vec<Statistic>,
    pub(crate) with_quantiles: bool,
}

/// One figure that buckets show.
#[derive(Debug, Clone)]
pub(crate) struct FigurePlan {
    pub(crate) name: String,
    /// What its cell holds.
    pub(crate) value_type: ValueType,
    /// The measure that it is the sum of.
    pub(crate) sum_of: Option<usize>,
}

impl FigurePlan {
    fn count(name: String) -> Self {
        Self {
            name,
            value_type: ValueType::Int,
            sum_of: None,
        }
    }
}

/// The figures in their order.
fn figures(measures: &[MeasurePlan], distinct: &[String]) -> Vec<FigurePlan> {
    let mut figures = vec![FigurePlan::count("count".to_owned())];
    let of_distinct = |name| FigurePlan::count(format!("distinct_{name}"));
    figures.extend(distinct.iter().map(of_distinct));
    for (index, measure) in measures.iter().enumerate() {
        figures.extend(measure.stats.iter().map(|stat| FigurePlan {
            name: format!("{}_{stat}", measure.name),
            value_type: match stat {
                Statistic::Count => ValueType::Int,
                Statistic::Sum | Statistic::Min | Statistic::Max if measure.is_int => {
                    ValueType::Int
                }
                _ => ValueType::Float,
            },
            sum_of: (*stat == Statistic::Sum).then_some(index),
        }));
    }
    figures
}

impl MeasurePlan {
    pub(crate) fn new(name: &str, is_int: bool, stats: Vec<Statistic>) -> Self {
        Self {
            name: name.to_owned(),
            is_int,
            with_quantiles: stats
                .iter()
                .any(|stat| matches!(stat, Statistic::Percentile(_))),
            stats,
        }
    }
}

impl Layout {
    pub(crate) fn new(measures: Vec<MeasurePlan>, distinct: Vec<String>) -> Self {
        let mut text = String::new();
        for MeasurePlan {
            name,
            is_int,
            with_quantiles,
            ..
        } in &measures
        {
            text += &format!("measure {name} {is_int} {with_quantiles}\n");
        }
        for name in &distinct {
            text += &format!("distinct {name}\n");
        }
        Self {
            figures: figures(&measures, &distinct),
            measures,
            distinct,
            fingerprint: xxh3_64(text.as_bytes()),
        }
    }

    /// The columns that hold figures of days and weeks, and what their cells hold.
    pub fn columns(&self) -> Vec<(String, ValueType)> {
        let figures = self.figures.iter();
        figures
            .map(|plan| (plan.name.clone(), plan.value_type))
            .collect()
    }

    /// The names of what [`Layout::figures`] gives: `count`, the distinct counts, and each statistic of each measure.
    pub fn figure_names(&self) -> Vec<String> {
        self.figures.iter().map(|plan| plan.name.clone()).collect()
    }

    /// What a bucket shows.
    pub fn figures(&self, bucket: &Bucket) -> Figures {
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
        let sums = self.figures.iter().enumerate();
        let sums = sums.filter_map(|(figure, plan)| {
            let measure = &bucket.measures[plan.sum_of?];
            Some((figure, measure.sum().clone()))
        });
        Figures {
            values: std::iter::once(count(bucket.count))
                .chain(distinct)
                .chain(measures)
                .collect(),
            sums: sums.collect(),
        }
    }
}

/// What a bucket shows: its count, its distinct counts, and the statistics of its measures, in the order of [`Layout::figure_names`].
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    pub(crate) values: Vec<Value<'static>>,
    /// The exact sums, by their figures.
    pub(crate) sums: SmallVec<[(usize, ExactSum); 1]>,
}

impl Figures {
    /// One of them as the value of its cell; null where there is nothing to say it of.
    pub fn value(&self, figure: usize) -> &Value<'static> {
        &self.values[figure]
    }

    /// How many events there were.
    pub fn count(&self) -> u64 {
        match self.values.first() {
            Some(Value::Int(count)) => count.unsigned_abs(),
            _ => 0,
        }
    }

    /// All as decimals, sums in all their digits; empty where there is nothing.
    pub fn texts(&self) -> Vec<Cow<'static, str>> {
        let values = self.values.iter();
        let mut texts: Vec<Cow<'static, str>> = values
            .map(|value| Cow::Owned(value.to_text().into_owned()))
            .collect();
        for (figure, sum) in &self.sums {
            texts[*figure] = Cow::Owned(sum.to_string());
        }
        texts
    }
}
