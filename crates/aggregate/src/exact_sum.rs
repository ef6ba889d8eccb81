//! Exact sums of decimals.

use std::fmt;
use std::str::FromStr;

use rowmill_model::Value;

use crate::bytes::{Reader, push_signed};
use crate::limbs::Limbs;

/// An exact sum of integers and of the shortest decimals that name floats.
///
/// The sum is kept in as many digits as it takes, so it depends on what was added and not on the order.
#[derive(Debug, Clone)]
pub struct ExactSum(Digits);

#[derive(Debug, Clone)]
enum Digits {
    /// `mantissa * 10^exponent`: what nearly every sum fits into.
    Short { mantissa: i128, exponent: i32 },
    /// What does not.
    Long(Box<Limbs>),
}

/// A decimal: `digits * 10^exponent`, or less than zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub(crate) negative: bool,
    pub(crate) digits: u64,
    pub(crate) exponent: i32,
}

impl ExactSum {
    /// How many bytes it takes beside its own size, or more.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Digits::Short { .. } => 0,
            Digits::Long(limbs) => size_of::<Limbs>() + limbs.heap_bytes(),
        }
    }
}

impl Decimal {
    pub(crate) fn of_int(value: i64) -> Self {
        Self {
            negative: value < 0,
            digits: value.unsigned_abs(),
            exponent: 0,
        }
    }

    /// The shortest decimal that names a finite float.
    pub(crate) fn of_float(value: f64) -> Self {
        if let Some(decimal) = Self::with_few_digits(value) {
            return decimal;
        }
        let mut buffer = ryu::Buffer::new();
        let (digits, exponent) = parse_shortest(buffer.format_finite(value.abs()).as_bytes());
        Self {
            negative: value < 0.0,
            digits,
            exponent,
        }
    }

    /// The same, perhaps with zeros at its end, of a float that has few digits, as most measured values do. No two decimals of
    /// [`f64::DIGITS`] digits name the same float, so one that names it is the one.
    fn with_few_digits(value: f64) -> Option<Self> {
        const PLACES: i32 = 6;
        const END: f64 = 1e15;
        let power = POWERS[PLACES.unsigned_abs() as usize];
        let scaled = (value.abs() * power).round();
        // Both sides of the division are exact, and its result is rounded once.
        let is_named = scaled < END && (scaled / power).to_bits() == value.abs().to_bits();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number below 10^15"
        )]
        is_named.then_some(Self {
            negative: value < 0.0,
            digits: scaled as u64,
            exponent: -PLACES,
        })
    }

    fn mantissa(self) -> i128 {
        let digits = i128::from(self.digits);
        if self.negative { -digits } else { digits }
    }
}

/// The greatest power of ten that an `i128` holds.
const POWER_MAX: u32 = 38;

/// The powers of ten that are floats.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

impl Default for ExactSum {
    fn default() -> Self {
        Self(Digits::Short {
            mantissa: 0,
            exponent: 0,
        })
    }
}

impl ExactSum {
    /// Adds an integer.
    pub fn add_int(&mut self, value: i64) {
        self.add(Decimal::of_int(value));
    }

    /// Adds the shortest decimal that names `value`.
    ///
    /// # Panics
    /// If `value` is not finite.
    pub fn add_float(&mut self, value: f64) {
        assert!(value.is_finite(), "a sum of finite numbers");
        self.add(Decimal::of_float(value));
    }

    /// The sum of one number; none of what is no number.
    pub(crate) fn of(value: &Value<'_>) -> Option<Self> {
        let mut sum = Self::default();
        match value {
            Value::Int(number) => sum.add_int(*number),
            Value::Float(number) => sum.add_float(*number),
            _ => return None,
        }
        Some(sum)
    }

    /// Whether it is just what the shortest decimal of a number says.
    pub(crate) fn is_named_by(&self, value: &Value<'_>) -> bool {
        /// Decimals of so many digits survive being made a float.
        const FLOAT_DIGITS_END: u128 = 10_u128.pow(f64::DIGITS);
        match (&self.0, value) {
            (Digits::Short { mantissa, exponent }, Value::Float(number))
                if mantissa.unsigned_abs() < FLOAT_DIGITS_END && exponent.abs() < 200 =>
            {
                self.to_float().to_bits() == number.to_bits()
            }
            _ => Self::of(value).as_ref() == Some(self),
        }
    }

    pub(crate) fn add(&mut self, decimal: Decimal) {
        if !self.add_short(decimal.mantissa(), decimal.exponent) {
            self.limbs()
                .add(decimal.negative, decimal.digits.into(), decimal.exponent);
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        match &other.0 {
            Digits::Short { mantissa, exponent } => {
                if !self.add_short(*mantissa, *exponent) {
                    self.limbs()
                        .add(*mantissa < 0, mantissa.unsigned_abs(), *exponent);
                }
            }
            Digits::Long(limbs) => self.limbs().merge(limbs),
        }
    }

    /// The nearest float.
    pub fn to_float(&self) -> f64 {
        if let Some(quotient) = self.quotient() {
            return quotient;
        }
        let text = match &self.0 {
            Digits::Short { mantissa, exponent } => format!("{mantissa}e{exponent}"),
            Digits::Long(limbs) => limbs.to_string(),
        };
        text.parse().expect("a decimal is a float")
    }

    /// The nearest float, where one division gives it: both of its sides are floats, and the result is rounded once.
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 there is none")]
    fn quotient(&self) -> Option<f64> {
        const EXACT_END: u64 = 1 << f64::MANTISSA_DIGITS;
        let Digits::Short { mantissa, exponent } = &self.0 else {
            return None;
        };
        let mantissa = i64::try_from(*mantissa).ok()?;
        let power = POWERS.get(usize::try_from(-exponent).ok()?)?;
        (mantissa.unsigned_abs() < EXACT_END).then(|| mantissa as f64 / power)
    }

    /// The sum as an integer, if it is one and fits.
    pub fn to_int(&self) -> Option<i64> {
        match self.settled() {
            Digits::Short { mantissa, exponent } => {
                let power = 10_i128.checked_pow(u32::try_from(exponent).ok()?)?;
                i64::try_from(mantissa.checked_mul(power)?).ok()
            }
            Digits::Long(_) => None,
        }
    }

    /// Adds `mantissa * 10^exponent` if the sum stays short.
    fn add_short(&mut self, mantissa: i128, exponent: i32) -> bool {
        let Digits::Short {
            mantissa: sum,
            exponent: at,
        } = &mut self.0
        else {
            return false;
        };
        if *sum == 0 {
            (*sum, *at) = (mantissa, exponent);
            return true;
        }
        let lowest = exponent.min(*at);
        let aligned = |mantissa: i128, exponent: i32| {
            let power = exponent.abs_diff(lowest);
            if power == 0 {
                return Some(mantissa);
            }
            let power = (power <= POWER_MAX).then(|| 10_i128.pow(power));
            mantissa.checked_mul(power?)
        };
        let total = aligned(*sum, *at)
            .zip(aligned(mantissa, exponent))
            .and_then(|(a, b)| a.checked_add(b));
        if let Some(total) = total {
            (*sum, *at) = (total, lowest);
        }
        total.is_some()
    }

    /// The sum as limbs, made of it if it is short.
    fn limbs(&mut self) -> &mut Limbs {
        if let Digits::Short { mantissa, exponent } = &self.0 {
            let mut limbs = Limbs::default();
            limbs.add(*mantissa < 0, mantissa.unsigned_abs(), *exponent);
            self.0 = Digits::Long(Box::new(limbs));
        }
        match &mut self.0 {
            Digits::Long(limbs) => limbs,
            Digits::Short { .. } => unreachable!("made long above"),
        }
    }

    /// The one form of the sum: without zeros at its end, and short if that fits.
    fn settled(&self) -> Digits {
        match &self.0 {
            Digits::Short { mantissa: 0, .. } => Self::default().0,
            Digits::Short { mantissa, exponent } => {
                let (mantissa, zeros) = without_zeros(*mantissa);
                Digits::Short {
                    mantissa,
                    exponent: exponent + zeros,
                }
            }
            Digits::Long(limbs) => match limbs.to_short() {
                Some((mantissa, exponent)) => Self(Digits::Short { mantissa, exponent }).settled(),
                None => Digits::Long(Box::new(limbs.settled())),
            },
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self.settled() {
            Digits::Short { mantissa, exponent } => {
                out.push(SHORT);
                push_signed(out, i64::from(exponent));
                push_wide(out, mantissa);
            }
            Digits::Long(limbs) => {
                out.push(LONG);
                limbs.encode(out);
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.byte()? {
            SHORT => {
                let exponent = i32::try_from(reader.signed()?)
                    .ok()
                    .filter(|exponent| exponent.abs() < EXPONENT_END)?;
                let mantissa = read_wide(reader)?;
                Some(Self(Digits::Short { mantissa, exponent }))
            }
            LONG => Limbs::decode(reader).map(|limbs| Self(Digits::Long(Box::new(limbs)))),
            _ => None,
        }
    }
}

const SHORT: u8 = 0;
const LONG: u8 = 1;

/// Beyond every exponent of a sum of floats.
const EXPONENT_END: i32 = 10_000;

fn without_zeros(mut mantissa: i128) -> (i128, i32) {
    let mut zeros = 0;
    if let Ok(mut small) = i64::try_from(mantissa) {
        while small % 10 == 0 {
            small /= 10;
            zeros += 1;
        }
        return (small.into(), zeros);
    }
    while mantissa % 10 == 0 {
        mantissa /= 10;
        zeros += 1;
    }
    (mantissa, zeros)
}

/// Appends 128 bits so that small numbers of either sign are short.
fn push_wide(out: &mut Vec<u8>, value: i128) {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 127).cast_unsigned();
    while let Err(_) | Ok(0x80..) = u8::try_from(rest) {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

fn read_wide(reader: &mut Reader<'_>) -> Option<i128> {
    let mut value = 0_u128;
    for shift in (0..u128::BITS).step_by(7) {
        let byte = reader.byte()?;
        value |= u128::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
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
        match (self.settled(), other.settled()) {
            (
                Digits::Short { mantissa, exponent },
                Digits::Short {
                    mantissa: others,
                    exponent: at,
                },
            ) => (mantissa, exponent) == (others, at),
            (Digits::Long(ours), Digits::Long(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

/// A text that is no decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is no decimal")]
pub struct InvalidDecimal;

impl FromStr for ExactSum {
    type Err = InvalidDecimal;

    /// The sum that is displayed like this.
    fn from_str(text: &str) -> Result<Self, InvalidDecimal> {
        /// So many digits are at most a number of 64 bits.
        const DIGITS_AT_ONCE: usize = 18;
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = [whole, fraction].concat().into_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(InvalidDecimal);
        }
        let error = |_| InvalidDecimal;
        let mut exponent = i32::try_from(whole.len()).map_err(error)?;
        let mut sum = Self::default();
        for part in digits.chunks(DIGITS_AT_ONCE) {
            exponent -= i32::try_from(part.len()).map_err(error)?;
            let part = part.iter();
            let digits = part.fold(0, |digits, byte| digits * 10 + u64::from(byte - b'0'));
            sum.add(Decimal {
                negative,
                digits,
                exponent,
            });
        }
        Ok(sum)
    }
}

impl fmt::Display for ExactSum {
    /// The sum as a decimal without exponent and without zeros at its end: `1684759.74663`, `-3`, `0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Digits::Short { mantissa, exponent } => {
                let mut limbs = Limbs::default();
                limbs.add(*mantissa < 0, mantissa.unsigned_abs(), *exponent);
                limbs.fmt(f)
            }
            Digits::Long(limbs) => limbs.fmt(f),
        }
    }
}
