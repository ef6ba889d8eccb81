//! One part of a key: percent-encoding of the few bytes that would break the layout, and its inverse.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Part};

/// The longest row key that Bigtable accepts, in bytes.
pub const KEY_BYTES_MAX: usize = 4_096;

/// The longest single text part of a key, in encoded bytes.
///
/// Two such parts, a timestamp and a timeline prefix stay well below [`KEY_BYTES_MAX`], so a key whose parts are valid
/// is itself valid in every table.
pub const PART_BYTES_MAX: usize = 1_024;

/// What stands between two parts.
pub(crate) const SEPARATOR: u8 = b'#';

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `text`, encoded. On an error `out` is as it was.
pub(crate) fn push(out: &mut Vec<u8>, part: Part, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::new(part, ErrorKind::Empty));
    }
    let start = out.len();
    push_unbounded(out, text);
    let bytes = out.len() - start;
    let checked = check_length(part, bytes);
    if checked.is_err() {
        out.truncate(start);
    }
    checked
}

fn check_length(part: Part, bytes: usize) -> Result<(), Error> {
    let bytes_max = PART_BYTES_MAX;
    if bytes > bytes_max {
        return Err(Error::new(part, ErrorKind::TooLong { bytes, bytes_max }));
    }
    Ok(())
}

/// Appends `text`, encoded, however long.
pub(crate) fn push_unbounded(out: &mut Vec<u8>, text: &str) {
    if !text.bytes().any(needs_escape) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        if needs_escape(byte) {
            out.extend_from_slice(&[
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        } else {
            out.push(byte);
        }
    }
}

fn needs_escape(byte: u8) -> bool {
    matches!(byte, b'#' | b'%' | 0x7f) || byte < 0x20
}

/// The text of one encoded part. Only what [`push`] writes is accepted, so that two different keys never decode alike.
pub(crate) fn decode(part: Part, bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    let malformed = || Error::new(part, ErrorKind::Malformed);
    if bytes.is_empty() {
        return Err(Error::new(part, ErrorKind::Empty));
    }
    check_length(part, bytes.len())?;
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    if !text.bytes().any(needs_escape) {
        return Ok(Cow::Borrowed(text));
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (decoded, tail) = unescape(rest).ok_or_else(malformed)?;
            plain.push(decoded);
            rest = tail;
        } else if needs_escape(byte) {
            return Err(malformed());
        } else {
            plain.push(byte);
        }
    }
    String::from_utf8(plain)
        .map(Cow::Owned)
        .map_err(|_| malformed())
}

/// The byte that two upper-case hexadecimal digits stand for, if it is one that [`push`] escapes.
fn unescape(rest: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], tail) = rest.split_first_chunk::<2>()?;
    let byte = hex_digit(high)? << 4 | hex_digit(low)?;
    needs_escape(byte).then_some((byte, tail))
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Splits off the bytes before the next separator, or all of them.
pub(crate) fn split(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|&byte| byte == SEPARATOR) {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    }
}

/// The bytes after the separator that must follow, or an error that names the part missing there.
pub(crate) fn expect_more(rest: Option<&[u8]>, part: Part) -> Result<&[u8], Error> {
    rest.ok_or(Error::new(part, ErrorKind::Missing))
}

/// Exactly `digits` decimal digits as a number.
pub(crate) fn decode_digits(part: Part, bytes: &[u8], digits: usize) -> Result<u64, Error> {
    let malformed = Error::new(part, ErrorKind::Malformed);
    if bytes.len() != digits || !bytes.iter().all(u8::is_ascii_digit) {
        return Err(malformed);
    }
    let value = bytes.iter().try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    });
    value.ok_or(malformed)
}

/// Appends `value` as `digits` zero-padded decimal digits.
pub(crate) fn push_digits(out: &mut Vec<u8>, value: u64, digits: usize) {
    let start = out.len();
    out.resize(start + digits, b'0');
    let mut rest = value;
    for slot in out[start..].iter_mut().rev() {
        *slot = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
    }
    debug_assert!(rest == 0, "digits hold the value: {value} in {digits}");
}
