//! `[retention]`.

use std::ops::Range;

use toml::de::DeValue;

use super::super::RetentionSpec;
use super::super::retention::{seconds, tables_with_time};
use super::super::section::{Node, Problems, Section};
use crate::tables::{TABLES, TableSpec};

/// The entries, in the order of the tables.
pub(super) fn retention(mut section: Section<'_, '_, '_>) -> Vec<RetentionSpec> {
    let problems = section.problems;
    let mut specs = Vec::new();
    for (name, span, node) in section.rest() {
        let Some(table) = tables_with_time().find(|table| table.name == name) else {
            unknown_table(problems, &name, &span);
            continue;
        };
        if matches!(node.get_ref(), DeValue::Table(_)) {
            if let Some(families) = section.as_table(&name, node) {
                specs.extend(of_families(table, families));
            }
        } else {
            specs.extend(entry(&section, &name, table, None, &node));
        }
    }
    specs
}

fn of_families(table: &TableSpec, mut section: Section<'_, '_, '_>) -> Vec<RetentionSpec> {
    let mut specs = Vec::new();
    for (name, span, node) in section.rest() {
        if table.families.iter().any(|family| family.name == name) {
            specs.extend(entry(&section, &name, table, Some(name.clone()), &node));
            continue;
        }
        let names: Vec<_> = table.families.iter().map(|family| family.name).collect();
        let message = format!("`{}` has no family `{name}`", table.name);
        let hint = Some(format!("there are {}", names.join(", ")));
        section.problems.add_with_hint(&span, message, hint);
    }
    specs
}

fn entry(
    section: &Section<'_, '_, '_>,
    key: &str,
    table: &TableSpec,
    family: Option<String>,
    node: &Node<'_>,
) -> Option<RetentionSpec> {
    let text = section.as_string(key, node)?;
    let Some(seconds) = seconds(&text.value) else {
        let message = format!("`{}` is no length of time, such as 400d or 36h", text.value);
        section.problems.add(&(text.start..text.start), message);
        return None;
    };
    Some(RetentionSpec {
        table: table.name.to_owned(),
        family,
        seconds,
    })
}

fn unknown_table(problems: &Problems<'_>, name: &str, span: &Range<usize>) {
    let names: Vec<_> = tables_with_time().map(|table| table.name).collect();
    let message = if TABLES.iter().any(|table| table.name == name) {
        format!("cells of `{name}` have no time that they could be too old by")
    } else {
        format!("there is no table `{name}`")
    };
    let hint = Some(format!("there are {}", names.join(", ")));
    problems.add_with_hint(span, message, hint);
}
