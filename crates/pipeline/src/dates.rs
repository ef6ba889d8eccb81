//! Ranges of dates and times, as users ask for them.

use std::fmt::Display;

use rowmill_rowkey::Date;

use crate::error::Error;

/// The dates from one to another, both included.
///
/// - Accepted: `2026-03-01` to `2026-03-05`, a single date, an end that is left out.
/// - Rejected: `2026-03-05` to `2026-03-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateRange {
    from: Date,
    to: Date,
}

impl DateRange {
    /// Every date there is.
    pub const ALL: Self = Self {
        from: Date::MIN,
        to: Date::MAX,
    };

    /// The dates on or after `from` and on or before `to`, as far as they are given.
    pub fn new(from: Option<Date>, to: Option<Date>) -> Result<Self, Error> {
        check_order(from.as_ref(), to.as_ref())?;
        Ok(Self {
            from: from.unwrap_or(Date::MIN),
            to: to.unwrap_or(Date::MAX),
        })
    }

    /// The first date.
    pub fn from(self) -> Date {
        self.from
    }

    /// The last date.
    pub fn to(self) -> Date {
        self.to
    }

    /// Whether a date lies in the range.
    pub fn contains(self, date: Date) -> bool {
        (self.from..=self.to).contains(&date)
    }
}

/// Refuses a beginning that is after its end: dates and times alike.
pub(crate) fn check_order<T: Ord + Display>(from: Option<&T>, to: Option<&T>) -> Result<(), Error> {
    match (from, to) {
        (Some(from), Some(to)) if from > to => {
            Err(Error::Query(format!("--from {from} is after --to {to}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rowmill_rowkey::Date;

    use super::DateRange;

    fn check(from: Option<&str>, to: Option<&str>, problem: Option<&str>) {
        let date = |text: &str| text.parse::<Date>().unwrap();
        let range = DateRange::new(from.map(date), to.map(date));
        let error = range.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), problem);
    }

    #[test]
    fn a_range_ends_no_earlier_than_it_begins() {
        check(None, None, None);
        check(Some("2026-03-01"), Some("2026-03-01"), None);
        check(Some("2026-03-01"), Some("2026-03-05"), None);
        check(Some("2026-03-05"), None, None);
        check(None, Some("2026-03-05"), None);
        let problem = "--from 2026-03-05 is after --to 2026-03-01";
        check(Some("2026-03-05"), Some("2026-03-01"), Some(problem));
    }
}
