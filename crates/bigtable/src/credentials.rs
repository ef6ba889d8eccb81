//! Who the client is: application default credentials, by Google's own library, or whatever a caller brings.
//!
//! The library refreshes tokens in a task of its own, ahead of their expiry, once for all callers; a caller that goes away
//! disturbs nobody, and a refresh that failed is tried again. After a failure that it calls permanent (a revoked grant) it gives up;
//! then the credentials are looked for anew.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use google_cloud_auth::build_errors::Error as BuildError;
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::Extensions;
use rowmill_store::{Timer, moment_after};
use tonic::Code;
use tonic::metadata::MetadataMap;

use crate::causes::{causes, last_causes};
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::transport::before;

/// Reading and writing rows.
const SCOPE_DATA: &str = "https://www.googleapis.com/auth/bigtable.data";
/// Reading and changing tables, but not instances.
const SCOPE_TABLES: &str = "https://www.googleapis.com/auth/bigtable.admin.table";

/// How long the first token may take. A metadata server that has just started takes some seconds.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

const HINT: &str = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file, or \
                    run where a service account is attached, with roles/bigtable.user on the instance; for an emulator set \
                    BIGTABLE_EMULATOR_HOST";

/// What puts the caller's identity on a request.
#[derive(Debug, Clone)]
pub(crate) enum Authorization {
    /// Nothing does: of an emulator.
    None,
    /// The caller's own credentials.
    Given(Credentials),
    /// Those of this machine, which are looked for again when they have failed for good: somebody may have mended them.
    ApplicationDefault(Arc<RwLock<Credentials>>),
}

fn application_default() -> std::result::Result<Credentials, BuildError> {
    google_cloud_auth::credentials::Builder::default()
        .with_scopes([SCOPE_DATA, SCOPE_TABLES])
        .build()
}

impl Authorization {
    /// The application default credentials of this machine.
    pub(crate) fn application_default() -> Result<Self> {
        // Another crate may have installed its own already, which serves as well.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        match application_default() {
            Ok(credentials) => Ok(Self::ApplicationDefault(Arc::new(RwLock::new(credentials)))),
            Err(error) => {
                let message = format!("there are no usable credentials: {}", causes(&error));
                let error =
                    Error::new(Code::Unauthenticated, "Connect", message).with_source(error);
                Err(error.with_hint(HINT))
            }
        }
    }

    /// Makes sure that there is a token, before anything is sent anywhere. Whoever gives tokens out may not answer at all.
    pub(crate) async fn check(&self, timer: &dyn Timer) -> Result<()> {
        let mut expiry = timer.until(moment_after(timer.now(), CHECK_TIMEOUT));
        let error = match before(&mut expiry, self.headers()).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(failure)) => Error::new(Code::Unauthenticated, "Connect", failure.message),
            Err(_) => {
                let message = format!("no access token came within {CHECK_TIMEOUT:?}");
                Error::new(Code::DeadlineExceeded, "Connect", message)
            }
        };
        Err(error.with_hint(HINT))
    }

    /// The headers of one request.
    pub(crate) async fn headers(&self) -> std::result::Result<MetadataMap, Failure> {
        let credentials = match self {
            Self::None => return Ok(MetadataMap::new()),
            Self::Given(credentials) => credentials.clone(),
            Self::ApplicationDefault(shared) => {
                let credentials = shared.read().unwrap_or_else(PoisonError::into_inner);
                credentials.clone()
            }
        };
        match credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(MetadataMap::from_headers(data)),
            // Nothing was said about what is known already, so everything is new.
            Ok(CacheableResource::NotModified) => Ok(MetadataMap::new()),
            Err(error) => {
                if !error.is_transient() {
                    self.look_again();
                }
                Err(of_credentials(&error))
            }
        }
    }

    /// Credentials that have failed for good would fail for ever; the next call takes those that there are then.
    fn look_again(&self) {
        if let Self::ApplicationDefault(shared) = self
            && let Ok(found) = application_default()
        {
            *shared.write().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }
}

/// What may pass is worth another attempt; what will not is the caller's to mend.
fn of_credentials(error: &google_cloud_auth::errors::CredentialsError) -> Failure {
    let code = if error.is_transient() {
        Code::Unavailable
    } else {
        Code::Unauthenticated
    };
    Failure::unsent(
        code,
        format!("no access token could be had: {}", last_causes(error)),
    )
}
