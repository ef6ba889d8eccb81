//! Keys of the tables that rowmill keeps for itself: rejected records, runs, and hours that await aggregation.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Part};
use crate::part::{self, SEPARATOR};
use crate::range::KeyRange;
use crate::time::Hour;

/// Key of a row of `dead_letters`: `{source}#{offset}`, the offset in 20 digits.
///
/// A record's place is its identity, so rejecting the same file again rewrites the same rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeadLetterKey<'a> {
    /// The file or queue the record came from.
    pub source: Cow<'a, str>,
    /// The record's first byte in it.
    pub offset: u64,
}

impl<'a> DeadLetterKey<'a> {
    const OFFSET_DIGITS: usize = 20;

    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(self.source.len() + 1 + Self::OFFSET_DIGITS);
        part::push(&mut out, Part::Source, &self.source)?;
        out.push(SEPARATOR);
        part::push_digits(&mut out, self.offset, Self::OFFSET_DIGITS);
        Ok(out)
    }

    /// The parts of a key's bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let (source, rest) = part::split(bytes);
        let source = part::decode(Part::Source, source)?;
        let offset = part::expect_more(rest, Part::Offset)?;
        let offset = part::decode_digits(Part::Offset, offset, Self::OFFSET_DIGITS)?;
        Ok(Self { source, offset })
    }
}

/// Key of a row of `pipeline_state` that says an hour awaits aggregation: `pending#{hour}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PendingKey(pub Hour);

impl PendingKey {
    const KIND: &'static [u8] = b"pending";

    /// The key's bytes.
    pub fn encode(self) -> Vec<u8> {
        [Self::KIND, b"#", self.0.to_string().as_bytes()].concat()
    }

    /// The hour of a key's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let hour = std::str::from_utf8(after_kind(bytes, Self::KIND, Part::Hour)?);
        hour.map_err(|_| Error::new(Part::Hour, ErrorKind::Malformed))?
            .parse()
            .map(Self)
    }

    /// The range of all pending hours.
    pub fn all() -> KeyRange {
        KeyRange::prefix([Self::KIND, b"#"].concat())
    }
}

/// Key of a row of `pipeline_state` that records a run: `run#{run_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunKey<'a>(pub Cow<'a, str>);

impl<'a> RunKey<'a> {
    const KIND: &'static [u8] = b"run";

    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = [Self::KIND, b"#"].concat();
        part::push(&mut out, Part::RunId, &self.0)?;
        Ok(out)
    }

    /// The run of a key's bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        part::decode(Part::RunId, after_kind(bytes, Self::KIND, Part::RunId)?).map(Self)
    }

    /// The range of all runs.
    pub fn all() -> KeyRange {
        KeyRange::prefix([Self::KIND, b"#"].concat())
    }
}

fn after_kind<'a>(bytes: &'a [u8], kind: &[u8], next: Part) -> Result<&'a [u8], Error> {
    let (found, rest) = part::split(bytes);
    if found == kind {
        part::expect_more(rest, next)
    } else {
        Err(Error::new(Part::Kind, ErrorKind::Malformed))
    }
}
