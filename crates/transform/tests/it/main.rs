//! Names, values, times, identities: what a raw record becomes.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod identity;
mod names;
mod records;
mod values;

use std::sync::Arc;

use rowmill_model::{Event, Pipeline, Value};
use rowmill_transform::{Outcome, Place, Transformer};

pub(crate) const PLACE: Place<'static> = Place {
    source: "f.json",
    record: 1,
};

pub(crate) fn transformer(fields: &str) -> Transformer {
    with_event(
        "user_id = 'userId'\ntimestamp = { from = 'ts', format = 'unix_ms' }",
        fields,
    )
}

pub(crate) fn with_event(event: &str, fields: &str) -> Transformer {
    let text = format!("[pipeline]\nname = 'p'\n[event]\n{event}\n[fields]\n{fields}");
    Transformer::new(Arc::new(Pipeline::parse(&text).unwrap())).unwrap()
}

pub(crate) fn json<'a>(transformer: &Transformer, text: &'a str) -> Outcome<'a> {
    transformer.worker().json(text, PLACE)
}

/// The one CSV row below a header, as an event and its findings.
pub(crate) fn csv<'a>(transformer: &Transformer, header: &[&str], row: &[&'a str]) -> Outcome<'a> {
    let columns = transformer.columns(header).unwrap();
    transformer
        .worker()
        .csv(&columns, row.iter().copied(), PLACE)
}

pub(crate) fn findings(outcome: &Outcome<'_>) -> Vec<String> {
    outcome.findings.iter().map(ToString::to_string).collect()
}

/// The values of an event that was read without findings.
pub(crate) fn values<'a>(outcome: &'a Outcome<'a>) -> &'a [Value<'a>] {
    assert_eq!(findings(outcome), Vec::<String>::new());
    &event(outcome).values
}

pub(crate) fn event<'a>(outcome: &'a Outcome<'a>) -> &'a Event<'a> {
    outcome.event.as_ref().unwrap()
}
