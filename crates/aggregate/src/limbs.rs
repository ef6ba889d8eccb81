//! Sums in as many digits as it takes.

use std::fmt;

use crate::bytes::{Reader, push_signed, push_varint};

/// Decimal digits of a limb.
const LIMB_DIGITS: i32 = 9;
const LIMB: i64 = 1_000_000_000;

/// How many additions fit before carries must be passed on: each adds less than `LIMB` to a limb of 64 bits.
const ADDITIONS_MAX: u32 = 1 << 30;

/// A sum of decimals, in limbs of nine digits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limbs {
    /// Limbs in rising order of their exponent: a limb at `index` counts units of `10^(9 * index)`.
    limbs: Vec<(i32, i64)>,
    additions: u32,
}

impl Limbs {
    pub(crate) fn heap_bytes(&self) -> usize {
        self.limbs.capacity() * size_of::<(i32, i64)>()
    }

    /// Adds `digits * 10^exponent`, or takes it away.
    pub(crate) fn add(&mut self, negative: bool, digits: u128, exponent: i32) {
        let first = exponent.div_euclid(LIMB_DIGITS);
        let shift = exponent.rem_euclid(LIMB_DIGITS).unsigned_abs();
        let limb = u128::from(LIMB.unsigned_abs());
        // The lowest digits first, so that what is shifted still fits.
        let (mut rest, lowest) = (
            digits / (limb / 10_u128.pow(shift)),
            digits % (limb / 10_u128.pow(shift)),
        );
        self.add_part(negative, first, lowest * 10_u128.pow(shift));
        let mut index = first + 1;
        while rest > 0 {
            self.add_part(negative, index, rest % limb);
            rest /= limb;
            index += 1;
        }
        self.count_addition();
    }

    fn add_part(&mut self, negative: bool, index: i32, part: u128) {
        if part > 0 {
            let part = i64::try_from(part).expect("less than a limb");
            self.add_limb(index, if negative { -part } else { part });
        }
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (index, limb) in other.settled().limbs {
            self.add_limb(index, limb);
        }
        self.count_addition();
    }

    /// The same sum with every limb below `LIMB` and of the sum's sign, and none of them zero.
    pub(crate) fn settled(&self) -> Self {
        let mut settled = self.clone();
        settled.carry();
        settled
    }

    /// The sum as a mantissa and a power of ten, if the mantissa fits.
    pub(crate) fn to_short(&self) -> Option<(i128, i32)> {
        let limbs = self.settled().limbs;
        let Some((lowest, _)) = limbs.first() else {
            return Some((0, 0));
        };
        let mut limbs_down = limbs.iter().rev().peekable();
        let (highest, _) = limbs[limbs.len() - 1];
        // Ten limbs are more digits than fit, unless the low ones are few.
        if highest - lowest > 10 {
            return None;
        }
        let mut mantissa = 0_i128;
        let mut zeros = 0;
        for index in (*lowest..=highest).rev() {
            let limb = limbs_down.next_if(|(at, _)| *at == index);
            let limb = limb.map_or(0, |(_, limb)| *limb);
            let is_last = index == *lowest;
            let (limb, digits) = if is_last {
                shortest(limb, &mut zeros)
            } else {
                (limb, 9)
            };
            mantissa = mantissa
                .checked_mul(10_i128.pow(digits))?
                .checked_add(limb.into())?;
        }
        Some((mantissa, lowest * LIMB_DIGITS + zeros))
    }

    fn add_limb(&mut self, index: i32, limb: i64) {
        match self.limbs.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => self.limbs[at].1 += limb,
            Err(at) => self.limbs.insert(at, (index, limb)),
        }
    }

    fn count_addition(&mut self) {
        self.additions += 1;
        if self.additions == ADDITIONS_MAX {
            self.carry();
        }
    }

    /// Passes carries on, so that every limb is less than `LIMB`, all have the sum's sign, and none is zero.
    fn carry(&mut self) {
        self.pass_carries();
        // The highest limb has the sum's sign. If that is negative, the positive ones below are settled from the other side.
        let negative = self.limbs.last().is_some_and(|(_, limb)| *limb < 0);
        if negative {
            self.negate();
            self.pass_carries();
            self.negate();
        }
        self.limbs.retain(|(_, limb)| *limb != 0);
        self.additions = 0;
    }

    fn negate(&mut self) {
        for (_, limb) in &mut self.limbs {
            *limb = -*limb;
        }
    }

    /// Makes every limb but the highest one of 0 to `LIMB - 1`.
    fn pass_carries(&mut self) {
        let mut settled: Vec<(i32, i64)> = Vec::with_capacity(self.limbs.len() + 2);
        let mut limbs = std::mem::take(&mut self.limbs).into_iter().peekable();
        let mut carry: Option<(i32, i64)> = None;
        while let Some((index, value)) = next_limb(&mut limbs, &mut carry) {
            let is_highest = limbs.peek().is_none() && (-LIMB < value && value < LIMB);
            let (kept, above) = if is_highest {
                (value, 0)
            } else {
                (value.rem_euclid(LIMB), value.div_euclid(LIMB))
            };
            settled.push((index, kept));
            carry = (above != 0).then_some((index + 1, above));
        }
        while settled.last().is_some_and(|(_, limb)| *limb == 0) {
            settled.pop();
        }
        self.limbs = settled;
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let limbs = self.settled().limbs;
        push_varint(out, limbs.len() as u64);
        for (index, limb) in limbs {
            push_signed(out, i64::from(index));
            push_signed(out, limb);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let count = reader.count()?;
        let mut sum = Self::default();
        for _ in 0..count {
            let index = i32::try_from(reader.signed()?)
                .ok()
                .filter(|index| index.abs() < 1_000)?;
            let limb = reader.signed().filter(|limb| limb.abs() < LIMB)?;
            sum.add_limb(index, limb);
        }
        Some(sum)
    }
}

/// A limb without zeros at its end, and how many digits it may have then.
fn shortest(mut limb: i64, zeros: &mut i32) -> (i64, u32) {
    let mut digits = 9;
    while limb % 10 == 0 && digits > 0 {
        limb /= 10;
        digits -= 1;
        *zeros += 1;
    }
    (limb, digits)
}

/// The next limb, with a carry that is for it or stands before it.
fn next_limb(
    limbs: &mut std::iter::Peekable<std::vec::IntoIter<(i32, i64)>>,
    carry: &mut Option<(i32, i64)>,
) -> Option<(i32, i64)> {
    match carry.take() {
        None => limbs.next(),
        Some((index, value)) => match limbs.next_if(|(next, _)| *next == index) {
            Some((_, limb)) => Some((index, limb + value)),
            None => Some((index, value)),
        },
    }
}

impl PartialEq for Limbs {
    fn eq(&self, other: &Self) -> bool {
        self.settled().limbs == other.settled().limbs
    }
}

impl fmt::Display for Limbs {
    /// The sum as a decimal without exponent and without zeros at its end: `1684759.74663`, `-3`, `0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = self.settled();
        let (Some((lowest, _)), Some((highest, top))) = (sum.limbs.first(), sum.limbs.last())
        else {
            return f.write_str("0");
        };
        let mut whole = String::new();
        let mut fraction = String::new();
        let mut limbs = sum.limbs.iter().rev().peekable();
        for index in ((*lowest).min(0)..=(*highest).max(0)).rev() {
            let limb = limbs
                .next_if(|(at, _)| *at == index)
                .map_or(0, |(_, limb)| limb.abs());
            let digits = if index >= 0 {
                &mut whole
            } else {
                &mut fraction
            };
            *digits += &format!("{limb:09}");
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        f.write_str(if *top < 0 { "-" } else { "" })?;
        f.write_str(if whole.is_empty() { "0" } else { whole })?;
        if fraction.is_empty() {
            Ok(())
        } else {
            write!(f, ".{fraction}")
        }
    }
}
