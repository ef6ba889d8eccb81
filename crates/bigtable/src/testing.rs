//! What tests of a Bigtable client need: a server that does what it is told, time that passes when it is told, a proxy that cuts
//! connections, and Google's emulator.
//!
//! ```
//! use rowmill_bigtable::testing::{Reply, ScriptedServer};
//! use rowmill_bigtable::{Client, Code, ReadRows};
//! use futures::TryStreamExt as _;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let server = ScriptedServer::start().await;
//! server.push("ReadRows", Reply::rows(["a", "b"]).status(Code::Unavailable, "busy"));
//! server.push("ReadRows", Reply::rows(["c"]));
//!
//! let client = Client::builder("p", "i").emulator(server.address()).connect().await?;
//! let rows: Vec<_> = client.read_rows(ReadRows::new("t")).try_collect().await?;
//! assert_eq!(rows.len(), 3);
//! assert_eq!(server.requests("ReadRows").len(), 2);
//! # Ok::<(), rowmill_bigtable::Error>(())
//! # }).unwrap();
//! ```

mod emulator;
mod fault_proxy;
mod reply;
mod server;

pub use emulator::Emulator;
pub use fault_proxy::{FaultProxy, Faults};
pub use reply::{Gate, Reply, chunk};
pub use rowmill_store::testing::{FixedRandom, ManualTimer};
pub use server::{Received, ScriptedServer};
