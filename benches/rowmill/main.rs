//! Every benchmark of rowmill. Each reports events and bytes a second.
#![expect(clippy::unwrap_used, reason = "a benchmark fails loudly")]

mod cells;
mod fold;
mod ingest;
mod input;
mod keys;
mod stages;

criterion::criterion_group! {
    name = benches;
    config = criterion::Criterion::default().sample_size(20);
    targets = keys::bench, stages::bench, cells::bench, fold::bench, ingest::bench
}
criterion::criterion_main!(benches);
