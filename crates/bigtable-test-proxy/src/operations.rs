//! Operations: to the client's calls, and back to the service's messages.

use futures::TryStreamExt as _;
use googleapis_tonic_google_rpc::google::rpc::Status as RpcStatus;
use rowmill_bigtable::proto::mutate_rows_response::Entry;
use rowmill_bigtable::proto::{self, CheckAndMutateRowResponse};
use rowmill_bigtable::{Checked, Error, ReadRows, Row, RowMutation};
use tonic::Status;

use crate::messages::{
    CheckAndMutateRowRequest, CheckAndMutateRowResult, MutateRowRequest, MutateRowResult,
    MutateRowsRequest, MutateRowsResult, ReadModifyWriteRowRequest, ReadRowRequest,
    ReadRowsRequest, RowResult, RowsResult, SampleRowKeysRequest, SampleRowKeysResult,
};
use crate::proxy::Proxy;

impl Proxy {
    pub(crate) async fn read_row(self, request: ReadRowRequest) -> Result<RowResult, Status> {
        let client = self.client(&request.client_id)?;
        let (table, key) = (id(&request.table_name), request.row_key);
        Ok(row_result(
            client.read_row(table, key, request.filter).await,
        ))
    }

    pub(crate) async fn read_rows(self, request: ReadRowsRequest) -> Result<RowsResult, Status> {
        let client = self.client(&request.client_id)?;
        let read = ReadRows::from(request.request.ok_or_else(missing)?);
        let most = usize::try_from(request.cancel_after_rows).unwrap_or(0);
        let mut stream = client.read_rows(read);
        let mut rows = Vec::new();
        let mut status = RpcStatus::default();
        while most == 0 || rows.len() < most {
            match stream.try_next().await {
                Ok(Some(row)) => rows.push(proto_row(row)),
                Ok(None) => break,
                // A row that could not be read is told; those after it are read all the same.
                Err(error) => status = rpc_status(&error),
            }
        }
        Ok(RowsResult {
            status: Some(status),
            rows,
        })
    }

    pub(crate) async fn mutate_row(
        self,
        request: MutateRowRequest,
    ) -> Result<MutateRowResult, Status> {
        let client = self.client(&request.client_id)?;
        let request = request.request.ok_or_else(missing)?;
        let row = RowMutation {
            key: request.row_key,
            mutations: request.mutations,
        };
        let written = client.mutate_row(id(&request.table_name), row).await;
        Ok(MutateRowResult {
            status: Some(outcome(&written)),
        })
    }

    pub(crate) async fn bulk_mutate_rows(
        self,
        request: MutateRowsRequest,
    ) -> Result<MutateRowsResult, Status> {
        let client = self.client(&request.client_id)?;
        let request = request.request.ok_or_else(missing)?;
        let rows = request.entries.into_iter().map(|entry| RowMutation {
            key: entry.row_key,
            mutations: entry.mutations,
        });
        let table = id(&request.table_name);
        let outcomes = client.mutate_rows(table, rows.collect()).await;
        let failed = (0..).zip(outcomes).filter_map(|(index, outcome)| {
            let status = Some(rpc_status(&outcome.err()?));
            Some(Entry { index, status })
        });
        let entries: Vec<_> = failed.collect();
        let first = entries.first().and_then(|entry| entry.status.clone());
        Ok(MutateRowsResult {
            status: Some(first.unwrap_or_default()),
            entries,
        })
    }

    pub(crate) async fn check_and_mutate_row(
        self,
        request: CheckAndMutateRowRequest,
    ) -> Result<CheckAndMutateRowResult, Status> {
        let client = self.client(&request.client_id)?;
        let request = request.request.ok_or_else(missing)?;
        let checked = client
            .check_and_mutate_row(
                id(&request.table_name),
                request.row_key,
                request.predicate_filter,
                request.true_mutations,
                request.false_mutations,
            )
            .await;
        Ok(CheckAndMutateRowResult {
            status: Some(outcome(&checked)),
            result: checked.ok().map(|checked| CheckAndMutateRowResponse {
                predicate_matched: checked == Checked::Matched,
            }),
        })
    }

    pub(crate) async fn sample_row_keys(
        self,
        request: SampleRowKeysRequest,
    ) -> Result<SampleRowKeysResult, Status> {
        let client = self.client(&request.client_id)?;
        let request = request.request.ok_or_else(missing)?;
        let samples = client.sample_row_keys(id(&request.table_name)).await;
        Ok(SampleRowKeysResult {
            status: Some(outcome(&samples)),
            samples: samples.unwrap_or_default(),
        })
    }

    pub(crate) async fn read_modify_write_row(
        self,
        request: ReadModifyWriteRowRequest,
    ) -> Result<RowResult, Status> {
        let client = self.client(&request.client_id)?;
        let request = request.request.ok_or_else(missing)?;
        let (table, key) = (id(&request.table_name), request.row_key);
        let changed = client
            .read_modify_write_row(table, key, request.rules)
            .await;
        Ok(row_result(changed.map(Some)))
    }
}

/// The last part of a full name.
fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn missing() -> Status {
    Status::invalid_argument("the request is missing")
}

fn rpc_status(error: &Error) -> RpcStatus {
    RpcStatus {
        code: error.code() as i32,
        message: error.to_string(),
        details: Vec::new(),
    }
}

fn outcome<T>(result: &Result<T, Error>) -> RpcStatus {
    result.as_ref().err().map(rpc_status).unwrap_or_default()
}

fn row_result(result: Result<Option<Row>, Error>) -> RowResult {
    RowResult {
        status: Some(outcome(&result)),
        row: result.ok().flatten().map(proto_row),
    }
}

/// A row with its cells in families and columns, in the order they came.
fn proto_row(row: Row) -> proto::Row {
    let mut families: Vec<proto::Family> = Vec::new();
    for cell in row.cells {
        if families
            .last()
            .is_none_or(|family| *family.name != *cell.family)
        {
            families.push(proto::Family {
                name: cell.family.to_string(),
                columns: Vec::new(),
            });
        }
        let columns = &mut families.last_mut().expect("pushed above").columns;
        if columns
            .last()
            .is_none_or(|column| column.qualifier != cell.qualifier)
        {
            columns.push(proto::Column {
                qualifier: cell.qualifier.clone(),
                cells: Vec::new(),
            });
        }
        let cells = &mut columns.last_mut().expect("pushed above").cells;
        cells.push(proto::Cell {
            timestamp_micros: cell.timestamp_micros,
            value: cell.value,
            labels: cell.labels,
        });
    }
    proto::Row {
        key: row.key,
        families,
    }
}
