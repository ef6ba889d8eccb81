//! What a row mutation must be for any store to take it: Bigtable's rules, so that nothing works here and fails there.

use rowmill_model::{Mutation, RowMutation};

use crate::admin::TableSchema;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{check_count, check_key, check_qualifier, check_timestamp, check_value};

/// Checks a mutation against Bigtable's limits and the families of its table.
pub fn validate(schema: &TableSchema, mutation: RowMutation<'_>) -> Result<()> {
    check_row(schema, mutation).map_err(|(kind, problem)| {
        let key = &mutation.key()[..mutation.key().len().min(64)];
        let key = String::from_utf8_lossy(key);
        let message = format!("row {key:?} of `{}`: {problem}", schema.name);
        Error::new(kind, message)
    })
}

fn check_row(
    schema: &TableSchema,
    row: RowMutation<'_>,
) -> std::result::Result<(), (ErrorKind, String)> {
    let invalid = |problem| (ErrorKind::InvalidArgument, problem);
    check_key(row.key()).map_err(invalid)?;
    let mut count = 0;
    for mutation in row.mutations() {
        count += 1;
        if let Some(family) = check_mutation(mutation).map_err(invalid)?
            && schema.rule(family).is_none()
        {
            return Err((ErrorKind::NotFound, format!("unknown family `{family}`")));
        }
    }
    check_count(count).map_err(invalid)
}

/// Checks one mutation, and gives the family that it names.
pub fn check_mutation(mutation: Mutation<'_>) -> std::result::Result<Option<&str>, String> {
    match mutation {
        Mutation::Set {
            family,
            qualifier,
            timestamp_micros,
            value,
        } => {
            check_timestamp(timestamp_micros)?;
            check_qualifier(qualifier)?;
            check_value(value)?;
            Ok(Some(family))
        }
        Mutation::DeleteColumn { family, qualifier } => {
            check_qualifier(qualifier)?;
            Ok(Some(family))
        }
        Mutation::DeleteFamily { family } => Ok(Some(family)),
        Mutation::DeleteRow => Ok(None),
    }
}
