//! Reading rows: the request, and a stream that outlives the connections it comes over.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::row_range::{EndKey, StartKey};
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::{
    ReadRowsRequest, ReadRowsResponse, RowFilter, RowRange, RowSet,
};
use prost::Message as _;
use rowmill_rowkey::KeyRange;
use tonic::Code;

use crate::assembler::{Assembler, ProtocolError};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::policies::Overrides;
use crate::resume;
use crate::retry::{Retries, RetryPolicy};
use crate::row::Row;
use crate::transport::{Call, Method, Patience, Responses};

const READ_ROWS: Method = Method {
    name: "ReadRows",
    path: "/google.bigtable.v2.Bigtable/ReadRows",
};

/// Which rows of a table to read, and what of them. Without keys and ranges it is the whole table.
///
/// ```
/// use rowmill_bigtable::{ReadRows, filter};
///
/// let latest = ReadRows::new("events_fact")
///     .prefix("user-7#")
///     .filter(filter::chain([filter::family("event_data"), filter::cells_per_column(1)]))
///     .limit(20);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRows {
    request: ReadRowsRequest,
    /// A range without keys was asked for. It is not sent: without any keys the request would be for the whole table.
    has_empty_range: bool,
    /// The limit is zero, which Bigtable takes for none.
    has_no_rows: bool,
    overrides: Overrides,
}

impl ReadRows {
    /// All rows of `table`, which is a table's name within the instance.
    pub fn new(table: impl Into<String>) -> Self {
        Self::of(ReadRowsRequest {
            table_name: table.into(),
            ..ReadRowsRequest::default()
        })
    }

    fn of(request: ReadRowsRequest) -> Self {
        Self {
            request,
            has_empty_range: false,
            has_no_rows: false,
            overrides: Overrides::default(),
        }
    }

    /// The row of `key`, beside what was asked for before.
    pub fn row(mut self, key: impl Into<Bytes>) -> Self {
        self.rows().row_keys.push(key.into());
        self
    }

    /// The rows of a range, beside what was asked for before. A range without keys adds none: where nothing else is asked for, nothing
    /// is read.
    pub fn range(mut self, range: &KeyRange) -> Self {
        if range.is_empty() {
            self.has_empty_range = true;
        } else {
            self.rows().row_ranges.push(row_range(range));
        }
        self
    }

    /// The rows whose keys begin with `prefix`, beside what was asked for before.
    pub fn prefix(self, prefix: impl Into<Vec<u8>>) -> Self {
        self.range(&KeyRange::prefix(prefix.into()))
    }

    /// Only what passes `filter`.
    pub fn filter(mut self, filter: RowFilter) -> Self {
        self.request.filter = Some(filter);
        self
    }

    /// At most `rows` rows. With a limit of zero nothing is read.
    pub fn limit(mut self, rows: u64) -> Self {
        self.has_no_rows = rows == 0;
        self.request.rows_limit = i64::try_from(rows).unwrap_or(i64::MAX);
        self
    }

    /// From the last row to the first.
    pub fn reversed(mut self) -> Self {
        self.request.reversed = true;
        self
    }

    /// Takes at most `timeout`, with all its attempts, from when the stream is first asked.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.overrides.timeout = Some(timeout);
        self
    }

    /// Follows this policy, instead of the client's.
    ///
    /// ```
    /// use rowmill_bigtable::{ReadRows, RetryPolicy, filter};
    ///
    /// // A read that looks at many rows to find few takes longer than reads of so few rows do.
    /// let rare = ReadRows::new("plays")
    ///     .filter(filter::qualifiers([&b"refund"[..]]))
    ///     .limit(10)
    ///     .with_policy(RetryPolicy::scans());
    /// ```
    pub fn with_policy(mut self, policy: RetryPolicy) -> Self {
        self.overrides.policy = Some(policy);
        self
    }

    fn rows(&mut self) -> &mut RowSet {
        self.request.rows.get_or_insert_default()
    }

    /// Whether no row can be meant.
    fn is_empty(&self) -> bool {
        let rows = self.request.rows.as_ref();
        let names_none =
            rows.is_none_or(|rows| rows.row_keys.is_empty() && rows.row_ranges.is_empty());
        self.has_no_rows || self.has_empty_range && names_none
    }

    /// Whether it asks for few rows, by its limit or by naming them.
    pub(crate) fn is_bounded(&self) -> bool {
        let limit = usize::try_from(self.request.rows_limit).unwrap_or(0);
        (1..=BOUNDED_ROWS_MAX).contains(&limit) || self.request.rows.as_ref().is_some_and(names_few)
    }

    pub(crate) fn overrides(&self) -> &Overrides {
        &self.overrides
    }
}

/// The most rows of a read that follows the policy of reads, not of scans.
const BOUNDED_ROWS_MAX: usize = 1_000;

/// Whether a row set names rows, not ranges of many, and few of them.
fn names_few(rows: &RowSet) -> bool {
    let count = rows.row_keys.len() + rows.row_ranges.len();
    (1..=BOUNDED_ROWS_MAX).contains(&count) && rows.row_ranges.iter().all(resume::is_single)
}

/// A request as Bigtable defines it. The names of the table and the app profile in it are replaced by the client's.
impl From<ReadRowsRequest> for ReadRows {
    fn from(request: ReadRowsRequest) -> Self {
        let table = request.table_name.rsplit('/').next().unwrap_or_default();
        Self::of(ReadRowsRequest {
            table_name: table.to_owned(),
            ..request
        })
    }
}

fn row_range(range: &KeyRange) -> RowRange {
    let start = Bytes::copy_from_slice(&range.start);
    let end = range.end.as_deref().map(Bytes::copy_from_slice);
    RowRange {
        start_key: (!start.is_empty()).then_some(StartKey::StartKeyClosed(start)),
        end_key: end.map(EndKey::EndKeyOpen),
    }
}

/// The rows of a read, in key order.
///
/// The next row may be waited for and given up, and asked for again later: nothing is lost between two rows.
///
/// An error ends the stream, with one exception: a row that is too large to be read is an error that names its key, and the rows
/// after it follow.
pub type RowStream = BoxStream<'static, Result<Row>>;

/// Starts a read.
pub(crate) fn read_rows(client: &Client, read: ReadRows) -> RowStream {
    if read.is_empty() {
        return stream::empty().boxed();
    }
    let client = client.clone();
    // Nothing begins, no deadline either, before the stream is asked for the first time.
    stream::iter([read])
        .flat_map(move |read| {
            stream::unfold(Reading::new(&client, read), |mut state| async move {
                let step = state.step().await?;
                Some((step, state))
            })
        })
        .flat_map(|Step { rows, error }| {
            stream::iter(rows.into_iter().map(Ok).chain(error.map(Err)))
        })
        .boxed()
}

/// Rows, and what went wrong after them.
#[derive(Default)]
struct Step {
    rows: Vec<Row>,
    error: Option<Error>,
}

impl Step {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.error.is_none()
    }
}

/// A read under way.
struct Reading {
    client: Client,
    call: Call,
    resource: String,
    /// What is left to read.
    request: Box<ReadRowsRequest>,
    limit: Option<i64>,
    delivered: i64,
    assembler: Assembler,
    retries: Retries,
    responses: Option<Box<Responses<ReadRowsResponse>>>,
    is_over: bool,
}

impl Reading {
    fn new(client: &Client, read: ReadRows) -> Self {
        let policy = client.policy_of_read(&read);
        let mut request = Box::new(read.request);
        let resource = client.table_name(&request.table_name);
        let call = Call::new(READ_ROWS, client.table_routing(&resource));
        request.table_name.clone_from(&resource);
        client.app_profile().clone_into(&mut request.app_profile_id);
        Self {
            client: client.clone(),
            call,
            resource,
            limit: (request.rows_limit > 0).then_some(request.rows_limit),
            delivered: 0,
            assembler: Assembler::new(request.reversed),
            retries: client.environment().retries(policy),
            responses: None,
            is_over: false,
            request,
        }
    }

    /// The next rows, or the next error; none at the end.
    async fn step(&mut self) -> Option<Step> {
        while !self.is_over {
            let mut step = Step::default();
            match self.receive().await {
                Ok(Some(message)) => step = self.take(message),
                Ok(None) => {
                    self.is_over = true;
                    let finished = self.assembler.finish();
                    step.error = finished.err().map(|error| self.protocol_error(&error));
                }
                Err(failure) => step.error = self.recover(failure).await.err(),
            }
            if !step.is_empty() {
                return Some(step);
            }
        }
        None
    }

    async fn receive(&mut self) -> std::result::Result<Option<ReadRowsResponse>, Failure> {
        if self.responses.is_none() {
            let request = self.request.encode_to_vec().into();
            let patience = Patience::new(self.retries.begin(), self.retries.message_timeout());
            let opened = self
                .client
                .transport()
                .open(&mut self.call, request, patience);
            self.responses = Some(Box::new(opened.await?));
        }
        let responses = self.responses.as_mut().expect("opened above");
        responses.next().await
    }

    /// Rows that came whole before a message went wrong are rows.
    fn take(&mut self, message: ReadRowsResponse) -> Step {
        let mut rows = Vec::new();
        let before = self.assembler.last_key().cloned();
        let taken = self.assembler.take(message, &mut rows);
        if self.assembler.last_key() != before.as_ref() {
            self.retries.progressed();
        }
        self.delivered += i64::try_from(rows.len()).expect("a message has few rows");
        self.is_over = taken.is_err();
        let error = taken.err().map(|error| self.protocol_error(&error));
        Step { rows, error }
    }

    /// Gets ready for another attempt; or gives the error that the caller shall see. The read may go on after it.
    async fn recover(&mut self, mut failure: Failure) -> Result<()> {
        self.responses = None;
        self.assembler.restart();
        self.call.note_failure(&failure);
        if self.limit.is_some_and(|limit| self.delivered >= limit) {
            // All rows are there; how their stream ended does not matter.
            self.is_over = true;
            return Ok(());
        }
        if let Some(key) = failure.large_row.take() {
            let error = self.error(failure).with_row_key(key.clone());
            self.is_over = self.assembler.skip(key).is_err() || !self.narrow();
            self.retries.progressed();
            return Err(error);
        }
        match self.retries.wait(&failure).await {
            Ok(()) => {
                self.is_over = !self.narrow();
                Ok(())
            }
            Err(over) => {
                self.is_over = true;
                Err(self.error(over.unwrap_or(failure)))
            }
        }
    }

    /// Takes from the request what has come already; false if nothing is left.
    fn narrow(&mut self) -> bool {
        let Some(last) = self.assembler.last_key() else {
            return true;
        };
        let left = resume::beyond(self.request.rows.as_ref(), last, self.request.reversed);
        if let Some(limit) = self.limit {
            self.request.rows_limit = limit - self.delivered;
        }
        let is_left = left.is_some();
        self.request.rows = left;
        is_left
    }

    fn protocol_error(&self, error: &ProtocolError) -> Error {
        self.error(Failure::new(Code::Internal, error.to_string()))
    }

    fn error(&self, failure: Failure) -> Error {
        Error::of(failure, READ_ROWS.name, &self.resource)
            .with_attempts(self.retries.attempts_total)
    }
}

/// The read of one row.
pub(crate) fn one_row(table: &str, key: Bytes, filter: Option<RowFilter>) -> ReadRows {
    let read = ReadRows::new(table).row(key).limit(1);
    match filter {
        Some(filter) => read.filter(filter),
        None => read,
    }
}
