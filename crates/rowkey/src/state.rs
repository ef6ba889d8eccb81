//! Keys of the tables that rowmill keeps for itself: rejected records, runs, inputs, and hours that await aggregation.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Part};
use crate::part::{self, SEPARATOR};
use crate::range::KeyRange;
use crate::time::Hour;

/// Key of a row of `dead_letters`: `{source}#{offset}#{content}`, the offset in 20 digits, the hash of the record's bytes in 32.
///
/// A record's place and its bytes are its identity: rejecting the same record again rewrites the same row, and another record
/// that stands at that place later, because the file changed, gets a row of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeadLetterKey<'a> {
    /// The file or queue the record came from.
    pub source: Cow<'a, str>,
    /// The record's first byte in it.
    pub offset: u64,
    /// A hash of the record's bytes.
    pub content: u128,
}

impl<'a> DeadLetterKey<'a> {
    const OFFSET_DIGITS: usize = 20;
    const CONTENT_DIGITS: usize = 32;

    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = Self::place(&self.source, self.offset)?;
        out.extend_from_slice(format!("{:032x}", self.content).as_bytes());
        Ok(out)
    }

    /// The parts of a key's bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let (source, rest) = part::split(bytes);
        let source = part::decode(Part::Source, source)?;
        let (offset, content) = part::split(part::expect_more(rest, Part::Offset)?);
        let offset = part::decode_digits(Part::Offset, offset, Self::OFFSET_DIGITS)?;
        let content = decode_content(part::expect_more(content, Part::Content)?)?;
        Ok(Self {
            source,
            offset,
            content,
        })
    }

    /// The range of all records of a source.
    pub fn of_source(source: &str) -> Result<KeyRange, Error> {
        let mut out = Vec::with_capacity(source.len() + 1);
        part::push(&mut out, Part::Source, source)?;
        out.push(SEPARATOR);
        Ok(KeyRange::prefix(out))
    }

    /// The range of a source's records from an offset on.
    pub fn from_place(source: &str, offset: u64) -> Result<KeyRange, Error> {
        Ok(KeyRange {
            start: Self::place(source, offset)?,
            ..Self::of_source(source)?
        })
    }

    fn place(source: &str, offset: u64) -> Result<Vec<u8>, Error> {
        let length = source.len() + Self::OFFSET_DIGITS + Self::CONTENT_DIGITS + 2;
        let mut out = Vec::with_capacity(length);
        part::push(&mut out, Part::Source, source)?;
        out.push(SEPARATOR);
        part::push_digits(&mut out, offset, Self::OFFSET_DIGITS);
        out.push(SEPARATOR);
        Ok(out)
    }
}

fn decode_content(digits: &[u8]) -> Result<u128, Error> {
    let malformed = || Error::new(Part::Content, ErrorKind::Malformed);
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let text = std::str::from_utf8(digits).map_err(|_| malformed())?;
    if digits.len() != DeadLetterKey::CONTENT_DIGITS || !digits.iter().all(is_digit) {
        return Err(malformed());
    }
    u128::from_str_radix(text, 16).map_err(|_| malformed())
}

/// Key of a row of `pipeline_state` that says an hour awaits aggregation: `pending#{hour}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PendingKey(pub Hour);

impl PendingKey {
    const KIND: &'static [u8] = b"pending";

    /// The key's bytes.
    pub fn encode(self) -> Vec<u8> {
        of_kind(Self::KIND, self.0.to_string().as_bytes())
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
        KeyRange::prefix(of_kind(Self::KIND, b""))
    }
}

/// Key of the row of `pipeline_state` that says what is aggregated.
pub const AGGREGATE_PLAN_KEY: &[u8] = b"plan#aggregate";

/// Key of the row of `pipeline_state` that counts the aggregations that began: who writes events tells from it whether the marks that it
/// made may have been cleared.
pub const AGGREGATE_EPOCH_KEY: &[u8] = b"plan#epoch";

/// Key of a row of `pipeline_state` that a shard leaves when its part of an aggregation is done: `shard#{count}#{index}`, five digits
/// each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShardKey {
    /// Which shard, from 0.
    pub index: u32,
    /// Of how many.
    pub count: u32,
}

impl ShardKey {
    const KIND: &'static [u8] = b"shard";

    /// The key's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let rest = format!("{:05}#{:05}", self.count, self.index);
        of_kind(Self::KIND, rest.as_bytes())
    }

    /// The range of all shards of all numbers.
    pub fn all() -> KeyRange {
        KeyRange::prefix(of_kind(Self::KIND, b""))
    }
}

/// Key of a row of `pipeline_state` that notes a deleted fact: `deleted#{hash}`, the hash of its key in 32 hexadecimal digits, which
/// does not say whose it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeletedKey(pub u128);

impl DeletedKey {
    const KIND: &'static [u8] = b"deleted";

    /// The key's bytes.
    pub fn encode(&self) -> Vec<u8> {
        of_kind(Self::KIND, format!("{:032x}", self.0).as_bytes())
    }

    /// The hash in a key's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        decode_content(after_kind(bytes, Self::KIND, Part::Content)?).map(Self)
    }

    /// The range of all of them.
    pub fn all() -> KeyRange {
        KeyRange::prefix(of_kind(Self::KIND, b""))
    }
}

/// Key of a row of `pipeline_state` that records a run: `run#{run_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunKey<'a>(pub Cow<'a, str>);

impl<'a> RunKey<'a> {
    const KIND: &'static [u8] = b"run";

    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = of_kind(Self::KIND, b"");
        part::push(&mut out, Part::RunId, &self.0)?;
        Ok(out)
    }

    /// The run of a key's bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        part::decode(Part::RunId, after_kind(bytes, Self::KIND, Part::RunId)?).map(Self)
    }

    /// The range of all runs.
    pub fn all() -> KeyRange {
        KeyRange::prefix(of_kind(Self::KIND, b""))
    }
}

/// Key of a row of `pipeline_state` that holds what became of an input in each of its runs: `file#{source}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileKey<'a>(pub Cow<'a, str>);

impl<'a> FileKey<'a> {
    const KIND: &'static [u8] = b"file";

    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = of_kind(Self::KIND, b"");
        part::push(&mut out, Part::Source, &self.0)?;
        Ok(out)
    }

    /// The source of a key's bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        part::decode(Part::Source, after_kind(bytes, Self::KIND, Part::Source)?).map(Self)
    }

    /// The range of all inputs.
    pub fn all() -> KeyRange {
        KeyRange::prefix(of_kind(Self::KIND, b""))
    }
}

/// Key of a row of `pipeline_state` that names inputs of a run for which its record has no room: `files#{run_id}#{page}`, the page in
/// ten digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunFilesKey<'a> {
    /// The run.
    pub run: Cow<'a, str>,
    /// Which of its rows, from 0.
    pub page: u64,
}

impl RunFilesKey<'_> {
    const KIND: &'static [u8] = b"files";

    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = of_kind(Self::KIND, b"");
        part::push(&mut out, Part::RunId, &self.run)?;
        out.push(SEPARATOR);
        out.extend_from_slice(format!("{:010}", self.page).as_bytes());
        Ok(out)
    }
}

/// Key of a row of `pipeline_state` that holds what became of an input in a run of long ago: `past#{source}#{run_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PastLedgerKey<'a> {
    /// The input.
    pub source: Cow<'a, str>,
    /// The run.
    pub run: Cow<'a, str>,
}

impl PastLedgerKey<'_> {
    const KIND: &'static [u8] = b"past";

    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = of_kind(Self::KIND, b"");
        part::push(&mut out, Part::Source, &self.source)?;
        out.push(SEPARATOR);
        part::push(&mut out, Part::RunId, &self.run)?;
        Ok(out)
    }

    /// The range of all of them.
    pub fn all() -> KeyRange {
        KeyRange::prefix(of_kind(Self::KIND, b""))
    }
}

/// Key of a row of `pipeline_state` that says where a dead letter went: `resolved#{dead letter key}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResolvedKey<'a>(pub DeadLetterKey<'a>);

impl<'a> ResolvedKey<'a> {
    const KIND: &'static [u8] = b"resolved";

    /// The key's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        Ok(of_kind(Self::KIND, &self.0.encode()?))
    }

    /// The dead letter of a key's bytes.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        DeadLetterKey::decode(after_kind(bytes, Self::KIND, Part::Source)?).map(Self)
    }

    /// The range of all of them.
    pub fn all() -> KeyRange {
        KeyRange::prefix(of_kind(Self::KIND, b""))
    }
}

/// A key that the word of its kind opens.
fn of_kind(kind: &[u8], rest: &[u8]) -> Vec<u8> {
    [kind, b"#", rest].concat()
}

fn after_kind<'a>(bytes: &'a [u8], kind: &[u8], next: Part) -> Result<&'a [u8], Error> {
    let (found, rest) = part::split(bytes);
    if found == kind {
        part::expect_more(rest, next)
    } else {
        Err(Error::new(Part::Kind, ErrorKind::Malformed))
    }
}
