//! The reader of an ingest: the chunks of all inputs, in order, on a thread of its own.

use std::sync::Arc;

use futures::stream::{self, Stream};
use rowmill_ingest::{Chunk, Defect, Error, Format, Record};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_128;

use crate::control::Control;
use crate::digest::Sum;
use crate::file_ledger::{FileStatus, Tail};
use crate::input::OpenChunks;
use crate::letter;
use crate::plan::{Role, Task};

/// What the reader gives.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The input, by its place among all.
    pub(crate) file: usize,
    pub(crate) content: Content,
}

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

/// An input that is to be read.
struct Reading {
    file: usize,
    task: Task,
    pieces: mpsc::Sender<Piece>,
    control: Control,
}

/// The pieces of all inputs in order, a few ahead.
pub(crate) fn pieces(
    tasks: Vec<Task>,
    ahead: usize,
    control: Control,
) -> impl Stream<Item = Piece> {
    let (sender, receiver) = mpsc::channel(ahead);
    tokio::task::spawn_blocking(move || {
        for (file, task) in tasks.into_iter().enumerate() {
            let reading = Reading {
                file,
                task,
                pieces: sender.clone(),
                control: control.clone(),
            };
            if reading.run().is_none() {
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    })
}

impl Reading {
    /// Reads the input to its end; none if the job was stopped, or failed.
    fn run(mut self) -> Option<()> {
        let mut chunks = match self.task.prepared.open() {
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
                    end.tail = tail(&self.task.prepared.name, &chunk);
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
        if end.position < self.task.ledger.position {
            end = self.ended_at_checkpoint(changed());
        }
        self.end(end)
    }

    /// Sends how the input ended.
    fn end(&self, mut end: InputEnd) -> Option<()> {
        if self.task.role == Role::Remember {
            return match end.problem {
                None => Some(()),
                Some(problem) => self.send(Content::Lost(problem)),
            };
        }
        if end.tail.is_some() && self.task.prepared.options.format == Format::Json {
            let cut_off = || "its last record is not closed; the file may be cut off".to_owned();
            end.problem.get_or_insert_with(cut_off);
        }
        self.send(Content::End(end))
    }

    /// Sends a chunk, in two parts if the checkpoint lies in it.
    fn take(&self, chunk: Chunk, end: &mut InputEnd) -> Option<()> {
        if self.task.role == Role::Remember {
            return self.send(Content::Known(Arc::new(chunk)));
        }
        let checkpoint = self.task.ledger.position;
        if chunk.end() == checkpoint && chunk.content_hash() != self.task.ledger.content_hash.0 {
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
        let ledger = &self.task.ledger;
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
        if self.control.is_stopped() {
            return None;
        }
        let file = self.file;
        self.pieces.blocking_send(Piece { file, content }).ok()
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
