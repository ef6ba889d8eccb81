//! Leaderboards: the values of a dimension with the greatest figures in a period, as one cell.

use std::borrow::Cow;

use rowmill_model::Value;
use serde_json::value::RawValue;

use crate::bucket::StateError;
use crate::bytes::{Reader, push_varint};
use crate::cut::{BOARD_BYTES_MAX, BOARD_VALUE_BYTES_MAX, Cuts, shown};
use crate::exact_sum::ExactSum;
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
    bytes: usize,
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
            bytes: 0,
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
        self.size > 0
            && last.is_none_or(|last| is_before(figure, &shown(value, BOARD_VALUE_BYTES_MAX), last))
    }

    pub(crate) fn add(&mut self, figure: f64, value: &str, figures: Figures) {
        for gone in self.places.drain((self.size - 1).min(self.places.len())..) {
            self.bytes -= gone.bytes();
        }
        let value = shown(value, BOARD_VALUE_BYTES_MAX).into_owned();
        let is_above = |other: &Place| !is_before(figure, &value, other);
        let at = self.places.partition_point(is_above);
        let place = Place {
            figure,
            value,
            figures,
        };
        self.bytes += place.bytes();
        self.places.insert(at, place);
    }

    /// About how many bytes its places take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The places as bytes, each with its JSON: what a [`WrittenBoard`] reads.
    pub(crate) fn encode(&self, layout: &Layout, out: &mut Vec<u8>) {
        let names: Vec<String> = layout.figure_names().iter().map(json).collect();
        let mut text = String::new();
        for place in &self.places {
            text.clear();
            place.push_json(&names, &mut text);
            encode_place(place.figure, &place.value, &text, out);
        }
    }

    /// The board as JSON: an object for each place, the best first, as far as they fit into a cell. None if it is empty.
    pub(crate) fn to_json(&self, layout: &Layout, cuts: &mut Cuts) -> Option<String> {
        let names: Vec<String> = layout.figure_names().iter().map(json).collect();
        let push = |place: &Place, text: &mut String| place.push_json(&names, text);
        joined(&self.places, push, cuts)
    }
}

/// The JSON of places, as far as they fit into a cell.
fn joined<P>(places: &[P], push: impl Fn(&P, &mut String), cuts: &mut Cuts) -> Option<String> {
    let mut text = String::new();
    for place in places {
        let opens = text.len();
        text.push(if text.is_empty() { '[' } else { ',' });
        push(place, &mut text);
        if text.len() >= BOARD_BYTES_MAX {
            text.truncate(opens);
            cuts.boards += 1;
            break;
        }
    }
    (!text.is_empty()).then(|| text + "]")
}

fn encode_place(figure: f64, value: &str, json: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&figure.to_be_bytes());
    for text in [value, json] {
        push_varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
}

/// A board of places whose JSON is written already, as several boards of one period left it.
#[derive(Debug)]
pub(crate) struct WrittenBoard {
    size: usize,
    places: Vec<WrittenPlace>,
}

#[derive(Debug)]
struct WrittenPlace {
    figure: f64,
    value: String,
    json: String,
}

impl WrittenBoard {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            places: Vec::new(),
        }
    }

    /// Adds the places of another board; the best of all stay.
    pub(crate) fn merge_encoded(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut reader = Reader(bytes);
        while !reader.0.is_empty() {
            let place = WrittenPlace::read(&mut reader).ok_or(StateError::Malformed)?;
            self.places.push(place);
        }
        let order = |a: &WrittenPlace, b: &WrittenPlace| {
            let figures = b.figure.total_cmp(&a.figure);
            figures.then_with(|| a.value.cmp(&b.value))
        };
        self.places.sort_by(order);
        self.places.truncate(self.size);
        Ok(())
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for place in &self.places {
            encode_place(place.figure, &place.value, &place.json, out);
        }
    }

    /// The board as JSON, as [`Board::to_json`] gives it.
    pub(crate) fn to_json(&self, cuts: &mut Cuts) -> Option<String> {
        joined(&self.places, |place, text| text.push_str(&place.json), cuts)
    }
}

impl WrittenPlace {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let figure = f64::from_be_bytes(reader.array()?);
        let mut text = || {
            let length = reader.count()?;
            String::from_utf8(reader.take(length)?.to_vec()).ok()
        };
        Some(Self {
            figure,
            value: text()?,
            json: text()?,
        })
    }
}

impl Place {
    fn bytes(&self) -> usize {
        let values = self.figures.values.capacity() * size_of::<Value<'_>>();
        let sums = self.figures.sums.len() * size_of::<(usize, ExactSum)>();
        size_of::<Self>() + self.value.len() + values + sums
    }

    fn push_json(&self, names: &[String], out: &mut String) {
        out.extend(["{\"value\":", &json(&self.value)]);
        for (name, figure) in names.iter().zip(self.figures.texts()) {
            if !figure.is_empty() {
                out.extend([",", name, ":", &*figure]);
            }
        }
        out.push('}');
    }
}

fn json(text: &String) -> String {
    serde_json::to_string(text).expect("a text is JSON")
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
