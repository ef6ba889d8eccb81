//! Rows that cannot be read, because something else wrote or damaged them. A job goes on without them, and lists them at its end.

use std::borrow::Cow;
use std::fmt;

use rowmill_model::{Pipeline, Row, StoredEvent};
use rowmill_rowkey::FactKey;

use crate::error::Error;

/// How many rows are kept with their problems; the others are only counted.
const KEPT_MAX: usize = 20;

/// Rows that a job could not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// The first of them.
    pub rows: Vec<UnreadableRow>,
    /// How many there are.
    pub count: u64,
}

/// A row that a job could not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// The table.
    pub table: &'static str,
    /// The row's key; escaped where it is no text.
    pub key: String,
    /// The problem, as a fragment.
    pub problem: String,
}

impl Unreadable {
    /// Adds those of another part of the job.
    pub fn join(&mut self, other: Self) {
        self.count += other.count;
        self.rows.extend(other.rows);
        self.rows.truncate(KEPT_MAX);
    }

    /// Counts a row, and keeps it if it is one of the first.
    pub(crate) fn add(&mut self, table: &'static str, key: &[u8], problem: impl fmt::Display) {
        self.count += 1;
        if self.rows.len() < KEPT_MAX {
            self.rows.push(UnreadableRow {
                table,
                key: shown_key(key),
                problem: problem.to_string(),
            });
        }
    }

    /// Counts a row, unless it is kept already.
    pub(crate) fn add_once(&mut self, table: &'static str, key: &[u8], problem: impl fmt::Display) {
        let shown = shown_key(key);
        if !self
            .rows
            .iter()
            .any(|row| row.table == table && row.key == shown)
        {
            self.add(table, key, problem);
        }
    }

    /// Fails with the first row, if there is any: for jobs that need every row.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let error = |row: &UnreadableRow| Error::Row(format!("{}: {}", row.key, row.problem));
        self.rows.first().map_or(Ok(()), |row| Err(error(row)))
    }
}

/// The event of a fact's row, or the problem of the row as a fragment.
pub(crate) fn read_event(row: &Row, pipeline: &Pipeline) -> Result<StoredEvent, String> {
    let mut stored = StoredEvent::read(row, pipeline)
        .map_err(|error| format!("holds no valid {}: {}", error.column, error.problem))?;
    if stored.event.user_id.is_none() {
        stored.event.user_id = user_of_key(row, pipeline).map(Cow::Owned);
    }
    Ok(stored)
}

/// The user that a fact's key names, for facts whose cell of it was dropped by a rule of age, or never written. None if it names none.
fn user_of_key(row: &Row, pipeline: &Pipeline) -> Option<String> {
    let key = FactKey::decode(row.key()).ok()?;
    let placeholder = pipeline.event.user_id.placeholder.as_deref();
    (Some(&*key.user_id) != placeholder).then(|| key.user_id.into_owned())
}

/// A row key for people: as it stands if it is text, and escaped if it is not.
pub(crate) fn shown_key(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => key.escape_ascii().to_string(),
    }
}
