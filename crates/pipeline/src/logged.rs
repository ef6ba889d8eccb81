//! What a query read: which ranges, how many rows and bytes; and where it is stopped.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt as _};
use rowmill_model::{MutationBatch, Row};
use rowmill_rowkey::KeyRange;
use rowmill_store::{Capability, Error, ErrorKind, Result, Scan, Store};

/// How many rows a query may read without having been asked to.
pub const QUERY_ROWS_MAX: u64 = 1_000_000;

/// What was read so far. Clones are the same log.
#[derive(Debug, Clone, Default)]
pub struct ScanLog(Arc<Log>);

#[derive(Debug, Default)]
struct Log {
    scans: Mutex<Vec<Logs>>,
    rows: AtomicU64,
    bytes: AtomicU64,
    rows_max: AtomicU64,
    is_exceeded: AtomicBool,
}

/// Scans of one kind, of which only the first is kept.
#[derive(Debug)]
struct Logs {
    kind: String,
    first: String,
    more: u64,
}

/// How many kinds of scans are kept; a query has a handful.
const KINDS_MAX: usize = 100;

impl Log {
    fn add_scan(&self, table: &str, scan: &Scan) {
        let first = Shown(table, scan).to_string();
        let is_lookup = scan.ranges.iter().all(is_single);
        // Lookups differ in their keys only, and there may be thousands.
        let kind = if is_lookup && scan.ranges.len() > 1 {
            format!("{table} {:?}", scan.families)
        } else {
            first.clone()
        };
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = scans.len() == KINDS_MAX;
        let same = scans.iter().position(|logs| logs.kind == kind);
        match same.or(is_full.then_some(KINDS_MAX - 1)) {
            Some(at) => scans[at].more += 1,
            None => scans.push(Logs {
                kind,
                first,
                more: 0,
            }),
        }
    }
}

/// Whether a range is that of one key.
fn is_single(range: &KeyRange) -> bool {
    let end = range.end.as_deref().and_then(|end| end.split_last());
    end.is_some_and(|(last, start)| *last == 0 && start == range.start)
}

impl ScanLog {
    /// A log of a query that may read so many rows.
    pub fn new(rows_max: u64) -> Self {
        let log = Log {
            rows_max: AtomicU64::new(rows_max),
            ..Log::default()
        };
        Self(Arc::new(log))
    }

    /// The scans that were asked for, as texts; those of one kind as one.
    pub fn scans(&self) -> Vec<String> {
        let scans = self.0.scans.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |Logs { first, more, .. }: &Logs| match more {
            0 => first.clone(),
            more => format!("{first}, and {more} more like it"),
        };
        scans.iter().map(text).collect()
    }

    /// How many rows came.
    pub fn rows(&self) -> u64 {
        self.0.rows.load(Ordering::Relaxed)
    }

    /// How many bytes of keys and cells came.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether more rows came than allowed.
    pub fn is_exceeded(&self) -> bool {
        self.0.is_exceeded.load(Ordering::Relaxed)
    }

    fn add(&self, row: Result<Row>) -> Result<Row> {
        let row = row?;
        let cells = row
            .cells()
            .map(|cell| cell.qualifier.len() + cell.value.len());
        let bytes = row.key().len() + cells.sum::<usize>();
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let rows = self.0.rows.fetch_add(1, Ordering::Relaxed) + 1;
        if rows > self.0.rows_max.load(Ordering::Relaxed) {
            self.0.is_exceeded.store(true, Ordering::Relaxed);
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the query reads more than {} rows", rows - 1),
            ));
        }
        Ok(row)
    }
}

/// A store whose reads are logged.
#[derive(Debug)]
pub struct Logged {
    inner: Arc<dyn Store>,
    log: ScanLog,
}

impl Logged {
    /// Logs what is read of `inner`.
    pub fn new(inner: Arc<dyn Store>, log: ScanLog) -> Self {
        Self { inner, log }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Logged {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn apply(&self, table: &str, batch: Arc<MutationBatch>) -> Result<Vec<Result<()>>> {
        self.inner.apply(table, batch).await
    }

    async fn split_keys(&self, table: &str) -> Result<Vec<Vec<u8>>> {
        self.inner.split_keys(table).await
    }

    fn scan(&self, table: &str, scan: Scan) -> BoxStream<'static, Result<Row>> {
        self.log.0.add_scan(table, &scan);
        let log = self.log.clone();
        self.inner
            .scan(table, scan)
            .map(move |row| log.add(row))
            .boxed()
    }
}

/// A scan for people.
struct Shown<'a>(&'a str, &'a Scan);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RANGES_MAX: usize = 3;
        let Self(table, scan) = self;
        write!(f, "{table}")?;
        let text = |key: &[u8]| key.escape_ascii().to_string();
        for KeyRange { start, end } in scan.ranges.iter().take(RANGES_MAX) {
            match end {
                Some(end) => write!(f, " [{} .. {})", text(start), text(end))?,
                None => write!(f, " [{} .. end", text(start))?,
            }
        }
        if scan.ranges.len() > RANGES_MAX {
            write!(f, " and {} more ranges", scan.ranges.len() - RANGES_MAX)?;
        }
        if let Some(families) = &scan.families {
            write!(f, ", families {}", families.join(", "))?;
        }
        if let Some(limit) = scan.limit {
            write!(f, ", limit {limit}")?;
        }
        if scan.reverse {
            f.write_str(", from the end")?;
        }
        Ok(())
    }
}
