//! Making a store's tables what the pipeline file says, and saying before what that changes.

use std::fmt;

use rowmill_model::{GcRule, Pipeline, TABLES};
use rowmill_store::{Admin, ErrorKind, TableSchema};

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

    /// The table that it creates.
    fn created(&self) -> Option<&str> {
        match self {
            Self::CreateTable(schema) => Some(&schema.name),
            Self::AddFamily { .. } | Self::ChangeRule { .. } => None,
        }
    }

    /// Whether cells that are kept now may be dropped after it.
    pub fn may_drop_cells(&self) -> bool {
        match self {
            Self::ChangeRule { from, to, .. } => to.may_drop_more_than(from),
            Self::CreateTable(_) | Self::AddFamily { .. } => false,
        }
    }

    /// Whether the store may drop cells now that the pipeline file keeps.
    pub fn store_keeps_less(&self) -> bool {
        match self {
            Self::ChangeRule { from, to, .. } => from.may_drop_more_than(to),
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

/// Creates the tables that a store lacks, with the pipeline file's retention. Tables that are there stay as they are.
pub async fn create_missing_tables(admin: &dyn Admin, pipeline: &Pipeline) -> Result<(), Error> {
    for change in plan_tables(admin, &wanted_tables(pipeline)).await? {
        let TableChange::CreateTable(schema) = change else {
            continue;
        };
        match admin.create_table(&schema).await {
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => created?,
        }
    }
    Ok(())
}

/// Looks at a store that is about to be written to: the rules by which it drops what the pipeline file keeps. A store that lacks tables
/// is an error, which says how to make them. Whoever may not look at tables is told nothing.
pub async fn narrower_rules(
    admin: &dyn Admin,
    pipeline: &Pipeline,
) -> Result<Vec<TableChange>, Error> {
    let changes = match plan_tables(admin, &wanted_tables(pipeline)).await {
        Err(Error::Store(error)) if error.kind() == ErrorKind::Denied => return Ok(Vec::new()),
        changes => changes?,
    };
    let missing: Vec<_> = changes.iter().filter_map(TableChange::created).collect();
    if !missing.is_empty() {
        let message = format!("the store has no tables {}", missing.join(", "));
        let error = rowmill_store::Error::new(ErrorKind::NotFound, message);
        let hint = "`rowmill tables create` makes them; so does `--create-tables always`";
        return Err(Error::Store(error.with_hint(hint)));
    }
    Ok(changes
        .into_iter()
        .filter(TableChange::store_keeps_less)
        .collect())
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
