//! Who the client is: application default credentials, by Google's own library, or whatever a caller brings.
//!
//! The library refreshes tokens in a task of its own, ahead of their expiry, once for all callers; a caller that goes away
//! disturbs nobody, and a refresh that failed is tried again. What it calls permanent (a revoked grant) stays an error.

use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::Extensions;
use tonic::Code;
use tonic::metadata::MetadataMap;

use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::pool::{causes, last_causes};

/// Reading and writing rows.
const SCOPE_DATA: &str = "https://www.googleapis.com/auth/bigtable.data";
/// Reading and changing tables, but not instances.
const SCOPE_TABLES: &str = "https://www.googleapis.com/auth/bigtable.admin.table";

const HINT: &str = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file, or \
                    run where a service account is attached; for an emulator set BIGTABLE_EMULATOR_HOST";

/// What puts the caller's identity on a request.
#[derive(Debug, Clone)]
pub(crate) enum Authorization {
    /// Nothing does: of an emulator.
    None,
    /// A token does.
    Token(Credentials),
}

impl Authorization {
    /// The application default credentials of this machine.
    pub(crate) fn application_default() -> Result<Self> {
        // Another crate may have installed its own already, which serves as well.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let credentials = google_cloud_auth::credentials::Builder::default()
            .with_scopes([SCOPE_DATA, SCOPE_TABLES])
            .build();
        credentials.map(Self::Token).map_err(|error| {
            let message = format!("there are no usable credentials: {}", causes(&error));
            Error::new(Code::Unauthenticated, "Connect", message)
                .with_hint(HINT)
                .with_source(error)
        })
    }

    /// Makes sure that there is a token, before anything is sent anywhere.
    pub(crate) async fn check(&self) -> Result<()> {
        self.headers().await.map(drop).map_err(|failure| {
            Error::new(Code::Unauthenticated, "Connect", failure.message).with_hint(HINT)
        })
    }

    /// The headers of one request.
    pub(crate) async fn headers(&self) -> std::result::Result<MetadataMap, Failure> {
        let Self::Token(credentials) = self else {
            return Ok(MetadataMap::new());
        };
        match credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(MetadataMap::from_headers(data)),
            // Nothing was said about what is known already, so everything is new.
            Ok(CacheableResource::NotModified) => Ok(MetadataMap::new()),
            Err(error) => Err(of_credentials(&error)),
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
    Failure::new(
        code,
        format!("no access token could be had: {}", last_causes(error)),
    )
}
