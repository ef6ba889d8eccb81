//! A whole ingest: a file on disk into a store.

use std::sync::Arc;

use criterion::{BatchSize, Criterion};
use rowmill_ingest::Format;
use rowmill_pipeline::{Control, IngestOptions, Inputs, StoreUri, ingest, open_store};

use crate::input::{EVENTS, file, source, stages, throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let stages = stages();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listens.jsonl");
    let bytes = file(Format::Jsonl);
    std::fs::write(&path, &bytes).unwrap();
    let inputs = Inputs::find(&[path.display().to_string()], None).unwrap();
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().build().unwrap());
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(throughput(EVENTS, bytes.len()));
    group.bench_function("a file into the memory store", |bencher| {
        bencher.iter_batched(
            || {
                runtime
                    .block_on(async { open_store(&StoreUri::Memory).await?.prepare().await })
                    .unwrap()
            },
            |opened| {
                let options = IngestOptions::new(source().run, source().now);
                let control = Control::default();
                let inputs = inputs.clone().prepare(&stages).unwrap();
                let run = ingest(&stages, &opened.store, inputs, &options, &control);
                assert_eq!(runtime.block_on(run).unwrap().ledger.written, EVENTS);
                opened
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
