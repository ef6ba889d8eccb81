//! What ends a job. A bad record never does.

use rowmill_model::PipelineError;
use rowmill_objects::ObjectUri;
use rowmill_store::ErrorKind;
use rowmill_transform::HeaderError;

use crate::ledger::Ledger;

/// A job that could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pipeline file is wrong.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A file does not exist, is none, or cannot be opened.
    #[error("{name}: {problem}")]
    Input {
        /// The file as it was given.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A directory or pattern names no file.
    #[error("{name}: {problem}")]
    NoMatch {
        /// The directory or pattern.
        name: String,
        /// What there is none of.
        problem: &'static str,
    },
    /// A file that is done cannot be read, and must be to tell the duplicates of those after it.
    #[error(
        "{name}: it was read by the run that is taken up, and cannot be read now to tell duplicates of it: {problem}"
    )]
    Lost {
        /// The file.
        name: String,
        /// Why.
        problem: String,
    },
    /// Objects do not exist, or cannot be reached.
    #[error(transparent)]
    Objects(#[from] rowmill_objects::Error),
    /// A file's header does not fit the pipeline file.
    #[error("{name}")]
    Header {
        /// The file as it was given.
        name: String,
        /// What does not fit.
        source: HeaderError,
    },
    /// A file cannot be read on.
    #[error("{name}")]
    Read {
        /// The file as it was given.
        name: String,
        /// Why.
        source: rowmill_ingest::Error,
    },
    /// The store's name is no store.
    #[error("`{uri}` is no store: {problem}")]
    StoreUri {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The store cannot be opened as it was asked for: there is none, or it may not be touched.
    #[error(transparent)]
    NoStore(rowmill_store::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] rowmill_store::Error),
    /// The store no longer has what the job wrote to it.
    #[error(
        "the store has lost data that this job wrote: {what}; the store was emptied, restored or dropped meanwhile. Make sure that it is whole, and run the command again"
    )]
    Forgot {
        /// What is missing.
        what: String,
    },
    /// What was written, duplicate, filtered and rejected does not add up to what was read.
    #[error("the ledger does not balance: {} read, {} accounted for", ledger.read, ledger.accounted())]
    Unbalanced {
        /// The ledger.
        ledger: Box<Ledger>,
    },
    /// A row of a table cannot be read with this pipeline file.
    #[error("{0}")]
    Row(String),
    /// Something that was asked for does not exist.
    #[error("{0}")]
    Query(String),
    /// The temporary file for what is beyond the memory that was given failed.
    #[error("{doing} the spill file in {} (TMPDIR names another folder)", folder.display())]
    Spill {
        /// What was being done.
        doing: &'static str,
        /// The folder for temporary files.
        folder: std::path::PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The system gives no thread.
    #[error("starting a thread")]
    Thread {
        /// Why it does not.
        source: std::io::Error,
    },
    /// Writing the output failed.
    #[error("writing the output failed")]
    Output(#[from] std::io::Error),
    /// The job was stopped by its caller; what it did so far is kept.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The store no longer has `what`.
    pub(crate) fn forgot(what: impl Into<String>) -> Self {
        Self::Forgot { what: what.into() }
    }

    /// The error of a job that wrote to the store before: a table that is not there was dropped since.
    pub(crate) fn of_known_tables(self) -> Self {
        match self {
            Self::Store(error) if error.kind() == ErrorKind::NotFound => {
                Self::forgot(format!("a table ({error})"))
            }
            other => other,
        }
    }

    /// Whether a directory, pattern or prefix names nothing, which may come with time. A file that was named must be there.
    pub(crate) fn is_no_match(&self) -> bool {
        match self {
            Self::NoMatch { .. } => true,
            Self::Objects(rowmill_objects::Error::NotFound { uri }) => {
                uri.parse().is_ok_and(|uri: ObjectUri| !uri.is_single())
            }
            _ => false,
        }
    }

    /// Whether the caller's request or configuration is at fault, and nothing was done.
    pub fn is_usage(&self) -> bool {
        let is_of_file =
            |error: &rowmill_ingest::Error| !matches!(error, rowmill_ingest::Error::Read { .. });
        let is_of_service = |error: &rowmill_objects::Error| {
            matches!(error, rowmill_objects::Error::Service { .. })
        };
        matches!(self, Self::Read { source, .. } if is_of_file(source))
            || matches!(self, Self::Objects(error) if !is_of_service(error))
            || matches!(
                self,
                Self::Pipeline(_)
                    | Self::Input { .. }
                    | Self::NoMatch { .. }
                    | Self::Header { .. }
                    | Self::StoreUri { .. }
                    | Self::NoStore(_)
                    | Self::Query(_)
            )
    }
}
