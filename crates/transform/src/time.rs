//! Times as files write them, to UTC.

use chrono::format::{Item, Parsed, StrftimeItems};
use chrono::{DateTime, LocalResult, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;
use rowmill_model::{Located, TimestampFormat};
use rowmill_rowkey::{Date, Timestamp};

use crate::number::parse_int;

/// The formats of one time, compiled.
#[derive(Debug, Clone)]
pub(crate) struct TimeParser {
    formats: Vec<Format>,
    zone: Tz,
}

#[derive(Debug, Clone)]
enum Format {
    Rfc3339,
    /// Units since 1970, and how many microseconds one is.
    Unix(i64),
    Pattern(Vec<Item<'static>>),
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no strftime pattern")]
pub(crate) struct InvalidPattern(String);

impl TimeParser {
    /// Compiles the formats; on failure says which one is none.
    pub(crate) fn new(
        formats: &[Located<TimestampFormat>],
        zone: Tz,
    ) -> Result<Self, (usize, InvalidPattern)> {
        let compile = |(index, format): (usize, &Located<TimestampFormat>)| match &format.value {
            TimestampFormat::Rfc3339 => Ok(Format::Rfc3339),
            TimestampFormat::UnixSeconds => Ok(Format::Unix(1_000_000)),
            TimestampFormat::UnixMillis => Ok(Format::Unix(1_000)),
            TimestampFormat::UnixMicros => Ok(Format::Unix(1)),
            TimestampFormat::Pattern(pattern) => StrftimeItems::new(pattern)
                .parse_to_owned()
                .map(Format::Pattern)
                .map_err(|_| (index, InvalidPattern(pattern.clone()))),
        };
        Ok(Self {
            formats: formats
                .iter()
                .enumerate()
                .map(compile)
                .collect::<Result<_, _>>()?,
            zone,
        })
    }

    /// The time that `text` writes in the first format that fits.
    pub(crate) fn parse(&self, text: &str) -> Option<Timestamp> {
        self.formats.iter().find_map(|format| {
            let micros = match format {
                Format::Rfc3339 => self.rfc3339(text),
                Format::Unix(unit_micros) => unix(text, *unit_micros),
                Format::Pattern(items) => self.pattern(text, items),
            };
            Timestamp::from_micros(micros?).ok()
        })
    }

    /// RFC 3339, or the same without a zone, or a date alone.
    fn rfc3339(&self, text: &str) -> Option<i64> {
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Some(time.timestamp_micros());
        }
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
        let time: NaiveTime = time.parse().ok()?;
        let (year, month, day) = date.parse::<Date>().ok()?.civil();
        self.in_zone(chrono::NaiveDate::from_ymd_opt(year, month, day)?.and_time(time))
    }

    fn pattern(&self, text: &str, items: &[Item<'_>]) -> Option<i64> {
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text, items.iter()).ok()?;
        if let Ok(time) = parsed.to_datetime() {
            return Some(time.timestamp_micros());
        }
        let date = parsed.to_naive_date().ok()?;
        // A pattern without a clock time means the day's first moment; an incomplete clock time means nothing.
        let time = parsed
            .to_naive_time()
            .ok()
            .or_else(|| has_no_time(&parsed).then_some(NaiveTime::MIN))?;
        self.in_zone(date.and_time(time))
    }

    /// A wall-clock time of the zone. One that happened twice is its first; one that was skipped is none.
    fn in_zone(&self, local: NaiveDateTime) -> Option<i64> {
        if self.zone == Tz::UTC {
            return Some(local.and_utc().timestamp_micros());
        }
        match self.zone.from_local_datetime(&local) {
            LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => {
                Some(time.timestamp_micros())
            }
            LocalResult::None => None,
        }
    }
}

fn has_no_time(parsed: &Parsed) -> bool {
    parsed.hour_div_12().is_none() && parsed.hour_mod_12().is_none() && parsed.minute().is_none()
}

/// A number of units since 1970, with a fraction or in scientific notation if it must be.
fn unix(text: &str, unit_micros: i64) -> Option<i64> {
    if let Some(units) = parse_int(text) {
        return units.checked_mul(unit_micros);
    }
    // `1541105830.796` seconds: the fraction is shifted into whole microseconds, never through a float.
    let digits = unit_micros.ilog10();
    parse_int(&format!("{text}e{digits}"))
}
