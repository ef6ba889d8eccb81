//! How many files the engine may have open: it fails for good if the system refuses it one.

/// The most sorted runs that a table gathers before they are merged, however many files may be open.
const RUNS_BEFORE_COMPACTION_MAX: usize = 24;

/// What the process's limit of open files allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenFiles {
    /// Table files that stay open between two reads.
    pub(crate) cached: usize,
    /// How many sorted runs a table may have before they are merged: reading visits all of them, merging rewrites them. For tables that are
    /// made now; of others the engine knows it.
    pub(crate) runs_before_compaction: u8,
    /// How many sorted runs a table may have at all: merging opens all of them at once.
    pub(crate) runs_max: usize,
}

impl OpenFiles {
    /// By the limit that the process has now.
    pub(crate) fn by_process_limit() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Self::by_limit(limit.current.unwrap_or(u64::MAX))
    }

    fn by_limit(limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let runs_before_compaction = (limit / 5).clamp(4, RUNS_BEFORE_COMPACTION_MAX);
        Self {
            cached: (limit / 4).clamp(10, 512),
            runs_before_compaction: u8::try_from(runs_before_compaction).expect("at most 24"),
            // The engine goes by the limit that there was when the table was made, and merges no fewer runs than that.
            runs_max: (limit / 3).max(RUNS_BEFORE_COMPACTION_MAX + 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::OpenFiles;

    /// Standard streams, the runtime, the journal, the lock, an input, a spill file, and what is written.
    const OTHERS: usize = 20;

    #[test]
    fn what_may_be_open_at_once_is_within_the_limit() {
        for limit in [64, 100, 256, 1_024, 1 << 20] {
            let files = OpenFiles::by_limit(limit as u64);
            let at_once = files.cached + files.runs_max + OTHERS;
            assert!(at_once <= limit, "{limit}: {files:?}");
            for made_by in [64, 1 << 20] {
                let made_by = OpenFiles::by_limit(made_by);
                assert!(usize::from(made_by.runs_before_compaction) < files.runs_max);
            }
        }
    }
}
