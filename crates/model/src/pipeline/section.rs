//! Reads one table of a pipeline file key by key, and remembers everything that is wrong with it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, did_you_mean};
use super::{Located, PipelineError, SourceText};

/// A value of the file and where it stands.
pub(super) type Node<'i> = Spanned<DeValue<'i>>;

/// Collects the problems of one file.
pub(super) struct Problems<'s> {
    source: &'s SourceText,
    found: RefCell<Vec<Problem>>,
}

impl<'s> Problems<'s> {
    pub(super) fn new(source: &'s SourceText) -> Self {
        Self {
            source,
            found: RefCell::default(),
        }
    }

    pub(super) fn add(&self, at: &Range<usize>, message: impl Into<String>) {
        self.add_with_hint(at, message, None);
    }

    pub(super) fn add_with_hint(
        &self,
        at: &Range<usize>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let location = self.source.locate(at.start);
        self.found.borrow_mut().push(Problem {
            location,
            message: message.into(),
            hint,
        });
    }

    /// The problems as an error, if there are any.
    pub(super) fn into_result(self) -> Result<(), PipelineError> {
        let found = self.found.into_inner();
        if found.is_empty() {
            Ok(())
        } else {
            Err(PipelineError::new(found))
        }
    }
}

/// One table of the file. What was not asked for by [`Section::finish`] is an unknown key.
pub(super) struct Section<'p, 's, 'i> {
    pub(super) problems: &'p Problems<'s>,
    /// As errors call it: `[fields.length]`.
    pub(super) title: String,
    pub(super) span: Range<usize>,
    entries: BTreeMap<String, (Range<usize>, Node<'i>)>,
    known: Vec<&'static str>,
}

impl<'p, 's, 'i> Section<'p, 's, 'i> {
    pub(super) fn new(
        problems: &'p Problems<'s>,
        title: String,
        span: Range<usize>,
        table: DeTable<'i>,
    ) -> Self {
        let entry = |(key, node): (Spanned<_>, Node<'i>)| {
            let span = key.span();
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            (key.into_owned(), (span, node))
        };
        Self {
            problems,
            title,
            span,
            entries: table.into_iter().map(entry).collect(),
            known: Vec::new(),
        }
    }

    /// The value of `key`, whatever it is.
    pub(super) fn node(&mut self, key: &'static str) -> Option<Node<'i>> {
        self.known.push(key);
        self.entries.remove(key).map(|(_, node)| node)
    }

    /// Whether `key` is there and was not asked for yet.
    pub(super) fn entries_contain(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// All values not asked for yet, for tables whose keys are names.
    pub(super) fn rest(&mut self) -> Vec<(String, Range<usize>, Node<'i>)> {
        std::mem::take(&mut self.entries)
            .into_iter()
            .map(|(key, (span, node))| (key, span, node))
            .collect()
    }

    pub(super) fn string(&mut self, key: &'static str) -> Option<Located<String>> {
        let node = self.node(key)?;
        self.as_string(key, &node)
    }

    pub(super) fn strings(&mut self, key: &'static str) -> Option<Vec<Located<String>>> {
        let node = self.node(key)?;
        match node.get_ref() {
            DeValue::Array(items) => Some(
                items
                    .iter()
                    .filter_map(|item| self.as_string(key, item))
                    .collect(),
            ),
            _ => self.as_string(key, &node).map(|one| vec![one]),
        }
    }

    pub(super) fn bool(&mut self, key: &'static str) -> Option<bool> {
        let node = self.node(key)?;
        let value = node.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type(key, "true or false", &node);
        }
        value
    }

    pub(super) fn count(&mut self, key: &'static str) -> Option<u64> {
        let node = self.node(key)?;
        let value = integer(node.get_ref()).and_then(|number| u64::try_from(number).ok());
        if value.is_none() {
            self.wrong_type(key, "a whole number, not negative", &node);
        }
        value
    }

    /// The value of `key`, one of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.string(key)?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text.value)
            .map(|(_, value)| *value);
        if found.is_none() {
            let list = words
                .iter()
                .map(|(word, _)| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", ");
            let hint = did_you_mean(&text.value, words.iter().map(|(word, _)| *word));
            let message = format!(
                "`{}` is no {key} of {}, which is one of {list}",
                text.value, self.title
            );
            self.problems
                .add_with_hint(&(text.start..text.start), message, hint);
        }
        found
    }

    pub(super) fn table(&mut self, key: &'static str) -> Option<Section<'p, 's, 'i>> {
        let node = self.node(key)?;
        self.as_table(key, node)
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Section<'p, 's, 'i>> {
        let Some(node) = self.node(key) else {
            return Vec::new();
        };
        match node.into_inner() {
            DeValue::Array(items) => items
                .into_iter()
                .filter_map(|item| self.as_table(&format!("[{key}]"), item))
                .collect(),
            other => {
                let node = Spanned::new(self.span.clone(), other);
                self.wrong_type(key, "an array of tables, written [[…]]", &node);
                Vec::new()
            }
        }
    }

    /// `node` as a table of this one.
    pub(super) fn as_table(&self, key: &str, node: Node<'i>) -> Option<Section<'p, 's, 'i>> {
        let span = node.span();
        match node.into_inner() {
            DeValue::Table(table) => Some(Section::new(
                self.problems,
                self.child_title(key),
                span,
                table,
            )),
            other => {
                self.wrong_type(key, "a table", &Spanned::new(span, other));
                None
            }
        }
    }

    pub(super) fn as_string(&self, key: &str, node: &Node<'_>) -> Option<Located<String>> {
        match node.get_ref().as_str() {
            Some(text) => Some(Located {
                value: text.to_owned(),
                start: node.span().start,
            }),
            None => {
                self.wrong_type(key, "a string", node);
                None
            }
        }
    }

    pub(super) fn wrong_type(&self, key: &str, wanted: &str, node: &Node<'_>) {
        let found = node.get_ref().type_str();
        self.problems.add(
            &node.span(),
            format!(
                "`{key}` of {} is to be {wanted}, not a value of type {found}",
                self.title
            ),
        );
    }

    pub(super) fn missing(&self, key: &str) {
        self.problems
            .add(&self.span, format!("{} has no `{key}`", self.title));
    }

    fn child_title(&self, key: &str) -> String {
        match self.title.trim_matches(['[', ']']) {
            "file" => format!("[{}]", key.trim_matches(['[', ']'])).replace("[[", "["),
            parent => format!("[{parent}.{key}]"),
        }
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (key, (span, _)) in &self.entries {
            let hint = did_you_mean(key, self.known.iter().copied());
            self.problems.add_with_hint(
                span,
                format!("unknown key `{key}` in {}", self.title),
                hint,
            );
        }
    }
}

/// An integer of the file, if it fits 64 bits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

/// A number of the file.
pub(super) fn float(value: &DeValue<'_>) -> Option<f64> {
    match value.as_float() {
        Some(number) => number
            .as_str()
            .replace('_', "")
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite()),
        #[expect(
            clippy::cast_precision_loss,
            reason = "a bound written as an integer means the nearest float"
        )]
        None => integer(value).map(|number| number as f64),
    }
}
