//! Making a store's tables what the pipeline file says, and saying before what that changes.

use std::fmt;

use rowmill_model::{GcRule, Pipeline, TABLES};
use rowmill_store::{Admin, TableSchema};

use crate::error::Error;

/// The tables that a pipeline needs, with its retention.
pub fn wanted_tables(pipeline: &Pipeline) -> Vec<TableSchema> {
    let schema = |table: &rowmill_model::TableSpec| {
        let families = table.families.iter().map(|family| {
            let rule = match pipeline.retention_seconds(table.name, family.name) {
                Some(seconds) => family.gc.with_age_seconds(seconds),
                None => family.gc,
            };
            (family.name, rule)
        });
        TableSchema::with_rules(table.name, families)
    };
    TABLES.iter().map(schema).collect()
}

/// One thing that differs between the tables there are and those that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableChange {
    /// The table does not exist.
    CreateTable(TableSchema),
    /// The table lacks a family.
    AddFamily {
        /// The table.
        table: String,
        /// The family.
        family: String,
        /// Its rule.
        rule: GcRule,
    },
    /// A family has another rule.
    ChangeRule {
        /// The table.
        table: String,
        /// The family.
        family: String,
        /// The rule that it has.
        from: GcRule,
        /// The rule that it shall have.
        to: GcRule,
    },
}

impl TableChange {
    fn table(&self) -> &str {
        match self {
            Self::CreateTable(schema) => &schema.name,
            Self::AddFamily { table, .. } | Self::ChangeRule { table, .. } => table,
        }
    }

    /// Whether cells that are kept now may be dropped after it.
    pub fn may_drop_cells(&self) -> bool {
        let is_tighter = |from: Option<u64>, to: Option<u64>| match (from, to) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(from), Some(to)) => to < from,
        };
        match self {
            Self::ChangeRule { from, to, .. } => {
                is_tighter(from.age_seconds_max, to.age_seconds_max)
                    || is_tighter(
                        from.versions_max.map(u64::from),
                        to.versions_max.map(u64::from),
                    )
            }
            Self::CreateTable(_) | Self::AddFamily { .. } => false,
        }
    }
}

/// A line of a diff for each family: `+` for what is new, `~` for what changes.
impl fmt::Display for TableChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTable(schema) => {
                write!(f, "+ {}", schema.name)?;
                for (family, rule) in &schema.families {
                    write!(f, "\n+   {family}: {rule}")?;
                }
                Ok(())
            }
            Self::AddFamily {
                table,
                family,
                rule,
            } => write!(f, "+ {table}.{family}: {rule}"),
            Self::ChangeRule {
                table,
                family,
                from,
                to,
            } => write!(f, "~ {table}.{family}: {from} -> {to}"),
        }
    }
}

/// What would make the tables there are those that are wanted. Tables and families that nobody asked for stay.
pub async fn plan_tables(
    admin: &dyn Admin,
    wanted: &[TableSchema],
) -> Result<Vec<TableChange>, Error> {
    let existing = admin.tables().await?;
    let mut changes = Vec::new();
    for schema in wanted {
        match existing.iter().find(|table| table.name == schema.name) {
            None => changes.push(TableChange::CreateTable(schema.clone())),
            Some(table) => changes.extend(differences(table, schema)),
        }
    }
    Ok(changes)
}

fn differences(existing: &TableSchema, wanted: &TableSchema) -> Vec<TableChange> {
    let difference = |(family, rule): &(String, GcRule)| {
        let (table, family) = (wanted.name.clone(), family.clone());
        match existing.rule(&family) {
            None => Some(TableChange::AddFamily {
                table,
                family,
                rule: *rule,
            }),
            Some(from) if from != *rule => Some(TableChange::ChangeRule {
                table,
                family,
                from,
                to: *rule,
            }),
            Some(_) => None,
        }
    };
    wanted.families.iter().filter_map(difference).collect()
}

/// Makes the changes. Doing it again, or going on after a failure, is the same.
pub async fn apply_changes(
    admin: &dyn Admin,
    wanted: &[TableSchema],
    changes: &[TableChange],
) -> Result<(), Error> {
    let is_named = |table: &&TableSchema| changes.iter().any(|it| it.table() == table.name);
    for schema in wanted.iter().filter(is_named) {
        let is_new = changes
            .iter()
            .any(|it| matches!(it, TableChange::CreateTable(table) if table.name == schema.name));
        if is_new {
            admin.create_table(schema).await?;
        } else {
            admin.alter_table(schema).await?;
        }
    }
    Ok(())
}
