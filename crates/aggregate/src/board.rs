//! Leaderboards: the values of a dimension with the greatest figures in a period, as one cell.

use std::borrow::Cow;

use rowmill_model::Value;
use serde_json::value::RawValue;

use crate::bucket::{Bucket, StateError};
use crate::layout::Layout;

/// A place on a leaderboard: a value, and all its figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardEntry {
    /// The value of the dimension.
    pub value: String,
    /// Its figures as decimals, in the order of [`Layout::figure_names`]; empty where there is none.
    pub figures: Vec<Cow<'static, str>>,
}

/// Collects the best of the values that it is shown.
#[derive(Debug)]
pub(crate) struct Board {
    /// Which figure it orders by.
    figure: usize,
    size: usize,
    /// The best so far, best first.
    places: Vec<(f64, BoardEntry)>,
}

impl Board {
    pub(crate) fn new(figure: usize, size: usize) -> Self {
        Self {
            figure,
            size,
            places: Vec::new(),
        }
    }

    /// Whether a count is enough to tell the place.
    pub(crate) fn is_by_count(&self) -> bool {
        self.figure == 0
    }

    pub(crate) fn figure(&self) -> usize {
        self.figure
    }

    /// Whether a value with this figure has a place among those seen so far.
    pub(crate) fn admits(&self, figure: f64, value: &str) -> bool {
        let last = self
            .places
            .last()
            .filter(|_| self.places.len() == self.size);
        self.size > 0 && last.is_none_or(|last| is_before(figure, value, last))
    }

    pub(crate) fn add(&mut self, figure: f64, entry: BoardEntry) {
        self.places.truncate(self.size - 1);
        let is_above = |other: &(f64, BoardEntry)| !is_before(figure, &entry.value, other);
        let at = self.places.partition_point(is_above);
        self.places.insert(at, (figure, entry));
    }

    /// The board as JSON: an object for each place, the best first. None if it is empty.
    pub(crate) fn to_json(&self, names: &[String]) -> Option<String> {
        let place = |(_, entry): &(f64, BoardEntry)| {
            let value = serde_json::to_string(&entry.value).expect("a text is JSON");
            let mut text = format!("{{\"value\":{value}");
            for (name, figure) in names.iter().zip(&entry.figures) {
                if !figure.is_empty() {
                    text += &format!(",{}:{figure}", serde_json::json!(name));
                }
            }
            text + "}"
        };
        let places: Vec<_> = self.places.iter().map(place).collect();
        (!places.is_empty()).then(|| format!("[{}]", places.join(",")))
    }
}

/// Whether a value comes before another on a board: the greater figure first, and of one figure the lesser value, in whatever order
/// they are shown.
fn is_before(figure: f64, value: &str, (other, entry): &(f64, BoardEntry)) -> bool {
    figure > *other || (figure >= *other && *value < *entry.value)
}

/// A figure for ordering.
#[expect(clippy::cast_precision_loss, reason = "for ordering only")]
pub fn rank(value: &Value<'_>) -> f64 {
    match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => f64::NEG_INFINITY,
    }
}

impl BoardEntry {
    pub(crate) fn new(value: &str, bucket: &Bucket, layout: &Layout) -> Self {
        Self {
            value: value.to_owned(),
            figures: layout.exact_figures(bucket),
        }
    }
}

/// The places of a leaderboard's cell.
pub fn read_board(layout: &Layout, json: &[u8]) -> Result<Vec<BoardEntry>, StateError> {
    type Place<'a> = std::collections::HashMap<Cow<'a, str>, &'a RawValue>;
    let places: Vec<Place<'_>> = serde_json::from_slice(json).map_err(|_| StateError::Malformed)?;
    let names = layout.figure_names();
    let entry = |place: Place<'_>| {
        let value = place
            .get("value")
            .map(|raw| serde_json::from_str(raw.get()));
        let figure = |name: &String| {
            let raw = place.get(name.as_str());
            raw.map_or(Cow::Borrowed(""), |raw| Cow::Owned(raw.get().to_owned()))
        };
        Ok(BoardEntry {
            value: value.and_then(Result::ok).ok_or(StateError::Malformed)?,
            figures: names.iter().map(figure).collect(),
        })
    };
    places.into_iter().map(entry).collect()
}
