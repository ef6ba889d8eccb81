//! Generated events, in the forms that benchmarks start from.

use std::sync::Arc;

use criterion::Throughput;
use rowmill_ingest::{Chunk, Chunks, Format, Options};
use rowmill_model::Pipeline;
use rowmill_pipeline::{ChunkSource, GenerateOptions, Generator, Processed, Stages, process_chunk};
use rowmill_rowkey::Timestamp;

pub(crate) const EVENTS: u64 = 20_000;

pub(crate) fn stages() -> Arc<Stages> {
    let pipeline = Pipeline::parse(include_str!("../../examples/listens.toml")).unwrap();
    Arc::new(Stages::new(pipeline).unwrap())
}

/// A file of generated events.
pub(crate) fn file(format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = GenerateOptions {
        events: EVENTS,
        format,
        ..GenerateOptions::default()
    };
    Generator::new(options).write_all(&mut bytes).unwrap();
    bytes
}

/// The chunks of a file, and its header if it is CSV.
pub(crate) fn chunks(bytes: &[u8], format: Format) -> (Option<Vec<String>>, Vec<Chunk>) {
    let mut chunks = Chunks::new(bytes, Options::new(format));
    let header = if format == Format::Csv {
        chunks.take_header().unwrap()
    } else {
        None
    };
    (header, chunks.map(Result::unwrap).collect())
}

/// Everything that a file's events become.
pub(crate) fn processed(stages: &Stages) -> Vec<Processed> {
    let (_, chunks) = chunks(&file(Format::Jsonl), Format::Jsonl);
    chunks
        .iter()
        .map(|chunk| process_chunk(stages, &source(), chunk))
        .collect()
}

pub(crate) fn source<'a>() -> ChunkSource<'a> {
    ChunkSource {
        name: "listens.jsonl",
        file_name: "listens.jsonl",
        delimiter: b',',
        format: Format::Jsonl,
        columns: None,
        header: None,
        run: "2025-12-01T00:00:00Z-1",
        now: Timestamp::from_micros(1_764_547_200_000_000).unwrap(),
        accounting: true,
    }
}

pub(crate) fn throughput(events: u64, bytes: usize) -> Throughput {
    Throughput::ElementsAndBytes {
        elements: events,
        bytes: bytes as u64,
    }
}
