//! Everything that is written together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rowmill_ingest::Chunk;
use rowmill_model::MutationBatch;
use rowmill_rowkey::Hour;

use crate::file_ledger::Progress;
use crate::open_file::OpenFile;

/// Rows of facts, timeline and dead letters, where they come from, and what they add to the ledgers of their inputs.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) facts: MutationBatch,
    pub(crate) timeline: MutationBatch,
    pub(crate) letters: MutationBatch,
    pub(crate) hours: BTreeSet<Hour>,
    /// Of each fact row, the record it was.
    pub(crate) origins: Vec<Origin>,
    /// The chunks that hold these records, each with its input.
    pub(crate) chunks: Vec<(Arc<OpenFile>, Arc<Chunk>)>,
    /// How much input it covers, also what was left out.
    pub(crate) input_bytes: usize,
    /// When it is written.
    bytes_max: usize,
    /// By the place of the input among all.
    pub(crate) progress: BTreeMap<usize, (Arc<OpenFile>, Progress)>,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// Among the chunks of its batch.
    pub(crate) chunk: usize,
    /// Within the chunk.
    pub(crate) record: usize,
}

/// A dead letter of the longest record.
const LETTER_BYTES_MAX: usize = (8 << 20) + (64 << 10);

impl Batch {
    /// An empty batch that will be about `rows` rows or `bytes` bytes large when it is written: it never grows by
    /// doubling, which for buffers of this size would hold three times the memory.
    pub(crate) fn with_capacity(rows: usize, bytes: usize) -> Self {
        // What one more chunk may add after the last look at the size.
        const MARGIN_BYTES: usize = 2 << 20;
        const ROW_BYTES_MIN: usize = 256;
        let (rows, facts_bytes) = (rows.min(bytes / ROW_BYTES_MIN), bytes / 5 * 4);
        let rows = rows + rows / 8;
        Self {
            facts: MutationBatch::with_capacity(rows, facts_bytes + MARGIN_BYTES),
            timeline: MutationBatch::with_capacity(rows, bytes - facts_bytes + MARGIN_BYTES),
            origins: Vec::with_capacity(rows),
            bytes_max: bytes.saturating_add(LETTER_BYTES_MAX),
            ..Self::default()
        }
    }

    /// Takes dead letters. Room for large ones is made once, for as many as a batch takes.
    pub(crate) fn take_letters(&mut self, letters: &MutationBatch) {
        const LARGE_BYTES: usize = 1 << 20;
        if letters.bytes() > LARGE_BYTES {
            let missing = self.bytes_max.saturating_sub(self.letters.bytes());
            let bytes = missing.max(letters.bytes());
            self.letters.reserve_exact(letters.len(), bytes);
        }
        self.letters.append(letters);
    }

    pub(crate) fn rows(&self) -> usize {
        self.facts.len() + self.letters.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.facts.bytes() + self.timeline.bytes() + self.letters.bytes()
    }

    /// Whether there is nothing to write, nor to say of any input.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows() == 0 && self.progress.is_empty()
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.facts.clear();
        self.timeline.clear();
        self.letters.clear();
        self.hours.clear();
        self.origins.clear();
        self.chunks.clear();
        self.input_bytes = 0;
        self.progress.clear();
    }
}
