//! Calls that send one message, and are sent again as their policy says.

use bytes::Bytes;
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::{
    CheckAndMutateRowRequest, CheckAndMutateRowResponse, MutateRowRequest, MutateRowResponse,
    ReadModifyWriteRowRequest, ReadModifyWriteRowResponse, SampleRowKeysRequest,
    SampleRowKeysResponse,
};
use prost::Message;

use crate::client::Client;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::retry::RetryPolicy;
use crate::transport::{Call, Method, Patience, Responses, Transport};

const MUTATE_ROW: Method = Method {
    name: "MutateRow",
    path: "/google.bigtable.v2.Bigtable/MutateRow",
};
const CHECK_AND_MUTATE_ROW: Method = Method {
    name: "CheckAndMutateRow",
    path: "/google.bigtable.v2.Bigtable/CheckAndMutateRow",
};
const READ_MODIFY_WRITE_ROW: Method = Method {
    name: "ReadModifyWriteRow",
    path: "/google.bigtable.v2.Bigtable/ReadModifyWriteRow",
};
const SAMPLE_ROW_KEYS: Method = Method {
    name: "SampleRowKeys",
    path: "/google.bigtable.v2.Bigtable/SampleRowKeys",
};

/// Where a call goes, and what an error about it names.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) transport: &'a Transport,
    pub(crate) environment: &'a Environment,
    pub(crate) resource: &'a str,
}

/// Sends a message and gives the one that answers it.
pub(crate) async fn unary<T: Message + Default + 'static>(
    target: &Target<'_>,
    call: Call,
    request: &impl Message,
    policy: RetryPolicy,
) -> Result<T> {
    retry(target, call, request, policy, Responses::only).await
}

/// Makes attempts until `finish` makes something of the responses of one, or a failure is final.
async fn retry<M, T, F>(
    target: &Target<'_>,
    mut call: Call,
    request: &impl Message,
    policy: RetryPolicy,
    finish: impl Fn(Responses<M>) -> F,
) -> Result<T>
where
    M: Message + Default + 'static,
    F: Future<Output = std::result::Result<T, Failure>>,
{
    let request: Bytes = request.encode_to_vec().into();
    let mut retries = target.environment.retries(policy);
    let mut may_have_happened = false;
    loop {
        let deadline = retries.begin();
        let patience = Patience::new(deadline, retries.message_timeout());
        let opened = target.transport.open(&mut call, request.clone(), patience);
        let attempt = match opened.await {
            Ok(responses) => finish(responses).await,
            Err(failure) => Err(failure),
        };
        let failure = match attempt {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        call.note_failure(&failure);
        may_have_happened |= failure.may_have_happened();
        if let Err(over) = retries.wait(&failure).await {
            let failure = over.unwrap_or(failure);
            let error = Error::of(failure, call.method.name, target.resource)
                .with_attempts(retries.attempts_total);
            return Err(error.with_effect(may_have_happened));
        }
    }
}

/// Writes one row.
pub(crate) async fn mutate_row(
    client: &Client,
    mut request: MutateRowRequest,
    policy: RetryPolicy,
) -> Result<()> {
    let resource = address(client, &mut request.table_name, &mut request.app_profile_id);
    let key = request.row_key.clone();
    let written = of_row(client, MUTATE_ROW, &resource, key, &request, policy);
    written.await.map(|MutateRowResponse {}| ())
}

/// Writes one row if a filter lets something of it through, or if not.
pub(crate) async fn check_and_mutate_row(
    client: &Client,
    mut request: CheckAndMutateRowRequest,
) -> Result<CheckAndMutateRowResponse> {
    let resource = address(client, &mut request.table_name, &mut request.app_profile_id);
    let (key, policy) = (request.row_key.clone(), client.single_write_policy());
    of_row(
        client,
        CHECK_AND_MUTATE_ROW,
        &resource,
        key,
        &request,
        policy,
    )
    .await
}

/// Changes cells of one row by what is in them.
pub(crate) async fn read_modify_write_row(
    client: &Client,
    mut request: ReadModifyWriteRowRequest,
) -> Result<ReadModifyWriteRowResponse> {
    let resource = address(client, &mut request.table_name, &mut request.app_profile_id);
    let (key, policy) = (request.row_key.clone(), client.single_write_policy());
    of_row(
        client,
        READ_MODIFY_WRITE_ROW,
        &resource,
        key,
        &request,
        policy,
    )
    .await
}

/// Puts the client's names into a request, and gives that of the table.
fn address(client: &Client, table_name: &mut String, app_profile_id: &mut String) -> String {
    let resource = client.table_name(table_name);
    table_name.clone_from(&resource);
    client.app_profile().clone_into(app_profile_id);
    resource
}

/// A call about one row, which its error names.
async fn of_row<T: Message + Default + 'static>(
    client: &Client,
    method: Method,
    resource: &str,
    key: Bytes,
    request: &impl Message,
    policy: RetryPolicy,
) -> Result<T> {
    let call = Call::new(method, client.table_routing(resource));
    let target = client.target(resource);
    let answer = unary(&target, call, request, policy);
    answer.await.map_err(|error| error.with_row_key(key))
}

/// Keys that cut a table into parts of about equal size.
pub(crate) async fn sample_row_keys(
    client: &Client,
    table: &str,
) -> Result<Vec<SampleRowKeysResponse>> {
    let resource = client.table_name(table);
    let request = SampleRowKeysRequest {
        table_name: resource.clone(),
        app_profile_id: client.app_profile().to_owned(),
        ..SampleRowKeysRequest::default()
    };
    let call = Call::new(SAMPLE_ROW_KEYS, client.table_routing(&resource));
    let target = client.target(&resource);
    // An attempt that was cut off says nothing: samples are of a table as it is at one moment.
    let all = async |mut responses: Responses<SampleRowKeysResponse>| {
        let mut samples = Vec::new();
        while let Some(sample) = responses.next().await? {
            samples.push(sample);
        }
        Ok(samples)
    };
    retry(&target, call, &request, client.read_policy(), all).await
}
