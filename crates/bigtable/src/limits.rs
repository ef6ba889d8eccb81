//! How many rows make a good request, and how much of it is in flight.

use rowmill_store::limits::MUTATIONS_MAX;
use tokio::sync::Semaphore;

use crate::transport::MESSAGE_BYTES_MAX;

/// The most bytes of one row's mutations: a message, without what goes around them.
const ROW_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (64 << 10);

/// How a bulk write is cut into requests, and how many of them are under way at once.
///
/// A row that alone is beyond `bytes_max` or `mutations_max` is a request of its own: a batch is split, never refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkLimits {
    /// The most rows of one request.
    pub rows_max: usize,
    /// The most bytes of one request, themselves at most 255 MiB.
    pub bytes_max: usize,
    /// The most mutations of one request, over all rows; at most 100,000.
    pub mutations_max: usize,
    /// The most requests under way at once, over all bulk writes of a client.
    pub requests_in_flight_max: usize,
    /// The most bytes under way at once, over all bulk writes of a client.
    pub bytes_in_flight_max: usize,
}

impl Default for BulkLimits {
    /// 500 rows, 4 MiB and 50,000 mutations a request; 32 requests and 64 MiB in flight.
    fn default() -> Self {
        Self {
            rows_max: 500,
            bytes_max: 4 << 20,
            mutations_max: 50_000,
            requests_in_flight_max: 32,
            bytes_in_flight_max: 64 << 20,
        }
    }
}

impl BulkLimits {
    pub(crate) fn check(&self) -> Result<(), String> {
        let positive = [
            ("rows_max", self.rows_max),
            ("bytes_max", self.bytes_max),
            ("mutations_max", self.mutations_max),
            ("requests_in_flight_max", self.requests_in_flight_max),
            ("bytes_in_flight_max", self.bytes_in_flight_max),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} is zero"));
        }
        if self.mutations_max > MUTATIONS_MAX {
            return Err(format!(
                "mutations_max is {}, and a request has at most {MUTATIONS_MAX}",
                self.mutations_max
            ));
        }
        if self.bytes_max > ROW_BYTES_MAX {
            return Err(format!(
                "bytes_max is {}, and a request has at most {ROW_BYTES_MAX}",
                self.bytes_max
            ));
        }
        let most = Semaphore::MAX_PERMITS;
        if self.requests_in_flight_max > most || self.bytes_in_flight_max > most {
            return Err(format!("what is in flight is at most {most}"));
        }
        Ok(())
    }
}

/// What a row is, for cutting batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes on the wire.
    pub(crate) bytes: usize,
    pub(crate) mutations: usize,
    pub(crate) is_idempotent: bool,
}

/// Checks that the mutations of a row fit one request.
pub(crate) fn check_bytes(bytes: usize) -> Result<(), String> {
    if bytes <= ROW_BYTES_MAX {
        return Ok(());
    }
    Err(format!(
        "the mutations of a row have at most {ROW_BYTES_MAX} bytes at once, not {bytes}"
    ))
}
