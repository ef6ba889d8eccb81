//! rowmill's store on a Bigtable instance.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use rowmill_model::{Cell, MutationBatch, Row, RowBuilder};
use rowmill_rowkey::KeyRange;
use rowmill_store::{
    Admin, Capability, Clock, Effect, ErrorKind, Result, Scan, Store, SystemClock, TableSchema,
    View, WriteShape,
};

use crate::client::Client;
use crate::entries::UNKNOWN_FAMILY;
use crate::error::{Code, Error};
use crate::filter;
use crate::proto::RowFilter;
use crate::read::ReadRows;
use crate::row;

/// The keys of one read are at most 1 MiB; half of it leaves room for what goes around them.
const KEYS_BYTES_MAX: usize = 512 << 10;

/// A [`Store`] and [`Admin`] of one Bigtable instance.
///
/// Bigtable collects garbage when it pleases, so cells that a rule allows to be dropped are filtered out of every read: by the
/// server where its filters can say it, and by [`View`] in any case.
#[derive(Debug, Clone)]
pub struct BigtableStore {
    client: Client,
    clock: Arc<dyn Clock>,
    /// Tables as they were when they were last looked at.
    schemas: Arc<RwLock<BTreeMap<String, Arc<TableSchema>>>>,
}

impl BigtableStore {
    /// The store of what `client` reaches.
    pub fn new(client: Client) -> Self {
        Self::with_clock(client, Arc::new(SystemClock))
    }

    /// The same by `clock`, which tells how old cells are.
    pub fn with_clock(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            clock,
            schemas: Arc::default(),
        }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn schema(&self, table: &str) -> Result<Arc<TableSchema>> {
        let known = {
            let schemas = self.schemas.read().unwrap_or_else(PoisonError::into_inner);
            schemas.get(table).cloned()
        };
        match known {
            Some(schema) => Ok(schema),
            None => self.fetch_schema(table).await,
        }
    }

    async fn fetch_schema(&self, table: &str) -> Result<Arc<TableSchema>> {
        let found = self.client.table_admin().table(table).await;
        let schema = Arc::new(found?);
        let mut schemas = self.schemas.write().unwrap_or_else(PoisonError::into_inner);
        schemas.insert(table.to_owned(), Arc::clone(&schema));
        Ok(schema)
    }

    fn forget_schema(&self, table: &str) {
        let mut schemas = self.schemas.write().unwrap_or_else(PoisonError::into_inner);
        schemas.remove(table);
    }

    /// Writes the rows that name families which the table did not have when it was last looked at, if it has them now.
    async fn apply_again(
        &self,
        table: &str,
        batch: &MutationBatch,
        outcomes: &mut [std::result::Result<(), Error>],
    ) -> Result<()> {
        let rows: Vec<usize> = (0..batch.len())
            .filter(|index| is_unknown_family(&outcomes[*index]))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let schema = self.fetch_schema(table).await?;
        let mut again = MutationBatch::new();
        rows.iter().for_each(|index| again.push(batch.get(*index)));
        let written = self
            .client
            .mutate_batch_of(table, Arc::new(again), Some(schema))
            .await;
        for (index, outcome) in rows.into_iter().zip(written) {
            outcomes[index] = outcome;
        }
        Ok(())
    }
}

/// Whether a row was held back because of a family.
fn is_unknown_family(outcome: &std::result::Result<(), Error>) -> bool {
    outcome.as_ref().is_err_and(|error| {
        error.code() == Code::InvalidArgument && error.message().starts_with(UNKNOWN_FAMILY)
    })
}

#[async_trait]
impl Store for BigtableStore {
    fn capability(&self) -> Capability {
        Capability {
            persistent: true,
            enforces_limits: true,
            atomic_rows: true,
            writes: WriteShape {
                batch_bytes: 4 << 20,
                batches_in_flight: 4,
            },
        }
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        let schema = self.schema(table).await?;
        let written = self
            .client
            .mutate_batch_of(table, Arc::clone(&batch), Some(schema));
        let mut outcomes = written.await;
        self.apply_again(table, &batch, &mut outcomes).await?;
        let each = outcomes.into_iter();
        Ok(each.map(|outcome| outcome.map_err(Into::into)).collect())
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let (store, table) = (self.clone(), table.to_owned());
        let rows = async move {
            let schema = store.schema(&table).await?;
            let view = View::new(&scan, &schema, store.clock.now());
            Ok::<_, rowmill_store::Error>(rows(&store.client, &table, &scan, &schema, view))
        };
        stream::once(rows).try_flatten().boxed()
    }
}

/// The rows of a scan.
fn rows(
    client: &Client,
    table: &str,
    scan: &Scan,
    schema: &TableSchema,
    view: View,
) -> BoxStream<'static, Result<Row>> {
    let (filters, is_exact) = server_filters(scan, schema, &view);
    let limit = scan.limit.unwrap_or(u64::MAX);
    if limit == 0 {
        return stream::empty().boxed();
    }
    let read = |ranges: &[KeyRange]| {
        let mut read = ReadRows::new(table);
        for range in ranges {
            read = read.range(range);
        }
        if let Some(limit) = scan.limit.filter(|_| is_exact) {
            read = read.limit(limit);
        }
        if scan.reverse {
            read = read.reversed();
        }
        read.filter(filter::chain(filters.clone()))
    };
    let mut ranges = scan.joined_ranges();
    if scan.reverse {
        ranges.reverse();
    }
    let reads: Vec<_> = parts(&ranges).map(read).collect();
    let client = client.clone();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    stream::iter(reads)
        .flat_map(move |read| client.read_rows(read))
        .map_err(rowmill_store::Error::from)
        .try_filter_map(move |row| {
            let shown = shown(&row, &view);
            async move { Ok(shown) }
        })
        .take(limit)
        .boxed()
}

/// Ranges in parts that one request may carry.
fn parts(ranges: &[KeyRange]) -> impl Iterator<Item = &[KeyRange]> {
    let bytes = |range: &KeyRange| range.start.len() + range.end.as_ref().map_or(0, Vec::len) + 16;
    let mut total = 0;
    ranges.chunk_by(move |_, next| {
        total += bytes(next);
        if total <= KEYS_BYTES_MAX {
            return true;
        }
        total = 0;
        false
    })
}

/// What of a scan the server can filter, and whether nothing is left for the view to filter out.
///
/// A rule of versions counts a column's cells before any other filter sees them. Where all families have one rule, it stands
/// before those; where they differ, what follows it is left to the view.
fn server_filters(scan: &Scan, schema: &TableSchema, view: &View) -> (Vec<RowFilter>, bool) {
    let asked = |name: &str| {
        let families = scan.families.as_ref();
        families.is_none_or(|families| families.iter().any(|it| it == name))
    };
    let shown: Vec<_> = schema
        .families
        .iter()
        .filter(|(name, _)| asked(name))
        .collect();
    let mut filters = Vec::new();
    if scan.families.is_some() {
        filters.push(filter::families(
            shown.iter().map(|(name, _)| name.as_str()),
        ));
    }
    let names = scan.qualifiers.as_ref();
    // A pattern is text; names that are none are left to the view.
    let are_text =
        |names: &Vec<Vec<u8>>| names.iter().all(|name| std::str::from_utf8(name).is_ok());
    let mut is_exact = names.is_none_or(are_text);
    if let Some(names) = names.filter(|names| are_text(names)) {
        filters.push(filter::qualifiers(names.iter().map(Vec::as_slice)));
    }
    let is_uniform = shown.windows(2).all(|pair| pair[0].1 == pair[1].1);
    is_exact &= is_uniform;
    if !is_uniform {
        return (filters, is_exact);
    }
    if let Some(versions) = shown.first().and_then(|(_, rule)| rule.versions_max) {
        filters.push(filter::cells_per_column(versions));
    }
    let oldest = view.oldest_micros().unwrap_or(0).max(0);
    let time = scan.time.map_or((0, 0), |time| (time.start, time.end));
    if scan.time.is_some() || oldest > 0 {
        // The server takes whole milliseconds only; what they include too much is the view's.
        let (start, end) = (floor(time.0.max(oldest)), ceil(time.1));
        is_exact &= start == time.0.max(oldest) && end == time.1;
        filters.push(filter::timestamps(start, end));
    }
    if let Some(cells) = scan.cells_per_column {
        filters.push(filter::cells_per_column(cells));
    }
    (filters, is_exact)
}

fn floor(micros: i64) -> i64 {
    micros - micros.rem_euclid(rowmill_model::TIMESTAMP_MICROS_STEP)
}

fn ceil(micros: i64) -> i64 {
    let step = rowmill_model::TIMESTAMP_MICROS_STEP;
    floor(micros.saturating_add(step - 1))
}

/// What the view shows of a row; none if that is nothing.
fn shown(row: &row::Row, view: &View) -> Option<Row> {
    let mut cells: Vec<Cell<'_>> = row
        .cells
        .iter()
        .map(|cell| Cell {
            family: &cell.family,
            qualifier: &cell.qualifier,
            timestamp_micros: cell.timestamp_micros,
            value: &cell.value,
        })
        .collect();
    let place = |cell: &Cell<'_>| {
        let newest_first = std::cmp::Reverse(cell.timestamp_micros);
        (
            cell.family.to_owned(),
            cell.qualifier.to_vec(),
            newest_first,
        )
    };
    let is_before = |a: &Cell<'_>, b: &Cell<'_>| {
        (a.family, a.qualifier, b.timestamp_micros) < (b.family, b.qualifier, a.timestamp_micros)
    };
    // The order of families is the server's; and an emulator whose families were altered may list a cell twice.
    if !cells.is_sorted_by(is_before) {
        cells.sort_by_cached_key(place);
        cells.dedup_by(|b, a| !is_before(a, b));
    }
    RowBuilder::build(row.key.clone(), view.select(cells.into_iter()))
}

/// A client's error as a store's, with its hint and its effect. Its text names its causes already.
impl From<Error> for rowmill_store::Error {
    fn from(error: Error) -> Self {
        let kind = match error.code() {
            Code::NotFound => ErrorKind::NotFound,
            Code::AlreadyExists => ErrorKind::AlreadyExists,
            Code::InvalidArgument | Code::OutOfRange => ErrorKind::InvalidArgument,
            Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Cancelled
            | Code::ResourceExhausted => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        };
        let mut converted = Self::new(kind, error.to_string());
        if let Some(hint) = error.hint() {
            converted = converted.with_hint(hint);
        }
        if error.effect() == Effect::Unknown {
            converted = converted.with_unknown_effect();
        }
        converted
    }
}

#[async_trait]
impl Admin for BigtableStore {
    async fn create_table(&self, schema: &TableSchema) -> Result<()> {
        self.forget_schema(&schema.name);
        let admin = self.client.table_admin();
        admin
            .create_table(schema)
            .await
            .map_err(rowmill_store::Error::from)
    }

    async fn alter_table(&self, schema: &TableSchema) -> Result<()> {
        self.forget_schema(&schema.name);
        let admin = self.client.table_admin();
        admin
            .alter_table(schema)
            .await
            .map_err(rowmill_store::Error::from)
    }

    async fn tables(&self) -> Result<Vec<TableSchema>> {
        let admin = self.client.table_admin();
        admin.tables().await.map_err(rowmill_store::Error::from)
    }

    async fn drop_table(&self, table: &str) -> Result<()> {
        self.forget_schema(table);
        let admin = self.client.table_admin();
        admin
            .delete_table(table)
            .await
            .map_err(rowmill_store::Error::from)
    }
}
