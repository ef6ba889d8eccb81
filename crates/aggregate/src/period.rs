//! The time that one bucket covers.

use std::fmt;

use rowmill_model::Grain;
use rowmill_model::columns::family;
use rowmill_rowkey::{Date, Hour};

/// An hour, a day, or a week by its Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A clock hour.
    Hour(Hour),
    /// A date.
    Day(Date),
    /// The week that this Monday opens.
    Week(Date),
}

impl Period {
    /// How long it is.
    pub fn grain(self) -> Grain {
        match self {
            Self::Hour(_) => Grain::Hour,
            Self::Day(_) => Grain::Day,
            Self::Week(_) => Grain::Week,
        }
    }

    /// The family that holds its figures.
    pub fn family(self) -> &'static str {
        match self {
            Self::Hour(_) => family::HOURLY_STATS,
            Self::Day(_) => family::DAILY_STATS,
            Self::Week(_) => family::WEEKLY_STATS,
        }
    }

    /// The date of the row that holds it.
    pub fn date(self) -> Date {
        match self {
            Self::Hour(hour) => hour.date(),
            Self::Day(date) | Self::Week(date) => date,
        }
    }
}

impl fmt::Display for Period {
    /// `2018-11-15T14`, or `2018-11-15`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour(hour) => hour.fmt(f),
            Self::Day(date) | Self::Week(date) => date.fmt(f),
        }
    }
}
