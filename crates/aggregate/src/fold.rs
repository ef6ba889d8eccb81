//! Folding events into the buckets of a day, and days into those of a week.

use std::collections::BTreeMap;

use rowmill_model::Grain;
use rowmill_rowkey::{Date, TOTAL_VALUE};
use rustc_hash::FxHashMap;

use crate::bucket::Bucket;
use crate::period::Period;
use crate::plan::{Observation, Plan};

/// The buckets of one dimension, by value.
type Values = FxHashMap<Box<str>, Bucket>;

/// Finished buckets of one row: a dimension, one of its values, and the periods that the row holds.
#[derive(Debug, Clone, PartialEq)]
pub struct RowBuckets {
    pub(crate) dimension: usize,
    pub(crate) value: Box<str>,
    pub(crate) periods: Vec<(Period, Bucket)>,
}

/// The buckets of one date. Parts of the same date, folded apart, merge.
#[derive(Debug)]
pub struct DayFold {
    date: Date,
    /// By dimension and hour: dimensions that are wanted by the hour.
    hours: Vec<BTreeMap<u8, Values>>,
    /// By dimension: those that are wanted by the day only.
    days: Vec<Values>,
}

impl DayFold {
    /// The empty fold of a date.
    pub fn new(plan: &Plan, date: Date) -> Self {
        let count = plan.dimensions.len();
        Self {
            date,
            hours: vec![BTreeMap::new(); count],
            days: vec![Values::default(); count],
        }
    }

    /// Counts an event of this date in every dimension for which it has a value.
    pub fn add(&mut self, plan: &Plan, observation: &Observation<'_>) {
        debug_assert!(observation.hour.date() == self.date, "an event of the date");
        for (index, dimension) in plan.dimensions.iter().enumerate() {
            let text = dimension.value.map(|value| &observation.values[value]);
            let text = match text {
                None => TOTAL_VALUE.into(),
                Some(value) if value.is_null() => continue,
                Some(value) => value.to_text(),
            };
            let values = if dimension.grains.contains(&Grain::Hour) {
                self.hours[index]
                    .entry(observation.hour.of_day())
                    .or_default()
            } else {
                &mut self.days[index]
            };
            entry(values, &text, plan).add(plan, observation);
        }
    }

    /// Adds the events of another fold of the same date.
    pub fn merge(&mut self, plan: &Plan, other: Self) {
        debug_assert!(other.date == self.date, "folds of one date merge");
        for (ours, theirs) in self.days.iter_mut().zip(other.days) {
            merge_values(ours, theirs, plan);
        }
        for (ours, theirs) in self.hours.iter_mut().zip(other.hours) {
            for (hour, values) in theirs {
                merge_values(ours.entry(hour).or_default(), values, plan);
            }
        }
    }

    /// Rolls the hours up and hands out all buckets of the date, by dimension and value; those of the day also go into
    /// `week`.
    pub fn finish(mut self, plan: &Plan, week: &mut WeekFold) -> Vec<RowBuckets> {
        let mut rows = Vec::new();
        for (index, dimension) in plan.dimensions.iter().enumerate() {
            let mut periods: BTreeMap<Box<str>, Vec<(Period, Bucket)>> = BTreeMap::new();
            let mut days = std::mem::take(&mut self.days[index]);
            for (hour, values) in std::mem::take(&mut self.hours[index]) {
                for (value, bucket) in values {
                    entry(&mut days, &value, plan).merge(&bucket);
                    periods
                        .entry(value)
                        .or_default()
                        .push((Period::Hour(self.date.hour(hour)), bucket));
                }
            }
            for (value, bucket) in days {
                if dimension.grains.contains(&Grain::Week) {
                    entry(&mut week.values[index], &value, plan).merge(&bucket);
                }
                if dimension.grains.contains(&Grain::Day) {
                    periods
                        .entry(value)
                        .or_default()
                        .push((Period::Day(self.date), bucket));
                }
            }
            rows.extend(periods.into_iter().map(|(value, periods)| RowBuckets {
                dimension: index,
                value,
                periods,
            }));
        }
        rows
    }
}

/// The buckets of one week.
#[derive(Debug)]
pub struct WeekFold {
    monday: Date,
    values: Vec<Values>,
}

impl WeekFold {
    /// The empty fold of the week that `monday` opens.
    pub fn new(plan: &Plan, monday: Date) -> Self {
        Self {
            monday,
            values: vec![Values::default(); plan.dimensions.len()],
        }
    }

    /// All buckets of the week, by dimension and value.
    pub fn finish(self) -> Vec<RowBuckets> {
        let monday = self.monday;
        let of_dimension = |(index, values): (usize, Values)| {
            let mut values: Vec<_> = values.into_iter().collect();
            values.sort_by(|a, b| a.0.cmp(&b.0));
            values.into_iter().map(move |(value, bucket)| RowBuckets {
                dimension: index,
                value,
                periods: vec![(Period::Week(monday), bucket)],
            })
        };
        self.values
            .into_iter()
            .enumerate()
            .flat_map(of_dimension)
            .collect()
    }
}

fn entry<'v>(values: &'v mut Values, text: &str, plan: &Plan) -> &'v mut Bucket {
    if !values.contains_key(text) {
        values.insert(text.into(), Bucket::new(plan));
    }
    values.get_mut(text).expect("it was just inserted")
}

fn merge_values(ours: &mut Values, theirs: Values, plan: &Plan) {
    for (value, bucket) in theirs {
        entry(ours, &value, plan).merge(&bucket);
    }
}
