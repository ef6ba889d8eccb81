//! The key of an event: its user, its time with the newest first, and its identity.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Part};
use crate::part::{self, SEPARATOR};
use crate::range::{KeyRange, successor};
use crate::time::Timestamp;

/// Key of a row of `events_fact`: `{user_id}#{timestamp_reversed}#{event_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FactKey<'a> {
    /// Whose event it is.
    pub user_id: Cow<'a, str>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Which of the user's events of that time it is.
    pub event_id: Cow<'a, str>,
}

impl<'a> FactKey<'a> {
    /// The key of these parts.
    pub fn new(
        user_id: impl Into<Cow<'a, str>>,
        timestamp: Timestamp,
        event_id: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            user_id: user_id.into(),
            timestamp,
            event_id: event_id.into(),
        }
    }

    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(self.user_id.len() + self.event_id.len() + 22);
        self.encode_into(&mut out)?;
        Ok(out)
    }

    /// Appends the key's bytes. On an error what was appended is unspecified.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        part::push(out, Part::UserId, &self.user_id)?;
        out.push(SEPARATOR);
        ReversedTimestamp::from(self.timestamp).push(out);
        out.push(SEPARATOR);
        part::push(out, Part::EventId, &self.event_id)
    }

    /// The parts of a key's bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let (user_id, rest) = part::split(bytes);
        let user_id = part::decode(Part::UserId, user_id)?;
        let (timestamp, rest) = part::split(part::expect_more(rest, Part::Timestamp)?);
        let timestamp = ReversedTimestamp::decode(timestamp)?.timestamp();
        let event_id = part::decode(Part::EventId, part::expect_more(rest, Part::EventId)?)?;
        Ok(Self {
            user_id,
            timestamp,
            event_id,
        })
    }

    /// The range of all events of one user.
    pub fn user(user_id: &str) -> Result<KeyRange, Error> {
        Ok(KeyRange::prefix(user_prefix(user_id)?))
    }

    /// The range of one user's events at or after `from` and before `to`.
    pub fn user_between(
        user_id: &str,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<KeyRange, Error> {
        let prefix = user_prefix(user_id)?;
        let mut range = KeyRange::prefix(prefix.clone());
        if let Some(to) = to {
            range.start.clone_from(&prefix);
            ReversedTimestamp::from(to)
                .just_before()
                .push(&mut range.start);
        }
        if let Some(from) = from {
            let mut oldest = prefix;
            ReversedTimestamp::from(from).push(&mut oldest);
            oldest.push(SEPARATOR);
            range.end = successor(&oldest);
        }
        Ok(range)
    }
}

fn user_prefix(user_id: &str) -> Result<Vec<u8>, Error> {
    let mut prefix = Vec::with_capacity(user_id.len() + 22);
    part::push(&mut prefix, Part::UserId, user_id)?;
    prefix.push(SEPARATOR);
    Ok(prefix)
}

/// `i64::MAX - micros`, which makes later times sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReversedTimestamp(u64);

impl ReversedTimestamp {
    /// Decimal digits in a key: enough for any `u64`.
    const DIGITS: usize = 20;

    /// The time that was reversed.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_micros(i64::MAX.wrapping_sub_unsigned(self.0))
            .expect("checked when it was made")
    }

    /// The reversed time of the microsecond before this one.
    fn just_before(self) -> Self {
        Self(self.0 + 1)
    }

    fn push(self, out: &mut Vec<u8>) {
        part::push_digits(out, self.0, Self::DIGITS);
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let reversed = part::decode_digits(Part::Timestamp, bytes, Self::DIGITS)?;
        let micros = i128::from(i64::MAX) - i128::from(reversed);
        let micros = i64::try_from(micros)
            .map_err(|_| Error::new(Part::Timestamp, ErrorKind::OutOfRange))?;
        Ok(Self::from(Timestamp::from_micros(micros)?))
    }
}

impl From<Timestamp> for ReversedTimestamp {
    fn from(timestamp: Timestamp) -> Self {
        Self(i64::MAX.abs_diff(timestamp.micros()))
    }
}
