//! Stored names, and names that collide.

use proptest::prelude::*;
use rowmill_transform::stored_name;

use crate::{PLACE, csv, event, findings, json, transformer};

#[test]
fn names_fold_to_snake_case() {
    let check = |name: &str, expected: &str| assert_eq!(stored_name(name), expected, "{name}");
    check("userId", "user_id");
    check("HTTPStatus2xx", "http_status2xx");
    check("PT08.S1(CO)", "pt08_s1_co");
    check("already_snake", "already_snake");
    check("ID", "id");
    check("userIDs", "user_i_ds");
    check("getURLOf", "get_url_of");
    check("  Unit Price (£) ", "unit_price");
    check("\t\n start \r\n end ", "start_end");
    check("Größe", "größe");
    check(
        "İd",
        "i\u{307}d"
            .chars()
            .filter(|c| c.is_alphanumeric())
            .collect::<String>()
            .as_str(),
    );
    check("()", "");
    check("2xx", "2xx");
}

proptest! {
    #[test]
    fn folding_a_stored_name_gives_itself(name in "\\PC{0,20}") {
        let stored = stored_name(&name);
        prop_assert_eq!(&stored_name(&stored), &stored);
        prop_assert!(!stored.starts_with('_') && !stored.ends_with('_') && !stored.contains("__"));
    }
}

#[test]
fn names_that_collide_are_an_error() {
    let transformer = transformer("level = { type = 'string' }");
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(findings(&json(&transformer, text)), expected, "{text}")
    };
    check(
        r#"{"userId":"1","ts":0,"level":"a","Level":"b"}"#,
        &["collision level: the record has two values for it"],
    );
    check(
        r#"{"userId":"1","ts":0,"level":"a","level":"b"}"#,
        &["collision level: the record has two values for it"],
    );
    check(
        r#"{"userId":"1","ts":0,"extraField":1,"extra_field":2}"#,
        &["collision extra_field: two names of the record are this field once folded"],
    );
    // Of two names that mean a field one may be null.
    check(r#"{"userId":"1","ts":0,"level":null,"Level":"b"}"#, &[]);
    check(r#"{"userId":"1","ts":0,"Level":"b","level":null}"#, &[]);
    let error = transformer
        .columns(&["userId", "ts", "Extra Field", "extraField"])
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the columns `Extra Field` and `extraField` are both the field `extra_field`"
    );
}

/// A record of a few bytes for each of its members does not become a finding for each of them.
#[test]
fn many_members_are_few_findings() {
    let check = |unknown: &str, members: &str, expected: usize| {
        let transformer = transformer(&format!(
            "level = {{ type = 'string' }}\nunknown = '{unknown}'"
        ));
        let text = format!(r#"{{"userId":"1","ts":0{members}}}"#);
        let mut worker = transformer.worker();
        let found = findings(&worker.json(&text, PLACE));
        assert_eq!(found.len(), expected, "{:?}", found.last());
        let next = worker.json(r#"{"userId":"1","ts":0,"level":"a"}"#, PLACE);
        assert_eq!(findings(&next), Vec::<String>::new());
        found.last().cloned().unwrap_or_default()
    };
    check("keep", &r#","level":"a""#.repeat(1_000), 1);
    check("keep", &r#","extra":1"#.repeat(1_000), 1);
    let different: Vec<_> = (0..1_000)
        .map(|number| format!(r#","x{number}":1"#))
        .collect();
    let different = different.concat();
    check("keep", &different, 0);
    let last = check("reject", &different, 101);
    assert_eq!(
        last,
        "unknown_field x100: the schema does not name it; the same of 1000 names in all"
    );
    check("keep", &different.repeat(2), 101);
}

/// A header of 200,000 names is read; when each was compared with all before it, this took minutes.
#[test]
fn a_wide_header_is_compared_once() {
    let transformer = transformer("level = { type = 'string' }");
    let names: Vec<_> = (0..200_000)
        .map(|number| format!("column {number}"))
        .collect();
    let mut header = vec!["userId", "ts", "Level"];
    header.extend(names.iter().map(String::as_str));
    assert_eq!(transformer.columns(&header).unwrap().len(), header.len());
    header.push("Column 7");
    let error = transformer.columns(&header).unwrap_err().to_string();
    assert_eq!(
        error,
        "the columns `column 7` and `Column 7` are both the field `column_7`"
    );
}

#[test]
fn a_name_that_comes_twice_is_an_error_whatever_its_values() {
    let transformer =
        transformer("level = { type = 'string' }\ncity = { from = 'place.city', type = 'string' }");
    let mut worker = transformer.worker();
    let values = ["null", "1", "\"a\"", "[]"];
    for (first, second) in values.iter().flat_map(|a| values.map(|b| (a, b))) {
        for (text, subject) in [
            (format!(r#""level":{first},"level":{second}"#), "level"),
            (
                format!(r#""extra":{first},"x":1,"extra":{second}"#),
                "extra",
            ),
            (
                format!(r#""place":{{"city":{first},"city":{second}}}"#),
                "city",
            ),
            (
                format!(r#""place":{{"city":"a"}},"place":{second}"#),
                "place",
            ),
        ] {
            let text = format!(r#"{{"userId":"1","ts":0,{text}}}"#);
            let found = findings(&worker.json(text.clone().leak(), PLACE));
            let collisions = found.iter().filter(|found| found.starts_with("collision "));
            let collisions: Vec<_> = collisions.collect();
            assert_eq!(collisions.len(), 1, "{text}: {found:?}");
            assert!(
                collisions[0].starts_with(&format!("collision {subject}: ")),
                "{text}: {found:?}"
            );
        }
    }
    // The next record may have it again.
    for _ in 0..2 {
        let good = r#"{"userId":"1","ts":0,"level":"a","extra":1}"#;
        assert!(findings(&worker.json(good, PLACE)).is_empty());
    }
}

#[test]
fn a_header_without_needed_columns_is_an_error() {
    let transformer =
        transformer("level = { type = 'string', required = true }\nsong = { type = 'string' }");
    let error = transformer.columns(&["userId", "Song"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the pipeline file needs the columns `ts`, `level`; the header has `userId`, `Song`"
    );
    let columns = transformer
        .columns(&["userId", "ts", "Level", "", "()"])
        .unwrap();
    assert_eq!(columns.len(), 5);
    let outcome = csv(
        &transformer,
        &["userId", "ts", "Level", "", "()"],
        &["1", "0", "free", "x", ""],
    );
    assert_eq!(
        event(&outcome).unknown,
        [("column_4".into(), "\"x\"".into())]
    );
}
