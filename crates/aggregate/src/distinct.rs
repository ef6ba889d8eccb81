//! How many different values: exact while few, HyperLogLog beyond.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::bytes::{Reader, push_varint};

/// Up to so many different values a count is exact.
pub const EXACT_MAX: usize = 2_048;

/// 2^14 registers: a standard error of 0.8 percent.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;

/// The seed of every sketch of Apache `DataSketches`.
const SEED: u32 = 9_001;

/// How many hashes are gathered, some of them repeats, before they are sorted out.
const GATHERED_MAX: usize = 2 * EXACT_MAX;

/// A set of values, known by their hashes.
///
/// Whether it is exact depends only on how many values were ever in it, and its registers only on which, so merging gives
/// the same set in any order. Values are hashed as Apache `DataSketches` hashes texts, and the registers are those of its
/// `HLL_8` with `lg_k = 14`.
#[derive(Debug, Clone, Default)]
pub struct Distinct(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// Hashes, the first so many of them sorted and different.
    Exact {
        hashes: SmallVec<[DistinctHash; 2]>,
        settled: usize,
    },
    /// The registers of HyperLogLog.
    Sketch(Box<[u8; REGISTERS]>),
}

impl Default for Kind {
    fn default() -> Self {
        Self::Exact {
            hashes: SmallVec::new(),
            settled: 0,
        }
    }
}

/// What a set knows of a value: 58 bits of its hash, and what rank it gives its register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistinctHash(u64);

impl DistinctHash {
    const RANK_BITS: u32 = 6;

    /// The hash of a text.
    pub fn new(text: &[u8]) -> Self {
        let (index, rest) = mur3::murmurhash3_x64_128(text, SEED);
        let rank = u64::from(rest.leading_zeros().min(62) + 1);
        Self(index << Self::RANK_BITS | rank)
    }

    fn register(self) -> usize {
        usize::try_from(self.0 >> Self::RANK_BITS).expect("58 bits fit") & (REGISTERS - 1)
    }

    fn rank(self) -> u8 {
        self.0.to_le_bytes()[0] & ((1 << Self::RANK_BITS) - 1)
    }
}

impl Distinct {
    /// Adds a value, by its text.
    pub fn add(&mut self, text: &str) {
        self.add_hash(DistinctHash::new(text.as_bytes()));
    }

    /// Adds a value, by its hash.
    pub fn add_hash(&mut self, hash: DistinctHash) {
        match &mut self.0 {
            Kind::Exact { hashes, settled } => {
                // Most often it is one of few that are there already.
                if hashes.len() <= 8 && hashes.contains(&hash) {
                    return;
                }
                hashes.push(hash);
                if hashes.len() == 1 {
                    *settled = 1;
                } else if hashes.len() > GATHERED_MAX {
                    self.settle();
                }
            }
            Kind::Sketch(registers) => set(registers, hash),
        }
    }

    /// Adds another's values.
    pub fn merge(&mut self, other: &Self) {
        match &other.0 {
            Kind::Exact { hashes, .. } => hashes.iter().for_each(|hash| self.add_hash(*hash)),
            Kind::Sketch(theirs) => self.merge_registers(theirs.as_slice()),
        }
    }

    /// How many values there are: exact up to [`EXACT_MAX`], with a standard error of 0.8 percent beyond.
    pub fn count(&self) -> u64 {
        match &self.settled().0 {
            Kind::Exact { hashes, .. } => hashes.len() as u64,
            Kind::Sketch(registers) => estimate(registers),
        }
    }

    /// Sorts what was gathered, and turns to a sketch if it is too much.
    pub(crate) fn settle(&mut self) {
        let Kind::Exact { hashes, settled } = &mut self.0 else {
            return;
        };
        if *settled < hashes.len() {
            // They come as parts that are sorted already, which this sort makes use of.
            hashes.sort();
            hashes.dedup();
            *settled = hashes.len();
        }
        if hashes.len() > EXACT_MAX {
            self.registers();
        }
    }

    fn settled(&self) -> Cow<'_, Self> {
        match &self.0 {
            Kind::Exact { hashes, settled } if *settled < hashes.len() => {
                let mut settled = self.clone();
                settled.settle();
                Cow::Owned(settled)
            }
            _ => Cow::Borrowed(self),
        }
    }

    fn merge_registers(&mut self, theirs: &[u8]) {
        for (ours, theirs) in self.registers().iter_mut().zip(theirs) {
            *ours = (*ours).max(*theirs);
        }
    }

    /// The registers, made from the hashes if there are none yet.
    fn registers(&mut self) -> &mut [u8; REGISTERS] {
        if let Kind::Exact { hashes, .. } = &self.0 {
            let mut registers = Box::new([0; REGISTERS]);
            hashes.iter().for_each(|hash| set(&mut registers, *hash));
            self.0 = Kind::Sketch(registers);
        }
        match &mut self.0 {
            Kind::Sketch(registers) => registers,
            Kind::Exact { .. } => unreachable!("made a sketch above"),
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Kind::Exact { hashes, .. } if hashes.spilled() => {
                hashes.capacity().max(2 * hashes.len()) * size_of::<u64>()
            }
            Kind::Exact { .. } => 0,
            Kind::Sketch(_) => REGISTERS,
        }
    }

    /// The set as Apache `DataSketches` serializes an `HLL_8` sketch with `lg_k = 14`: what its libraries, and those of databases
    /// that carry them, read and merge.
    pub fn to_datasketches(&self) -> Vec<u8> {
        const PREAMBLE_INTS: u8 = 10;
        const SERIAL_VERSION: u8 = 1;
        const FAMILY_HLL: u8 = 7;
        const OUT_OF_ORDER: u8 = 1 << 4;
        const MODE_HLL_8: u8 = 2 << 2 | 2;
        let mut whole = self.clone();
        let registers = whole.registers();
        let zeros = registers.iter().filter(|rank| **rank == 0).count();
        let (low, high) = inverse_powers(registers);
        let mut out = vec![PREAMBLE_INTS, SERIAL_VERSION, FAMILY_HLL];
        out.extend([INDEX_BITS.to_le_bytes()[0], 0, OUT_OF_ORDER, 0, MODE_HLL_8]);
        out.extend(0_f64.to_le_bytes());
        out.extend(low.to_le_bytes());
        out.extend(high.to_le_bytes());
        out.extend(
            u32::try_from(zeros)
                .expect("at most the registers")
                .to_le_bytes(),
        );
        out.extend(0_u32.to_le_bytes());
        out.extend_from_slice(registers.as_slice());
        out
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match &self.settled().0 {
            Kind::Exact { hashes, .. } => {
                push_varint(out, hashes.len() as u64);
                hashes
                    .iter()
                    .for_each(|hash| out.extend_from_slice(&hash.0.to_be_bytes()));
            }
            Kind::Sketch(registers) => {
                push_varint(out, EXACT_MAX as u64 + 1);
                out.extend_from_slice(registers.as_slice());
            }
        }
    }

    /// Adds the values of an encoded set.
    pub(crate) fn merge_encoded(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let count = usize::try_from(reader.varint()?).ok()?;
        if count > EXACT_MAX {
            let registers = reader.take(REGISTERS)?;
            if count > EXACT_MAX + 1 || registers.iter().any(|rank| *rank > 63) {
                return None;
            }
            self.merge_registers(registers);
            return Some(());
        }
        let encoded = reader.take(count * size_of::<u64>())?;
        let (encoded, _) = encoded.as_chunks();
        let hashes = encoded
            .iter()
            .map(|it| DistinctHash(u64::from_be_bytes(*it)));
        // Hashes rise, and each gives its register a rank.
        if !hashes.clone().is_sorted_by(|a, b| a < b) || hashes.clone().any(|it| it.rank() == 0) {
            return None;
        }
        match &mut self.0 {
            Kind::Sketch(registers) => hashes.for_each(|hash| set(registers, hash)),
            Kind::Exact {
                hashes: ours,
                settled,
            } => {
                let is_first = ours.is_empty();
                ours.extend(hashes);
                if is_first {
                    *settled = ours.len();
                } else if ours.len() > GATHERED_MAX {
                    self.settle();
                }
            }
        }
        Some(())
    }

    /// Forgets all values, but keeps the room that they took.
    pub(crate) fn clear(&mut self) {
        match &mut self.0 {
            Kind::Exact { hashes, settled } => {
                hashes.clear();
                *settled = 0;
            }
            Kind::Sketch(_) => self.0 = Kind::default(),
        }
    }
}

impl PartialEq for Distinct {
    fn eq(&self, other: &Self) -> bool {
        match (&self.settled().0, &other.settled().0) {
            (Kind::Exact { hashes, .. }, Kind::Exact { hashes: others, .. }) => hashes == others,
            (Kind::Sketch(ours), Kind::Sketch(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

impl Eq for Distinct {}

/// A register keeps the greatest rank that any of its values had.
fn set(registers: &mut [u8; REGISTERS], hash: DistinctHash) {
    let register = &mut registers[hash.register()];
    *register = (*register).max(hash.rank());
}

/// The sum of two to the minus rank, of ranks below 32 and of the others: apart, so that each is exact.
fn inverse_powers(registers: &[u8; REGISTERS]) -> (f64, f64) {
    const EXPONENT_OF_ONE: u64 = 1_023;
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    let mut sums = (0.0, 0.0);
    for rank in registers {
        let power = f64::from_bits((EXPONENT_OF_ONE - u64::from(*rank)) << MANTISSA_BITS);
        if *rank < 32 {
            sums.0 += power;
        } else {
            sums.1 += power;
        }
    }
    sums
}

/// The estimate of Flajolet et al., HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm (2007),
/// figure 3; the correction for large ranges is not needed for 64-bit hashes.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate"
)]
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let size = REGISTERS as f64;
    let (low, high) = inverse_powers(registers);
    let raw = 0.7213 / (1.0 + 1.079 / size) * size * size / (low + high);
    let empty = registers.iter().filter(|rank| **rank == 0).count();
    let estimate = if raw <= 2.5 * size && empty > 0 {
        size * (size / empty as f64).ln()
    } else {
        raw
    };
    estimate.round() as u64
}
