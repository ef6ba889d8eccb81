//! Quantiles within half a percent, from counts in buckets of equal relative width.

use std::collections::BTreeMap;

use crate::bytes::{Reader, push_signed, push_varint};

/// Bits of the mantissa that tell buckets apart: 128 buckets between two powers of two, so the middle of one is within
/// 1/256 of everything in it.
const MANTISSA_BITS: u32 = 7;

/// How many numbers fell into each bucket. A bucket is the sign, the exponent and the first bits of the mantissa.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quantiles {
    counts: BTreeMap<i32, u64>,
}

impl Quantiles {
    /// Counts a finite number.
    pub fn add(&mut self, value: f64) {
        *self.counts.entry(bucket(value)).or_default() += 1;
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            *self.counts.entry(*bucket).or_default() += count;
        }
    }

    /// The middle of the bucket that holds the value which `percent` of a hundred do not exceed; none if there is nothing.
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let total: u64 = self.counts.values().sum();
        let rank = (u128::from(total) * u128::from(percent))
            .div_ceil(100)
            .max(1);
        let mut passed = 0_u128;
        for (bucket, count) in &self.counts {
            passed += u128::from(*count);
            if passed >= rank {
                return Some(middle(*bucket));
            }
        }
        None
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        push_varint(out, self.counts.len() as u64);
        for (bucket, count) in &self.counts {
            push_signed(out, i64::from(*bucket));
            push_varint(out, *count);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let count = reader.count()?;
        let pair = |_| Some((i32::try_from(reader.signed()?).ok()?, reader.varint()?));
        Some(Self {
            counts: (0..count).map(pair).collect::<Option<_>>()?,
        })
    }
}

fn bucket(value: f64) -> i32 {
    let magnitude = value.abs().to_bits() >> (f64::MANTISSA_DIGITS - 1 - MANTISSA_BITS);
    let magnitude = i32::try_from(magnitude).expect("a few bits of a float fit");
    if value < 0.0 { -magnitude } else { magnitude }
}

fn middle(bucket: i32) -> f64 {
    let shift = f64::MANTISSA_DIGITS - 1 - MANTISSA_BITS;
    let magnitude = u64::from(bucket.unsigned_abs());
    // Bucket 0 holds zero, and nothing that differs from it measurably.
    let bits = if magnitude == 0 {
        0
    } else {
        (magnitude << shift) | (1 << (shift - 1))
    };
    f64::from_bits(bits).copysign(f64::from(bucket))
}
