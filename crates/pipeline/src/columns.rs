//! Which columns the tables have, and what their cells hold: for engines that read the tables themselves.

use rowmill_model::ValueType;
use rowmill_model::columns::{fact, family, table};

use crate::stages::Stages;

/// A column whose cells are values of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedColumn {
    /// The table.
    pub table: &'static str,
    /// The family.
    pub family: &'static str,
    /// The qualifier.
    pub qualifier: String,
    /// What its cells hold.
    pub value_type: ValueType,
}

/// The columns of facts, and the figures of days and weeks. Left out are fields that the pipeline file does not name, which are JSON
/// texts, and hours, whose columns are `HH.figure`. Rows of the dimensions `_sessions` and `_top` hold other things under the same names.
pub fn typed_columns(stages: &Stages) -> Vec<TypedColumn> {
    let column = |table, family| {
        move |(qualifier, value_type): (String, ValueType)| TypedColumn {
            table,
            family,
            qualifier,
            value_type,
        }
    };
    let fields = stages.pipeline.fields.iter();
    let fields = fields.map(|field| (field.name.clone(), field.value_type));
    let metadata = [
        (fact::BATCH, ValueType::String),
        (fact::EVENT_ID, ValueType::String),
        (fact::EVENT_TYPE, ValueType::String),
        (fact::INGESTED_AT, ValueType::Timestamp),
        (fact::SCHEMA_VERSION, ValueType::String),
        (fact::SOURCE, ValueType::String),
        (fact::TIMESTAMP, ValueType::Timestamp),
        (fact::USER_ID, ValueType::String),
    ];
    let quality = [
        (fact::STATUS, ValueType::String),
        (fact::WARNINGS, ValueType::Json),
    ];
    let owned = |(name, value_type): (&str, ValueType)| (name.to_owned(), value_type);
    let figures = stages.plan.layout().columns();
    let of_facts = fields.map(column(table::FACT, family::EVENT_DATA));
    of_facts
        .chain(
            metadata
                .map(owned)
                .map(column(table::FACT, family::METADATA)),
        )
        .chain(quality.map(owned).map(column(table::FACT, family::QUALITY)))
        .chain(
            figures
                .iter()
                .cloned()
                .map(column(table::AGGREGATE, family::DAILY_STATS)),
        )
        .chain(
            figures
                .iter()
                .cloned()
                .map(column(table::AGGREGATE, family::WEEKLY_STATS)),
        )
        .collect()
}
