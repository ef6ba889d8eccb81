//! What expressions mean over events: names, absent values, and errors that help.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use proptest::prelude::*;
use rowmill_expression::Expression;
use rowmill_model::{Event, Pipeline, Value};
use rowmill_rowkey::Timestamp;

const PIPELINE: &str = "
    [pipeline]
    name = 'p'
    [event]
    user_id = 'u'
    timestamp = 't'
    [fields]
    length = { type = 'float' }
    level = { type = 'string' }
    plays = { type = 'int' }
    song = { type = 'string' }
    skipped = { type = 'bool' }
";

fn pipeline() -> Pipeline {
    Pipeline::parse(PIPELINE).unwrap()
}

/// Fields in order of their names: length, level, plays, skipped, song.
fn event() -> Event<'static> {
    Event {
        user_id: Some("u1".into()),
        timestamp: Timestamp::from_micros(1_542_291_826_796_000).unwrap(),
        event_type: Some("NextSong".into()),
        event_id: "e1".into(),
        values: vec![
            Value::Float(2.5),
            Value::String("paid".into()),
            Value::Int(3),
            Value::Bool(false),
            Value::Null,
        ],
        unknown: vec![],
    }
}

#[test]
fn conditions() {
    let check = |source: &str, expected: Result<bool, &str>| {
        let tested = Expression::compile(source, &pipeline())
            .unwrap()
            .test(&event())
            .map_err(|error| error.to_string());
        assert_eq!(tested, expected.map_err(str::to_owned), "{source}");
    };
    check("event_type == 'NextSong' && length > 0.0", Ok(true));
    check("length > 2 && plays < 3.5", Ok(true));
    check("has(song)", Ok(false));
    check("has(length) && has(user_id)", Ok(true));
    check("!has(song) || song.startsWith('x')", Ok(true));
    check("level in ['free', 'paid']", Ok(true));
    check("level.matches('^p.*d$')", Ok(true));
    check("size(level) == 4 && !skipped", Ok(true));
    check("timestamp.getHours() == 14", Ok(true));
    check("song == null", Ok(true));
    check("false && song > 'a'", Ok(false));
    check(
        "song > 'a'",
        Err("`song > 'a'`: found no matching overload for '_>_' applied to '(null_type, string)'"),
    );
    check("length", Err("`length`: is a float, not true or false"));
}

#[test]
fn derivations() {
    let check = |source: &str, expected: Value<'_>| {
        assert_eq!(
            Expression::compile(source, &pipeline())
                .unwrap()
                .evaluate(&event()),
            Ok(expected),
            "{source}"
        );
    };
    check("double(plays) * length", Value::Float(7.5));
    check("plays + 1", Value::Int(4));
    check("level + '-' + user_id", Value::String("paid-u1".into()));
    check(
        "length > 1.0 ? 'long' : 'short'",
        Value::String("long".into()),
    );
    check("song", Value::Null);
    check("timestamp", Value::Timestamp(event().timestamp));
}

#[test]
fn what_does_not_compile_says_why() {
    let check = |source: &str, expected: &str| {
        assert_eq!(
            Expression::compile(source, &pipeline())
                .unwrap_err()
                .to_string(),
            expected
        );
    };
    check(
        "lenght > 1.0",
        "`lenght > 1.0`: there is no field `lenght`; did you mean `length`?",
    );
    check(
        "has(length.x)",
        "`has(length.x)`: has() takes the name of a field",
    );
    check(
        "lower(level)",
        "`lower(level)`: there is no function `lower`",
    );
    assert!(Expression::compile("length >", &pipeline()).is_err());
}

#[test]
fn a_condition_of_wrong_types_does_not_compile() {
    let check = |source: &str, expected: &str| {
        assert_eq!(
            Expression::compile_condition(source, &pipeline())
                .unwrap_err()
                .to_string(),
            expected
        );
    };
    check(
        "length",
        "`length`: is a double, not true or false"
            .replace("double", "float")
            .as_str(),
    );
    check(
        "song > 5",
        "`song > 5`: found no matching overload for '_>_' applied to '(string, int)'",
    );
    assert!(Expression::compile_condition("100 / plays > 3", &pipeline()).is_ok());
}

fn condition() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "length",
        "level",
        "plays",
        "skipped",
        "song",
        "event_type",
        "user_id",
        "timestamp",
    ]);
    let operator = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let literal = prop::sample::select(vec![
        "2.5",
        "0.0",
        "3",
        "-1",
        "true",
        "false",
        "'paid'",
        "'u1'",
        "'NextSong'",
        "''",
        "null",
    ]);
    let plain = prop_oneof![
        4 => (name.clone(), operator, literal).prop_map(|(name, operator, literal)| format!("{name} {operator} {literal}")),
        1 => name.prop_map(|name| format!("has({name})")),
    ];
    plain.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.prop_map(|inner| format!("!({inner})")),
        ]
    })
}

proptest! {
    /// With a shortcut or without, an expression has the same answer, and the same error.
    #[test]
    fn shortcuts_answer_as_the_interpreter(source in condition(), absent in prop::collection::vec(any::<bool>(), 5), no_user in any::<bool>()) {
        let expression = Expression::compile(&source, &pipeline()).unwrap();
        let mut event = event();
        for (value, absent) in event.values.iter_mut().zip(absent) {
            if absent {
                *value = Value::Null;
            }
        }
        if no_user {
            event.user_id = None;
        }
        prop_assert_eq!(expression.test(&event), expression.interpret(&event), "{}", source);
    }
}
