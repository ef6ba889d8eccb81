//! Asking for dead letters: which, how many, and for what reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use rowmill_model::Row;
use rowmill_model::columns::{letter, table};
use rowmill_rowkey::{DeadLetterKey, Timestamp};
use rowmill_store::{Result as StoreResult, Scan, Store, StoreExt as _};
use serde_json::{Value, json};

use crate::control::Control;
use crate::error::Error;
use crate::letter::DeadLetter;
use crate::slices::{SliceLimit, Slices};
use crate::unreadable::Unreadable;

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

/// Dead letters, read one after the other, by source and place. Rows that hold no letter are passed over and counted.
pub struct Letters {
    rows: BoxStream<'static, StoreResult<Row>>,
    meant: Meant,
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = f.debug_struct("Letters");
        letters.field("meant", &self.meant).finish_non_exhaustive()
    }
}

impl Letters {
    /// The next letter; none at the end.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, Error> {
        while let Some(row) = self.rows.try_next().await? {
            if let Some(letter) = self.meant.read(&row) {
                return Ok(Some(letter));
            }
        }
        Ok(None)
    }

    /// The rows so far that hold no letter. Of which source or reason they would be is not known.
    pub fn unreadable(&self) -> &Unreadable {
        &self.meant.unreadable
    }
}

/// The dead letters that are meant.
pub fn letters(store: &dyn Store, filter: &LetterFilter) -> Result<Letters, Error> {
    let rows = store.scan(table::DEAD_LETTERS, filter.scan()?);
    let meant = Meant::new(filter, true)?;
    Ok(Letters { rows, meant })
}

/// The dead letters that are meant, without their raw bytes: enough to list and to count them.
pub fn letters_without_raw(store: &dyn Store, filter: &LetterFilter) -> Result<Letters, Error> {
    let scan = filter
        .scan()?
        .with_qualifiers(WITHOUT_RAW.map(str::as_bytes));
    let rows = store.scan(table::DEAD_LETTERS, scan);
    let meant = Meant::new(filter, false)?;
    Ok(Letters { rows, meant })
}

/// Every column of a letter but its raw bytes.
const WITHOUT_RAW: [&str; 15] = [
    letter::ATTEMPTS,
    letter::COLUMNS,
    letter::CONFIG_HASH,
    letter::CUT,
    letter::FIRST_SEEN,
    letter::FORMAT,
    letter::LENGTH,
    letter::LINE,
    letter::OFFSET,
    letter::REASONS,
    letter::RECORD,
    letter::RUN,
    letter::SOURCE,
    letter::STAGE,
    letter::USER_ID,
];

/// Dead letters for jobs that write: read in slices, between which no scan is open.
#[derive(Debug)]
pub(crate) struct LetterSlices {
    slices: Slices,
    meant: Meant,
}

impl LetterSlices {
    pub(crate) fn new(filter: &LetterFilter) -> Result<Self, Error> {
        Ok(Self {
            slices: Slices::new(table::DEAD_LETTERS, filter.scan()?, SliceLimit::DEFAULT),
            meant: Meant::new(filter, true)?,
        })
    }

    /// The letters of the next slice, which may be none; none at all at the end. The rows that hold no letter are given to `unreadable`.
    pub(crate) async fn next(
        &mut self,
        store: &dyn Store,
        unreadable: &mut (dyn FnMut(&Row) + Send),
    ) -> Result<Option<Vec<DeadLetter>>, Error> {
        let Some(rows) = self.slices.next(store).await? else {
            return Ok(None);
        };
        let mut found = Vec::new();
        for row in rows {
            let before = self.meant.unreadable.count;
            found.extend(self.meant.read(&row));
            if self.meant.unreadable.count > before {
                unreadable(&row);
            }
        }
        Ok(Some(found))
    }

    /// The rows that held no letter.
    pub(crate) fn into_unreadable(self) -> Unreadable {
        self.meant.unreadable
    }
}

/// Tells which rows are the letters that are meant.
#[derive(Debug)]
struct Meant {
    filter: LetterFilter,
    pattern: Option<glob::Pattern>,
    with_raw: bool,
    unreadable: Unreadable,
}

impl Meant {
    fn new(filter: &LetterFilter, with_raw: bool) -> Result<Self, Error> {
        Ok(Self {
            filter: filter.clone(),
            pattern: filter.pattern()?,
            with_raw,
            unreadable: Unreadable::default(),
        })
    }

    /// The letter of a row, if it holds one that is meant.
    fn read(&mut self, row: &Row) -> Option<DeadLetter> {
        match DeadLetter::read_cells(row, self.with_raw) {
            Ok(letter) => Some(letter).filter(|letter| self.holds(letter)),
            Err(problem) => {
                self.unreadable.add(table::DEAD_LETTERS, row.key(), problem);
                None
            }
        }
    }

    fn holds(&self, letter: &DeadLetter) -> bool {
        let of_source = |pattern: &glob::Pattern| pattern.matches(&letter.source);
        self.pattern.as_ref().is_none_or(of_source) && self.filter.matches(letter)
    }
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

/// The reasons and rules, in order, of the dead letters that are meant; of very many only some.
pub async fn letter_reasons(
    store: &dyn Store,
    filter: &LetterFilter,
) -> Result<BTreeSet<String>, Error> {
    const REASONS_MAX: usize = 50;
    let (mut found, mut reasons) = (letters_without_raw(store, filter)?, BTreeSet::new());
    while reasons.len() < REASONS_MAX
        && let Some(letter) = found.next().await?
    {
        for reason in letter.reasons {
            reasons.insert(reason.rule.unwrap_or(reason.reason));
        }
    }
    Ok(reasons)
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
    /// Rows that hold no letter.
    pub unreadable: Unreadable,
}

/// Counts the dead letters that are meant.
pub async fn letter_stats(
    store: &dyn Store,
    filter: &LetterFilter,
    control: &Control,
) -> Result<LetterStats, Error> {
    let mut stats = LetterStats::default();
    let mut found = letters_without_raw(store, filter)?;
    while let Some(letter) = found.next().await? {
        control.check()?;
        control.advance(0, 1);
        stats.add(&letter);
    }
    stats.unreadable = found.meant.unreadable;
    Ok(stats)
}

impl LetterStats {
    fn add(&mut self, letter: &DeadLetter) {
        self.letters += 1;
        // The length of a record is that of the bytes that were kept.
        self.bytes += letter.position.length;
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
            "user_id": self.user_id,
        });
        match std::str::from_utf8(&self.raw) {
            Ok(text) => json["raw"] = text.into(),
            Err(_) => json["raw_base64"] = STANDARD.encode(&self.raw).into(),
        }
        json
    }
}
