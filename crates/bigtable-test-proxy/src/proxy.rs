//! The clients of a proxy.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rowmill_bigtable::{Client, RetryPolicy};
use tonic::{Code, Status};

use crate::messages::{ClientRequest, CreateClientRequest, Empty};

/// Makes, finds and closes clients by their ids. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Proxy {
    clients: Arc<Mutex<BTreeMap<String, Client>>>,
}

impl Proxy {
    fn clients(&self) -> MutexGuard<'_, BTreeMap<String, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn client(&self, id: &str) -> Result<Client, Status> {
        let found = self.clients().get(id).cloned();
        found.ok_or_else(|| Status::not_found(format!("there is no client `{id}`")))
    }

    pub(crate) async fn create_client(self, request: CreateClientRequest) -> Result<Empty, Status> {
        if request.client_id.is_empty() || request.data_target.is_empty() {
            return Err(Status::invalid_argument("a client has an id and a target"));
        }
        let exists = || Status::already_exists(format!("client `{}`", request.client_id));
        if self.clients().contains_key(&request.client_id) {
            return Err(exists());
        }
        let client = connect(&request).await?;
        match self.clients().entry(request.client_id.clone()) {
            Entry::Occupied(_) => Err(exists()),
            Entry::Vacant(place) => {
                place.insert(client);
                Ok(Empty {})
            }
        }
    }

    pub(crate) fn close_client(&self, request: &ClientRequest) -> Result<Empty, Status> {
        self.client(&request.client_id)?.close();
        Ok(Empty {})
    }

    pub(crate) fn remove_client(&self, request: &ClientRequest) -> Result<Empty, Status> {
        let removed = self.clients().remove(&request.client_id);
        removed
            .map(|_| Empty {})
            .ok_or_else(|| Status::not_found(format!("there is no client `{}`", request.client_id)))
    }
}

async fn connect(request: &CreateClientRequest) -> Result<Client, Status> {
    let mut builder = Client::builder(&request.project_id, &request.instance_id)
        .emulator(&request.data_target)
        .app_profile(&request.app_profile_id)
        .warm_up(false);
    let timeout = request.per_operation_timeout;
    if let Some(timeout) = timeout.and_then(|timeout| Duration::try_from(timeout).ok()) {
        builder = builder
            .read_policy(RetryPolicy::reads().within(timeout))
            .scan_policy(RetryPolicy::scans().within(timeout))
            .write_policy(RetryPolicy::writes().within(timeout))
            .single_write_policy(RetryPolicy::never().within(timeout));
    }
    builder.connect().await.map_err(|error| {
        let code = match error.code() {
            Code::InvalidArgument => Code::InvalidArgument,
            _ => Code::Unavailable,
        };
        Status::new(code, error.to_string())
    })
}
