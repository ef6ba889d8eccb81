//! A sample is bounded, and knows every part of what it saw.

use super::sample::Sample;

#[test]
fn a_sample_is_bounded_and_even() {
    for count in [1_u32, 2, 64, 65, 1_000, 100_000] {
        let mut sample = Sample::default();
        for number in 0..count {
            sample.add(number.to_be_bytes().to_vec());
        }
        let ends = sample.first_and_latest();
        let all = sample.all();
        let numbers: Vec<u32> = all
            .iter()
            .map(|key| u32::from_be_bytes(key.as_slice().try_into().expect("four bytes")))
            .collect();
        assert!(all.len() <= 66, "{count}: {}", all.len());
        assert!(ends.is_subset(&all));
        assert_eq!((numbers[0], numbers.last()), (0, Some(&(count - 1))));
        let widest = numbers.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(
            widest.unwrap_or(0) <= count.div_ceil(16),
            "{count}: {widest:?}"
        );
    }
}
