//! Parsing, and everything from a file's bytes to rows, on one core and without a store.

use std::hint::black_box;

use criterion::Criterion;
use rowmill_ingest::{CsvRows, Format};
use rowmill_pipeline::{ChunkSource, process_chunk};
use rowmill_transform::{Place, Transformer};

use crate::input::{EVENTS, chunks, file, source, stages, throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let stages = stages();
    let transformer = Transformer::new(std::sync::Arc::new(stages.pipeline().clone())).unwrap();
    for (name, format) in [
        ("jsonl", Format::Jsonl),
        ("csv", Format::Csv),
        ("json", Format::Json),
    ] {
        let bytes = file(format);
        let mut group = criterion.benchmark_group(name);
        group.throughput(throughput(EVENTS, bytes.len()));
        group.bench_function("split into records", |bencher| {
            bencher.iter(|| black_box(chunks(&bytes, format)))
        });
        let (header, chunks) = chunks(&bytes, format);
        let columns = header.as_ref().map(|header| {
            let header: Vec<_> = header.iter().map(String::as_str).collect();
            transformer.columns(&header).unwrap()
        });
        group.bench_function("parse and convert", |bencher| {
            bencher.iter(|| {
                for chunk in &chunks {
                    let mut worker = transformer.worker();
                    let place = Place {
                        source: "f",
                        record: 1,
                    };
                    match &columns {
                        None => chunk.records().for_each(|record| {
                            black_box(worker.json(std::str::from_utf8(record.raw).unwrap(), place));
                        }),
                        Some(columns) => {
                            CsvRows::parse(chunk, b',')
                                .iter()
                                .flatten()
                                .for_each(|row| {
                                    black_box(transformer.worker().csv(
                                        columns,
                                        row.fields(),
                                        place,
                                    ));
                                })
                        }
                    }
                }
            });
        });
        let source = ChunkSource {
            columns: columns.as_ref(),
            ..source()
        };
        group.bench_function("parse, convert, check, encode", |bencher| {
            bencher.iter(|| {
                for chunk in &chunks {
                    black_box(process_chunk(&stages, &source, chunk));
                }
            });
        });
        group.finish();
    }
}
