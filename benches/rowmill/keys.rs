//! Row keys, encoded and decoded.

use std::hint::black_box;

use criterion::Criterion;
use rowmill_rowkey::{FactKey, TimelineKey, Timestamp};

use crate::input::throughput;

pub(crate) fn bench(criterion: &mut Criterion) {
    let time = |n: i64| Timestamp::from_micros(1_541_105_830_796_000 + n * 1_000_000).unwrap();
    let keys: Vec<_> = (0..1_000)
        .map(|n| {
            FactKey::new(
                format!("user {}", n % 97),
                time(n),
                format!("{}.{}", n / 20, n % 20),
            )
        })
        .collect();
    let encoded: Vec<_> = keys.iter().map(|key| key.encode().unwrap()).collect();
    let bytes = encoded.iter().map(Vec::len).sum();
    let mut group = criterion.benchmark_group("keys");
    group.throughput(throughput(keys.len() as u64, bytes));
    group.bench_function("encode fact and timeline key", |bencher| {
        let (mut fact, mut timeline) = (Vec::new(), Vec::new());
        bencher.iter(|| {
            for key in &keys {
                fact.clear();
                timeline.clear();
                key.encode_into(&mut fact).unwrap();
                TimelineKey::encode_fact_into(key.timestamp.hour(), &fact, &mut timeline);
                black_box((&fact, &timeline));
            }
        });
    });
    group.bench_function("decode fact key", |bencher| {
        bencher.iter(|| {
            for key in &encoded {
                black_box(FactKey::decode(key).unwrap());
            }
        });
    });
    group.finish();
}
