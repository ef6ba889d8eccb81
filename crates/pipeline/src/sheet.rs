//! Rows of named columns: what queries and exports give to whoever prints or writes them.

use std::borrow::Cow;
use std::io::Write;

use rowmill_aggregate::{BoardEntry, Period, StoredFigures};
use rowmill_model::{Pipeline, StoredEvent, Value};
use rowmill_rowkey::SESSIONS_DIMENSION;
use serde_json::value::RawValue;

use crate::stages::Stages;

/// The columns of a result, and how its rows are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheet {
    /// The names of the columns.
    pub columns: Vec<String>,
}

/// A row of a sheet: a value for each column.
#[derive(Debug, Clone, PartialEq)]
pub struct SheetRow(pub Vec<Value<'static>>);

impl Sheet {
    /// The columns of events: who, when, what, the fields of the schema, and everything else as one JSON object.
    pub fn of_events(pipeline: &Pipeline) -> Self {
        let fixed = ["user_id", "timestamp", "event_id", "event_type"].map(str::to_owned);
        let fields = pipeline.fields.iter().map(|field| field.name.clone());
        let rest = ["unknown", "quality_status", "quality_warnings"].map(str::to_owned);
        Self {
            columns: fixed.into_iter().chain(fields).chain(rest).collect(),
        }
    }

    /// The columns of aggregates: when, what, the figures of events, and those of sessions if they are aggregated.
    pub fn of_aggregates(stages: &Stages) -> Self {
        let fixed = ["grain", "bucket", "dimension", "value"].map(str::to_owned);
        let of_sessions = stages.plan.sessions().into_iter();
        let of_sessions = of_sessions.flat_map(|plan| plan.layout().figure_names().split_off(1));
        let columns = fixed.into_iter().chain(stages.plan.figure_names());
        Self {
            columns: columns
                .chain(of_sessions.map(|name| format!("session_{name}")))
                .collect(),
        }
    }
}

impl SheetRow {
    /// An event's row.
    pub fn of_event(stored: StoredEvent) -> Self {
        let text = |text: Cow<'static, str>| Value::String(text);
        let event = stored.event;
        let unknown = unknown_object(&event.unknown);
        let mut values = vec![
            event.user_id.map_or(Value::Null, text),
            Value::Timestamp(event.timestamp),
            text(event.event_id),
            event.event_type.map_or(Value::Null, text),
        ];
        values.extend(event.values);
        values.push(unknown.map_or(Value::Null, |json| Value::Json(json.into())));
        values.push(text(if stored.warned {
            "warn".into()
        } else {
            "ok".into()
        }));
        values.push(if stored.warnings.is_empty() {
            Value::Null
        } else {
            Value::Json(stored.warnings.into())
        });
        Self(values)
    }

    /// An aggregate's row.
    pub fn of_stored(stages: &Stages, stored: &StoredFigures) -> Self {
        let mut figures = stored.figures.texts();
        if stored.dimension == SESSIONS_DIMENSION {
            // Both kinds of figures begin with a count.
            let of_events = stages.plan.figure_names().len() - 1;
            figures.splice(1..1, vec![Cow::Borrowed(""); of_events]);
        }
        Self::of_figures(
            stages,
            stored.period,
            &stored.dimension,
            &stored.value,
            figures,
        )
    }

    /// The row of a place on a leaderboard.
    pub fn of_place(stages: &Stages, period: Period, dimension: &str, place: BoardEntry) -> Self {
        Self::of_figures(stages, period, dimension, &place.value, place.figures)
    }

    fn of_figures(
        stages: &Stages,
        period: Period,
        dimension: &str,
        value: &str,
        figures: Vec<Cow<'static, str>>,
    ) -> Self {
        let text = |text: &str| Value::String(text.to_owned().into());
        let mut values = vec![
            text(period.grain().name()),
            text(&period.to_string()),
            text(dimension),
            text(value),
        ];
        // Figures are exact decimals, which are JSON numbers as they stand.
        values.extend(figures.into_iter().map(|figure| {
            if figure.is_empty() {
                Value::Null
            } else {
                Value::Json(figure)
            }
        }));
        values.resize(Sheet::of_aggregates(stages).columns.len(), Value::Null);
        Self(values)
    }

    /// The row as a line of JSON, null where there is no value.
    pub fn write_json(&self, sheet: &Sheet, out: &mut dyn Write) -> std::io::Result<()> {
        for (index, (name, value)) in sheet.columns.iter().zip(&self.0).enumerate() {
            out.write_all(if index == 0 { b"{" } else { b"," })?;
            serde_json::to_writer(&mut *out, name)?;
            out.write_all(b":")?;
            write_value(value, out)?;
        }
        out.write_all(b"}")
    }

    /// The values as text, empty where there is none.
    pub fn texts(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.iter().map(Value::to_text)
    }
}

/// The fields that the schema does not name, as one JSON object.
fn unknown_object(fields: &[(Cow<'_, str>, Cow<'_, str>)]) -> Option<String> {
    let member = |(name, json): &(Cow<'_, str>, Cow<'_, str>)| {
        format!(
            "{}:{json}",
            serde_json::to_string(name).expect("a text is JSON")
        )
    };
    let members: Vec<_> = fields.iter().map(member).collect();
    (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
}

fn write_value(value: &Value<'_>, out: &mut dyn Write) -> std::io::Result<()> {
    match value {
        Value::Null => out.write_all(b"null"),
        Value::Int(number) => write!(out, "{number}"),
        Value::Float(number) => Ok(serde_json::to_writer(out, number)?),
        Value::Bool(truth) => write!(out, "{truth}"),
        Value::String(text) => Ok(serde_json::to_writer(out, text)?),
        Value::Timestamp(time) => write!(out, "\"{time}\""),
        Value::Json(json) => match serde_json::from_str::<&RawValue>(json) {
            // One line each: JSON text may have line breaks, outside its strings only.
            Ok(raw) => out.write_all(raw.get().replace(['\n', '\r'], " ").as_bytes()),
            Err(_) => Ok(serde_json::to_writer(out, json)?),
        },
    }
}
