//! The five tables as data: what creates them, documents them and checks them reads this.

use std::fmt;

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

/// Which cells of a family may be dropped: those beyond either bound. Stores drop them when they please, and hide them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GcRule {
    /// All but the newest so many versions of a column.
    pub versions_max: Option<u32>,
    /// Those whose timestamp is older than so many seconds.
    pub age_seconds_max: Option<u64>,
    /// Those that a rule drops which rowmill does not make, such as one of several conditions that must all hold. Which they are is
    /// not known here.
    pub is_other: bool,
}

impl GcRule {
    /// None may be dropped.
    pub const KEEP: Self = Self {
        versions_max: None,
        age_seconds_max: None,
        is_other: false,
    };

    /// A rule that rowmill does not make, and does not know what it drops.
    pub const OTHER: Self = Self {
        is_other: true,
        ..Self::KEEP
    };

    /// All but the newest `versions` of a column may be dropped.
    pub const fn versions(versions: u32) -> Self {
        Self {
            versions_max: Some(versions),
            ..Self::KEEP
        }
    }

    /// What is older than `seconds` may be dropped.
    pub const fn age_seconds(seconds: u64) -> Self {
        Self::KEEP.with_age_seconds(seconds)
    }

    /// The same rule, and what is older than `seconds` may be dropped too.
    pub const fn with_age_seconds(self, seconds: u64) -> Self {
        Self {
            age_seconds_max: Some(seconds),
            ..self
        }
    }
}

impl GcRule {
    /// Whether cells may be dropped by this rule that `other` keeps.
    pub fn may_drop_more_than(&self, other: &Self) -> bool {
        fn is_tighter<T: Ord>(this: Option<T>, other: Option<T>) -> bool {
            this.is_some_and(|this| other.is_none_or(|other| this < other))
        }
        is_tighter(self.versions_max, other.versions_max)
            || is_tighter(self.age_seconds_max, other.age_seconds_max)
            || self.is_other && !other.is_other
    }
}

/// For people: `keep all`, `1 version`, `1 version, 400 days`, `another rule`.
impl fmt::Display for GcRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let versions = self
            .versions_max
            .map(|versions| format!("{versions} version{}", plural(versions.into())));
        let age = self.age_seconds_max.map(|seconds| {
            let units = [("day", 86_400), ("hour", 3_600), ("second", 1)];
            let fits = |(_, length): &&(&str, u64)| seconds.is_multiple_of(*length);
            let (unit, length) = units.iter().find(fits).expect("seconds fit");
            let count = seconds / length;
            format!("{count} {unit}{}", plural(count))
        });
        let other = self.is_other.then(|| "another rule".to_owned());
        let parts: Vec<_> = versions.into_iter().chain(age).chain(other).collect();
        if parts.is_empty() {
            return f.write_str("keep all");
        }
        f.write_str(&parts.join(", "))
    }
}

const fn one_version(name: &'static str) -> FamilySpec {
    FamilySpec {
        name,
        gc: GcRule::versions(1),
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
