//! The proxy as a program: `rowmill-bigtable-test-proxy --port 9999`.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::Parser;
use tokio::net::TcpListener;

/// Serves rowmill's Bigtable client to Google's conformance tests
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The port of the loopback address to listen on; a free one for 0
    #[arg(long, default_value_t = 9999)]
    port: u16,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(("127.0.0.1", arguments.port))
        .await
        .with_context(|| format!("--port {}", arguments.port))?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    Ok(rowmill_bigtable_test_proxy::serve(listener).await?)
}
