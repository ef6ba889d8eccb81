//! The five tables as data: what creates them, documents them and checks them reads this.

use crate::columns::{family, table};

/// A table and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSpec {
    /// The table's name.
    pub name: &'static str,
    /// Its column families, by name.
    pub families: &'static [FamilySpec],
    /// What one row is, for the reference.
    pub holds: &'static str,
}

/// A column family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilySpec {
    /// The family's name.
    pub name: &'static str,
    /// Which cells may be dropped.
    pub gc: GcRule,
}

/// Which cells of a family may be dropped. Stores drop them when they please, and hide them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GcRule {
    /// None.
    #[default]
    Keep,
    /// All but the newest so many versions of a column.
    MaxVersions(u32),
    /// Those whose timestamp is older than so many seconds.
    MaxAgeSeconds(u64),
}

const fn one_version(name: &'static str) -> FamilySpec {
    FamilySpec {
        name,
        gc: GcRule::MaxVersions(1),
    }
}

/// Every table of rowmill.
pub const TABLES: [TableSpec; 5] = [
    TableSpec {
        name: table::FACT,
        families: &[
            one_version(family::EVENT_DATA),
            one_version(family::METADATA),
            one_version(family::QUALITY),
        ],
        holds: "one row an event",
    },
    TableSpec {
        name: table::TIMELINE,
        families: &[one_version(family::EVENT)],
        holds: "the same events by hour, with the fields that aggregates need",
    },
    TableSpec {
        name: table::AGGREGATE,
        families: &[
            one_version(family::DAILY_STATS),
            one_version(family::HOURLY_STATS),
            one_version(family::METADATA),
            one_version(family::WEEKLY_STATS),
        ],
        holds: "one row per dimension, value and day",
    },
    TableSpec {
        name: table::DEAD_LETTERS,
        families: &[one_version(family::LETTER)],
        holds: "one row a rejected record",
    },
    TableSpec {
        name: table::STATE,
        families: &[one_version(family::STATE)],
        holds: "runs and their ledgers, checkpoints, hours that await aggregation",
    },
];
