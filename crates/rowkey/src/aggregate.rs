//! The key of an aggregate row: a dimension, one of its values, and a date.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::error::{Error, ErrorKind, Part};
use crate::hash::fnv1a_128;
use crate::part::{self, PART_BYTES_MAX, SEPARATOR};
use crate::range::{KeyRange, successor};
use crate::time::Date;

/// The dimension of the built-in total. Names that start with `_` are reserved.
pub const TOTAL_DIMENSION: &str = "_total";
/// The one value of [`TOTAL_DIMENSION`].
pub const TOTAL_VALUE: &str = "all";

/// The dimension of leaderboards: its values are the dimensions that they are of.
pub const TOP_DIMENSION: &str = "_top";
/// The dimension of sessions; its one value is [`TOTAL_VALUE`].
pub const SESSIONS_DIMENSION: &str = "_sessions";
/// The dimension of what aggregation keeps for itself.
pub const PARTIAL_DIMENSION: &str = "_partial";

/// What opens the hash of a value that was cut. No encoded text contains it: there `%` is followed by a digit.
const CUT: &[u8] = b"%~";
const HASH_DIGITS: usize = 32;

/// Key of a row of `events_aggregate`: `{dimension}#{dimension_value}#{date}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AggregateKey<'a> {
    /// The dimension, a stored field name or [`TOTAL_DIMENSION`].
    pub dimension: Cow<'a, str>,
    /// Which of the dimension's values.
    pub value: DimensionValue<'a>,
    /// The day, or the Monday of the week.
    pub date: Date,
}

/// A dimension's value as a key can hold it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DimensionValue<'a> {
    /// The value itself.
    Whole(Cow<'a, str>),
    /// A value too long for a key: its beginning, and a hash of all of it. The row keeps the whole value in a cell.
    Cut {
        /// As much of the beginning as fits.
        head: Cow<'a, str>,
        /// 128-bit FNV-1a of the whole value.
        hash: u128,
    },
}

impl<'a> DimensionValue<'a> {
    /// The value `text`, cut if it does not fit into a key.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        // A byte takes at most three once encoded.
        const SHORT_BYTES: usize = PART_BYTES_MAX / 3;
        let text = text.into();
        if text.len() <= SHORT_BYTES {
            return Self::Whole(text);
        }
        let mut encoded = Vec::new();
        part::push_unbounded(&mut encoded, &text);
        if encoded.len() <= PART_BYTES_MAX {
            return Self::Whole(text);
        }
        let room = PART_BYTES_MAX - CUT.len() - HASH_DIGITS;
        // A third of the room is always enough.
        let mut end = room / 3;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let hash = fnv1a_128(text.as_bytes());
        Self::Cut {
            head: Cow::Owned(text[..end].to_owned()),
            hash,
        }
    }

    fn push(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Whole(text) => part::push(out, Part::DimensionValue, text),
            Self::Cut { head, hash } => {
                part::push(out, Part::DimensionValue, head)?;
                out.extend_from_slice(CUT);
                let mut digits = String::with_capacity(HASH_DIGITS);
                write!(digits, "{hash:032x}").expect("writing to a string");
                out.extend_from_slice(digits.as_bytes());
                Ok(())
            }
        }
    }

    fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let cut_at = bytes.len().checked_sub(CUT.len() + HASH_DIGITS);
        match cut_at.filter(|&at| bytes[at..].starts_with(CUT)) {
            None => part::decode(Part::DimensionValue, bytes).map(Self::Whole),
            Some(at) => {
                let head = part::decode(Part::DimensionValue, &bytes[..at])?;
                Ok(Self::Cut {
                    head,
                    hash: decode_hash(&bytes[at + CUT.len()..])?,
                })
            }
        }
    }
}

fn decode_hash(digits: &[u8]) -> Result<u128, Error> {
    let lower_hex = digits
        .iter()
        .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let text = std::str::from_utf8(digits).ok().filter(|_| lower_hex);
    text.and_then(|text| u128::from_str_radix(text, 16).ok())
        .ok_or(Error::new(Part::DimensionValue, ErrorKind::Malformed))
}

impl<'a> AggregateKey<'a> {
    /// The key of `value` of `dimension` on `date`.
    pub fn new(
        dimension: impl Into<Cow<'a, str>>,
        value: impl Into<Cow<'a, str>>,
        date: Date,
    ) -> Self {
        Self {
            dimension: dimension.into(),
            value: DimensionValue::new(value),
            date,
        }
    }

    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = value_prefix(&self.dimension, &self.value)?;
        push_date(&mut out, self.date);
        Ok(out)
    }

    /// The parts of a key's bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let (dimension, rest) = part::split(bytes);
        let dimension = part::decode(Part::Dimension, dimension)?;
        let (value, rest) = part::split(part::expect_more(rest, Part::DimensionValue)?);
        let value = DimensionValue::decode(value)?;
        let date = std::str::from_utf8(part::expect_more(rest, Part::Date)?);
        let date = date
            .map_err(|_| Error::new(Part::Date, ErrorKind::Malformed))?
            .parse()?;
        Ok(Self {
            dimension,
            value,
            date,
        })
    }

    /// The range of all values and dates of a dimension.
    pub fn dimension(dimension: &str) -> Result<KeyRange, Error> {
        let mut prefix = Vec::with_capacity(dimension.len() + 1);
        part::push(&mut prefix, Part::Dimension, dimension)?;
        prefix.push(SEPARATOR);
        Ok(KeyRange::prefix(prefix))
    }

    /// The ranges of all rows but those of leaderboards and of what aggregation keeps for itself.
    pub fn shown() -> Vec<KeyRange> {
        Self::all_but(&[PARTIAL_DIMENSION, TOP_DIMENSION])
    }

    /// The ranges of all rows of dimensions that a pipeline file names, and of the total.
    pub fn of_events() -> Vec<KeyRange> {
        Self::all_but(&[PARTIAL_DIMENSION, SESSIONS_DIMENSION, TOP_DIMENSION])
    }

    /// The ranges of all rows but those of some dimensions, which come in order.
    fn all_but(dimensions: &[&str]) -> Vec<KeyRange> {
        let hidden = dimensions.iter().map(|name| {
            let range = Self::dimension(name).expect("a name of letters is a key's part");
            (
                range.start,
                range.end.expect("a prefix of letters has an end"),
            )
        });
        let mut ranges = vec![KeyRange::all()];
        for (start, end) in hidden {
            let rest = ranges.pop().expect("there is always a last range");
            ranges.push(KeyRange {
                end: Some(start),
                ..rest
            });
            ranges.push(KeyRange {
                start: end,
                end: None,
            });
        }
        ranges
    }

    /// The range of one value's dates from `from` to `to`, both included where given.
    pub fn value_between(
        dimension: &str,
        value: &str,
        from: Option<Date>,
        to: Option<Date>,
    ) -> Result<KeyRange, Error> {
        let prefix = value_prefix(dimension, &DimensionValue::new(value))?;
        let mut range = KeyRange::prefix(prefix.clone());
        if let Some(from) = from {
            push_date(&mut range.start, from);
        }
        if let Some(to) = to {
            let mut last = prefix;
            push_date(&mut last, to);
            range.end = successor(&last);
        }
        Ok(range)
    }
}

fn value_prefix(dimension: &str, value: &DimensionValue<'_>) -> Result<Vec<u8>, Error> {
    let mut prefix = Vec::with_capacity(dimension.len() + 64);
    part::push(&mut prefix, Part::Dimension, dimension)?;
    prefix.push(SEPARATOR);
    value.push(&mut prefix)?;
    prefix.push(SEPARATOR);
    Ok(prefix)
}

fn push_date(out: &mut Vec<u8>, date: Date) {
    let (year, month, day) = date.civil();
    part::push_digits(out, u64::from(year.unsigned_abs()), 4);
    out.push(b'-');
    part::push_digits(out, u64::from(month), 2);
    out.push(b'-');
    part::push_digits(out, u64::from(day), 2);
}
