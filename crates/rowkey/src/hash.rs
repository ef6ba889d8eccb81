//! FNV-1a, the hash of the keys: it must give the same value for ever, and this crate depends on nothing.
//!
//! Offsets and primes are those of <http://www.isthe.com/chongo/tech/comp/fnv/>.

/// 64-bit FNV-1a, which spreads the timeline over its buckets.
pub(crate) fn fnv1a_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// 128-bit FNV-1a, which closes a dimension value that was cut.
pub(crate) fn fnv1a_128(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, &byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
}

#[cfg(test)]
mod tests {
    use super::{fnv1a_64, fnv1a_128};

    /// Test vectors of draft-eastlake-fnv, appendix C.
    #[test]
    fn published_vectors() {
        assert_eq!(fnv1a_64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a_64(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(
            fnv1a_128(b"foobar"),
            0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18
        );
    }
}
