//! Text to typed values, the same from CSV and JSON.

use proptest::prelude::*;
use rowmill_model::Value;

use crate::{csv, event, findings, json, transformer, values, with_event};

/// Converts a text as a CSV field, and what JSON writes for it.
#[expect(clippy::needless_pass_by_value, reason = "callers read better")]
fn check(field: &str, csv_text: &str, json_text: &str, expected: Result<Value<'_>, &str>) {
    let transformer = transformer(&format!("x = {{ {field} }}"));
    let row = ["1", "0", csv_text];
    let record = format!(r#"{{"userId":"1","ts":0,"x":{json_text}}}"#);
    for outcome in [
        csv(&transformer, &["userId", "ts", "x"], &row),
        json(&transformer, &record),
    ] {
        match &expected {
            Ok(value) => assert_eq!(
                values(&outcome),
                std::slice::from_ref(value),
                "{field} {json_text}"
            ),
            Err(finding) => assert_eq!(findings(&outcome), [*finding], "{field} {json_text}"),
        }
    }
}

#[test]
fn integers() {
    let int = |text: &str, json: &str, expected| {
        check("type = 'int'", text, json, Ok(Value::Int(expected)))
    };
    int("42", "42", 42);
    int(" -7 ", "\" -7 \"", -7);
    int(
        "9007199254740993",
        "9007199254740993",
        9_007_199_254_740_993,
    );
    int("-9223372036854775808", "-9223372036854775808", i64::MIN);
    int("1.5e3", "1.5e3", 1_500);
    int("17850.0", "\"17850.0\"", 17_850);
    int("1.54224E+12", "1.54224E+12", 1_542_240_000_000);
    int("1200e-2", "1200e-2", 12);
    int("0e999999", "0e999999", 0);
    let not = |text: &str, json: &str, finding| check("type = 'int'", text, json, Err(finding));
    not("1.5", "1.5", "type x: \"1.5\" is no int");
    not(
        "9223372036854775808",
        "9223372036854775808",
        "type x: \"9223372036854775808\" is no int",
    );
    not("1e30", "1e30", "type x: \"1e30\" is no int");
    not("12a", "\"12a\"", "type x: \"12a\" is no int");
    not(".", "\".\"", "type x: \".\" is no int");
}

#[test]
fn floats() {
    let float = |text: &str, json: &str, expected| {
        check("type = 'float'", text, json, Ok(Value::Float(expected)))
    };
    float("655.77751", "655.77751", 655.777_51);
    float("-0.5", "\"-0.5\"", -0.5);
    float("1E3", "1E3", 1000.0);
    for word in [
        "inf",
        "nan",
        "NaN",
        "infinity",
        "1e999",
        "1e-400",
        "-0.1e-999",
    ] {
        let finding = format!("type x: \"{word}\" is no float");
        check(
            "type = 'float'",
            word,
            &format!("\"{word}\""),
            Err(&finding),
        );
    }
}

#[test]
fn booleans_texts_and_json() {
    for (text, truth) in [
        ("true", true),
        ("YES", true),
        ("1", true),
        ("t", true),
        ("off", false),
        ("No", false),
        ("0", false),
    ] {
        check(
            "type = 'bool'",
            text,
            &format!("\"{text}\""),
            Ok(Value::Bool(truth)),
        );
    }
    check(
        "type = 'bool'",
        "maybe",
        "\"maybe\"",
        Err("type x: \"maybe\" is no bool"),
    );
    check(
        "type = 'string'",
        "  a b ",
        "\"  a b \"",
        Ok(Value::String("a b".into())),
    );
    check(
        "type = 'string', trim = false",
        " a ",
        "\" a \"",
        Ok(Value::String(" a ".into())),
    );
    check(
        "type = 'string'",
        "\u{a0}a\u{2003}",
        "\"\u{a0}a\u{2003}\"",
        Ok(Value::String("a".into())),
    );
    check(
        "type = 'string'",
        "é\"\n",
        r#""\u00e9\"\n""#,
        Ok(Value::String("é\"".into())),
    );
    check(
        "type = 'string'",
        "26",
        "26",
        Ok(Value::String("26".into())),
    );
    check(
        "type = 'json'",
        "{\"a\":[1]}",
        "{\"a\":[1]}",
        Ok(Value::Json("{\"a\":[1]}".into())),
    );
    check(
        "type = 'json'",
        "plain",
        "\"plain\"",
        Ok(Value::Json("\"plain\"".into())),
    );
    for field in ["type = 'int'", "type = 'string'", "type = 'timestamp'"] {
        check(field, "  ", "\"  \"", Ok(Value::Null));
        check(field, "", "null", Ok(Value::Null));
    }
    let transformer = transformer("x = { type = 'string' }");
    let nested = json(&transformer, r#"{"userId":"1","ts":0,"x":{"a":1}}"#);
    assert_eq!(
        findings(&nested),
        ["type x: \"{\\\"a\\\":1}\" is no string"]
    );
}

#[test]
fn timestamps() {
    let time = |field: &str, text: &str, expected: &str| {
        let transformer = transformer(&format!("x = {{ type = 'timestamp', {field} }}"));
        let row = ["1", "0", text];
        let outcome = csv(&transformer, &["userId", "ts", "x"], &row);
        let shown = if outcome.findings.is_empty() {
            event(&outcome).values[0].to_string()
        } else {
            findings(&outcome).join(" ")
        };
        assert_eq!(shown, expected, "{field} {text}");
    };
    time(
        "format = 'rfc3339'",
        "2021-07-21T06:00:00Z",
        "2021-07-21T06:00:00Z",
    );
    time(
        "format = 'rfc3339'",
        "2021-07-21T06:00:00.5+02:00",
        "2021-07-21T04:00:00.500Z",
    );
    time(
        "format = 'rfc3339'",
        "2021-07-21 06:00:00",
        "2021-07-21T06:00:00Z",
    );
    time("format = 'rfc3339'", "2021-07-21", "2021-07-21T00:00:00Z");
    time("format = 'unix_s'", "1541105830", "2018-11-01T20:57:10Z");
    time(
        "format = 'unix_s'",
        "1541105830.796",
        "2018-11-01T20:57:10.796Z",
    );
    time(
        "format = 'unix_ms'",
        "1541105830796",
        "2018-11-01T20:57:10.796Z",
    );
    time(
        "format = 'unix_ms'",
        "1540919166796.0",
        "2018-10-30T17:06:06.796Z",
    );
    time("format = 'unix_ms'", "1.54224E+12", "2018-11-15T00:00:00Z");
    time("format = 'unix_us'", "-1", "1969-12-31T23:59:59.999999Z");
    time(
        "format = '%Y-%m-%d %H:%M:%S'",
        "2010-12-01 08:26:00",
        "2010-12-01T08:26:00Z",
    );
    time(
        "format = '%Y-%m-%d %H:%M:%S%.f'",
        "2017-11-29 06:58:55.025000",
        "2017-11-29T06:58:55.025Z",
    );
    time(
        "format = '%m/%d/%Y %H:%M'",
        "12/1/2010 8:26",
        "2010-12-01T08:26:00Z",
    );
    time("format = '%d.%m.%Y'", "01.12.2010", "2010-12-01T00:00:00Z");
    time(
        "format = '%Y-%m-%d %H:%M %z'",
        "2010-12-01 08:26 +0100",
        "2010-12-01T07:26:00Z",
    );
    time(
        "format = ['unix_ms', 'rfc3339']",
        "2021-07-21",
        "2021-07-21T00:00:00Z",
    );
    // Summer time, the hour that happens twice, and the hour that does not happen.
    let london = "format = '%Y-%m-%d %H:%M', tz = 'Europe/London'";
    time(london, "2018-07-01 12:00", "2018-07-01T11:00:00Z");
    time(london, "2018-10-28 01:30", "2018-10-28T00:30:00Z");
    time(
        london,
        "2018-03-25 01:30",
        "type x: \"2018-03-25 01:30\" is no timestamp",
    );
    time(
        "format = 'unix_s'",
        "1e18",
        "type x: \"1e18\" is no timestamp",
    );
    time(
        "format = 'rfc3339'",
        "2021-02-30",
        "type x: \"2021-02-30\" is no timestamp",
    );
}

#[test]
fn derived_fields() {
    let transformer = transformer(
        "price = { type = 'float' }\nquantity = { type = 'int' }\nrevenue = { type = 'float', derive = 'double(quantity) * price' }\nkind = { type = 'string', derive = \"quantity < 0 ? 'return' : 'sale'\" }\nshare = { type = 'int', derive = '100 / quantity' }",
    );
    let derived = |text: &str| {
        let outcome = json(&transformer, text);
        let shown = event(&outcome)
            .values
            .iter()
            .map(|value| value.to_text().into_owned())
            .collect::<Vec<_>>()
            .join("|");
        (shown, findings(&outcome))
    };
    let record = |rest: &str| format!("{{\"userId\":\"1\",\"ts\":0{rest}}}");
    assert_eq!(
        derived(&record(",\"price\":2.5,\"quantity\":4")),
        ("sale|2.5|4|10|25".into(), vec![])
    );
    // What is absent makes what derives from it absent; what fails is found.
    assert_eq!(
        derived(&record(",\"price\":2.5")),
        ("|2.5|||".into(), vec![])
    );
    let (shown, found) = derived(&record(",\"price\":1,\"quantity\":0"));
    assert_eq!((shown.as_str(), found.len()), ("sale|1|0|0|", 1));
    assert!(
        found[0].starts_with("derive share: `100 / quantity`:"),
        "{found:?}"
    );
}

#[test]
fn a_pattern_that_is_none_is_located() {
    let text = "[pipeline]\nname='p'\n[event]\nuser_id='u'\ntimestamp={ from='t', format='%Q' }";
    let pipeline = rowmill_model::Pipeline::parse(text).unwrap();
    let error = rowmill_transform::Transformer::new(std::sync::Arc::new(pipeline)).unwrap_err();
    assert_eq!(error.to_string(), "5:30: `%Q` is no strftime pattern");
}

proptest! {
    /// Every integer, in any of its spellings, is itself.
    #[test]
    fn integers_in_any_spelling(number in any::<i64>(), zeros in 0_usize..4, exponent in 0_u32..4) {
        let transformer = transformer("x = { type = 'int' }");
        let digits = number.unsigned_abs().to_string();
        let sign = if number < 0 { "-" } else { "" };
        let shifted = format!("{sign}0.{}{digits}e{}", "0".repeat(exponent as usize), digits.len() + exponent as usize);
        for text in [number.to_string(), format!("{number}.{}", "0".repeat(zeros)), shifted] {
            let row = ["1", "0", text.as_str()];
            let outcome = csv(&transformer, &["userId", "ts", "x"], &row);
            prop_assert_eq!(values(&outcome), &[Value::Int(number)], "{}", text);
        }
    }

    /// Any text in any field: a value or a finding, and never a panic.
    #[test]
    fn any_text_converts_or_is_found(text in "\\PC{0,24}|[-+0-9.eE]{0,12}|[0-9: T/+-]{8,20}") {
        let transformer = with_event(
            "user_id = { from = 'userId', type = 'int' }\ntimestamp = { from = 'ts', format = ['unix_s', 'rfc3339', '%Y-%m-%d %H:%M'], tz = 'Asia/Tokyo' }",
            "a = { type = 'int' }\nb = { type = 'float' }\nc = { type = 'bool' }\nd = { type = 'timestamp' }\ne = { type = 'json' }\nf = { type = 'string' }",
        );
        let row = [text.as_str(); 8];
        let outcome = csv(&transformer, &["userId", "ts", "a", "b", "c", "d", "e", "f"], &row);
        prop_assert_eq!(outcome.has_time, outcome.findings.iter().all(|finding| finding.subject != "timestamp"));
        let record = serde_json::json!({"userId": text, "ts": text, "a": text, "b": text, "c": text, "d": text, "e": text, "f": text}).to_string();
        let from_json = json(&transformer, &record);
        prop_assert_eq!(findings(&outcome), findings(&from_json));
    }
}
