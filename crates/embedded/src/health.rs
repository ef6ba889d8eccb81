//! Noticing that the engine has stopped.
//!
//! The engine's worker ends at its first failure, after which writers wait for it without end. Only an attempt to persist tells; so a
//! thread tries twice a second, and whoever waits for the engine waits for that too.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::{Database, PersistMode};
use rowmill_store::{Error, ErrorKind, Result};
use tokio::sync::watch;

/// How often the engine is asked.
const INTERVAL: Duration = Duration::from_millis(500);

/// The engine's state of health, asked for in a thread of its own until this is dropped.
#[derive(Debug)]
pub(crate) struct Health {
    is_stopped: watch::Receiver<bool>,
    folder: PathBuf,
    /// None while this is dropped.
    asking: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Health {
    /// Watches the engine of the store in `folder`.
    pub(crate) fn watch(folder: &Path, database: &Database) -> Result<Self> {
        let (report, is_stopped) = watch::channel(false);
        let (end, ended) = mpsc::channel();
        let database = database.clone();
        let thread = std::thread::Builder::new().name("rowmill:health".to_owned());
        let thread = thread.spawn(move || ask(&database, &report, &ended));
        let thread = thread.map_err(|error| {
            Error::new(ErrorKind::Internal, "starting a thread").with_source(error)
        })?;
        Ok(Self {
            is_stopped,
            folder: folder.to_owned(),
            asking: Some((end, thread)),
        })
    }

    /// Fails if the engine has stopped.
    pub(crate) fn check(&self) -> Result<()> {
        if *self.is_stopped.borrow() {
            return Err(self.stopped());
        }
        Ok(())
    }

    /// What `work` gives, or the failure of an engine that stops meanwhile.
    pub(crate) async fn or_stopped<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut is_stopped = self.is_stopped.clone();
        tokio::select! {
            biased;
            done = work => done,
            // The sender lives as long as this.
            _ = is_stopped.wait_for(|stopped| *stopped) => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> Error {
        const MESSAGE: &str = "the storage engine stopped after a failure and takes no more writes";
        // The engine does not say what it was, but the most frequent causes are still there.
        let error = match File::open(&self.folder) {
            Err(cause) => Error::new(ErrorKind::Internal, MESSAGE).with_source(cause),
            Ok(_) if self.is_full() => {
                let message = format!("{MESSAGE}: no space is left on the device");
                Error::new(ErrorKind::Full, message)
            }
            Ok(_) => Error::new(ErrorKind::Internal, MESSAGE),
        };
        error.with_unknown_effect().with_hint(
            "what was acknowledged is on disk: mend the cause, and run the command again",
        )
    }

    /// Whether the file system has less room than the engine's next file may take.
    fn is_full(&self) -> bool {
        const FILE_BYTES: u64 = 64 << 20;
        let free = rustix::fs::statvfs(&self.folder);
        free.is_ok_and(|free| free.f_bavail.saturating_mul(free.f_frsize) < FILE_BYTES)
    }
}

fn ask(database: &Database, report: &watch::Sender<bool>, ended: &mpsc::Receiver<()>) {
    while ended.recv_timeout(INTERVAL) == Err(mpsc::RecvTimeoutError::Timeout) {
        if database.persist(PersistMode::Buffer).is_err() {
            report.send_replace(true);
            return;
        }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.asking.take() {
            drop(end);
            // It has nothing to say if it panicked.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use fjall::{Database, KeyspaceCreateOptions};
    use rowmill_store::ErrorKind;

    use super::Health;

    /// A database whose worker meets a table that is gone when it merges.
    fn database_that_stops(folder: &std::path::Path) -> Database {
        let database = Database::builder(folder).worker_threads(1).open().unwrap();
        let keyspace = database
            .keyspace("k", KeyspaceCreateOptions::default)
            .unwrap();
        let run = || {
            let mut run = keyspace.start_ingestion().unwrap();
            run.write("a", "b").unwrap();
            run.finish().unwrap();
        };
        run();
        let tables = keyspace.path().join("tables");
        for table in std::fs::read_dir(tables).unwrap() {
            std::fs::remove_file(table.unwrap().path()).unwrap();
        }
        (0..10).for_each(|_| run());
        database
    }

    #[tokio::test]
    async fn whoever_waits_for_an_engine_that_stops_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let database = database_that_stops(folder.path());
        let health = Health::watch(folder.path(), &database).unwrap();
        let waiting = health.or_stopped(std::future::pending::<rowmill_store::Result<()>>());
        let error = waiting.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(
            error.to_string().contains("stopped after a failure"),
            "{error}"
        );
        assert!(health.check().is_err());
    }
}
