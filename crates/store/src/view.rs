//! Which cells of a row a scan shows.

use bytes::Bytes;
use rowmill_model::{Cell, GcRule, InvalidMutation, Row, RowBuilder};
use rowmill_rowkey::Timestamp;

use crate::admin::TableSchema;
use crate::scan::{Scan, TimeRange};

/// A scan's filters and a table's rules, at one moment.
#[derive(Debug, Clone)]
pub struct View {
    families: Vec<ShownFamily>,
    qualifiers: Option<Vec<Vec<u8>>>,
    time: Option<TimeRange>,
    cells_per_column: Option<u32>,
    keys_only: bool,
}

#[derive(Debug, Clone)]
struct ShownFamily {
    name: String,
    versions_max: u32,
    oldest_micros: i64,
}

impl View {
    /// What `scan` shows of a table at `now`. Cells that may be dropped are hidden, whether they were dropped or not.
    pub fn new(scan: &Scan, schema: &TableSchema, now: Timestamp) -> Self {
        let asked = |name: &str| {
            scan.families
                .as_ref()
                .is_none_or(|families| families.iter().any(|it| it == name))
        };
        let shown = |(name, rule): &(String, GcRule)| {
            let age_micros = rule.age_seconds_max.map(|seconds| {
                i64::try_from(seconds)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(1_000_000)
            });
            let oldest_micros = age_micros.map_or(i64::MIN, |age| now.micros().saturating_sub(age));
            ShownFamily {
                name: name.clone(),
                versions_max: rule.versions_max.unwrap_or(u32::MAX),
                oldest_micros,
            }
        };
        Self {
            families: schema
                .families
                .iter()
                .filter(|(name, _)| asked(name))
                .map(shown)
                .collect(),
            qualifiers: scan.qualifiers.clone(),
            time: scan.time,
            cells_per_column: scan.cells_per_column,
            keys_only: scan.keys_only,
        }
    }

    /// The oldest timestamp that any family shows; none if some family shows all of them.
    pub fn oldest_micros(&self) -> Option<i64> {
        let oldest = self.families.iter().map(|family| family.oldest_micros);
        oldest.min().filter(|oldest| *oldest > i64::MIN)
    }

    /// Those of a row's cells that are shown. They must come in a row's order.
    pub fn select<'a>(
        &self,
        cells: impl Iterator<Item = Cell<'a>>,
    ) -> impl Iterator<Item = Cell<'a>> {
        let mut column: Option<(&str, &[u8])> = None;
        let (mut version, mut shown) = (0_u32, 0_u32);
        let shown_cells = cells.filter(move |cell| {
            if column != Some((cell.family, cell.qualifier)) {
                column = Some((cell.family, cell.qualifier));
                (version, shown) = (0, 0);
            }
            version += 1;
            let kept =
                self.shows(cell, version) && self.cells_per_column.is_none_or(|most| shown < most);
            shown += u32::from(kept);
            kept
        });
        let most = if self.keys_only { 1 } else { usize::MAX };
        let stripped = |cell: Cell<'a>| {
            if self.keys_only {
                Cell { value: &[], ..cell }
            } else {
                cell
            }
        };
        shown_cells.take(most).map(stripped)
    }

    /// The row of bytes that a store kept, if all of its cells are shown; none if any is not.
    pub fn whole(&self, key: Bytes, cells: Bytes) -> Result<Option<Row>, InvalidMutation> {
        let mut version = 0;
        let whole = Row::from_bytes_if(key, cells, |previous, cell| {
            let is_same = previous.is_some_and(|previous| {
                previous.qualifier == cell.qualifier && previous.family == cell.family
            });
            version = if is_same { version + 1 } else { 1 };
            // All before it are shown.
            self.shows(cell, version) && self.cells_per_column.is_none_or(|most| version <= most)
        })?;
        Ok(match whole {
            Some(row) if self.keys_only => {
                RowBuilder::build(row.key().to_vec(), self.select(row.cells()))
            }
            whole => whole,
        })
    }

    /// Whether a cell that is the `version`th of its column passes, apart from how many are asked for.
    fn shows(&self, cell: &Cell<'_>, version: u32) -> bool {
        let family = self
            .families
            .iter()
            .find(|family| family.name == cell.family);
        let alive = |family: &ShownFamily| {
            version <= family.versions_max && cell.timestamp_micros >= family.oldest_micros
        };
        let in_time = |time: &TimeRange| (time.start..time.end).contains(&cell.timestamp_micros);
        family.is_some_and(alive)
            && self.time.as_ref().is_none_or(in_time)
            && self
                .qualifiers
                .as_ref()
                .is_none_or(|names| names.iter().any(|name| name == cell.qualifier))
    }
}
