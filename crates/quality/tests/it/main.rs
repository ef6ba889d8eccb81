//! Checks find everything, severities decide, and duplicates are exact within their window.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::HashSet;

use proptest::prelude::*;
use rowmill_model::{Event, Pipeline, Value};
use rowmill_quality::{Checks, Identity, Seen, Verdict};
use rowmill_rowkey::Timestamp;

const PIPELINE: &str = r#"
    [pipeline]
    name = "p"
    [event]
    user_id = "u"
    timestamp = "t"
    filter = "level != 'trial'"
    [fields]
    code = { type = "string", pattern = "[A-Z]{2}", min_length = 2, max_length = 4 }
    length = { type = "float", min = 0, max = 3600, required = true }
    level = { type = "string", one_of = ["free", "paid", "trial"], severity = "warn" }
    plays = { type = "int", min = 1 }
    [[rules]]
    name = "paid_plays"
    when = "level == 'paid'"
    check = "plays > 0"
    [[rules]]
    name = "short"
    check = "length < 1000.0"
    severity = "warn"
"#;

/// Values in order of the fields' names: code, length, level, plays.
fn check(values: [Value<'static>; 4], verdict: Verdict, expected: &[&str]) {
    let pipeline = Pipeline::parse(PIPELINE).unwrap();
    let order =
        ["code", "length", "level", "plays"].map(|name| pipeline.field_index(name).unwrap());
    let mut slots = vec![Value::Null; 4];
    for (slot, value) in order.into_iter().zip(values) {
        slots[slot] = value;
    }
    let timestamp = Timestamp::from_micros(0).unwrap();
    let event = Event {
        user_id: None,
        timestamp,
        event_type: None,
        event_id: "e".into(),
        values: slots,
        unknown: vec![],
    };
    let mut findings = Vec::new();
    assert_eq!(
        Checks::new(&pipeline)
            .unwrap()
            .check(&event, true, &mut findings),
        verdict,
        "{findings:?}"
    );
    let mut found: Vec<_> = findings
        .iter()
        .map(|f| format!("{} {f}", f.severity.name()))
        .collect();
    found.sort();
    assert_eq!(found, expected);
}

/// A pipeline with one field of this pattern.
fn patterned(pattern: &str) -> Checks {
    let text = format!(
        "[pipeline]\nname = 'p'\n[event]\nuser_id = 'u'\ntimestamp = 't'\n[fields]\ncode = {{ type = 'string', pattern = '{pattern}' }}"
    );
    Checks::new(&Pipeline::parse(&text).unwrap()).unwrap()
}

#[test]
fn a_pattern_may_end_with_a_comment() {
    let checks = patterned("(?x) [a-z]+  # letters");
    for (value, is_good) in [
        ("abc", true),
        ("abc1", false),
        ("abc\n", false),
        ("1abc", false),
    ] {
        let event = Event {
            user_id: None,
            timestamp: Timestamp::from_micros(0).unwrap(),
            event_type: None,
            event_id: "e".into(),
            values: vec![text(value)],
            unknown: vec![],
        };
        let mut findings = Vec::new();
        let verdict = checks.check(&event, true, &mut findings);
        assert_eq!(
            verdict == Verdict::Accept,
            is_good,
            "{value:?}: {findings:?}"
        );
    }
}

fn text(text: &'static str) -> Value<'static> {
    Value::String(text.into())
}

#[test]
fn a_good_event_has_no_findings() {
    check(
        [text("AB"), Value::Float(1.0), text("paid"), Value::Int(1)],
        Verdict::Accept,
        &[],
    );
    check(
        [Value::Null, Value::Float(0.0), text("free"), Value::Null],
        Verdict::Accept,
        &[],
    );
}

#[test]
fn all_violations_are_found() {
    check(
        [
            text("abcde"),
            Value::Float(-1.5),
            text("gold"),
            Value::Int(0),
        ],
        Verdict::Reject,
        &[
            "reject length code: has 5 characters, more than 4",
            "reject pattern code: \"abcde\" does not match `^(?:[A-Z]{2})$`",
            "reject range length: -1.5 is below 0",
            "reject range plays: 0 is below 1",
            "warn one_of level: \"gold\" is none of \"free\", \"paid\", \"trial\"",
        ],
    );
}

#[test]
fn absent_values_and_rules() {
    check(
        [Value::Null, Value::Null, text("paid"), Value::Null],
        Verdict::Reject,
        &[
            "reject required length: is missing or empty",
            "reject rule paid_plays: has no answer: `plays > 0`: found no matching overload for '_>_' applied to '(null_type, int)'",
            "warn rule short: has no answer: `length < 1000.0`: found no matching overload for '_<_' applied to '(null_type, double)'",
        ],
    );
}

#[test]
fn warnings_accept_and_the_filter_leaves_out() {
    check(
        [Value::Null, Value::Float(2000.0), text("free"), Value::Null],
        Verdict::Accept,
        &["warn rule short: is not met"],
    );
    check(
        [Value::Null, Value::Float(1.0), text("trial"), Value::Null],
        Verdict::Filter,
        &[],
    );
    // The filter has no value here, so the event stays.
    check(
        [Value::Null, Value::Float(1.0), Value::Null, Value::Null],
        Verdict::Accept,
        &[],
    );
}

#[test]
fn a_rule_that_cannot_be_compiled_is_located() {
    let text = PIPELINE.replace("plays > 0", "plas > 0");
    let error = Checks::new(&Pipeline::parse(&text).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "16:13: `plas > 0`: there is no field `plas`; did you mean `plays`?"
    );
}

proptest! {
    /// Against a set that forgets nothing: exact inside the window, and bounded whatever comes.
    #[test]
    fn duplicates_are_exact_within_the_window(ids in prop::collection::vec(0_u8..40, 0..300), window in 1_usize..50) {
        let mut seen = Seen::new(window);
        let mut all = HashSet::new();
        for id in ids {
            let new = seen.insert(Identity::of_hash(id.into()));
            let really_new = all.insert(id);
            prop_assert!(!really_new || new, "a new identity is never called a duplicate");
            if all.len() <= window {
                prop_assert_eq!(new, really_new);
            }
            prop_assert!(seen.len() <= 2 * window);
        }
    }

    #[test]
    fn natural_identities_keep_user_and_id_apart(user in ".{0,6}", id in ".{0,6}", other in ".{0,6}") {
        let moved = Identity::natural(&format!("{user}{id}"), &other);
        let apart = Identity::natural(&user, &format!("{id}{other}"));
        prop_assert_eq!(moved == apart, id.is_empty());
    }
}
