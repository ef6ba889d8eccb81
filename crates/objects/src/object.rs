//! Finding objects, and reading them.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::error::Error;
use crate::uri::ObjectUri;

/// Where the service is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Endpoint {
    /// Google's, with credentials from where Google's tools leave them.
    #[default]
    Service,
    /// An emulator's URL, without credentials.
    Emulator(String),
}

/// An object that was found.
#[derive(Clone)]
pub struct Object {
    store: Arc<dyn ObjectStore>,
    bucket: String,
    meta: ObjectMeta,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri())
    }
}

/// How many parts of an object are read ahead.
const PARTS_AHEAD: usize = 4;

impl ObjectUri {
    /// The objects it names, by name. Must be called within a Tokio runtime, on a thread that may block.
    pub fn find(&self, endpoint: &Endpoint) -> Result<Vec<Object>, Error> {
        let store = self.connect(endpoint)?;
        let mut found = Handle::current().block_on(self.list(&*store))?;
        found.sort_by(|a, b| a.location.cmp(&b.location));
        if found.is_empty() {
            return Err(Error::NotFound {
                uri: self.to_string(),
            });
        }
        let object = |meta| Object {
            store: Arc::clone(&store),
            bucket: self.bucket.clone(),
            meta,
        };
        Ok(found.into_iter().map(object).collect())
    }

    fn connect(&self, endpoint: &Endpoint) -> Result<Arc<dyn ObjectStore>, Error> {
        // Whoever installed another provider before meant it.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let builder = GoogleCloudStorageBuilder::new().with_bucket_name(&self.bucket);
        let builder = match endpoint {
            Endpoint::Service => builder,
            Endpoint::Emulator(url) => builder
                .with_base_url(url)
                .with_skip_signature(true)
                .with_client_options(ClientOptions::new().with_allow_http(true)),
        };
        let store = builder.build().map_err(|error| self.failed(&error))?;
        Ok(Arc::new(store))
    }

    async fn list(&self, store: &dyn ObjectStore) -> Result<Vec<ObjectMeta>, Error> {
        if self.is_single() {
            let path = Path::parse(&self.path).map_err(|error| Error::Uri {
                uri: self.to_string(),
                problem: error.to_string(),
            })?;
            return match store.head(&path).await {
                Ok(meta) => Ok(vec![meta]),
                Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                Err(error) => Err(self.failed(&error)),
            };
        }
        // A prefix of this library is whole parts of a path: what is left of a part is told by the pattern.
        let folder = self
            .prefix()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let folder = Path::from(folder);
        let prefix = (!folder.as_ref().is_empty()).then_some(&folder);
        let all = store.list(prefix);
        let meant = all.try_filter(|meta| {
            let is_meant = self.matches(meta.location.as_ref());
            futures::future::ready(is_meant)
        });
        meant
            .try_collect()
            .await
            .map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &object_store::Error) -> Error {
        Error::Service {
            uri: self.to_string(),
            message: causes(error),
        }
    }
}

/// An error and what caused it, on one line, each cause once.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl Object {
    /// Its whole name: `gs://bucket/name`.
    pub fn uri(&self) -> String {
        format!("gs://{}/{}", self.bucket, self.meta.location)
    }

    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.meta.size
    }

    /// What differs between two contents of the object: its generation, or else its entity tag.
    pub fn version(&self) -> Option<&str> {
        let tag = self.meta.e_tag.as_deref();
        self.meta.version.as_deref().or(tag)
    }

    /// Reads it from its beginning, a few parts ahead. Must be called within a Tokio runtime, and the reads made on a thread that may
    /// block. If the object was replaced since it was found, reading fails.
    pub fn open(&self) -> impl Read + Send + use<> {
        let (sender, parts) = mpsc::channel(PARTS_AHEAD);
        let object = self.clone();
        Handle::current().spawn(async move {
            // An empty part is the end: a task that died would send none. A receiver that is gone wants nothing more.
            let last = object.send(&sender).await.map(|()| Bytes::new());
            sender.send(last).await.ok();
        });
        Reading {
            parts,
            part: Bytes::new(),
            at_end: false,
        }
    }

    async fn send(&self, parts: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
        let failed = |error: object_store::Error| io::Error::other(causes(&error));
        let options = GetOptions {
            if_match: self.meta.e_tag.clone(),
            version: self.meta.version.clone(),
            ..GetOptions::default()
        };
        let found = self.store.get_opts(&self.meta.location, options);
        let mut stream = found.await.map_err(failed)?.into_stream();
        let mut bytes = 0;
        while let Some(part) = stream.next().await {
            let part = part.map_err(failed)?;
            bytes += part.len() as u64;
            if part.is_empty() {
                continue;
            }
            if parts.send(Ok(part)).await.is_err() {
                return Ok(());
            }
        }
        if bytes == self.meta.size {
            return Ok(());
        }
        let message = format!("{bytes} of {} bytes came", self.meta.size);
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
    }
}

/// An object's content, as it comes.
struct Reading {
    parts: mpsc::Receiver<io::Result<Bytes>>,
    part: Bytes,
    at_end: bool,
}

impl Read for Reading {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() && !out.is_empty() && !self.at_end {
            let ended = || io::Error::other("the object's content ended before the object did");
            self.part = self.parts.blocking_recv().ok_or_else(ended)??;
            self.at_end = self.part.is_empty();
        }
        let bytes = out.len().min(self.part.len());
        self.part.copy_to_slice(&mut out[..bytes]);
        Ok(bytes)
    }
}
