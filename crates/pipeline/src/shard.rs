//! One of several processes that do a job together.

use std::fmt;
use std::str::FromStr;

use rowmill_rowkey::Hour;
use xxhash_rust::xxh3::xxh3_64;

/// Which part of the work a process does: shard `index` of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// The one process that does everything.
    pub const ALONE: Self = Self { index: 0, count: 1 };

    /// The most shards there can be.
    pub const COUNT_MAX: u32 = 10_000;

    /// Shard `index`, from 0, of `count`; none if there is no such shard.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (index < count && count <= Self::COUNT_MAX).then_some(Self { index, count })
    }

    /// Which one it is, from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether it has no others beside it.
    pub fn is_alone(self) -> bool {
        self.count == 1
    }

    /// Whether an input is this shard's, by its name. Every input is exactly one shard's, whatever others there are.
    pub(crate) fn owns_input(self, name: &str) -> bool {
        xxh3_64(name.as_bytes()) % u64::from(self.count) == u64::from(self.index)
    }

    /// Whether a bucket of an hour is this shard's. Every bucket of every hour is exactly one shard's.
    pub fn owns(self, hour: Hour, bucket: u8) -> bool {
        const MICROS_PER_HOUR: i64 = 3_600_000_000;
        let hours = hour.start().micros() / MICROS_PER_HOUR;
        let unit = hours * i64::from(rowmill_rowkey::TIMELINE_BUCKETS) + i64::from(bucket);
        unit.rem_euclid(i64::from(self.count)) == i64::from(self.index)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `0/4` to `3/4`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let shard = parts.and_then(|(index, count)| Self::new(index, count));
        shard.ok_or_else(|| {
            let most = Self::COUNT_MAX;
            format!("is no shard such as 0/4 to 3/4, of at most {most}")
        })
    }
}

/// As it is read: `0/4`.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}
