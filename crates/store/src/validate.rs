//! What a row mutation must be for any store to take it: Bigtable's rules, so that nothing works here and fails there.

use rowmill_model::{Mutation, RowMutation, TIMESTAMP_MICROS_STEP};
use rowmill_rowkey::KEY_BYTES_MAX;

use crate::admin::TableSchema;
use crate::error::{Error, ErrorKind, Result};

/// The longest qualifier, in bytes.
pub const QUALIFIER_BYTES_MAX: usize = 16 << 10;

/// The largest value of a cell, in bytes.
pub const VALUE_BYTES_MAX: usize = 100 << 20;

/// The most operations of one row at once.
pub const MUTATIONS_MAX: usize = 100_000;

/// Checks a mutation against Bigtable's limits and the families of its table.
pub fn validate(schema: &TableSchema, mutation: RowMutation<'_>) -> Result<()> {
    let invalid = |problem: String| {
        let key =
            String::from_utf8_lossy(&mutation.key()[..mutation.key().len().min(64)]).into_owned();
        Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("row {key:?} of `{}`: {problem}", schema.name),
        ))
    };
    if mutation.key().is_empty() || mutation.key().len() > KEY_BYTES_MAX {
        return invalid(format!(
            "a row key has 1 to {KEY_BYTES_MAX} bytes, not {}",
            mutation.key().len()
        ));
    }
    let mut count = 0;
    for operation in mutation.mutations() {
        count += 1;
        let (family, qualifier) = match operation {
            Mutation::Set {
                family,
                qualifier,
                timestamp_micros,
                value,
            } => {
                if timestamp_micros < 0 || timestamp_micros % TIMESTAMP_MICROS_STEP != 0 {
                    return invalid(format!(
                        "the cell timestamp {timestamp_micros} is no whole millisecond since 1970"
                    ));
                }
                if value.len() > VALUE_BYTES_MAX {
                    return invalid(format!(
                        "a value has at most {VALUE_BYTES_MAX} bytes, not {}",
                        value.len()
                    ));
                }
                (family, qualifier)
            }
            Mutation::DeleteColumn { family, qualifier } => (family, qualifier),
            Mutation::DeleteFamily { family } => (family, &b""[..]),
            Mutation::DeleteRow => continue,
        };
        if schema.rule(family).is_none() {
            return invalid(format!("unknown family `{family}`"));
        }
        if qualifier.len() > QUALIFIER_BYTES_MAX {
            return invalid(format!(
                "a qualifier has at most {QUALIFIER_BYTES_MAX} bytes, not {}",
                qualifier.len()
            ));
        }
    }
    if count == 0 {
        return invalid("it has no operation".into());
    }
    if count > MUTATIONS_MAX {
        return invalid(format!(
            "a row has at most {MUTATIONS_MAX} operations at once, not {count}"
        ));
    }
    Ok(())
}
