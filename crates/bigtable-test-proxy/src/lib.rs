//! Google's test proxy around rowmill's Bigtable client.
//!
//! Google checks Bigtable clients through a small gRPC service, `google.bigtable.testproxy.CloudBigtableV2TestProxy`, that wraps
//! the client under test: its conformance suite starts a mock server, asks the proxy to make a client of it, and asks for
//! operations. `rowmill-bigtable-test-proxy --port 9999` is such a proxy; the suite is then run against that port.
//!
//! What the client finds wrong travels in the `status` of an OK reply. RPC errors are for the proxy's own trouble: an unknown
//! client, a client that exists already. Clients are made without `PingAndWarm`, because the suite's mock server does not know it.

mod messages;
mod operations;
mod proxy;
mod server;

pub use messages::*;
pub use proxy::Proxy;
pub use server::{SERVICE, serve};
