//! How many different values: exact while few, HyperLogLog beyond.

use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::{Reader, push_varint};

/// Up to so many different values a count is exact.
pub const EXACT_MAX: usize = 2_048;

/// 2^14 registers: a standard error of 0.8 percent.
const INDEX_BITS: u32 = 14;
const REGISTERS: usize = 1 << INDEX_BITS;

/// A set of values, known by their hashes.
///
/// Whether it is exact depends only on how many values were ever in it, and its registers only on which, so merging gives
/// the same set in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distinct(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// The hashes, sorted.
    Exact(Vec<u64>),
    /// The registers of HyperLogLog.
    Sketch(Box<[u8; REGISTERS]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self(Kind::Exact(Vec::new()))
    }
}

impl Distinct {
    /// Adds a value, by its text.
    pub fn add(&mut self, text: &str) {
        self.add_hash(xxh3_64(text.as_bytes()));
    }

    /// Adds another's values.
    pub fn merge(&mut self, other: &Self) {
        match &other.0 {
            Kind::Exact(hashes) => hashes.iter().for_each(|hash| self.add_hash(*hash)),
            Kind::Sketch(theirs) => {
                for (ours, theirs) in self.registers().iter_mut().zip(theirs.iter()) {
                    *ours = (*ours).max(*theirs);
                }
            }
        }
    }

    /// How many values there are: exact up to [`EXACT_MAX`], within two percent beyond, nearly always.
    pub fn count(&self) -> u64 {
        match &self.0 {
            Kind::Exact(hashes) => hashes.len() as u64,
            Kind::Sketch(registers) => estimate(registers),
        }
    }

    fn add_hash(&mut self, hash: u64) {
        match &mut self.0 {
            Kind::Exact(hashes) => {
                let Err(at) = hashes.binary_search(&hash) else {
                    return;
                };
                hashes.insert(at, hash);
                if hashes.len() > EXACT_MAX {
                    self.registers();
                }
            }
            Kind::Sketch(registers) => set(registers, hash),
        }
    }

    /// The registers, made from the hashes if there are none yet.
    fn registers(&mut self) -> &mut [u8; REGISTERS] {
        if let Kind::Exact(hashes) = &self.0 {
            let mut registers = Box::new([0; REGISTERS]);
            hashes.iter().for_each(|hash| set(&mut registers, *hash));
            self.0 = Kind::Sketch(registers);
        }
        match &mut self.0 {
            Kind::Sketch(registers) => registers,
            Kind::Exact(_) => unreachable!("made a sketch above"),
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Kind::Exact(hashes) => {
                push_varint(out, hashes.len() as u64);
                hashes
                    .iter()
                    .for_each(|hash| out.extend_from_slice(&hash.to_be_bytes()));
            }
            Kind::Sketch(registers) => {
                push_varint(out, EXACT_MAX as u64 + 1);
                out.extend_from_slice(registers.as_slice());
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let count = usize::try_from(reader.varint()?).ok()?;
        if count > EXACT_MAX {
            return Some(Self(Kind::Sketch(Box::new(reader.array()?))));
        }
        let hash = |_| Some(u64::from_be_bytes(reader.array()?));
        let hashes: Vec<u64> = (0..count).map(hash).collect::<Option<_>>()?;
        hashes
            .is_sorted_by(|a, b| a < b)
            .then_some(Self(Kind::Exact(hashes)))
    }
}

/// The first bits choose a register, which keeps the longest run of zeros that any of the rest began with.
fn set(registers: &mut [u8; REGISTERS], hash: u64) {
    let index = usize::try_from(hash >> (u64::BITS - INDEX_BITS)).expect("14 bits fit");
    let zeros = (hash << INDEX_BITS | 1 << (INDEX_BITS - 1)).leading_zeros();
    let rank = u8::try_from(zeros).expect("at most 50") + 1;
    registers[index] = registers[index].max(rank);
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
    let sum: f64 = registers
        .iter()
        .map(|rank| 1.0 / (1_u64 << rank) as f64)
        .sum();
    let raw = 0.7213 / (1.0 + 1.079 / size) * size * size / sum;
    let empty = registers.iter().filter(|rank| **rank == 0).count();
    let estimate = if raw <= 2.5 * size && empty > 0 {
        size * (size / empty as f64).ln()
    } else {
        raw
    };
    estimate.round() as u64
}
