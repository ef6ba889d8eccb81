//! Times as keys hold them: a point in time, its clock hour and its date, all UTC, years 0001 to 9999.
//!
//! Written out here because this crate stands on the standard library alone; the calendar arithmetic is Howard
//! Hinnant's <https://howardhinnant.github.io/date_algorithms.html>.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Part};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_HOUR: i64 = 3_600 * MICROS_PER_SECOND;
const HOURS_PER_DAY: i32 = 24;

/// Days from 1970-01-01 to 0001-01-01 and to 9999-12-31.
const DAY_MIN: i32 = -719_162;
const DAY_MAX: i32 = 2_932_896;

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
///
/// - The year is 0001 to 9999, so that every key prints it in four digits.
/// - `0` and `-1` are accepted, `i64::MAX` is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first moment of the year 0001.
    pub const MIN: Self = Self(DAY_MIN as i64 * 24 * MICROS_PER_HOUR);
    /// The last microsecond of the year 9999.
    pub const MAX: Self = Self((DAY_MAX as i64 + 1) * 24 * MICROS_PER_HOUR - 1);

    /// The time `micros` microseconds after the epoch.
    pub fn from_micros(micros: i64) -> Result<Self, Error> {
        if (Self::MIN.0..=Self::MAX.0).contains(&micros) {
            Ok(Self(micros))
        } else {
            Err(Error::new(Part::Timestamp, ErrorKind::OutOfRange))
        }
    }

    /// Microseconds since the epoch.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// The cell timestamp of an event of this time: cut to a whole millisecond, in microseconds, and never before 1970,
    /// because Bigtable takes no other.
    pub fn cell_micros(self) -> i64 {
        (self.0 / 1_000 * 1_000).max(0)
    }

    /// The clock hour this time falls into.
    pub fn hour(self) -> Hour {
        Hour(
            i32::try_from(self.0.div_euclid(MICROS_PER_HOUR))
                .expect("hours of four-digit years fit 32 bits"),
        )
    }

    /// The date this time falls on.
    pub fn date(self) -> Date {
        self.hour().date()
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with as many digits of the second as there are: `2018-11-15T14:00:00.796Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within_hour = self.0.rem_euclid(MICROS_PER_HOUR);
        let (second, micro) = (
            within_hour / MICROS_PER_SECOND,
            within_hour % MICROS_PER_SECOND,
        );
        write!(f, "{}:{:02}:{:02}", self.hour(), second / 60, second % 60)?;
        if micro % 1_000 != 0 {
            write!(f, ".{micro:06}")?;
        } else if micro != 0 {
            write!(f, ".{:03}", micro / 1_000)?;
        }
        f.write_str("Z")
    }
}

/// A clock hour in UTC, `2018-11-15T14`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i32);

impl Hour {
    /// The hour's date.
    pub fn date(self) -> Date {
        Date(self.0.div_euclid(HOURS_PER_DAY))
    }

    /// The hour of the day, 0 to 23.
    pub fn of_day(self) -> u8 {
        u8::try_from(self.0.rem_euclid(HOURS_PER_DAY)).expect("a remainder of 24 fits a byte")
    }

    /// The first moment of the hour.
    pub fn start(self) -> Timestamp {
        Timestamp(i64::from(self.0) * MICROS_PER_HOUR)
    }

    /// The hour after this one; nothing after the last hour of 9999.
    pub fn next(self) -> Option<Self> {
        let next = Self(self.0 + 1);
        (next.date().0 <= DAY_MAX).then_some(next)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{:02}", self.date(), self.of_day())
    }
}

impl FromStr for Hour {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = Error::new(Part::Hour, ErrorKind::Malformed);
        let (date, hour) = text.split_once('T').ok_or(malformed)?;
        let hour = digits(hour, 2)
            .filter(|hour| *hour < HOURS_PER_DAY)
            .ok_or(malformed)?;
        Ok(date
            .parse::<Date>()?
            .hour(u8::try_from(hour).expect("below 24")))
    }
}

/// A calendar date in UTC, `2018-11-15`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

impl Date {
    /// The first day of the year 0001.
    pub const MIN: Self = Self(DAY_MIN);
    /// The last day of the year 9999.
    pub const MAX: Self = Self(DAY_MAX);

    /// The date, if there is such a day in the years 0001 to 9999.
    pub fn from_civil(year: i32, month: u32, day: u32) -> Option<Self> {
        let (era_year, month_index) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let era = era_year.div_euclid(400);
        let year_of_era = era_year.rem_euclid(400);
        let day_of_year = i32::try_from((153 * month_index + 2) / 5 + day).ok()? - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let date = Self(era * 146_097 + day_of_era - 719_468);
        ((DAY_MIN..=DAY_MAX).contains(&date.0) && date.civil() == (year, month, day))
            .then_some(date)
    }

    /// Year, month (1 to 12) and day of the month (1 to 31).
    pub fn civil(self) -> (i32, u32, u32) {
        let days = self.0 + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_index + 2) / 5 + 1;
        let month = if month_index < 10 {
            month_index + 3
        } else {
            month_index - 9
        };
        let year = year_of_era + era * 400 + i32::from(month <= 2);
        (year, month.unsigned_abs(), day.unsigned_abs())
    }

    /// One hour of this date.
    ///
    /// # Panics
    /// If `of_day` is not 0 to 23.
    pub fn hour(self, of_day: u8) -> Hour {
        assert!(of_day < 24, "an hour of the day is 0 to 23, not {of_day}");
        Hour(self.0 * HOURS_PER_DAY + i32::from(of_day))
    }

    /// The first moment of the date.
    pub fn start(self) -> Timestamp {
        self.hour(0).start()
    }

    /// The Monday that opens this date's ISO week. The first week of 0001 opens on its first day, a Monday.
    pub fn monday(self) -> Self {
        // 1970-01-01 was a Thursday, the third day after a Monday.
        Self(self.0 - (self.0 + 3).rem_euclid(7))
    }

    /// The date `days` later, or earlier if negative, within the years 0001 to 9999.
    pub fn plus_days(self, days: i32) -> Option<Self> {
        let moved = self.0.checked_add(days)?;
        (DAY_MIN..=DAY_MAX).contains(&moved).then_some(Self(moved))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Date {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let (year, rest) = text.split_once('-')?;
            let (month, day) = rest.split_once('-')?;
            Self::from_civil(
                digits(year, 4)?,
                digits(month, 2)?.unsigned_abs(),
                digits(day, 2)?.unsigned_abs(),
            )
        };
        parse().ok_or(Error::new(Part::Date, ErrorKind::Malformed))
    }
}

/// Exactly `count` ASCII digits as a number.
fn digits(text: &str, count: usize) -> Option<i32> {
    let valid = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| text.parse().expect("a few digits are a number"))
}
