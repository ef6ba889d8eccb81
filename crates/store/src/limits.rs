//! Bigtable's limits on what is written to a row: in one place, so that every store and client refuses the same.
//!
//! Source: <https://cloud.google.com/bigtable/quotas>. Each check says what is wrong as a fragment, for whoever knows the row.

use rowmill_model::TIMESTAMP_MICROS_STEP;
use rowmill_rowkey::KEY_BYTES_MAX;

/// The longest qualifier, in bytes.
pub const QUALIFIER_BYTES_MAX: usize = 16 << 10;

/// The largest value of a cell, in bytes.
pub const VALUE_BYTES_MAX: usize = 100 << 20;

/// The most operations of one row at once.
pub const MUTATIONS_MAX: usize = 100_000;

/// Checks the length of a row key.
pub fn check_key(key: &[u8]) -> Result<(), String> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(format!(
            "a row key has 1 to {KEY_BYTES_MAX} bytes, not {}",
            key.len()
        ));
    }
    Ok(())
}

/// Checks the length of a qualifier.
pub fn check_qualifier(qualifier: &[u8]) -> Result<(), String> {
    at_most("a qualifier", QUALIFIER_BYTES_MAX, qualifier.len())
}

/// Checks the length of a value.
pub fn check_value(value: &[u8]) -> Result<(), String> {
    at_most("a value", VALUE_BYTES_MAX, value.len())
}

fn at_most(what: &str, most: usize, bytes: usize) -> Result<(), String> {
    if bytes > most {
        return Err(format!("{what} has at most {most} bytes, not {bytes}"));
    }
    Ok(())
}

/// Checks that a cell timestamp is a whole millisecond since 1970.
pub fn check_timestamp(micros: i64) -> Result<(), String> {
    if micros < 0 || micros % TIMESTAMP_MICROS_STEP != 0 {
        return Err(format!(
            "the cell timestamp {micros} is no whole millisecond since 1970"
        ));
    }
    Ok(())
}

/// Checks how many operations a row has.
pub fn check_count(operations: usize) -> Result<(), String> {
    match operations {
        0 => Err("it has no operation".to_owned()),
        1..=MUTATIONS_MAX => Ok(()),
        _ => Err(format!(
            "a row has at most {MUTATIONS_MAX} operations at once, not {operations}"
        )),
    }
}
