//! Proves the aggregates: every cell against the facts, by the straight way.

mod oracle;

use std::cmp::Ordering;
use std::sync::Arc;

use futures::TryStreamExt as _;
use futures::stream::{BoxStream, StreamExt as _};
use rowmill_aggregate::{LateRows, Period, Straight, StraightRows};
use rowmill_model::Row;
use rowmill_model::columns::{family, table};
use rowmill_rowkey::{AggregateKey, Date, Hour, KeyRange, SESSIONS_DIMENSION, TOP_DIMENSION};
use rowmill_store::{Error as StoreError, Scan, Store};

use super::{Difference, Differences};
use crate::aggregate::{Merging, Source, row_error};
use crate::control::Control;
use crate::dates::DateRange;
use crate::error::Error;
use crate::marks::{Marks, marks};
use crate::parts::each_part;
use crate::spool::{Room, Spool};
use crate::stages::Stages;
use crate::unreadable::{Unreadable, shown_key};
use oracle::Levels;

/// Which aggregates to verify, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyAggregatesOptions {
    /// Those of these dates. A week is verified only if all of it lies within them.
    pub dates: DateRange,
    /// How many bytes of memory all that it works on may take. What is beyond goes to a temporary file.
    pub memory_bytes: usize,
}

impl Default for VerifyAggregatesOptions {
    fn default() -> Self {
        Self {
            dates: DateRange::ALL,
            memory_bytes: 128 << 20,
        }
    }
}

/// What was proved, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyAggregatesReport {
    /// Facts that were read.
    pub facts: u64,
    /// Rows that were compared.
    pub rows: u64,
    /// Cells in these rows.
    pub cells: u64,
    /// Hours that still await aggregation: their aggregates are behind the facts.
    pub pending: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub more: u64,
}

impl VerifyAggregatesReport {
    /// Whether every cell is as the facts say.
    pub fn is_proved(&self) -> bool {
        self.differences.is_empty()
    }

    fn differ(&mut self, table: &'static str, key: impl Into<String>, problem: impl Into<String>) {
        let mut differences = Differences {
            kept: &mut self.differences,
            more: &mut self.more,
        };
        differences.add(table, key, problem);
    }

    /// Takes rows that cannot be read for differences.
    fn differ_unreadable(&mut self, unreadable: Unreadable) {
        self.more += unreadable.count - unreadable.rows.len() as u64;
        for row in unreadable.rows {
            self.differ(row.table, row.key, row.problem);
        }
    }
}

/// A proof at work.
#[derive(Clone)]
struct Proof {
    stages: Arc<Stages>,
    store: Arc<dyn Store>,
    options: VerifyAggregatesOptions,
    room: Room,
    control: Control,
}

/// Verifies the aggregates of some dates.
pub async fn verify_aggregates(
    stages: &Arc<Stages>,
    store: &Arc<dyn Store>,
    options: &VerifyAggregatesOptions,
    control: &Control,
) -> Result<VerifyAggregatesReport, Error> {
    let proof = Proof {
        stages: Arc::clone(stages),
        store: Arc::clone(store),
        options: *options,
        room: Room::new(options.memory_bytes / 4),
        control: control.clone(),
    };
    control.unless_stopped(proof.run()).await
}

impl Proof {
    async fn run(&self) -> Result<VerifyAggregatesReport, Error> {
        let groups = Arc::new(Levels::new(Straight::combine));
        let parts = each_part(&self.store, table::FACT, |range| {
            let (proof, groups) = (self.clone(), Arc::clone(&groups));
            async move { proof.fold(range, &groups).await }
        });
        let mut report = VerifyAggregatesReport::default();
        for (count, unreadable) in parts.await? {
            report.facts += count;
            report.differ_unreadable(unreadable);
        }
        report.pending = self.pending(&mut report).await?;
        let groups = Arc::into_inner(groups).expect("all parts are folded");
        let mut comparison = Comparison {
            stored: self.stored(AggregateKey::of_events()),
            options: self.options,
            ahead: None,
            report,
        };
        let late = comparison.compare_groups(self, &groups.finish()).await?;
        let of_dimension = |name| AggregateKey::dimension(name).map_err(row_error);
        let ranges = vec![
            of_dimension(TOP_DIMENSION)?,
            of_dimension(SESSIONS_DIMENSION)?,
        ];
        comparison.stored = self.stored(ranges);
        comparison.compare_late(self, &late).await?;
        Ok(comparison.report)
    }

    /// How many hours await aggregation.
    async fn pending(&self, report: &mut VerifyAggregatesReport) -> Result<u64, Error> {
        let pending = match marks(&*self.store).await {
            Err(Error::Row(problem)) => {
                report.differ(table::STATE, "pending hours", problem);
                Marks::default()
            }
            marks => marks?,
        };
        let pending = pending.hours().map(Hour::date);
        Ok(pending.filter(|date| self.options.holds(*date)).count() as u64)
    }

    /// The stored rows of some ranges, as far as they are asked for.
    fn stored(&self, ranges: Vec<KeyRange>) -> BoxStream<'static, Result<Row, StoreError>> {
        let mut scan = Scan::ranges(ranges).with_latest_only();
        let dates = self.options.dates;
        if dates != DateRange::ALL {
            let ends = [dates.from(), dates.to()];
            let [from, to] = ends.map(|date| date.start().cell_micros());
            scan = scan.with_time(from, to + 1);
        }
        // It is asked again at its end, by whatever is still to be expected.
        self.store.scan(table::AGGREGATE, scan).fuse().boxed()
    }

    /// Writes what there is of leaderboards and sessions to a partial.
    fn drained_late(&self, rows: &mut StraightRows) -> Result<Spool, Error> {
        let (mut partial, mut spool) = (self.stages.plan.partial(), Spool::new(&self.room));
        rows.drain_late(&mut partial, |chunks| spool.extend(chunks))?;
        spool.extend(partial.finish())?;
        Ok(spool)
    }
}

impl VerifyAggregatesOptions {
    fn holds(self, date: Date) -> bool {
        self.dates.contains(date)
    }

    fn holds_period(self, period: Period) -> bool {
        match period {
            Period::Hour(hour) => self.holds(hour.date()),
            Period::Day(date) => self.holds(date),
            // The first and the last weeks there are have no end in the calendar.
            Period::Week(monday) => {
                self.holds(monday) && monday.plus_days(6).is_none_or(|sunday| self.holds(sunday))
            }
        }
    }
}

struct Comparison {
    stored: BoxStream<'static, Result<Row, StoreError>>,
    options: VerifyAggregatesOptions,
    ahead: Option<Row>,
    report: VerifyAggregatesReport,
}

impl Comparison {
    /// Compares the rows of all groups with those that are stored, and gives what leaderboards and sessions are made of.
    async fn compare_groups(
        &mut self,
        proof: &Proof,
        spools: &[Spool],
    ) -> Result<Vec<Spool>, Error> {
        // Rows are compared some at a time: making them does not wait, reading those that are stored does.
        const ROWS: usize = 256;
        let plan = &proof.stages.plan;
        let (mut rows, late) = (StraightRows::new(plan), Levels::new(LateRows::combine));
        let sources = spools.iter().map(Source::spool).collect();
        let mut merging = Merging::new(plan, sources, &proof.control);
        let mut made = Vec::new();
        while let Some(merge) = merging.next().await? {
            let of_group = merge.states().map(|(_, state)| state);
            let row = rows.group(merge.key(), of_group);
            made.extend(row.map_err(row_error)?);
            if rows.late_bytes() > proof.options.memory_bytes / 8 {
                late.add(proof, proof.drained_late(&mut rows)?).await?;
            }
            if made.len() == ROWS {
                self.compare_all(&mut made).await?;
            }
        }
        made.extend(rows.finish_row());
        self.compare_all(&mut made).await?;
        self.rest().await?;
        late.add(proof, proof.drained_late(&mut rows)?).await?;
        Ok(late.finish())
    }

    /// Compares the rows of leaderboards and sessions.
    async fn compare_late(&mut self, proof: &Proof, spools: &[Spool]) -> Result<(), Error> {
        let plan = &proof.stages.plan;
        let mut rows = LateRows::new(plan);
        let sources = spools.iter().map(Source::spool).collect();
        let mut merging = Merging::new(plan, sources, &proof.control);
        while let Some(merge) = merging.next().await? {
            if let Some(row) = rows.group(merge).map_err(row_error)? {
                self.compare(&row).await?;
            }
        }
        if let Some(row) = rows.finish_row() {
            self.compare(&row).await?;
        }
        self.rest().await
    }

    async fn compare_all(&mut self, rows: &mut Vec<Row>) -> Result<(), Error> {
        for row in rows.drain(..) {
            self.compare(&row).await?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Row>, Error> {
        match self.ahead.take() {
            Some(row) => Ok(Some(row)),
            None => loop {
                let Some(row) = self.stored.try_next().await? else {
                    return Ok(None);
                };
                match AggregateKey::decode(row.key()) {
                    Ok(key) => {
                        let date = key.date;
                        if let Some(row) = self.of_options(row, date) {
                            return Ok(Some(row));
                        }
                    }
                    Err(error) => self.differ(&row, &error.to_string()),
                }
            },
        }
    }

    /// What of a stored row is to be compared; none if nothing is.
    fn of_options(&self, row: Row, date: Date) -> Option<Row> {
        if self.options.holds_period(Period::Week(date)) {
            return Some(row);
        }
        let others = row
            .cells()
            .filter(|cell| cell.family != family::WEEKLY_STATS);
        let others: Vec<_> = others.collect();
        let has_figures = others.iter().any(|cell| cell.family != family::METADATA);
        let key = row.key().to_vec();
        has_figures
            .then(|| rowmill_model::RowBuilder::build(key, others))
            .flatten()
    }

    /// Compares a row that is to be expected with what is stored, after all that should not be there before it.
    async fn compare(&mut self, expected: &Row) -> Result<(), Error> {
        while let Some(stored) = self.next().await? {
            match stored.key().cmp(expected.key()) {
                Ordering::Less => {
                    self.differ(&stored, "is there, and the facts give no such row");
                }
                Ordering::Equal => {
                    self.compare_cells(expected, &stored);
                    return Ok(());
                }
                Ordering::Greater => {
                    self.ahead = Some(stored);
                    break;
                }
            }
        }
        self.differ(expected, "is missing");
        Ok(())
    }

    fn compare_cells(&mut self, expected: &Row, stored: &Row) {
        self.report.rows += 1;
        self.report.cells += stored.cells().count() as u64;
        let mut stored_cells = stored.cells().peekable();
        for cell in expected.cells() {
            let name = |cell: &rowmill_model::Cell<'_>| {
                format!(
                    "{}:{}",
                    cell.family,
                    String::from_utf8_lossy(cell.qualifier)
                )
            };
            while let Some(extra) = stored_cells
                .next_if(|stored| (stored.family, stored.qualifier) < (cell.family, cell.qualifier))
            {
                self.differ(
                    expected,
                    &format!("has {}, and the facts give none", name(&extra)),
                );
            }
            let found = stored_cells.next_if(|stored| {
                (stored.family, stored.qualifier) == (cell.family, cell.qualifier)
            });
            match found {
                None => self.differ(expected, &format!("has no {}", name(&cell))),
                Some(found) if found != cell => {
                    self.differ(expected, &format!("{} differs from the facts", name(&cell)));
                }
                Some(_) => {}
            }
        }
        if stored_cells.next().is_some() {
            self.differ(expected, "has more cells than the facts give");
        }
    }

    /// What is stored beyond everything that was to be expected.
    async fn rest(&mut self) -> Result<(), Error> {
        while let Some(stored) = self.next().await? {
            self.differ(&stored, "is there, and the facts give no such row");
        }
        Ok(())
    }

    fn differ(&mut self, row: &Row, problem: &str) {
        let key = shown_key(row.key());
        self.report.differ(table::AGGREGATE, key, problem);
    }
}
