//! The key of an event by hour, spread over buckets so that the current hour is no hot spot.

use crate::error::{Error, ErrorKind, Part};
use crate::fact::FactKey;
use crate::hash::fnv1a_64;
use crate::part::{self, SEPARATOR};
use crate::range::KeyRange;
use crate::time::Hour;

/// How many buckets the timeline is spread over. Reading an hour takes as many scans; part of the stored format.
pub const TIMELINE_BUCKETS: u8 = 16;

/// Key of a row of `events_timeline`: `{bucket}#{YYYY-MM-DDTHH}#{fact key}`.
///
/// The bucket follows from the fact key, so only that is stored here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimelineKey<'a> {
    /// The event's key.
    pub fact: FactKey<'a>,
}

impl<'a> TimelineKey<'a> {
    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let fact = self.fact.encode()?;
        let mut out = Vec::with_capacity(fact.len() + 17);
        Self::encode_fact_into(self.fact.timestamp.hour(), &fact, &mut out);
        Ok(out)
    }

    /// Appends the timeline key of an encoded fact key whose time lies in `hour`.
    pub fn encode_fact_into(hour: Hour, fact_key: &[u8], out: &mut Vec<u8>) {
        push_prefix(out, bucket_of(fact_key), hour);
        out.push(SEPARATOR);
        out.extend_from_slice(fact_key);
    }

    /// The bytes of the fact key that a key's bytes end with, as they stand.
    pub fn fact_bytes(bytes: &[u8]) -> Result<&[u8], Error> {
        let (_, rest) = part::split(bytes);
        let (_, rest) = part::split(part::expect_more(rest, Part::Hour)?);
        part::expect_more(rest, Part::UserId)
    }

    /// The text of the hour in a key's bytes, `2018-11-15T14`, without a look at the rest; none if there is none.
    pub fn hour_text(bytes: &[u8]) -> Option<&[u8]> {
        let (_, rest) = part::split(bytes);
        let (hour, _) = part::split(rest?);
        Some(hour)
    }

    /// The fact key within the key's bytes, with the hour checked against it.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let (bucket, rest) = part::split(bytes);
        let bucket = part::decode_digits(Part::Bucket, bucket, 2)?;
        let (hour, rest) = part::split(part::expect_more(rest, Part::Hour)?);
        let malformed = |part| Error::new(part, ErrorKind::Malformed);
        let hour: Hour = std::str::from_utf8(hour)
            .map_err(|_| malformed(Part::Hour))?
            .parse()?;
        let fact_key = part::expect_more(rest, Part::UserId)?;
        let fact = FactKey::decode(fact_key)?;
        if fact.timestamp.hour() != hour {
            return Err(malformed(Part::Hour));
        }
        if u64::from(bucket_of(fact_key)) != bucket {
            return Err(malformed(Part::Bucket));
        }
        Ok(Self { fact })
    }

    /// The range of one bucket's events from hour `from` to hour `to`, both included.
    ///
    /// # Panics
    /// If `bucket` is not below [`TIMELINE_BUCKETS`].
    pub fn hours(bucket: u8, from: Hour, to: Hour) -> KeyRange {
        assert!(
            bucket < TIMELINE_BUCKETS,
            "bucket {bucket} of {TIMELINE_BUCKETS}"
        );
        let mut start = Vec::with_capacity(17);
        push_prefix(&mut start, bucket, from);
        start.push(SEPARATOR);
        let mut last = Vec::with_capacity(17);
        push_prefix(&mut last, bucket, to);
        last.push(SEPARATOR);
        KeyRange {
            start,
            end: KeyRange::prefix(last).end,
        }
    }
}

fn bucket_of(fact_key: &[u8]) -> u8 {
    u8::try_from(fnv1a_64(fact_key) % u64::from(TIMELINE_BUCKETS))
        .expect("a remainder of a byte fits one")
}

/// Appends `{bucket}#{YYYY-MM-DDTHH}` without going through formatting: this runs once for every event.
fn push_prefix(out: &mut Vec<u8>, bucket: u8, hour: Hour) {
    let (year, month, day) = hour.date().civil();
    part::push_digits(out, u64::from(bucket), 2);
    out.push(SEPARATOR);
    part::push_digits(out, u64::from(year.unsigned_abs()), 4);
    out.push(b'-');
    part::push_digits(out, u64::from(month), 2);
    out.push(b'-');
    part::push_digits(out, u64::from(day), 2);
    out.push(b'T');
    part::push_digits(out, u64::from(hour.of_day()), 2);
}
