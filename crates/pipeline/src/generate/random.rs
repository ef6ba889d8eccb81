//! `SplitMix64`. Written out because a library may change its streams between versions, and these bytes must not change.

/// A stream of numbers that follows from its seed.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014), as in <https://prng.di.unimi.it/splitmix64.c>.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(limit);
        u64::try_from(wide >> 64).expect("the high half of a product is below its factor")
    }

    /// A number from 0, included, to 1, excluded.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An index below `count`, the low ones much more often: the square of an even choice.
    pub(super) fn skewed(&mut self, count: usize) -> usize {
        let limit = count as u64;
        let square = u128::from(self.below(limit)) * u128::from(self.below(limit));
        usize::try_from(square / u128::from(limit.max(1))).expect("below the count")
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[usize::try_from(self.below(of.len() as u64)).expect("below a length")]
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    /// The first outputs of the published implementation for the seed 1234567.
    #[test]
    fn published_vector() {
        let mut random = Random::new(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!([random.next(), random.next(), random.next()], expected);
    }
}
