//! What is aggregated: dimensions, measures, distinct counts, sessions.

use std::fmt;

use super::Located;
use crate::event::Slot;

/// The length of time that one aggregate covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// A clock hour.
    Hour,
    /// A calendar day.
    Day,
    /// Seven days from a Monday.
    Week,
}

impl Grain {
    /// All of them, shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// The name in pipeline files, tables and exports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
        }
    }
}

/// `[[aggregates]]`: what is aggregated by.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateSpec {
    /// The name of the dimension.
    pub name: String,
    /// What its values are.
    pub source: DimensionSource,
    /// Only events for which this expression is true count.
    pub filter: Option<Located<String>>,
    /// For which lengths of time.
    pub grains: Vec<Grain>,
    /// Its leaderboards.
    pub top: TopSpec,
}

/// What the values of a dimension are.
#[derive(Debug, Clone, PartialEq)]
pub enum DimensionSource {
    /// Those of a field, or of several together.
    Fields(Vec<Slot>),
    /// What an expression says of an event.
    Expression(Located<String>),
}

/// The leaderboards of a dimension: its values with the greatest figures, in each period.
#[derive(Debug, Clone, PartialEq)]
pub struct TopSpec {
    /// The figures to order by.
    pub by: Vec<Located<String>>,
    /// How many values are kept.
    pub size: usize,
}

impl TopSpec {
    /// How many values are kept without a word about it.
    pub const SIZE: usize = 100;
    /// The most that may be kept: a leaderboard is one cell.
    pub const SIZE_MAX: u64 = 10_000;
}

impl Default for TopSpec {
    fn default() -> Self {
        let count = Located {
            value: "count".to_owned(),
            start: 0,
        };
        Self {
            by: vec![count],
            size: Self::SIZE,
        }
    }
}

/// `[sessions]`: what events belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSpec {
    /// Where the session's name is, or without one the user.
    pub slot: Slot,
    /// How long a silence ends a session of a user, in microseconds; none if a field names the sessions.
    pub gap_micros: Option<i64>,
}

/// `[measures.FIELD]`: what is measured in every aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasureSpec {
    /// The field's name.
    pub name: String,
    /// The field's index.
    pub field: usize,
    /// What is shown of it.
    pub stats: Vec<Statistic>,
}

/// What is shown of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Statistic {
    /// How many events have a value.
    Count,
    /// The exact sum.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The mean.
    Avg,
    /// The value that so many of a hundred do not exceed, within one percent.
    Percentile(u8),
}

impl Statistic {
    /// The statistic of that name: `count`, `sum`, `min`, `max`, `avg`, or `p1` to `p99`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "count" => Some(Self::Count),
            "sum" => Some(Self::Sum),
            "min" => Some(Self::Min),
            "max" => Some(Self::Max),
            "avg" => Some(Self::Avg),
            _ => {
                let percent = name.strip_prefix('p')?.parse().ok()?;
                let canonical = (1..=99).contains(&percent) && name == format!("p{percent}");
                canonical.then_some(Self::Percentile(percent))
            }
        }
    }
}

impl fmt::Display for Statistic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("count"),
            Self::Sum => f.write_str("sum"),
            Self::Min => f.write_str("min"),
            Self::Max => f.write_str("max"),
            Self::Avg => f.write_str("avg"),
            Self::Percentile(percent) => write!(f, "p{percent}"),
        }
    }
}

/// An entry of `[distinct]`: what is counted distinctly in every aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinctSpec {
    /// What the count is called, as in `distinct_users`.
    pub name: String,
    /// Where the values are.
    pub slot: Slot,
}
