//! A store in memory: the plainest thing that has the semantics, for tests and as the model of the others.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use rowmill_model::{MutationBatch, Row, RowBuilder};
use rowmill_rowkey::KeyRange;

use crate::admin::{Admin, TableSchema};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::row_cells::RowCells;
use crate::scan::Scan;
use crate::store::{Capability, Store, WriteShape};
use crate::validate::validate;
use crate::view::View;

/// How many rows a scan takes under one lock.
const PAGE_ROWS: usize = 256;

/// A store in memory. Clones share their tables.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    tables: Arc<RwLock<BTreeMap<String, Table>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Table {
    schema: TableSchema,
    rows: BTreeMap<Vec<u8>, RowCells>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store by the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store by `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            tables: Arc::default(),
            clock,
        }
    }

    /// Something of a table, under a lock held for that only.
    fn read<T>(&self, table: &str, read: impl FnOnce(&Table) -> T) -> Result<T> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(table).map(read).ok_or_else(|| not_found(table))
    }

    /// The next rows of a scan within `range`, in the scan's direction.
    fn page(
        &self,
        table: &str,
        range: &KeyRange,
        cursor: &Cursor,
    ) -> Result<Vec<(Vec<u8>, Option<Row>)>> {
        let start = Bound::Included(range.start.clone());
        let end = range.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let shown = |view: &View, (key, cells): (&Vec<u8>, &RowCells)| {
            (
                key.clone(),
                RowBuilder::build(key.clone(), view.select(cells.iter())),
            )
        };
        self.read(table, |table| {
            let view = View::new(&cursor.scan, &table.schema, self.clock.now());
            let rows = table.rows.range((start, end));
            if cursor.scan.reverse {
                rows.rev()
                    .take(PAGE_ROWS)
                    .map(|row| shown(&view, row))
                    .collect()
            } else {
                rows.take(PAGE_ROWS).map(|row| shown(&view, row)).collect()
            }
        })
    }
}

fn not_found(table: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no table `{table}`"))
}

/// How far a scan has come.
#[derive(Debug)]
struct Cursor {
    scan: Scan,
    /// What is left to read; the next range is the last.
    ranges: Vec<KeyRange>,
    left: u64,
}

impl Cursor {
    fn new(scan: Scan) -> Self {
        let mut ranges = scan.joined_ranges();
        if !scan.reverse {
            ranges.reverse();
        }
        Self {
            ranges,
            left: scan.limit.unwrap_or(u64::MAX),
            scan,
        }
    }

    /// The rows that one step finds; none at the end.
    fn step(&mut self, store: &MemoryStore, table: &str) -> Option<Result<Vec<Row>>> {
        if self.left == 0 {
            return None;
        }
        let range = self.ranges.pop()?;
        let page = match store.page(table, &range, self) {
            Ok(page) => page,
            Err(error) => {
                self.ranges.clear();
                return Some(Err(error));
            }
        };
        if let Some((last, _)) = page.last().filter(|_| page.len() == PAGE_ROWS) {
            self.ranges.push(self.rest(range, last));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let rows: Vec<_> = page
            .into_iter()
            .filter_map(|(_, row)| row)
            .take(most)
            .collect();
        self.left -= rows.len() as u64;
        Some(Ok(rows))
    }

    /// What of `range` lies beyond `last` in the scan's direction.
    fn rest(&self, range: KeyRange, last: &[u8]) -> KeyRange {
        if self.scan.reverse {
            KeyRange {
                end: Some(last.to_vec()),
                ..range
            }
        } else {
            KeyRange {
                start: [last, &[0]].concat(),
                ..range
            }
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn capability(&self) -> Capability {
        Capability {
            persistent: false,
            enforces_limits: true,
            atomic_rows: true,
            writes: WriteShape::LARGE,
        }
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let table = tables.get_mut(table).ok_or_else(|| not_found(table))?;
        let outcomes = batch.iter().map(|mutation| {
            validate(&table.schema, mutation)?;
            let cells = table.rows.entry(mutation.key().to_vec()).or_default();
            cells.apply(mutation);
            if cells.is_empty() {
                table.rows.remove(mutation.key());
            }
            Ok(())
        });
        Ok(outcomes.collect())
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        /// How many parts a table is split into, if it has so many rows.
        const PARTS: usize = 16;
        self.read(table, |table| {
            let step = table.rows.len() / PARTS;
            let keys = table.rows.keys().skip(step).step_by(step.max(1));
            let parts = if step == 0 { 0 } else { PARTS - 1 };
            keys.take(parts).cloned().collect()
        })
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        if let Err(error) = self.read(table, |_| ()) {
            return stream::once(async { Err(error) }).boxed();
        }
        let (store, table) = (self.clone(), table.to_owned());
        let steps = stream::unfold(Cursor::new(scan), move |mut cursor| {
            let step = cursor.step(&store, &table);
            async move { Some((step?, cursor)) }
        });
        steps.flat_map(|step| stream::iter(each(step))).boxed()
    }
}

/// The rows of a step, or its one error.
fn each(step: Result<Vec<Row>>) -> Vec<Result<Row>> {
    match step {
        Ok(rows) => rows.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}

#[async_trait]
impl Admin for MemoryStore {
    async fn create_table(&self, schema: &TableSchema) -> Result<()> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if tables.contains_key(&schema.name) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("there is a table `{}` already", schema.name),
            ));
        }
        tables.insert(
            schema.name.clone(),
            Table {
                schema: schema.clone(),
                rows: BTreeMap::new(),
            },
        );
        Ok(())
    }

    async fn alter_table(&self, schema: &TableSchema) -> Result<()> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let table = tables
            .get_mut(&schema.name)
            .ok_or_else(|| not_found(&schema.name))?;
        table.schema = table.schema.altered(schema);
        Ok(())
    }

    async fn tables(&self) -> Result<Vec<TableSchema>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        Ok(tables.values().map(|table| table.schema.clone()).collect())
    }

    async fn drop_table(&self, table: &str) -> Result<()> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables
            .remove(table)
            .map(|_| ())
            .ok_or_else(|| not_found(table))
    }
}
