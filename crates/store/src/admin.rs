//! Creating and dropping tables.

use std::fmt::Debug;

use async_trait::async_trait;
use rowmill_model::{GcRule, TableSpec};

use crate::error::{ErrorKind, Result};

/// What manages the tables of a store.
#[async_trait]
pub trait Admin: Debug + Send + Sync + 'static {
    /// Creates a table, which must not exist yet.
    async fn create_table(&self, schema: &TableSchema) -> Result<()>;

    /// Gives a table the families of `schema` that it lacks, and all of them their rules. Families that are not named stay as
    /// they are: dropping one would drop its cells.
    async fn alter_table(&self, schema: &TableSchema) -> Result<()>;

    /// The tables there are, by name.
    async fn tables(&self) -> Result<Vec<TableSchema>>;

    /// Drops a table and all its rows.
    async fn drop_table(&self, table: &str) -> Result<()>;
}

/// What can be made of [`Admin`].
#[async_trait]
pub trait AdminExt: Admin {
    /// Creates those of the tables that do not exist, and gives their names.
    async fn ensure_tables(&self, specs: &[TableSpec]) -> Result<Vec<&'static str>> {
        let existing = self.tables().await?;
        let mut created = Vec::new();
        for spec in specs
            .iter()
            .filter(|spec| existing.iter().all(|table| table.name != spec.name))
        {
            match self.create_table(&TableSchema::from(spec)).await {
                Ok(()) => created.push(spec.name),
                // Another process was faster.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(created)
    }
}

impl<A: Admin + ?Sized> AdminExt for A {}

/// A table as a store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// The table's name.
    pub name: String,
    /// Its families and which of their cells may be dropped, by name.
    pub families: Vec<(String, GcRule)>,
}

impl TableSchema {
    /// A table whose families keep everything.
    pub fn new<'a>(name: &str, families: impl IntoIterator<Item = &'a str>) -> Self {
        Self::with_rules(
            name,
            families.into_iter().map(|family| (family, GcRule::KEEP)),
        )
    }

    /// A table with a rule for each family.
    pub fn with_rules<'a>(
        name: &str,
        families: impl IntoIterator<Item = (&'a str, GcRule)>,
    ) -> Self {
        let mut families: Vec<_> = families
            .into_iter()
            .map(|(name, rule)| (name.to_owned(), rule))
            .collect();
        families.sort_by(|a, b| a.0.cmp(&b.0));
        Self {
            name: name.to_owned(),
            families,
        }
    }

    /// The same table with what `changes` names: new families, and other rules of those it has.
    pub fn altered(&self, changes: &Self) -> Self {
        let stay = self
            .families
            .iter()
            .filter(|(name, _)| changes.rule(name).is_none());
        let families = stay.chain(&changes.families);
        Self::with_rules(
            &self.name,
            families.map(|(name, rule)| (name.as_str(), *rule)),
        )
    }

    /// The rule of a family; none if the table does not have it.
    pub fn rule(&self, family: &str) -> Option<GcRule> {
        self.families
            .iter()
            .find(|(name, _)| name == family)
            .map(|(_, rule)| *rule)
    }
}

impl From<&TableSpec> for TableSchema {
    fn from(spec: &TableSpec) -> Self {
        Self::with_rules(
            spec.name,
            spec.families.iter().map(|family| (family.name, family.gc)),
        )
    }
}
