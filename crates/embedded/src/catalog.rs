//! What the store knows of itself: its tables, and how often it was opened.

use std::fmt::Write as _;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use rowmill_model::GcRule;
use rowmill_store::{Error, ErrorKind, Result, TableSchema};

use crate::error;

/// The keyspace that holds the catalog.
pub(crate) const KEYSPACE: &str = "catalog";
const FORMAT_KEY: &str = "format";
const OPENED_KEY: &str = "opened";
const TABLE_PREFIX: &str = "table/";

/// The version of everything this crate writes.
const FORMAT: &[u8] = b"1";

/// The catalog of one store.
pub(crate) struct Catalog {
    database: Database,
    keyspace: Keyspace,
}

impl Catalog {
    /// The catalog of a new database.
    pub(crate) fn make(database: &Database) -> Result<Self> {
        let catalog = Self::of(database)?;
        catalog.put(FORMAT_KEY, FORMAT)?;
        Ok(catalog)
    }

    /// The catalog of a database.
    pub(crate) fn open(database: &Database) -> Result<Self> {
        if !database.keyspace_exists(KEYSPACE) {
            return Err(unreadable("the store has no catalog"));
        }
        let catalog = Self::of(database)?;
        match catalog.get(FORMAT_KEY)? {
            None => Err(unreadable("the store's catalog is empty")),
            Some(format) if format == FORMAT => Ok(catalog),
            Some(other) => {
                let other = String::from_utf8_lossy(&other).into_owned();
                let message = format!(
                    "the store has the format {other:?}, and this version reads the format \"1\""
                );
                Err(Error::new(ErrorKind::Corrupt, message))
            }
        }
    }

    fn of(database: &Database) -> Result<Self> {
        let keyspace = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default);
        let keyspace = keyspace.map_err(|error| error::engine("opening the catalog", error))?;
        Ok(Self {
            database: database.clone(),
            keyspace,
        })
    }

    /// The engine's number of the catalog's keyspace.
    pub(crate) fn id(&self) -> u64 {
        self.keyspace.id()
    }

    /// Counts one more opening, and gives the count.
    pub(crate) fn count_opening(&self) -> Result<u32> {
        let before = match self.get(OPENED_KEY)? {
            None => 0,
            Some(bytes) => {
                let bytes = bytes.try_into();
                u32::from_be_bytes(bytes.map_err(|_| unreadable("the store's catalog is damaged"))?)
            }
        };
        let opened = before.wrapping_add(1);
        self.put(OPENED_KEY, &opened.to_be_bytes())?;
        Ok(opened)
    }

    pub(crate) fn tables(&self) -> Result<Vec<TableSchema>> {
        let mut tables = Vec::new();
        for guard in self.keyspace.prefix(TABLE_PREFIX) {
            let (key, value) = guard
                .into_inner()
                .map_err(|error| error::engine("reading the catalog", error))?;
            let name = String::from_utf8_lossy(&key[TABLE_PREFIX.len()..]).into_owned();
            tables.push(decode(&name, &value).ok_or_else(|| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!("the catalog's entry of the table `{name}` cannot be read"),
                )
            })?);
        }
        Ok(tables)
    }

    pub(crate) fn add(&self, schema: &TableSchema) -> Result<()> {
        self.put(
            &format!("{TABLE_PREFIX}{}", schema.name),
            encode(schema).as_bytes(),
        )
    }

    pub(crate) fn remove(&self, table: &str) -> Result<()> {
        let removed = self.keyspace.remove(format!("{TABLE_PREFIX}{table}"));
        removed
            .and_then(|()| self.sync())
            .map_err(|error| error::engine("writing the catalog", error))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let value = self
            .keyspace
            .get(key)
            .map_err(|error| error::engine("reading the catalog", error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<()> {
        let written = self.keyspace.insert(key, value).and_then(|()| self.sync());
        written.map_err(|error| error::engine("writing the catalog", error))
    }

    fn sync(&self) -> fjall::Result<()> {
        self.database.persist(PersistMode::SyncData)
    }
}

fn unreadable(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, what).with_hint("restore the store from a backup")
}

/// A line for each family: its rule, and its name.
fn encode(schema: &TableSchema) -> String {
    let mut text = String::new();
    for (family, rule) in &schema.families {
        writeln!(text, "{} {family}", encode_rule(*rule)).expect("writing to a string");
    }
    text
}

fn decode(name: &str, value: &[u8]) -> Option<TableSchema> {
    let mut families = Vec::new();
    for line in std::str::from_utf8(value).ok()?.lines() {
        let (rule, family) = line.split_once(' ')?;
        families.push((family, decode_rule(rule)?));
    }
    Some(TableSchema::with_rules(name, families))
}

/// The bounds of a rule, joined by commas: `versions=1,seconds=60`; `keep` without any.
fn encode_rule(rule: GcRule) -> String {
    let versions = rule
        .versions_max
        .map(|versions| format!("versions={versions}"));
    let seconds = rule
        .age_seconds_max
        .map(|seconds| format!("seconds={seconds}"));
    let bounds: Vec<_> = versions.into_iter().chain(seconds).collect();
    if bounds.is_empty() {
        return "keep".to_owned();
    }
    bounds.join(",")
}

fn decode_rule(text: &str) -> Option<GcRule> {
    let mut rule = GcRule::KEEP;
    for bound in text.split(',').filter(|bound| *bound != "keep") {
        match bound.split_once('=')? {
            ("versions", versions) => rule.versions_max = Some(versions.parse().ok()?),
            ("seconds", seconds) => rule.age_seconds_max = Some(seconds.parse().ok()?),
            _ => return None,
        }
    }
    Some(rule)
}
