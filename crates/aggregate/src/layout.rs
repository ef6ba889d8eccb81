//! What a bucket is made of.

use std::borrow::Cow;

use rowmill_model::{Statistic, Value};
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
            measures,
            distinct,
            fingerprint: xxh3_64(text.as_bytes()),
        }
    }

    /// The names of what [`Layout::figures`] gives: `count`, the distinct counts, and each statistic of each measure.
    pub fn figure_names(&self) -> Vec<String> {
        let distinct = self.distinct.iter().map(|name| format!("distinct_{name}"));
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

    /// What a bucket shows, as values of cells, in the order of [`Layout::figure_names`].
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
        self.exact(bucket).texts(self)
    }

    /// The same before they are made texts.
    pub(crate) fn exact(&self, bucket: &Bucket) -> ExactFigures {
        let sums = bucket.measures.iter().map(|measure| measure.sum().clone());
        ExactFigures {
            values: self.figures(bucket),
            sums: sums.collect(),
        }
    }
}

/// What a bucket shows, and the exact sum of each of its measures.
#[derive(Debug)]
pub(crate) struct ExactFigures {
    values: Vec<Value<'static>>,
    sums: SmallVec<[ExactSum; 1]>,
}

impl ExactFigures {
    /// One of them.
    pub(crate) fn value(&self, figure: usize) -> &Value<'static> {
        &self.values[figure]
    }

    /// As decimals, in the order of [`Layout::figure_names`].
    pub(crate) fn texts(&self, layout: &Layout) -> Vec<Cow<'static, str>> {
        let values = self.values.iter();
        let mut texts: Vec<Cow<'static, str>> = values
            .map(|value| Cow::Owned(value.to_text().into_owned()))
            .collect();
        let mut at = 1 + layout.distinct.len();
        for (sum, plan) in self.sums.iter().zip(&layout.measures) {
            for stat in &plan.stats {
                if *stat == Statistic::Sum {
                    texts[at] = Cow::Owned(sum.to_string());
                }
                at += 1;
            }
        }
        texts
    }
}
