//! A TCP proxy that loses connections, from a seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How often the proxy does what.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    /// What all random choices follow from.
    pub seed: u64,
    /// A connection is cut after about so many bytes in either direction.
    pub bytes_per_cut: u64,
    /// One of so many reads stalls before it is passed on; none does if it is zero.
    pub reads_per_stall: u64,
    /// For how long.
    pub stall: Duration,
}

/// A proxy on a free port of this machine, until it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: String,
    cuts: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy in front of `target`, an address of this machine.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(target: &str, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port of the loopback address is free");
        let address = listener.local_addr().expect("a listener has an address");
        let cuts = Arc::new(AtomicUsize::new(0));
        let accepting = accept(listener, target.to_owned(), faults, Arc::clone(&cuts));
        Self {
            address: address.to_string(),
            cuts,
            accepting: tokio::spawn(accepting),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many connections it has cut.
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: String, faults: Faults, cuts: Arc<AtomicUsize>) {
    let mut connections = 0;
    while let Ok((client, _)) = listener.accept().await {
        connections += 1;
        let seed = fastrand::Rng::with_seed(faults.seed ^ (connections << 32)).u64(..);
        let (target, cuts) = (target.clone(), Arc::clone(&cuts));
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else {
                return;
            };
            // Without it a reply would wait for the acknowledgement of the one before.
            client.set_nodelay(true).ok();
            server.set_nodelay(true).ok();
            if carry(client, server, faults, seed).await {
                cuts.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// Passes bytes both ways until one side closes, or the connection's share is used up. Tells whether it was cut.
async fn carry(client: TcpStream, server: TcpStream, faults: Faults, seed: u64) -> bool {
    let mut random = fastrand::Rng::with_seed(seed);
    let left = Arc::new(AtomicU64::new(random.u64(1..=faults.bytes_per_cut * 2)));
    let (client_reader, client_writer) = client.into_split();
    let (server_reader, server_writer) = server.into_split();
    let there = pass(client_reader, server_writer, faults, random.fork(), &left);
    let back = pass(server_reader, client_writer, faults, random, &left);
    tokio::select! {
        is_cut = there => is_cut,
        is_cut = back => is_cut,
    }
}

/// Passes bytes one way; what is beyond the connection's share is lost.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    faults: Faults,
    mut random: fastrand::Rng,
    left: &AtomicU64,
) -> bool {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(count) = from.read(&mut buffer).await else {
            return false;
        };
        if count == 0 {
            return false;
        }
        if faults.reads_per_stall > 0 && random.u64(..faults.reads_per_stall) == 0 {
            tokio::time::sleep(faults.stall).await;
        }
        let before = left.load(Ordering::Relaxed);
        let passed = (count as u64).min(before);
        left.store(before - passed, Ordering::Relaxed);
        let bytes = &buffer[..usize::try_from(passed).expect("no more than the buffer")];
        if to.write_all(bytes).await.is_err() {
            return false;
        }
        if passed == before {
            return true;
        }
    }
}
