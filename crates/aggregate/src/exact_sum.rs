//! Exact sums of decimals.

use std::fmt;

use crate::bytes::{Reader, push_signed, push_varint};

/// Decimal digits of a limb.
const LIMB_DIGITS: i32 = 9;
const LIMB: i64 = 1_000_000_000;

/// How many additions fit before carries must be passed on: each adds less than `LIMB` to a limb of 64 bits.
const ADDITIONS_MAX: u32 = 1 << 30;

/// An exact sum of integers and of the shortest decimals that name floats.
///
/// The sum is kept in as many digits as it takes, so it depends on what was added and not on the order.
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    /// Limbs in rising order of their exponent: a limb at `index` counts units of `10^(9 * index)`.
    limbs: Vec<(i32, i64)>,
    additions: u32,
}

impl ExactSum {
    /// Adds an integer.
    pub fn add_int(&mut self, value: i64) {
        self.add_decimal(value < 0, value.unsigned_abs(), 0);
    }

    /// Adds the shortest decimal that names `value`.
    ///
    /// # Panics
    /// If `value` is not finite.
    pub fn add_float(&mut self, value: f64) {
        assert!(value.is_finite(), "a sum of finite numbers");
        let mut buffer = ryu::Buffer::new();
        let (digits, exponent) = parse_shortest(buffer.format_finite(value.abs()).as_bytes());
        self.add_decimal(value < 0.0, digits, exponent);
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        other.carry();
        for (index, limb) in other.limbs {
            self.add_limb(index, limb);
        }
        self.count_addition();
    }

    /// The nearest float.
    pub fn to_float(&self) -> f64 {
        self.to_string().parse().expect("a decimal is a float")
    }

    /// The sum as an integer, if it is one and fits.
    pub fn to_int(&self) -> Option<i64> {
        self.to_string().parse().ok()
    }

    /// Adds `digits * 10^exponent`.
    fn add_decimal(&mut self, negative: bool, digits: u64, exponent: i32) {
        let first = exponent.div_euclid(LIMB_DIGITS);
        let shift = exponent.rem_euclid(LIMB_DIGITS).unsigned_abs();
        let mut rest = u128::from(digits) * 10_u128.pow(shift);
        let mut index = first;
        while rest > 0 {
            let limb =
                i64::try_from(rest % u128::from(LIMB.unsigned_abs())).expect("less than a limb");
            self.add_limb(index, if negative { -limb } else { limb });
            rest /= u128::from(LIMB.unsigned_abs());
            index += 1;
        }
        self.count_addition();
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
        let mut canonical = self.clone();
        canonical.carry();
        push_varint(out, canonical.limbs.len() as u64);
        for (index, limb) in canonical.limbs {
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
            sum.add_limb(index, reader.signed()?);
        }
        Some(sum)
    }
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

/// The digits and the power of ten of what `ryu` prints: `1684.5`, `1e300`, `1.5e-7`.
fn parse_shortest(text: &[u8]) -> (u64, i32) {
    let (mut digits, mut exponent, mut in_fraction) = (0_u64, 0, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'.' => in_fraction = true,
            b'e' => {
                let written = std::str::from_utf8(&text[at + 1..])
                    .ok()
                    .and_then(|text| text.parse::<i32>().ok());
                exponent += written.expect("ryu prints an exponent after e");
                break;
            }
            digit => {
                digits = digits * 10 + u64::from(digit - b'0');
                exponent -= i32::from(in_fraction);
            }
        }
    }
    (digits, exponent)
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        let canonical = |sum: &Self| {
            let mut sum = sum.clone();
            sum.carry();
            sum.limbs
        };
        canonical(self) == canonical(other)
    }
}

impl fmt::Display for ExactSum {
    /// The sum as a decimal without exponent and without zeros at its end: `1684759.74663`, `-3`, `0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sum = self.clone();
        sum.carry();
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
