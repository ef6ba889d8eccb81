//! How an input stands to what was ingested before.

use std::sync::Arc;

use crate::file_ledger::FileLedger;

/// How an input stands to what was ingested before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is new, or is to be ingested again.
    New,
    /// A run was stopped in it, and goes on.
    Resumed {
        /// The run.
        run: Arc<str>,
        /// Where it goes on, in bytes of content.
        position: u64,
    },
    /// It is done, and there is nothing to do.
    Done {
        /// The run that did it.
        run: Arc<str>,
        /// Whether that was under another pipeline file.
        other_config: bool,
    },
    /// It is done and has grown since; what is new is read.
    Grown {
        /// Where that begins, in bytes of content.
        from: u64,
    },
    /// It is another file than the one of that name that was ingested; it is read as a new one.
    Changed,
    /// A run under another pipeline file was stopped in it; it is read from its beginning.
    OtherConfig,
}

impl Standing {
    /// That of an input which a ledger says is done, under the pipeline file of this fingerprint or another.
    pub(crate) fn done(ledger: &FileLedger, config_hash: &str) -> Self {
        Self::Done {
            run: ledger.run.as_str().into(),
            other_config: ledger.config_hash != config_hash,
        }
    }

    /// The run that is taken up.
    pub(super) fn resumed_in(&self) -> Option<&str> {
        match self {
            Self::Resumed { run, .. } => Some(run),
            _ => None,
        }
    }

    /// The run that did all of it.
    pub(crate) fn done_in(&self) -> Option<&str> {
        match self {
            Self::Done { run, .. } => Some(run),
            _ => None,
        }
    }
}
