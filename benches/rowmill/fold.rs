//! Timeline rows into the groups of an hour.

use std::hint::black_box;

use criterion::Criterion;
use rowmill_aggregate::Groups;
use rowmill_model::Row;
use rowmill_rowkey::Date;

use crate::input::{processed, stages, throughput};

pub(crate) fn bench(criterion: &mut Criterion) {
    let stages = stages();
    let plan = stages.plan();
    let day: Date = "2025-11-03".parse().unwrap();
    let rows: Vec<Row> = processed(&stages)
        .iter()
        .flat_map(|chunk| chunk.timeline.iter())
        .map(|row| Row::from_bytes(row.key().to_vec().into(), row.ops().to_vec().into()).unwrap())
        .filter(|row| plan.observe(row).unwrap().hour().date() == day)
        .collect();
    let bytes = rows
        .iter()
        .map(|row| row.key().len() + row.cells().map(|cell| cell.value.len()).sum::<usize>())
        .sum();
    let mut group = criterion.benchmark_group("fold");
    group.throughput(throughput(rows.len() as u64, bytes));
    group.bench_function("timeline rows into a partial", |bencher| {
        bencher.iter(|| {
            let mut groups = Groups::new(plan);
            for row in &rows {
                groups.add(&plan.observe(row).unwrap());
            }
            let mut partial = plan.partial();
            let drained = groups.drain(&mut partial, |chunks| {
                black_box(chunks);
                Ok::<_, std::convert::Infallible>(())
            });
            black_box((drained, partial.finish()))
        });
    });
    group.finish();
}
