//! The reader of an ingest: the chunks of all inputs, in order, on a thread of its own.

use std::sync::Arc;

use futures::stream::{self, Stream};
use rowmill_ingest::{Chunk, Defect, Error, Format, Record};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use xxhash_rust::xxh3::xxh3_128;

use crate::control::Control;
use crate::digest::Sum;
use crate::error::Error as JobError;
use crate::file_ledger::{FileStatus, Tail};
use crate::ingest::IngestOptions;
use crate::input::{OpenChunks, Prepared};
use crate::letter;
use crate::open_file::OpenFile;
use crate::parts::on_own_thread;
use crate::plan::{Role, Task};

/// What the reader gives.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) file: Arc<OpenFile>,
    pub(crate) content: Content,
    pub(crate) permit: Permit,
}

/// The room that a chunk takes until what became of it is in a batch; none for what is no chunk.
pub(crate) type Permit = Option<OwnedSemaphorePermit>;

/// A part of an input, or its end.
#[derive(Debug)]
pub(crate) enum Content {
    /// Records that were written before, and are only remembered.
    Known(Arc<Chunk>),
    /// Records to be written.
    New(Arc<Chunk>),
    /// There is no more.
    End(InputEnd),
    /// An input that must be remembered cannot be read.
    Lost(String),
}

/// How an input ended.
#[derive(Debug, Clone)]
pub(crate) struct InputEnd {
    pub(crate) status: FileStatus,
    /// Why it cannot be read on.
    pub(crate) problem: Option<String>,
    /// How long its content is, as far as it could be read.
    pub(crate) position: u64,
    pub(crate) content_hash: u128,
    pub(crate) tail: Option<Tail>,
    /// Whether it has no records at all.
    pub(crate) is_empty: bool,
}

/// Reads inputs ahead of those who process them: so many chunks, and so many bytes.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    ahead: usize,
    chunk_bytes: usize,
    accounting: bool,
    room: Arc<Semaphore>,
    /// All the room there is.
    room_kib: u32,
    control: Control,
}

/// An input that is read.
struct Reading {
    file: Arc<OpenFile>,
    prepared: Prepared,
    reader: Reader,
    pieces: mpsc::Sender<Piece>,
}

impl Reader {
    /// The chunks on their way, from the reader until they are in a batch, have so many bytes at most: those that all threads work on,
    /// or a record of the greatest length. A single chunk that is larger goes alone.
    pub(crate) fn new(options: &IngestOptions, control: Control) -> Self {
        const RECORD_BYTES: usize = 8 << 20;
        let chunks = 2 * options.threads + 2;
        let room_bytes = RECORD_BYTES.max(chunks.saturating_mul(options.chunk_bytes));
        let room_kib = u32::try_from(room_bytes >> 10).unwrap_or(u32::MAX);
        Self {
            ahead: options.threads,
            chunk_bytes: options.chunk_bytes,
            accounting: options.accounting,
            room: Arc::new(Semaphore::new(room_kib as usize)),
            room_kib,
            control,
        }
    }

    /// The pieces of all inputs in order, a few ahead.
    pub(crate) fn pieces(self, tasks: Vec<Task>) -> Result<impl Stream<Item = Piece>, JobError> {
        let (sender, receiver) = mpsc::channel(self.ahead);
        on_own_thread("reader", move || {
            for (index, task) in tasks.into_iter().enumerate() {
                if self.read(index, task, sender.clone()).is_none() {
                    return;
                }
            }
        })?;
        Ok(stream::unfold(receiver, |mut receiver| async {
            Some((receiver.recv().await?, receiver))
        }))
    }

    fn read(&self, index: usize, task: Task, pieces: mpsc::Sender<Piece>) -> Option<()> {
        let (ledger, is_written) = (task.ledger(), task.role == Role::Write);
        let mut prepared = task.prepared;
        prepared.options.chunk_bytes = self.chunk_bytes;
        let file = OpenFile::new(index, &prepared, ledger, self.accounting, is_written);
        let reading = Reading {
            file: Arc::new(file),
            prepared,
            reader: self.clone(),
            pieces,
        };
        reading.run()
    }

    /// Waits until there is room for a chunk.
    fn permit(&self, chunk: &Chunk) -> Permit {
        let kib = u32::try_from(chunk.bytes() >> 10).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.room).acquire_many_owned(kib.min(self.room_kib));
        Handle::current().block_on(permit).ok()
    }
}

impl Reading {
    /// Reads the input to its end; none if the job was stopped, or failed.
    fn run(mut self) -> Option<()> {
        let mut chunks = match self.prepared.open() {
            Ok(chunks) => chunks,
            Err(error) => {
                let end = self.ended_at_checkpoint(causes(&error));
                return self.end(end);
            }
        };
        let mut end = InputEnd {
            status: FileStatus::Done,
            problem: None,
            position: 0,
            content_hash: 0,
            tail: None,
            is_empty: true,
        };
        for next in chunks.by_ref() {
            match next {
                Ok(chunk) => {
                    end.is_empty = false;
                    end.tail = tail(self.file.name(), &chunk);
                    self.take(chunk, &mut end)?;
                }
                Err(error) => {
                    end.status = FileStatus::Broken;
                    end.problem = Some(causes(&error));
                }
            }
            if end.problem.is_some() {
                break;
            }
        }
        if end.problem.as_deref() == Some(CHANGED) {
            return self.end(end);
        }
        self.finish(&chunks, end)
    }

    fn finish(&self, chunks: &OpenChunks, mut end: InputEnd) -> Option<()> {
        end.position = chunks.offset();
        end.content_hash = chunks.content_hash();
        if end.position < self.file.ledger.position {
            end = self.ended_at_checkpoint(changed());
        }
        self.end(end)
    }

    /// Sends how the input ended.
    fn end(&self, mut end: InputEnd) -> Option<()> {
        if !self.file.is_written {
            return match end.problem {
                None => Some(()),
                Some(problem) => self.send(Content::Lost(problem)),
            };
        }
        if end.tail.is_some() && self.prepared.options.format == Format::Json {
            let cut_off = || "its last record is not closed; the file may be cut off".to_owned();
            end.problem.get_or_insert_with(cut_off);
        }
        self.send(Content::End(end))
    }

    /// Sends a chunk, in two parts if the checkpoint lies in it.
    fn take(&self, chunk: Chunk, end: &mut InputEnd) -> Option<()> {
        if !self.file.is_written {
            return self.send(Content::Known(Arc::new(chunk)));
        }
        let checkpoint = self.file.ledger.position;
        if chunk.end() == checkpoint && chunk.content_hash() != self.file.ledger.content_hash.0 {
            *end = self.ended_at_checkpoint(changed());
            return Some(());
        }
        let (known, new) = chunk.split_at(checkpoint);
        if !known.is_empty() {
            self.send(Content::Known(Arc::new(known)))?;
        }
        if new.is_empty() {
            return Some(());
        }
        self.send(Content::New(Arc::new(new)))
    }

    /// Of an input of which nothing new can be read: what its ledger says stays as it is.
    fn ended_at_checkpoint(&self, problem: String) -> InputEnd {
        let ledger = &self.file.ledger;
        InputEnd {
            status: FileStatus::Broken,
            problem: Some(problem),
            position: ledger.position,
            content_hash: ledger.content_hash.0,
            tail: ledger.tail.clone(),
            is_empty: false,
        }
    }

    fn send(&self, content: Content) -> Option<()> {
        if self.reader.control.is_stopped() {
            return None;
        }
        let permit = match &content {
            Content::Known(chunk) | Content::New(chunk) => self.reader.permit(chunk),
            Content::End(_) | Content::Lost(_) => None,
        };
        let file = Arc::clone(&self.file);
        let piece = Piece {
            file,
            content,
            permit,
        };
        self.pieces.blocking_send(piece).ok()
    }
}

/// The records that may go on beyond the end of the file.
fn tail(name: &str, chunk: &Chunk) -> Option<Tail> {
    let first = chunk.open_records().next()?;
    let key = |record: Record<'_>| {
        let key = letter::key(name, &record).encode();
        Sum(xxh3_128(
            &key.expect("an input's name is short enough for a key"),
        ))
    };
    Some(Tail {
        offset: first.position.offset,
        records: chunk.open_records().len() as u64,
        length: chunk.open_records().map(|it| it.position.length).sum(),
        cut: first.defect == Some(Defect::Cut),
        letters: chunk.open_records().map(key).collect(),
    })
}

const CHANGED: &str = "it changed while it was read; ingest it again";

fn changed() -> String {
    CHANGED.to_owned()
}

/// An error and what caused it, on one line.
fn causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
