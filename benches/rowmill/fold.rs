//! Timeline rows into the buckets of a day.

use std::hint::black_box;

use criterion::Criterion;
use rowmill_aggregate::{DayFold, WeekFold};
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
        .filter(|row| plan.observe(row).unwrap().hour.date() == day)
        .collect();
    let bytes = rows
        .iter()
        .map(|row| row.key().len() + row.cells().map(|cell| cell.value.len()).sum::<usize>())
        .sum();
    let mut group = criterion.benchmark_group("fold");
    group.throughput(throughput(rows.len() as u64, bytes));
    group.bench_function("timeline rows into buckets", |bencher| {
        bencher.iter(|| {
            let mut fold = DayFold::new(plan, day);
            for row in &rows {
                fold.add(plan, &plan.observe(row).unwrap());
            }
            black_box(fold.finish(plan, &mut WeekFold::new(plan, day.monday())))
        });
    });
    group.finish();
}
