//! What is too old to be aggregated: a rule of age may have dropped what it is made from, or what says how far it is made.

use rowmill_model::columns::{family, table};
use rowmill_rowkey::{Date, Timestamp};

use crate::stages::Stages;

/// From which date on everything is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// The first date of which the timeline has every event, and the partials of hours are kept.
    date: Date,
    /// The first Monday of which the week's head, its partial and its days' are kept.
    monday: Date,
}

impl Horizon {
    /// What a pipeline file's rules of age leave at `now`.
    pub(crate) fn new(stages: &Stages, now: Timestamp) -> Self {
        let kept = |table: &str, family: &str| {
            let seconds = stages.pipeline.retention_seconds(table, family);
            seconds.map_or(Date::MIN, |seconds| first_whole_date(now, seconds))
        };
        let timeline = kept(table::TIMELINE, family::EVENT);
        Self {
            date: timeline.max(kept(table::AGGREGATE, family::DAILY_STATS)),
            monday: kept(table::AGGREGATE, family::WEEKLY_STATS),
        }
    }

    /// Whether a date can no longer be aggregated.
    pub(crate) fn is_past(self, date: Date) -> bool {
        date < self.date || date.monday() < self.monday
    }

    /// Whether all of the week of a Monday can be made anew.
    pub(crate) fn has_week(self, monday: Date) -> bool {
        !self.is_past(monday)
    }

    /// The first Monday whose week can be.
    pub(crate) fn first_monday(self) -> Date {
        let first = self.date.max(self.monday);
        match first.monday() {
            monday if monday == first => monday,
            monday => monday.plus_days(7).unwrap_or(Date::MAX),
        }
    }
}

fn first_whole_date(now: Timestamp, seconds: u64) -> Date {
    let micros = i64::try_from(seconds).unwrap_or(i64::MAX);
    let micros = micros.saturating_mul(1_000_000);
    let oldest = Timestamp::from_micros(now.micros().saturating_sub(micros));
    oldest.map_or(Date::MIN, |oldest| match oldest.date() {
        date if date.start() == oldest => date,
        date => date.plus_days(1).unwrap_or(Date::MAX),
    })
}
