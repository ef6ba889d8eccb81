//! rowmill's store on a Bigtable instance.

mod scan;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use rowmill_model::{MutationBatch, Row};
use rowmill_store::{
    Admin, Capability, Clock, Effect, ErrorKind, Result, Scan, Store, SystemClock, TableSchema,
    View, WriteShape,
};

use crate::bulk::MUTATE_ROWS;
use crate::client::Client;
use crate::entries::UNKNOWN_FAMILY;
use crate::error::{Code, Error};

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
    ) {
        let rows: Vec<usize> = (0..batch.len())
            .filter(|index| is_unknown_family(&outcomes[*index]))
            .collect();
        if rows.is_empty() {
            return;
        }
        // Where the table cannot be looked at, the other rows are written all the same, and these stay what they are.
        let Ok(schema) = self.fetch_schema(table).await else {
            return;
        };
        let mut again = MutationBatch::new();
        rows.iter().for_each(|index| again.push(batch.get(*index)));
        let written = self
            .client
            .mutate_batch_of(table, Arc::new(again), Some(schema))
            .await;
        for (index, outcome) in rows.into_iter().zip(written) {
            outcomes[index] = outcome;
        }
    }
}

/// Whether a row was held back because of a family.
fn is_unknown_family(outcome: &std::result::Result<(), Error>) -> bool {
    outcome
        .as_ref()
        .is_err_and(|error| error.attempts() == 0 && error.message().starts_with(UNKNOWN_FAMILY))
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
        self.apply_again(table, &batch, &mut outcomes).await;
        let each = outcomes.into_iter();
        Ok(each.map(|outcome| outcome.map_err(Into::into)).collect())
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        let samples = self.client.sample_row_keys(table).await?.into_iter();
        let mut keys: Vec<_> = samples.map(|sample| sample.row_key.to_vec()).collect();
        // The last sample stands for the table's end, by an empty key or one beyond every row.
        keys.retain(|key| !key.is_empty());
        Ok(keys)
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        let (store, table) = (self.clone(), table.to_owned());
        let rows = async move {
            let schema = store.schema(&table).await?;
            let view = View::new(&scan, &schema, store.clock.now());
            Ok::<_, rowmill_store::Error>(scan::rows(&store.client, &table, &scan, &schema, view))
        };
        stream::once(rows).try_flatten().boxed()
    }
}

/// A client's error as a store's, with its hint and its effect. Its text names its causes already.
impl From<Error> for rowmill_store::Error {
    fn from(error: Error) -> Self {
        let is_of_request = error.operation() == MUTATE_ROWS.name && error.row_key().is_none();
        let kind = match error.code() {
            Code::InvalidArgument if is_of_request => ErrorKind::Internal,
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
        let is_of_table = error.resource().contains("/tables/");
        if kind == ErrorKind::NotFound && is_of_table {
            converted = converted.with_hint(
                "`rowmill tables create` makes rowmill's tables, which takes roles/bigtable.admin",
            );
        } else if let Some(hint) = error.hint() {
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
