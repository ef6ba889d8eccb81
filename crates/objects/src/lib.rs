//! Objects of Google Cloud Storage as inputs: found by name, prefix or pattern, and read as streams that block.
//!
//! ```no_run
//! use std::io::Read as _;
//!
//! use rowmill_objects::{Endpoint, ObjectUri};
//!
//! # let runtime = tokio::runtime::Runtime::new().unwrap();
//! # let _guard = runtime.enter();
//! let uri: ObjectUri = "gs://landing/plays/2025-11-*.jsonl.gz".parse()?;
//! for object in uri.find(&Endpoint::Service)? {
//!     let mut first = [0; 2];
//!     object.open().read_exact(&mut first)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Built on `object_store`, which speaks the service's XML interface, tries again what may succeed later, and finds credentials where
//! Google's tools leave them. A read names the version of the object that was found, so that one that is replaced meanwhile is an
//! error and not a mixture of two. Reads block, because what reads records is a thread and not a future; they must be made within a
//! Tokio runtime, on a thread that may block.
//!
//! Features: `testing` adds a server on the loopback interface that answers as the service does.

mod error;
mod object;
#[cfg(feature = "testing")]
pub mod testing;
mod uri;

pub use error::Error;
pub use object::{Endpoint, Object};
pub use uri::ObjectUri;
