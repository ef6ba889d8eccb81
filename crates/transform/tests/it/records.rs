//! Whole records: users, nested paths, unknown fields, broken JSON.

use proptest::prelude::*;

use crate::{PLACE, event, findings, json, transformer, with_event};

#[test]
fn users_are_required_normalised_or_kept_without() {
    let check = |user: &str, text: &str, expected: Result<Option<&str>, &str>| {
        let transformer = with_event(&format!("user_id = {{ {user} }}\ntimestamp = 'ts'"), "");
        let record = format!(r#"{{"u":{text},"ts":"2018-11-01"}}"#);
        let outcome = json(&transformer, &record);
        match expected {
            Ok(user_id) => assert_eq!(
                (findings(&outcome), event(&outcome).user_id.as_deref()),
                (vec![], user_id)
            ),
            Err(finding) => assert_eq!(findings(&outcome), [finding]),
        }
    };
    check("from = 'u'", "\"26\"", Ok(Some("26")));
    check("from = 'u'", "26", Ok(Some("26")));
    check(
        "from = 'u'",
        "\" \"",
        Err("required user_id: `u` is missing or empty"),
    );
    check("from = 'u'", "[1]", Err("type user_id: \"[1]\" is no text"));
    check("from = 'u', type = 'int'", "\"17850.0\"", Ok(Some("17850")));
    check(
        "from = 'u', type = 'int'",
        "\"x\"",
        Err("type user_id: \"x\" is no int"),
    );
    let keep = "from = 'u', required = false, placeholder = '_none'";
    check(keep, "\"\"", Ok(None));
    check(
        keep,
        "\"_none\"",
        Err("key user_id: is the placeholder for events without a user"),
    );
}

#[test]
fn paths_lead_into_objects() {
    let transformer = with_event(
        "user_id = 'actor.login'\ntimestamp = 'created_at'\nevent_id = 'id'",
        "size = { type = 'int', from = 'payload.size' }\ncity = { type = 'string', from = 'payload.place.city' }",
    );
    let text = r#"{"id":"7","actor":{"id":1,"login":"ada"},"created_at":"2021-07-21T06:00:00Z","payload":{"size":3,"place":{"city":"Oslo"}}}"#;
    let outcome = json(&transformer, text);
    let event = event(&outcome);
    assert_eq!(findings(&outcome), Vec::<String>::new());
    assert_eq!(
        (event.user_id.as_deref(), &*event.event_id),
        (Some("ada"), "7")
    );
    assert_eq!(
        (event.values[0].to_text(), event.values[1].to_text()),
        ("Oslo".into(), "3".into())
    );
    // The objects themselves are not named by the schema, and are kept whole.
    let unknown: Vec<_> = event.unknown.iter().map(|(name, _)| &**name).collect();
    assert_eq!(unknown, ["actor", "payload"]);
    let flat = json(
        &transformer,
        r#"{"id":"7","actor.login":"ada","created_at":"2021-07-21T06:00:00Z"}"#,
    );
    assert_eq!(findings(&flat), Vec::<String>::new());
}

#[test]
fn unknown_fields_are_kept_dropped_or_rejected() {
    let text = r#"{"userId":"1","ts":0,"someThing":{"a": 1},"empty":"","none":null}"#;
    let outcome = |policy: &str| {
        let transformer = transformer(&format!("unknown = '{policy}'"));
        let outcome = json(&transformer, text);
        let unknown: Vec<_> = event(&outcome)
            .unknown
            .iter()
            .map(|(name, json)| format!("{name}={json}"))
            .collect();
        (unknown, findings(&outcome))
    };
    assert_eq!(
        outcome("keep"),
        (vec!["some_thing={\"a\": 1}".to_owned()], vec![])
    );
    assert_eq!(outcome("drop"), (vec![], vec![]));
    let rejected = vec!["unknown_field some_thing: the schema does not name it".to_owned()];
    assert_eq!(outcome("reject"), (vec![], rejected));
}

#[test]
fn what_is_no_object_is_unreadable() {
    let transformer = transformer("");
    let check = |text: &str, expected: &str| {
        let outcome = json(&transformer, text);
        assert!(outcome.event.is_none());
        assert_eq!(
            findings(&outcome),
            [format!("unreadable: {expected}")],
            "{text}"
        );
    };
    check("[1]", "is no JSON object");
    check("null", "is no JSON object");
    check("", "is no JSON object");
    check(
        "{\"a\":tru}",
        "is no valid JSON: expected ident at column 9",
    );
    check(
        "{\"a\":1",
        "is no valid JSON: EOF while parsing an object at column 6",
    );
    check(
        "{\"a\":1}}",
        "is no valid JSON: trailing characters at column 8",
    );
    check("{\"a\":01}", "is no valid JSON: invalid number at column 7");
    check(
        "{\"a\":\"\t\"}",
        "is no valid JSON: control character (\\u0000-\\u001F) found while parsing a string at column 6",
    );
}

#[test]
fn one_bad_record_leaves_nothing_for_the_next() {
    let transformer = transformer("a = { type = 'int' }");
    let mut worker = transformer.worker();
    let bad = worker.json(r#"{"userId":"1","a":5,"b":6,"ts":"#, PLACE);
    assert_eq!(findings(&bad).len(), 1);
    let next = worker.json(r#"{"userId":"2","ts":0}"#, PLACE);
    assert_eq!(
        (
            findings(&next),
            event(&next).values[0].is_null(),
            event(&next).unknown.len()
        ),
        (vec![], true, 0)
    );
}

proptest! {
    #[test]
    fn any_text_is_an_event_or_has_findings(text in "\\PC{0,40}|[{}\\[\\]\":,a0 \\\\u]{0,30}") {
        let transformer = transformer("a = { type = 'int' }");
        let outcome = json(&transformer, &text);
        prop_assert!(outcome.event.is_some() || !outcome.findings.is_empty());
        let is_object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
        prop_assert!(!is_object || outcome.event.is_some());
    }
}
