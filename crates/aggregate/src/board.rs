//! Leaderboards: the values of a dimension with the greatest figures in a period, as one cell.

use std::borrow::Cow;

use rowmill_model::Value;
use serde_json::value::RawValue;

use crate::bucket::StateError;
use crate::layout::{Figures, Layout};

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
    places: Vec<Place>,
}

/// A place on a leaderboard that is being made.
#[derive(Debug)]
struct Place {
    figure: f64,
    value: String,
    /// Made texts of only once it is known to stay.
    figures: Figures,
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

    pub(crate) fn add(&mut self, figure: f64, value: &str, figures: Figures) {
        self.places.truncate(self.size - 1);
        let is_above = |other: &Place| !is_before(figure, value, other);
        let at = self.places.partition_point(is_above);
        let value = value.to_owned();
        let place = Place {
            figure,
            value,
            figures,
        };
        self.places.insert(at, place);
    }

    /// The board as JSON: an object for each place, the best first. None if it is empty.
    pub(crate) fn to_json(&self, layout: &Layout) -> Option<String> {
        let json = |text: &String| serde_json::to_string(text).expect("a text is JSON");
        let names: Vec<String> = layout.figure_names().iter().map(json).collect();
        let place = |place: &Place| {
            let mut text = format!("{{\"value\":{}", json(&place.value));
            for (name, figure) in names.iter().zip(place.figures.texts()) {
                if !figure.is_empty() {
                    text.extend([",", name, ":", &*figure]);
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
fn is_before(figure: f64, value: &str, other: &Place) -> bool {
    figure > other.figure || (figure >= other.figure && *value < *other.value)
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
