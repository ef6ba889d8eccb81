//! What makes two records the same event.

use proptest::prelude::*;
use rowmill_transform::Place;

use crate::{PLACE, csv, event, json, with_event};

const EVENT: &str = "user_id = 'u'\ntimestamp = 't'";
const FIELDS: &str = "n = { type = 'float' }\ns = { type = 'string' }\nz = { type = 'string' }";

fn id(event_id: &str, text: &str, place: Place<'_>) -> String {
    let transformer = with_event(&format!("{EVENT}\n{event_id}"), FIELDS);
    event(&transformer.worker().json(text, place))
        .event_id
        .to_string()
}

#[test]
fn natural_ids_are_joined() {
    let check = |paths: &str, text: &str, expected: &str| {
        assert_eq!(id(&format!("event_id = {paths}"), text, PLACE), expected);
    };
    check("'i'", r#"{"u":"1","t":"2018-11-01","i":"a.b"}"#, "a.b");
    check(
        "['i', 'j']",
        r#"{"u":"1","t":"2018-11-01","i":583,"j":0}"#,
        "583.0",
    );
    check(
        "['i', 'j']",
        r#"{"u":"1","t":"2018-11-01","i":"a.b","j":"c"}"#,
        "a%2Eb.c",
    );
    check(
        "['i', 'j']",
        r#"{"u":"1","t":"2018-11-01","i":"a","j":"b%c"}"#,
        "a.b%25c",
    );
}

#[test]
fn zero_is_one_number() {
    let of = |n: &str| {
        id(
            "",
            &format!(r#"{{"u":"1","t":"2018-11-01","n":{n}}}"#),
            PLACE,
        )
    };
    assert_eq!(of("0"), of("-0"));
    assert_eq!(of("0.0"), of("-0.0e-999"));
    assert_ne!(of("0"), of("1"));
}

#[test]
fn a_place_tells_exact_repeats_apart() {
    let text = r#"{"u":"1","t":"2018-11-01","s":"x"}"#;
    let at = |source, record| {
        id(
            "event_id = { hash = 'place' }",
            text,
            Place { source, record },
        )
    };
    assert_eq!(at("a.csv", 1), at("a.csv", 1));
    assert_ne!(at("a.csv", 1), at("a.csv", 2));
    assert_ne!(at("a.csv", 1), at("b.csv", 1));
    let content = |source, record| id("", text, Place { source, record });
    assert_eq!(content("a.csv", 1), content("b.csv", 2));
    assert_eq!(content("a.csv", 1).len(), 32);
}

/// The hash is part of row keys, so it must never change.
#[test]
fn golden_content_id() {
    let text = r#"{"u":"1","t":"2018-11-01T00:00:00Z","n":1.5,"s":"x","extra":[1]}"#;
    assert_eq!(id("", text, PLACE), GOLDEN);
}

const GOLDEN: &str = "ec77b93f198e9112301bd63044a45080";

proptest! {
    /// The same fields in CSV and JSON, in any order of columns, are one event; other fields are another.
    #[test]
    fn content_is_the_same_in_csv_and_json(n in -1e6_f64..1e6, s in "[a-z ]{0,6}", extra in "[a-z]{0,5}", other in "[a-z ]{0,6}") {
        let transformer = with_event(EVENT, FIELDS);
        let number = n.to_string();
        let row = [s.as_str(), "2018-11-01", "1", number.as_str(), extra.as_str()];
        let from_csv = csv(&transformer, &["s", "t", "u", "n", "more"], &row);
        let record = serde_json::json!({"u": "1", "t": "2018-11-01T00:00:00Z", "more": extra, "n": n, "s": format!(" {s} ")}).to_string();
        let from_json = json(&transformer, &record);
        prop_assert_eq!(&event(&from_csv).event_id, &event(&from_json).event_id);
        let changed = [other.as_str(), "2018-11-01", "1", number.as_str(), extra.as_str()];
        let changed = csv(&transformer, &["s", "t", "u", "n", "more"], &changed);
        prop_assert_eq!(event(&changed).event_id == event(&from_csv).event_id, other.trim() == s.trim());
    }
}
