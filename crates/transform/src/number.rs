//! Numbers as files write them.

/// The integer that `text` writes, exactly: `42`, `-7`, `+1`, `1.5e3`, `17850.0`; not `1.5`, and nothing beyond 64 bits.
pub(crate) fn parse_int(text: &str) -> Option<i64> {
    // `parse` takes all but fractions and exponents, at twice the speed.
    let plain = text.strip_suffix(".0").unwrap_or(text);
    plain
        .parse()
        .ok()
        .or_else(|| Decimal::parse(text)?.to_int())
}

/// The finite double nearest to the number that `text` writes; none if that is zero and the number is not, as `1e-400`.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    // `parse` also takes `inf` and `nan`, which begin with letters.
    let digits_first = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse()
        .ok()
        .filter(|number: &f64| digits_first && number.is_finite())
        .filter(|number| *number != 0.0 || is_zero(text))
}

/// Whether no digit before the exponent is other than zero.
fn is_zero(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

/// A decimal number as written: digits, and a power of ten.
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

impl<'a> Decimal<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole
            .bytes()
            .chain(fraction.bytes())
            .all(|byte| byte.is_ascii_digit());
        (digits && whole.len() + fraction.len() > 0).then_some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    /// The value, if it is whole and fits.
    fn to_int(&self) -> Option<i64> {
        let digits = || {
            self.whole
                .bytes()
                .chain(self.fraction.bytes())
                .map(|byte| i64::from(byte - b'0'))
        };
        let shift = i64::from(self.exponent) - i64::try_from(self.fraction.len()).ok()?;
        let significant = self.whole.len() + self.fraction.len();
        let kept = i64::try_from(significant)
            .ok()?
            .saturating_add(shift.min(0))
            .max(0);
        let kept = usize::try_from(kept).ok()?;
        if digits().skip(kept).any(|digit| digit != 0) {
            return None;
        }
        // Down from zero, because `i64::MIN` has no positive twin.
        let mut value = 0_i64;
        for digit in digits().take(kept) {
            value = value.checked_mul(10)?.checked_sub(digit)?;
        }
        if value != 0 {
            for _ in 0..shift.max(0) {
                value = value.checked_mul(10)?;
            }
        }
        if self.negative {
            Some(value)
        } else {
            value.checked_neg()
        }
    }
}
