//! Exact sums and quantiles.

use proptest::prelude::*;
use rowmill_aggregate::{ExactSum, Quantiles};

fn sum_of(values: impl IntoIterator<Item = f64>) -> ExactSum {
    let mut sum = ExactSum::default();
    values.into_iter().for_each(|value| sum.add_float(value));
    sum
}

#[test]
fn sums_are_those_of_the_decimals() {
    let check = |values: &[f64], expected: &str| {
        assert_eq!(sum_of(values.iter().copied()).to_string(), expected)
    };
    check(&[0.1; 10], "1");
    check(&[], "0");
    check(&[1e300, 1.0, -1e300], "1");
    check(&[0.1, 0.2], "0.3");
    check(&[-0.5, 0.25], "-0.25");
    check(&[1e-300, -1e-300], "0");
    check(&[999_999_999.0, 1.0], "1000000000");
    check(&[655.77751, 260.07465], "915.85216");
    check(&[-1e9, 1.0], "-999999999");
    check(&[1e9, -1.0, 1e-9], "999999999.000000001");
    let mut sum = ExactSum::default();
    for _ in 0..3 {
        sum.add_int(i64::MAX);
    }
    assert_eq!(
        (sum.to_string().as_str(), sum.to_int()),
        ("27670116110564327421", None)
    );
    sum.add_int(i64::MIN);
    sum.add_int(i64::MIN);
    assert_eq!(sum.to_int(), Some(i64::MAX - 2));
}

/// A number of few digits, as an integer of thousandths.
fn thousandths() -> impl Strategy<Value = i64> {
    prop_oneof![-1_000_000_000_000_i64..1_000_000_000_000, -5_i64..5]
}

proptest! {
    /// Against integers: thousandths add up as whole numbers do.
    #[test]
    fn sums_agree_with_integers(values in prop::collection::vec(thousandths(), 0..60)) {
        let sum = sum_of(values.iter().map(|value| format!("{value}e-3").parse().unwrap()));
        let expected: i64 = values.iter().sum();
        let shown = format!("{}{}.{:03}", if expected < 0 { "-" } else { "" }, expected.abs() / 1000, expected.abs() % 1000);
        let shown = shown.trim_end_matches('0').trim_end_matches('.');
        prop_assert_eq!(sum.to_string(), if expected == 0 { "0" } else { shown });
    }

    /// A float counts as the shortest decimal that names it; of two that are as short and as near, as any.
    #[test]
    fn a_float_is_its_shortest_decimal(any in any::<f64>().prop_filter("finite", |v| v.is_finite()), digits in 0..10_u64.pow(16), places in 0..20_i32) {
        let few: f64 = format!("{digits}e-{places}").parse().unwrap();
        for value in [any, few, -few, few * 3.0] {
            let shown = sum_of([value]).to_string();
            prop_assert_eq!(shown.parse(), Ok(value));
            prop_assert_eq!(shown.len(), (value + 0.0).to_string().len());
        }
    }

    #[test]
    fn a_sum_is_what_it_shows(values in prop::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 0..5)) {
        let sum = sum_of(values);
        prop_assert_eq!(sum.to_string().parse(), Ok(sum));
    }

    #[test]
    fn any_text_is_a_sum_or_an_error(text in "[-0-9.e ]{0,12}") {
        let digits = text.strip_prefix('-').unwrap_or(&text).replacen('.', "", 1);
        let is_decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        prop_assert_eq!(text.parse::<ExactSum>().is_ok(), is_decimal);
    }

    #[test]
    fn sums_do_not_depend_on_order(mut values in prop::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 0..30), at in 0_usize..30) {
        let forward = sum_of(values.iter().copied());
        let at = at.min(values.len());
        let mut parts = sum_of(values[at..].iter().copied());
        parts.merge(&sum_of(values[..at].iter().copied()));
        prop_assert_eq!(forward.to_string(), parts.to_string());
        values.reverse();
        prop_assert_eq!(&forward, &sum_of(values.iter().copied()));
        values.iter_mut().for_each(|value| *value = -*value);
        parts.merge(&sum_of(values));
        prop_assert_eq!(parts.to_string(), "0");
    }

    /// Of an odd number of values the median is one of them, and the estimate is within half a percent of it.
    #[test]
    fn percentiles_are_close(mut values in prop::collection::vec(-1e6_f64..1e6, 1..200), percent in 1_u8..100) {
        let mut quantiles = Quantiles::default();
        values.iter().for_each(|value| quantiles.add(*value));
        values.sort_by(f64::total_cmp);
        let rank = (values.len() * usize::from(percent)).div_ceil(100).max(1);
        let exact = values[rank - 1];
        let estimate = quantiles.percentile(percent).unwrap();
        prop_assert!((estimate - exact).abs() <= exact.abs() / 200.0, "{estimate} for {exact}");
    }
}
