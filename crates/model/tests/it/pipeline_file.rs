//! What a pipeline file means.

use rowmill_model::{
    Bound, EventIdSpec, Grain, Pipeline, RejectLimit, Severity, Slot, Statistic, TimestampFormat,
    Unknown, Value, ValueType,
};

const FULL: &str = r#"
    [pipeline]
    name = "listens"
    max_rejects = "2.5%"
    [event]
    user_id    = { from = "user.id", type = "int", required = false, placeholder = "_none" }
    timestamp  = { from = "ts", format = ["unix_ms", "%m/%d/%Y %H:%M"], tz = "Europe/London" }
    event_type = "page"
    event_id   = ["sessionId", "itemInSession"]
    filter     = "event_type != 'Ping'"
    [csv]
    delimiter = "tab"
    columns   = ["a", "b"]
    [fields]
    unknown = "drop"
    since   = { type = "timestamp", min = 2018-11-01, max = "2018-12-01T00:00:00Z" }
    [fields.length]
    type = "float"
    from = "track.length"
    min = 0
    max = 3600.5
    [fields.level]
    type = "string"
    one_of = ["free", "paid"]
    severity = "warn"
    [[rules]]
    name = "complete"
    when = "has(level)"
    check = "length > 0.0"
    [[aggregates]]
    dimension = "level"
    grains = ["week", "day"]
    [measures.length]
    stats = ["sum", "p95"]
    [distinct]
    users = "user_id"
"#;

#[test]
fn everything_has_its_place() {
    let pipeline = Pipeline::parse(FULL).unwrap();
    assert_eq!(pipeline.max_rejects, Some(RejectLimit::Percent(2.5)));
    let event = &pipeline.event;
    assert_eq!(
        (event.user_id.from.as_str(), event.user_id.value_type),
        ("user.id", ValueType::Int)
    );
    assert_eq!(
        (event.user_id.required, event.user_id.placeholder.as_deref()),
        (false, Some("_none"))
    );
    let formats: Vec<_> = event
        .timestamp
        .formats
        .iter()
        .map(|format| format.value.clone())
        .collect();
    assert_eq!(
        formats,
        [
            TimestampFormat::UnixMillis,
            TimestampFormat::Pattern("%m/%d/%Y %H:%M".into())
        ]
    );
    assert_eq!(event.timestamp.zone.name(), "Europe/London");
    assert!(matches!(&event.event_id, EventIdSpec::Natural(paths) if paths.len() == 2));
    assert_eq!(
        (pipeline.csv.delimiter, pipeline.unknown),
        (b'\t', Unknown::Drop)
    );
    let names: Vec<_> = pipeline
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["length", "level", "since"]);
    let [length, level, since] = &pipeline.fields[..] else {
        panic!("three fields")
    };
    assert_eq!(
        (length.min, length.max),
        (Some(Bound::Float(0.0)), Some(Bound::Float(3600.5)))
    );
    assert_eq!((level.severity, level.one_of.len()), (Severity::Warn, 2));
    assert_eq!(since.min.unwrap().to_string(), "2018-11-01T00:00:00Z");
    assert_eq!(pipeline.aggregates[0].grains, [Grain::Day, Grain::Week]);
    assert_eq!(
        pipeline.measures[0].stats,
        [Statistic::Sum, Statistic::Percentile(95)]
    );
    assert_eq!(pipeline.distinct[0].slot, Slot::UserId);
}

#[test]
fn values_are_set_over_the_file() {
    let set = |settings: &[&str]| {
        let settings: Vec<_> = settings.iter().map(|&setting| setting.to_owned()).collect();
        Pipeline::parse_with(FULL, &settings)
    };
    assert!(
        set(&["event.user_id.required=true"])
            .unwrap()
            .event
            .user_id
            .required
    );
    assert_eq!(
        set(&["pipeline.name=other name"]).unwrap().name,
        "other name"
    );
    let level = set(&[
        "fields.level.one_of=['gold']",
        "fields.level.severity=reject",
    ])
    .unwrap();
    assert_eq!(
        (&level.fields[1].one_of[0], level.fields[1].severity),
        (&Value::String("gold".into()), Severity::Reject)
    );
    // A path that stands alone becomes the `from` of the table that a setting makes of it.
    let short = "[pipeline]\nname='p'\n[event]\nuser_id='u'\ntimestamp='t'";
    let settings = [
        "event.user_id.required=false".to_owned(),
        "event.user_id.placeholder=_x".to_owned(),
    ];
    let pipeline = Pipeline::parse_with(short, &settings).unwrap();
    assert_eq!(
        (
            pipeline.event.user_id.from.as_str(),
            pipeline.event.user_id.required
        ),
        ("u", false)
    );
    let plain = Pipeline::parse(FULL).unwrap();
    assert_ne!(
        set(&["pipeline.name=x"]).unwrap().fingerprint,
        plain.fingerprint
    );
    assert_eq!(
        Pipeline::parse(FULL).unwrap().fingerprint,
        plain.fingerprint
    );
    assert_eq!(
        set(&["event.user_id.requird=true"])
            .unwrap_err()
            .to_string(),
        "--set event.user_id.requird=true: unknown key `requird` in [event.user_id]; did you mean `required`?"
    );
}

#[test]
fn an_event_without_an_id_is_hashed() {
    let with = |line: &str| {
        let text = format!("[pipeline]\nname='p'\n[event]\nuser_id='u'\ntimestamp='t'\n{line}");
        Pipeline::parse(&text).unwrap().event.event_id
    };
    assert_eq!(with(""), EventIdSpec::Content);
    assert_eq!(with("event_id = { hash = 'place' }"), EventIdSpec::Place);
    assert!(
        matches!(with("event_id = 'id'"), EventIdSpec::Natural(paths) if paths[0].as_str() == "id")
    );
}

#[test]
fn limits_of_rejects() {
    let check = |text: &str, rejected, read, exceeded| {
        assert_eq!(
            text.parse::<RejectLimit>()
                .unwrap()
                .is_exceeded(rejected, read),
            exceeded,
            "{text}"
        );
    };
    check("0", 0, 10, false);
    check("0", 1, 10, true);
    check("10%", 1, 10, false);
    check("10%", 2, 10, true);
    check("0%", 0, 0, false);
    assert!("-1".parse::<RejectLimit>().is_err() && "101%".parse::<RejectLimit>().is_err());
}
