//! Quantiles within half a percent, from counts in buckets of equal relative width.

use smallvec::SmallVec;

use crate::bytes::{Reader, push_signed, push_varint};

/// Bits of the mantissa that tell buckets apart: 128 buckets between two powers of two, so the middle of one is within
/// 1/256 of everything in it.
const MANTISSA_BITS: u32 = 7;

/// How many numbers fell into each bucket: a `DDSketch` whose index is linear between powers of two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// By bucket: the sign, the exponent and the first bits of the mantissa.
    counts: SmallVec<[(i32, u64); 1]>,
}

impl Quantiles {
    /// Counts a finite number.
    pub fn add(&mut self, value: f64) {
        self.add_to(bucket(value), 1);
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.counts {
            self.add_to(*bucket, *count);
        }
    }

    pub(crate) fn add_to(&mut self, bucket: i32, count: u64) {
        match self.counts.binary_search_by_key(&bucket, |(at, _)| *at) {
            Ok(at) => self.counts[at].1 += count,
            Err(at) => self.counts.insert(at, (bucket, count)),
        }
    }

    /// The middle of the bucket that holds the value which `percent` of a hundred do not exceed; none if there is nothing.
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let total: u64 = self.counts.iter().map(|(_, count)| count).sum();
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

    pub(crate) fn heap_bytes(&self) -> usize {
        if self.counts.spilled() {
            self.counts.capacity().max(2 * self.counts.len()) * size_of::<(i32, u64)>()
        } else {
            0
        }
    }

    /// Buckets rise, so each is written as its distance from the one before.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        push_varint(out, self.counts.len() as u64);
        let mut before = 0;
        for (bucket, count) in &self.counts {
            push_signed(out, i64::from(*bucket) - before);
            push_varint(out, *count);
            before = i64::from(*bucket);
        }
    }

    /// Adds the counts of encoded quantiles.
    pub(crate) fn merge_encoded(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let had_some = !self.counts.is_empty();
        let mut before = 0_i64;
        for index in 0..reader.count()? {
            let step = reader.signed().filter(|step| index == 0 || *step > 0)?;
            before = before.checked_add(step)?;
            let bucket = i32::try_from(before)
                .ok()
                .filter(|it| it.abs() <= BUCKET_MAX)?;
            let count = reader
                .varint()
                .filter(|count| (1..=u64::MAX >> 8).contains(count))?;
            self.counts.push((bucket, count));
        }
        if had_some {
            // Two runs that rise, which this sort makes use of.
            self.counts.sort_by_key(|(bucket, _)| *bucket);
            self.counts.dedup_by(|next, kept| {
                let is_same = next.0 == kept.0;
                kept.1 += if is_same { next.1 } else { 0 };
                is_same
            });
        }
        Some(())
    }

    /// Forgets all counts, but keeps the room that they took.
    pub(crate) fn clear(&mut self) {
        self.counts.clear();
    }
}

/// The bucket of the greatest float.
const BUCKET_MAX: i32 = 0x7ff << MANTISSA_BITS;

/// The bucket of a number.
pub(crate) fn bucket(value: f64) -> i32 {
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
