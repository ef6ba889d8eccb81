//! The client: what it can be asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::{
    CheckAndMutateRowRequest, MutateRowRequest, Mutation, ReadModifyWriteRowRequest,
    ReadModifyWriteRule, RowFilter, SampleRowKeysResponse,
};
use rowmill_model::MutationBatch;
use rowmill_store::TableSchema;
use rowmill_store::limits::{check_key, check_qualifier};
use tonic::metadata::AsciiMetadataValue;

use crate::builder::ClientBuilder;
use crate::bulk;
use crate::entries::{self, BatchEntries};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::flow::{Budget, Limiter};
use crate::limits::{BulkLimits, check_bytes};
use crate::policies::{Overrides, Policies};
use crate::read::{self, ReadRows, RowStream};
use crate::retry::RetryPolicy;
use crate::row::{self, Row};
use crate::row_mutation::{RowMutation, is_idempotent};
use crate::table_admin::TableAdmin;
use crate::transport::{Transport, routing};
use crate::unary::{self, Target};

/// A client of one Bigtable instance. Clones share its connections.
///
/// Calls follow the retry policies that the client was built with. [`Client::with_timeout`] and [`Client::with_policy`] give a client
/// of the same connections whose calls follow another.
///
/// # Cancel safety
/// Any call may be dropped. A read that is dropped ends on the server. A write that is dropped may have taken effect, or may still, as
/// one whose error says [`Effect::Unknown`](rowmill_store::Effect); what it held of the budget of bulk writes is given back.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    overrides: Overrides,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) data: Transport,
    pub(crate) admin: Transport,
    pub(crate) is_closed: Arc<AtomicBool>,
    pub(crate) limiter: Limiter,
    pub(crate) budget: Budget,
    pub(crate) environment: Environment,
    pub(crate) policies: Policies,
    pub(crate) bulk_limits: BulkLimits,
    pub(crate) instance_name: String,
    pub(crate) app_profile: String,
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The filter let something through, so the first mutations were applied.
    Matched,
    /// It did not, so the second were.
    NotMatched,
}

impl Client {
    /// Starts making a client of the instance `instance` in the project `project`.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), rowmill_bigtable::Error> {
    /// use rowmill_bigtable::Client;
    ///
    /// let client = Client::builder("my-project", "my-instance")
    ///     .app_profile("ingest")
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(project: impl Into<String>, instance: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(project.into(), instance.into())
    }

    pub(crate) fn of(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
            overrides: Overrides::default(),
        }
    }

    /// A client of the same connections whose calls take at most `timeout` each, with all their attempts. With a timeout of zero
    /// nothing is sent, and calls fail as those do whose deadline is over.
    ///
    /// ```no_run
    /// # async fn example(client: rowmill_bigtable::Client) -> Result<(), rowmill_bigtable::Error> {
    /// use std::time::Duration;
    ///
    /// let hasty = client.with_timeout(Duration::from_millis(500));
    /// let row = hasty.read_row("plays", "user-7#1", None).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let mut client = self.clone();
        client.overrides.timeout = Some(timeout);
        client
    }

    /// A client of the same connections whose calls follow `policy`, of whatever kind they are. Writes that must not happen twice take
    /// only its timeouts.
    ///
    /// ```no_run
    /// # async fn example(client: rowmill_bigtable::Client) -> Result<(), rowmill_bigtable::Error> {
    /// use rowmill_bigtable::{RetryPolicy, RowMutation};
    ///
    /// let once = RetryPolicy { attempts_max: Some(1), ..RetryPolicy::writes() };
    /// let row = RowMutation::new("user-7#1").set_cell("event", "song", 1_000, "So What");
    /// client.with_policy(once).mutate_row("plays", row).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_policy(&self, policy: RetryPolicy) -> Self {
        let mut client = self.clone();
        client.overrides.policy = Some(policy);
        client
    }

    /// The full name of the instance: `projects/…/instances/…`.
    pub fn instance_name(&self) -> &str {
        &self.shared.instance_name
    }

    /// The tables themselves.
    pub fn table_admin(&self) -> TableAdmin {
        TableAdmin::new(self.clone())
    }

    /// One row, or what a filter leaves of it; none if that is nothing.
    ///
    /// ```no_run
    /// # async fn example(client: rowmill_bigtable::Client) -> Result<(), rowmill_bigtable::Error> {
    /// use rowmill_bigtable::filter;
    ///
    /// let row = client.read_row("plays", "user-7#1", Some(filter::cells_per_column(1))).await?;
    /// let song = row.as_ref().and_then(|row| row.value("event", b"song"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read_row(
        &self,
        table: &str,
        key: impl Into<Bytes>,
        filter: Option<RowFilter>,
    ) -> Result<Option<Row>> {
        let read = read::one_row(table, key.into(), filter);
        let mut rows = read::read_rows(self, read);
        let row = rows.try_next().await?;
        // To the end, where there is no more to come: a stream that is dropped before is one that is reset.
        while row.is_some() && rows.try_next().await?.is_some() {}
        Ok(row)
    }

    /// Many rows. Nothing is sent before the stream is first asked.
    ///
    /// A stream that nobody reads for a while holds memory, at most [`ClientBuilder::stream_window_bytes`] and the rows of one message,
    /// but nothing that other calls need: any number of them may be open, and read in any order.
    ///
    /// ```no_run
    /// # async fn example(client: rowmill_bigtable::Client) -> Result<(), rowmill_bigtable::Error> {
    /// use futures::TryStreamExt as _;
    /// use rowmill_bigtable::ReadRows;
    ///
    /// let mut rows = client.read_rows(ReadRows::new("plays").prefix("user-7#").limit(10));
    /// while let Some(row) = rows.try_next().await? {
    ///     println!("{:?}", row.key);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_rows(&self, read: ReadRows) -> RowStream {
        read::read_rows(self, read)
    }

    /// Writes one row. It is tried again only if all its mutations may happen twice.
    pub async fn mutate_row(&self, table: &str, row: RowMutation) -> Result<()> {
        check(&row, "MutateRow")?;
        let policy = if row.mutations.iter().all(is_idempotent) {
            self.write_policy()
        } else {
            self.single_write_policy()
        };
        let request = MutateRowRequest {
            table_name: table.to_owned(),
            row_key: row.key,
            mutations: row.mutations,
            ..MutateRowRequest::default()
        };
        unary::mutate_row(self, request, policy).await
    }

    /// Writes many rows, and gives an outcome for each, in their order. Rows are applied in any order, also two mutations of one row:
    /// what must happen to a row in order belongs into one [`RowMutation`].
    ///
    /// The rows are cut into requests, which never get too large; rows that failed and may succeed are sent again, and only
    /// those. A row beyond a limit is found before anything is sent, and fails alone.
    ///
    /// # Cancel safety
    /// Dropped before it is done, it has written some of the rows, and which is not known. It leaves no turn or share of the budget of
    /// bulk writes behind.
    ///
    /// ```no_run
    /// # async fn example(client: rowmill_bigtable::Client) -> Result<(), rowmill_bigtable::Error> {
    /// use rowmill_bigtable::RowMutation;
    ///
    /// let rows = ["1", "2"].map(|key| RowMutation::new(key).set_cell("event", "song", 1_000, "So What"));
    /// for outcome in client.mutate_rows("plays", rows.into()).await {
    ///     if let Err(error) = outcome {
    ///         eprintln!("{:?}: {error}", error.row_key());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn mutate_rows(&self, table: &str, rows: Vec<RowMutation>) -> Vec<Result<()>> {
        let order = (0..index(rows.len())).collect();
        bulk::mutate_rows(self, table, &rows, order, self.write_policy()).await
    }

    /// The same for a batch in rowmill's compact form, which goes to the wire without a structure for each cell. Rows that lie
    /// close to each other travel together.
    pub async fn mutate_batch(&self, table: &str, batch: Arc<MutationBatch>) -> Vec<Result<()>> {
        self.mutate_batch_of(table, batch, None).await
    }

    /// The same, for a table whose families are known: a row that names another is not sent.
    pub(crate) async fn mutate_batch_of(
        &self,
        table: &str,
        batch: Arc<MutationBatch>,
        schema: Option<Arc<TableSchema>>,
    ) -> Vec<Result<()>> {
        let mut order: Vec<u32> = (0..index(batch.len())).collect();
        let key = |index: u32| batch.get(index as usize).key();
        order.sort_unstable_by(|a, b| key(*a).cmp(key(*b)).then(a.cmp(b)));
        let entries = BatchEntries { batch, schema };
        bulk::mutate_rows(self, table, &entries, order, self.write_policy()).await
    }

    /// Applies `matched` to a row if `predicate` lets anything of it through, and `not_matched` if not, in one step. Without a
    /// predicate the question is whether the row exists. It is never sent twice, unless the server asks for it.
    pub async fn check_and_mutate_row(
        &self,
        table: &str,
        key: impl Into<Bytes>,
        predicate: Option<RowFilter>,
        matched: Vec<Mutation>,
        not_matched: Vec<Mutation>,
    ) -> Result<Checked> {
        let key = key.into();
        for mutations in [&matched, &not_matched] {
            let row = RowMutation {
                key: key.clone(),
                mutations: mutations.clone(),
            };
            // One of the two may be to do nothing.
            if !row.mutations.is_empty() {
                check(&row, "CheckAndMutateRow")?;
            }
        }
        check_key(&key).map_err(|problem| Error::invalid("CheckAndMutateRow", problem))?;
        let request = CheckAndMutateRowRequest {
            table_name: table.to_owned(),
            row_key: key,
            predicate_filter: predicate,
            true_mutations: matched,
            false_mutations: not_matched,
            ..CheckAndMutateRowRequest::default()
        };
        let response = unary::check_and_mutate_row(self, request).await?;
        Ok(if response.predicate_matched {
            Checked::Matched
        } else {
            Checked::NotMatched
        })
    }

    /// Increments cells of a row or appends to them, in one step, and gives the cells as they are then. It is never sent twice,
    /// unless the server asks for it.
    pub async fn read_modify_write_row(
        &self,
        table: &str,
        key: impl Into<Bytes>,
        rules: Vec<ReadModifyWriteRule>,
    ) -> Result<Row> {
        let key = key.into();
        let checked = check_key(&key).and_then(|()| {
            let mut rules = rules.iter();
            rules.try_for_each(|rule| check_qualifier(&rule.column_qualifier))
        });
        checked.map_err(|problem| {
            Error::invalid("ReadModifyWriteRow", problem).with_row_key(key.clone())
        })?;
        let request = ReadModifyWriteRowRequest {
            table_name: table.to_owned(),
            row_key: key,
            rules,
            ..ReadModifyWriteRowRequest::default()
        };
        let response = unary::read_modify_write_row(self, request).await?;
        Ok(row::of_proto(response.row.unwrap_or_default()))
    }

    /// Keys that cut a table into parts of about equal size, and how many bytes lie before each.
    ///
    /// ```no_run
    /// # async fn example(client: rowmill_bigtable::Client) -> Result<(), rowmill_bigtable::Error> {
    /// for sample in client.sample_row_keys("plays").await? {
    ///     println!("{} bytes before {:?}", sample.offset_bytes, sample.row_key);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn sample_row_keys(&self, table: &str) -> Result<Vec<SampleRowKeysResponse>> {
        unary::sample_row_keys(self, table).await
    }

    /// How many requests of bulk writes are in flight, of at most [`BulkLimits::requests_in_flight_max`].
    pub fn bulk_requests_in_flight(&self) -> usize {
        self.shared.budget.in_flight()
    }

    /// Refuses calls from now on, of this client and of all that share its connections. Calls in flight go on to their end. A client may
    /// be closed twice.
    pub fn close(&self) {
        self.shared.is_closed.store(true, Ordering::Release);
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.shared.data
    }

    pub(crate) fn admin_transport(&self) -> &Transport {
        &self.shared.admin
    }

    pub(crate) fn target<'a>(&'a self, resource: &'a str) -> Target<'a> {
        Target {
            transport: &self.shared.data,
            environment: &self.shared.environment,
            resource,
        }
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.shared.environment
    }

    pub(crate) fn app_profile(&self) -> &str {
        &self.shared.app_profile
    }

    /// The policy of a read, which may ask for one of its own.
    pub(crate) fn policy_of_read(&self, read: &ReadRows) -> RetryPolicy {
        let policies = &self.shared.policies;
        let default = if read.is_bounded() {
            &policies.read
        } else {
            &policies.scan
        };
        read.overrides().clone().or(&self.overrides).of(default)
    }

    pub(crate) fn read_policy(&self) -> RetryPolicy {
        self.overrides.of(&self.shared.policies.read)
    }

    fn write_policy(&self) -> RetryPolicy {
        self.overrides.of(&self.shared.policies.write)
    }

    pub(crate) fn single_write_policy(&self) -> RetryPolicy {
        let policies = &self.shared.policies;
        self.overrides.of_once(&policies.single_write)
    }

    pub(crate) fn admin_policy(&self) -> RetryPolicy {
        self.overrides.of_once(&self.shared.policies.admin)
    }

    pub(crate) fn bulk_limits(&self) -> &BulkLimits {
        &self.shared.bulk_limits
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.shared.limiter
    }

    pub(crate) fn table_name(&self, table: &str) -> String {
        format!("{}/tables/{table}", self.shared.instance_name)
    }

    pub(crate) fn table_routing(&self, table_name: &str) -> AsciiMetadataValue {
        routing(&[
            ("table_name", table_name),
            ("app_profile_id", self.app_profile()),
        ])
    }
}

/// Checks the mutations of one row against Bigtable's limits.
fn check(row: &RowMutation, operation: &'static str) -> Result<()> {
    let checked = entries::check(row).and_then(|()| check_bytes(entries::bytes(row)));
    checked.map_err(|problem| Error::invalid(operation, problem).with_row_key(row.key.clone()))
}

fn index(rows: usize) -> u32 {
    u32::try_from(rows).expect("a batch has fewer than four thousand million rows")
}
