//! How long cells are kept.

use crate::columns::table;
use crate::tables::{TABLES, TableSpec};

use super::Pipeline;

/// An entry of `[retention]`: cells of a table, or of one of its families, may be dropped after so long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionSpec {
    /// The table.
    pub table: String,
    /// The family; all that have no entry of their own if none.
    pub family: Option<String>,
    /// After how many seconds.
    pub seconds: u64,
}

impl Pipeline {
    /// After how many seconds cells of a family may be dropped; none if never. What is said of a family goes before what is said
    /// of its table.
    pub fn retention_seconds(&self, table: &str, family: &str) -> Option<u64> {
        let of = |wanted: Option<&str>| {
            self.retention
                .iter()
                .find(|spec| spec.table == table && spec.family.as_deref() == wanted)
        };
        of(Some(family))
            .or_else(|| of(None))
            .map(|spec| spec.seconds)
    }
}

/// The tables whose cells have the time of their event or period. Of the others a rule of age would drop what was just written.
pub(super) fn tables_with_time() -> impl Iterator<Item = &'static TableSpec> {
    let has_time =
        |spec: &&TableSpec| [table::FACT, table::TIMELINE, table::AGGREGATE].contains(&spec.name);
    TABLES.iter().filter(has_time)
}

/// Seconds of a text such as `400d` or `36h`.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let (digits, length) = if let Some(days) = text.strip_suffix('d') {
        (days, 86_400)
    } else {
        (text.strip_suffix('h')?, 3_600)
    };
    let count: u64 = digits.parse().ok()?;
    count.checked_mul(length).filter(|seconds| *seconds > 0)
}
