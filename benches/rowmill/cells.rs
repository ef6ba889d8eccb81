//! Events to cells, and back.

use std::hint::black_box;

use criterion::Criterion;
use rowmill_model::{MutationBatch, Provenance, Row, StoredEvent};

use crate::input::{processed, source, stages, throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let stages = stages();
    let pipeline = stages.pipeline();
    let processed = processed(&stages);
    let rows: Vec<Row> = processed
        .iter()
        .flat_map(|chunk| chunk.facts.iter())
        .map(|fact| {
            Row::from_bytes(fact.key().to_vec().into(), fact.ops().to_vec().into()).unwrap()
        })
        .collect();
    let events: Vec<StoredEvent> = rows
        .iter()
        .map(|row| StoredEvent::read(row, pipeline).unwrap())
        .collect();
    let bytes = processed.iter().map(|chunk| chunk.facts.bytes()).sum();
    let mut group = criterion.benchmark_group("cells");
    group.throughput(throughput(rows.len() as u64, bytes));
    let now = source().now;
    group.bench_function("event to fact row", |bencher| {
        let mut batch = MutationBatch::new();
        bencher.iter(|| {
            batch.clear();
            for (stored, row) in events.iter().zip(&rows) {
                let provenance = Provenance {
                    source: &stored.source,
                    batch: &stored.batch,
                    ingested_at: now,
                    schema_version: &stored.schema_version,
                };
                stored.event.write_fact(
                    pipeline,
                    row.key(),
                    &provenance,
                    &stored.warnings,
                    &mut batch,
                );
            }
            black_box(batch.len());
        });
    });
    group.bench_function("fact row to event", |bencher| {
        bencher.iter(|| {
            for row in &rows {
                black_box(StoredEvent::read(row, pipeline).unwrap());
            }
        });
    });
    group.finish();
}
