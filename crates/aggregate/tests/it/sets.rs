//! Distinct counts: exact while few, close beyond, the same in any order.

use proptest::prelude::*;
use rowmill_aggregate::{Distinct, EXACT_MAX};

fn set_of(values: impl IntoIterator<Item = u64>) -> Distinct {
    let mut set = Distinct::default();
    values
        .into_iter()
        .for_each(|value| set.add(&value.to_string()));
    set
}

#[test]
fn counts_are_exact_up_to_the_limit_and_close_beyond() {
    let exact = EXACT_MAX as u64;
    assert_eq!(set_of((0..exact).chain(0..exact)).count(), exact);
    for many in [exact + 1, 5_000, 50_000, 300_000] {
        let count = set_of(0..many).count();
        assert!(count.abs_diff(many) * 100 < many * 3, "{count} for {many}");
    }
}

proptest! {
    /// Around the limit, where a set turns into a sketch: merged in any way it is the same, to the bit.
    #[test]
    fn merging_is_associative_and_commutative(
        a in 0_u64..1_500, b in 500_u64..2_500, c in 0_u64..3_000, length in 0_u64..1_500,
    ) {
        let parts = [a..a + length, b..b + length / 2, c..c + length].map(set_of);
        let [a, b, c] = &parts;
        let merged = |first: &Distinct, second: &Distinct| {
            let mut merged = first.clone();
            merged.merge(second);
            merged
        };
        prop_assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
        prop_assert_eq!(merged(a, b), merged(b, a));
        prop_assert_eq!(merged(a, a), a.clone());
    }
}

/// What Apache `DataSketches` makes of the same texts: the same registers, and it reads ours.
#[test]
fn sketches_are_those_of_datasketches() {
    use datasketches::hll::{HllSketch, HllType, HllUnion};
    for many in [1_u64, 100, 3_000, 60_000] {
        let ours = set_of(0..many);
        let read = HllSketch::deserialize(&ours.to_datasketches()).unwrap();
        let mut theirs = HllSketch::new(14, HllType::Hll8).unwrap();
        for value in 0..many {
            theirs.update(datasketches::hash::value::raw_bytes::from_slice(
                value.to_string().as_bytes(),
            ));
        }
        let mut union = HllUnion::new(14).unwrap();
        union.update(&read);
        let alone = union.to_sketch(HllType::Hll8).estimate();
        union.update(&theirs);
        let together = union.to_sketch(HllType::Hll8).estimate();
        assert_eq!(
            alone.to_bits(),
            together.to_bits(),
            "{many}: its registers are ours"
        );
        assert!(alone.is_finite() && (alone - theirs.estimate()).abs() < theirs.estimate() * 0.03);
    }
}
