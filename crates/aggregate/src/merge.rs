//! Merging partials, a group at a time, in memory that does not depend on their length.

use bytes::Bytes;

use crate::bucket::StateError;
use crate::partial::{ChunkReader, GroupAt};

/// Merges partials. It asks for chunks, so that whoever reads them may wait.
#[derive(Debug)]
pub struct Merge {
    fingerprint: u64,
    inputs: Vec<Input>,
    /// Inputs that stand at a group: a heap, least key first.
    heap: Vec<usize>,
    /// The inputs that have the present group.
    current: Vec<usize>,
    /// Inputs that must move on before the next group is known.
    behind: Vec<usize>,
}

#[derive(Debug, Default)]
struct Input {
    chunk: Option<ChunkReader>,
    at: GroupAt,
}

/// What a merge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It needs the next chunk of this input, or to hear that there is none.
    NeedsChunk(usize),
    /// It stands at a group.
    Group,
    /// There are no more groups.
    Done,
}

impl Merge {
    /// A merge of so many partials of a plan with this fingerprint.
    pub(crate) fn new(inputs: usize, fingerprint: u64) -> Self {
        Self {
            fingerprint,
            inputs: std::iter::repeat_with(Input::default)
                .take(inputs)
                .collect(),
            heap: Vec::with_capacity(inputs),
            current: Vec::with_capacity(inputs),
            behind: (0..inputs).collect(),
        }
    }

    /// Gives the next chunk of an input that was asked for; none if there is none.
    pub fn feed(&mut self, input: usize, chunk: Option<Bytes>) -> Result<(), StateError> {
        debug_assert!(
            self.behind.last() == Some(&input),
            "the chunk that was asked for"
        );
        match chunk {
            Some(chunk) => {
                let next = ChunkReader::new(chunk, self.fingerprint)?;
                if let Some(last) = &self.inputs[input].chunk
                    && next.first_key()? <= last.key(self.inputs[input].at)
                {
                    // Chunks of two partials are no partial.
                    return Err(StateError::Malformed);
                }
                self.inputs[input].chunk = Some(next);
            }
            None => {
                self.behind.pop();
            }
        }
        Ok(())
    }

    /// Moves on to the next group.
    pub fn step(&mut self) -> Result<Step, StateError> {
        self.behind.append(&mut self.current);
        while let Some(&input) = self.behind.last() {
            let reader = &mut self.inputs[input];
            let next = reader.chunk.as_mut().map(ChunkReader::next).transpose()?;
            let Some(at) = next.flatten() else {
                return Ok(Step::NeedsChunk(input));
            };
            reader.at = at;
            self.behind.pop();
            self.push(input);
        }
        let Some(first) = self.pop() else {
            return Ok(Step::Done);
        };
        self.current.push(first);
        while let Some(next) = self.heap.first()
            && self.key_of(*next) == self.key_of(first)
        {
            let next = self.pop().expect("it was looked at");
            self.current.push(next);
        }
        Ok(Step::Group)
    }

    /// The present group's key.
    pub fn key(&self) -> &[u8] {
        self.key_of(self.current[0])
    }

    /// The present group's states, each with the input it is of; in no order.
    pub fn states(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.current.iter().map(|input| {
            let reader = &self.inputs[*input];
            let chunk = reader
                .chunk
                .as_ref()
                .expect("an input at a group has a chunk");
            (*input, chunk.state(reader.at))
        })
    }

    fn key_of(&self, input: usize) -> &[u8] {
        let reader = &self.inputs[input];
        let chunk = reader
            .chunk
            .as_ref()
            .expect("an input at a group has a chunk");
        chunk.key(reader.at)
    }

    fn push(&mut self, input: usize) {
        self.heap.push(input);
        let mut child = self.heap.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if self.key_of(self.heap[parent]) <= self.key_of(self.heap[child]) {
                break;
            }
            self.heap.swap(parent, child);
            child = parent;
        }
    }

    fn pop(&mut self) -> Option<usize> {
        let last = self.heap.len().checked_sub(1)?;
        self.heap.swap(0, last);
        let popped = self.heap.pop();
        let mut parent = 0;
        loop {
            let below = 2 * parent + 1..(2 * parent + 3).min(self.heap.len());
            let Some(child) = below.min_by_key(|at| self.key_of(self.heap[*at])) else {
                break;
            };
            if self.key_of(self.heap[parent]) <= self.key_of(self.heap[child]) {
                break;
            }
            self.heap.swap(parent, child);
            parent = child;
        }
        popped
    }
}
