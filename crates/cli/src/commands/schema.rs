//! `schema export`.

use anyhow::Result;
use rowmill_model::GcRule;
use rowmill_pipeline::{TypedColumn, typed_columns, wanted_tables};
use rowmill_store::TableSchema;
use serde_json::{Map, Value, json};

use super::tables::print_families;
use crate::arguments::{ExportSchemaArguments, Format, Global};
use crate::exit::{ExitStatus, UsageError};
use crate::printer::Printer;
use crate::session;

/// Prints the tables that the pipeline file asks for.
pub(crate) fn export(
    global: &Global,
    arguments: &ExportSchemaArguments,
    printer: &mut Printer,
) -> Result<ExitStatus> {
    if printer.format() == Some(Format::Csv) {
        return Err(UsageError("tables are printed as a table or as json".into()).into());
    }
    let stages = session::stages(global)?;
    let wanted = wanted_tables(stages.pipeline());
    if arguments.terraform {
        let variables =
            json!({"tables": bounds_of(&wanted), "columns": types_of(&typed_columns(&stages))});
        printer.line(&serde_json::to_string_pretty(&variables)?)?;
    } else {
        print_families(&wanted, printer)?;
    }
    Ok(ExitStatus::Done)
}

/// `{table: {family: {"versions_max": …, "age_seconds_max": …}}}`; a bound that a family lacks is left out.
fn bounds_of(tables: &[TableSchema]) -> Map<String, Value> {
    let families = |table: &TableSchema| -> Map<String, Value> {
        let families = table.families.iter();
        families
            .map(|(family, rule)| (family.clone(), bounds(*rule)))
            .collect()
    };
    let tables = tables.iter();
    tables
        .map(|table| (table.name.clone(), families(table).into()))
        .collect()
}

/// `{table: {family: {qualifier: type}}}`, with the names that types have in a pipeline file.
fn types_of(columns: &[TypedColumn]) -> Value {
    let mut tables = json!({});
    for column in columns {
        tables[column.table][column.family][&column.qualifier] = column.value_type.name().into();
    }
    tables
}

fn bounds(rule: GcRule) -> Value {
    let versions = rule
        .versions_max
        .map(|versions| ("versions_max", versions.into()));
    let age = rule
        .age_seconds_max
        .map(|age| ("age_seconds_max", age.into()));
    let bounds = versions.into_iter().chain(age);
    bounds
        .map(|(name, bound): (&str, Value)| (name.to_owned(), bound))
        .collect::<Map<_, _>>()
        .into()
}
