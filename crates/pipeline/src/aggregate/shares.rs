//! How the memory that an aggregation may take is shared out.
//!
//! ```text
//! a fourth    partials that wait, of all weeks together; what is beyond goes to the spill file
//! a half      days at work, two of each week at once, each with an equal share: groups while it folds; rows while it rolls up
//! a fourth    what goes with a day at work whatever its share: a page of each of 16 scans and one that is read ahead, or a chunk of each
//!             of 25 partials; keys of groups that changed; the leaderboards of one dimension
//! ```

/// A week is worked on for each so many bytes, and one at least.
const WEEK_BYTES: usize = 32 << 20;

/// Days of a week that are worked on at once: while one waits for the store, another one computes.
pub(super) const DAYS_AT_ONCE: usize = 2;

/// What each part of an aggregation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// How many weeks are worked on at once. Each has at most [`DAYS_AT_ONCE`] times 16 scans open, and the store gives each of these a
    /// page at a time.
    pub(super) weeks: usize,
    /// Bytes of partials that wait.
    pub(super) room: usize,
    /// Bytes of the groups of a day.
    pub(super) groups: usize,
    /// Bytes of rows that a day writes together.
    pub(super) batch: usize,
    /// Bytes of keys of groups that changed, of a day; beyond it all are taken to have changed.
    pub(super) touched: usize,
}

impl Shares {
    /// The shares of `bytes`, for at most `jobs` weeks at once.
    pub(super) fn new(bytes: usize, jobs: usize) -> Self {
        const BATCH_MIN: usize = 256 << 10;
        const BATCH_MAX: usize = 16 << 20;
        let weeks = (bytes / WEEK_BYTES).clamp(1, jobs.max(1));
        let day = bytes / 2 / (weeks * DAYS_AT_ONCE);
        Self {
            weeks,
            room: bytes / 4,
            groups: day,
            batch: day.clamp(BATCH_MIN, BATCH_MAX),
            touched: day / 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DAYS_AT_ONCE, Shares};

    /// However many cores there are, and however little memory.
    #[test]
    fn shares_are_no_more_than_there_is() {
        for bytes in [0, 60_000, 1 << 20, 32 << 20, 128 << 20, 1 << 30] {
            for jobs in [0, 1, 2, 16, 256] {
                let shares = Shares::new(bytes, jobs);
                let days = shares.weeks * DAYS_AT_ONCE;
                assert!(shares.room + days * shares.groups <= bytes, "{shares:?}");
                assert!((1..=jobs.max(1)).contains(&shares.weeks), "{shares:?}");
            }
        }
    }
}
