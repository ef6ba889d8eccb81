//! Asking for dead letters: which, how many, and for what reasons.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{BoxStream, StreamExt as _};
use futures::{TryStreamExt as _, future};
use rowmill_model::columns::table;
use rowmill_rowkey::{DeadLetterKey, Timestamp};
use rowmill_store::{Scan, Store, StoreExt as _};
use serde_json::{Value, json};

use crate::error::Error;
use crate::letter::DeadLetter;

/// Which dead letters are meant: those that meet everything that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// The kind of reason, such as `one_of`, or the name of a rule.
    pub reason: Option<String>,
    /// The field that something is wrong with.
    pub field: Option<String>,
    /// The file it came from: its name, or a pattern such as `logs/*.json`.
    pub source: Option<String>,
    /// First seen at or after this time.
    pub since: Option<Timestamp>,
}

impl LetterFilter {
    /// The rows to look at.
    fn scan(&self) -> Result<Scan, Error> {
        let source = self.source.as_deref().filter(|source| !is_pattern(source));
        let range = source.map(DeadLetterKey::of_source).transpose();
        let range = range.map_err(|error| Error::Query(error.to_string()))?;
        Ok(range.map_or_else(Scan::all, Scan::range).with_latest_only())
    }

    fn pattern(&self) -> Result<Option<glob::Pattern>, Error> {
        let pattern = self.source.as_deref().filter(|source| is_pattern(source));
        let compile = |pattern: &str| {
            let error = |error: glob::PatternError| {
                Error::Query(format!("`{pattern}` is no pattern: {}", error.msg))
            };
            glob::Pattern::new(pattern).map_err(error)
        };
        pattern.map(compile).transpose()
    }

    /// Whether a letter is meant, as far as it is not a matter of its source.
    fn matches(&self, letter: &DeadLetter) -> bool {
        let of_reason = |wanted: &String| {
            let mut reasons = letter.reasons.iter();
            reasons.any(|reason| reason.reason == *wanted || reason.rule.as_ref() == Some(wanted))
        };
        let of_field = |wanted: &String| {
            let mut reasons = letter.reasons.iter();
            reasons.any(|reason| reason.field.as_ref() == Some(wanted))
        };
        self.reason.as_ref().is_none_or(of_reason)
            && self.field.as_ref().is_none_or(of_field)
            && self.since.is_none_or(|since| letter.first_seen >= since)
    }
}

fn is_pattern(source: &str) -> bool {
    source.contains(['*', '?', '['])
}

/// The dead letters that are meant, by source and place.
pub fn letters(
    store: &dyn Store,
    filter: &LetterFilter,
) -> Result<BoxStream<'static, Result<DeadLetter, Error>>, Error> {
    let (scan, pattern, filter) = (filter.scan()?, filter.pattern()?, filter.clone());
    let rows = store.scan(table::DEAD_LETTERS, scan).map_err(Error::from);
    let letters = rows.and_then(|row| future::ready(DeadLetter::read(&row)));
    let meant = letters.try_filter(move |letter| {
        let of_source = |pattern: &glob::Pattern| pattern.matches(&letter.source);
        let is_meant = pattern.as_ref().is_none_or(of_source) && filter.matches(letter);
        future::ready(is_meant)
    });
    Ok(meant.boxed())
}

/// One dead letter, by its key.
pub async fn letter(store: &dyn Store, key: &str) -> Result<DeadLetter, Error> {
    let row = store.row(table::DEAD_LETTERS, key.as_bytes()).await?;
    let missing = || {
        Error::Query(format!(
            "there is no dead letter `{key}`; see `rowmill dlq list`"
        ))
    };
    DeadLetter::read(&row.ok_or_else(missing)?)
}

/// How many dead letters there are, and of which kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterStats {
    /// How many.
    pub letters: u64,
    /// Their raw bytes.
    pub bytes: u64,
    /// How often each thing is wrong, such as `one_of level`; a letter may have many.
    pub by_reason: BTreeMap<String, u64>,
    /// By source.
    pub by_source: BTreeMap<String, u64>,
    /// By the stage that rejected them.
    pub by_stage: BTreeMap<String, u64>,
    /// When the first was first seen.
    pub oldest: Option<Timestamp>,
    /// When the last was first seen.
    pub newest: Option<Timestamp>,
    /// The most attempts of any.
    pub attempts_max: u64,
}

/// Counts the dead letters that are meant.
pub async fn letter_stats(store: &dyn Store, filter: &LetterFilter) -> Result<LetterStats, Error> {
    let mut stats = LetterStats::default();
    let mut found = letters(store, filter)?;
    while let Some(letter) = found.try_next().await? {
        stats.add(&letter);
    }
    Ok(stats)
}

impl LetterStats {
    fn add(&mut self, letter: &DeadLetter) {
        self.letters += 1;
        self.bytes += letter.raw.len() as u64;
        for reason in letter.reasons.iter().filter(|reason| reason.is_rejecting()) {
            *self.by_reason.entry(reason.name()).or_default() += 1;
        }
        *self.by_source.entry(letter.source.clone()).or_default() += 1;
        *self.by_stage.entry(letter.stage.clone()).or_default() += 1;
        let seen = letter.first_seen;
        self.oldest = Some(self.oldest.map_or(seen, |oldest| oldest.min(seen)));
        self.newest = Some(self.newest.map_or(seen, |newest| newest.max(seen)));
        self.attempts_max = self.attempts_max.max(letter.attempts);
    }
}

impl DeadLetter {
    /// Everything about the letter, for other programs: its raw bytes as text, or in base64 if they are none.
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "key": self.key,
            "source": self.source,
            "record": self.position.number,
            "line": self.position.line,
            "offset": self.position.offset,
            "length": self.position.length,
            "format": self.format.name(),
            "columns": self.columns,
            "cut": self.cut,
            "stage": self.stage,
            "reasons": self.reasons,
            "config_hash": self.config_hash,
            "run": self.run,
            "first_seen": self.first_seen.to_string(),
            "attempts": self.attempts,
        });
        match std::str::from_utf8(&self.raw) {
            Ok(text) => json["raw"] = text.into(),
            Err(_) => json["raw_base64"] = STANDARD.encode(&self.raw).into(),
        }
        json
    }
}
