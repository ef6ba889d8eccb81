//! From the file's text to a [`Pipeline`]: section by section, all problems at once.

use std::ops::Range;

use chrono_tz::Tz;
use rowmill_rowkey::Timestamp;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::did_you_mean;
use super::section::{Node, Problems, Section, float, integer};
use super::{
    AggregateSpec, Bound, CsvSpec, DistinctSpec, EventIdSpec, EventSpec, FieldSpec, Grain, Located,
    MeasureSpec, Path, Pipeline, PipelineError, Problem, RejectLimit, RuleSpec, SourceText,
    Statistic, TimestampFormat, TimestampSpec, Unknown, UserIdSpec,
};
use crate::event::Slot;
use crate::finding::Severity;
use crate::value::{Value, ValueType, parse_time};

/// The pipeline of a file and the values set over it.
pub(super) fn pipeline(source: &SourceText) -> Result<Pipeline, PipelineError> {
    let table = merged_table(source)?;
    let problems = Problems::new(source);
    let pipeline = read_file(Section::new(&problems, "file".into(), 0..0, table), source);
    problems.into_result()?;
    Ok(pipeline.expect("what is missing is a problem"))
}

fn merged_table(source: &SourceText) -> Result<DeTable<'_>, PipelineError> {
    let mut merged = parse(&source.file, 0, source)?;
    let mut start = source.file.len() + 1;
    for setting in &source.overrides {
        merge(&mut merged, parse(setting, start, source)?);
        start += setting.len() + 1;
    }
    Ok(merged)
}

fn parse<'i>(
    text: &'i str,
    shift: usize,
    source: &SourceText,
) -> Result<DeTable<'i>, PipelineError> {
    match DeTable::parse(text) {
        Ok(table) => Ok(shift_table(table.into_inner(), shift)),
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start);
            let location = source.locate(start + shift);
            let message = error.message().trim().replace('\n', ", ");
            Err(PipelineError::new(vec![Problem {
                location,
                message,
                hint: None,
            }]))
        }
    }
}

fn shift_table(table: DeTable<'_>, shift: usize) -> DeTable<'_> {
    table
        .into_iter()
        .map(|(key, node)| (shift_span(key, shift), shift_node(node, shift)))
        .collect()
}

fn shift_node(node: Node<'_>, shift: usize) -> Node<'_> {
    let moved = shift_span(node, shift);
    let span = moved.span();
    let value = match moved.into_inner() {
        DeValue::Table(table) => DeValue::Table(shift_table(table, shift)),
        other => other,
    };
    Spanned::new(span, value)
}

fn shift_span<T>(spanned: Spanned<T>, shift: usize) -> Spanned<T> {
    let Range { start, end } = spanned.span();
    Spanned::new(start + shift..end + shift, spanned.into_inner())
}

/// Lays `layer` over `base`. Where a table meets a plain path, the path becomes the table's `from`.
fn merge<'i>(base: &mut DeTable<'i>, layer: DeTable<'i>) {
    for (key, node) in layer {
        let DeValue::Table(inner) = node.get_ref() else {
            base.insert(key, node);
            continue;
        };
        let inner = inner.clone();
        match base.get_mut(&key) {
            None => {
                base.insert(key, node);
            }
            Some(existing) => {
                if existing.get_ref().is_str() {
                    let from = Spanned::new(existing.span(), "from".into());
                    let table = DeTable::from_iter([(from, existing.clone())]);
                    *existing.get_mut() = DeValue::Table(table);
                }
                match existing.get_mut() {
                    DeValue::Table(table) => merge(table, inner),
                    _ => *existing = node,
                }
            }
        }
    }
}

fn read_file(mut file: Section<'_, '_, '_>, source: &SourceText) -> Option<Pipeline> {
    let problems = file.problems;
    let mut pipeline = file.table("pipeline");
    let name = pipeline.as_mut().and_then(|section| section.string("name"));
    let max_rejects = pipeline.as_mut().and_then(reject_limit);
    match pipeline {
        Some(section) => {
            if name.is_none() {
                section.missing("name");
            }
            section.finish();
        }
        None => file.missing("pipeline"),
    }
    let event = match file.table("event") {
        Some(section) => event(section),
        None => {
            file.missing("event");
            None
        }
    };
    let (fields, unknown) = file.table("fields").map(fields).unwrap_or_default();
    let csv = file.table("csv").map(csv).unwrap_or_default();
    let mut pipeline = Pipeline {
        name: name?.value,
        max_rejects,
        event: event?,
        fields,
        unknown,
        csv,
        rules: file.tables("rules").into_iter().filter_map(rule).collect(),
        aggregates: Vec::new(),
        measures: Vec::new(),
        distinct: Vec::new(),
        fingerprint: fingerprint(source),
        source: source.clone(),
    };
    duplicate_names(problems, &pipeline);
    for section in file.tables("aggregates") {
        let spec = aggregate(section, &pipeline);
        pipeline.aggregates.extend(spec);
    }
    pipeline.measures = file
        .table("measures")
        .map(|section| measures(section, &pipeline))
        .unwrap_or_default();
    pipeline.distinct = file
        .table("distinct")
        .map(|section| distinct(section, &pipeline))
        .unwrap_or_default();
    file.finish();
    Some(pipeline)
}

fn fingerprint(source: &SourceText) -> String {
    let text = [std::slice::from_ref(&source.file), &source.overrides]
        .concat()
        .join("\n--set ");
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(text.as_bytes()))
}

fn reject_limit(section: &mut Section<'_, '_, '_>) -> Option<RejectLimit> {
    let node = section.node("max_rejects")?;
    let limit = match node.get_ref() {
        DeValue::String(text) => text.parse().ok(),
        other => integer(other)
            .and_then(|count| u64::try_from(count).ok())
            .map(RejectLimit::Count),
    };
    if limit.is_none() {
        section.wrong_type("max_rejects", "a count, or a share such as \"5%\"", &node);
    }
    limit
}

fn event(mut section: Section<'_, '_, '_>) -> Option<EventSpec> {
    let user_id = section
        .node("user_id")
        .and_then(|node| user_id(&section, node));
    let timestamp = section
        .node("timestamp")
        .and_then(|node| timestamp(&section, node));
    let event_type = section.string("event_type").map(|text| Path(text.value));
    let event_id = section
        .node("event_id")
        .map_or(Some(EventIdSpec::Content), |node| event_id(&section, node));
    let filter = section.string("filter");
    for (key, found) in [
        ("user_id", user_id.is_some()),
        ("timestamp", timestamp.is_some()),
    ] {
        if !found {
            section.missing(key);
        }
    }
    section.finish();
    Some(EventSpec {
        user_id: user_id?,
        timestamp: timestamp?,
        event_type,
        event_id: event_id?,
        filter,
    })
}

fn user_id(parent: &Section<'_, '_, '_>, node: Node<'_>) -> Option<UserIdSpec> {
    if let Some(path) = node.get_ref().as_str() {
        let from = Path(path.to_owned());
        return Some(UserIdSpec {
            from,
            value_type: ValueType::String,
            required: true,
            placeholder: None,
        });
    }
    let mut section = parent.as_table("user_id", node)?;
    let from = section.string("from").map(|text| Path(text.value));
    let types = [("string", ValueType::String), ("int", ValueType::Int)];
    let value_type = section.word("type", &types).unwrap_or(ValueType::String);
    let required = section.bool("required").unwrap_or(true);
    let placeholder = section
        .string("placeholder")
        .map(|text| text.value)
        .filter(|text| !text.is_empty());
    if from.is_none() {
        section.missing("from");
    }
    if !required && placeholder.is_none() {
        let message = "`required = false` needs a `placeholder`, which stands in the keys of events without a user";
        section.problems.add(&section.span, message);
    }
    section.finish();
    Some(UserIdSpec {
        from: from?,
        value_type,
        required,
        placeholder,
    })
}

fn timestamp(parent: &Section<'_, '_, '_>, node: Node<'_>) -> Option<TimestampSpec> {
    if let Some(path) = node.get_ref().as_str() {
        let formats = vec![Located {
            value: TimestampFormat::Rfc3339,
            start: node.span().start,
        }];
        return Some(TimestampSpec {
            from: Path(path.to_owned()),
            formats,
            zone: Tz::UTC,
        });
    }
    let mut section = parent.as_table("timestamp", node)?;
    let from = section.string("from").map(|text| Path(text.value));
    let (formats, zone) = formats(&mut section);
    if from.is_none() {
        section.missing("from");
    }
    section.finish();
    Some(TimestampSpec {
        from: from?,
        formats,
        zone,
    })
}

/// `format` and `tz` of a section; RFC 3339 and UTC without them.
fn formats(section: &mut Section<'_, '_, '_>) -> (Vec<Located<TimestampFormat>>, Tz) {
    let formats = section.strings("format").unwrap_or_default();
    let mut formats: Vec<_> = formats
        .into_iter()
        .map(|text| timestamp_format(section, text))
        .collect();
    if formats.is_empty() {
        formats.push(Located {
            value: TimestampFormat::Rfc3339,
            start: section.span.start,
        });
    }
    let zone = section.string("tz").and_then(|text| {
        let zone = text.value.parse();
        if zone.is_err() {
            let message = format!(
                "`{}` is no time zone; zones have names such as `UTC` or `Europe/London`",
                text.value
            );
            section.problems.add(&(text.start..text.start), message);
        }
        zone.ok()
    });
    (formats, zone.unwrap_or(Tz::UTC))
}

fn timestamp_format(
    section: &Section<'_, '_, '_>,
    text: Located<String>,
) -> Located<TimestampFormat> {
    let named = [
        ("rfc3339", TimestampFormat::Rfc3339),
        ("unix_s", TimestampFormat::UnixSeconds),
        ("unix_ms", TimestampFormat::UnixMillis),
        ("unix_us", TimestampFormat::UnixMicros),
    ];
    let value = match named.iter().find(|(name, _)| *name == text.value) {
        Some((_, format)) => format.clone(),
        None => {
            if !text.value.contains('%') {
                let message = format!("`{}` is no timestamp format", text.value);
                let hint = did_you_mean(&text.value, named.iter().map(|(name, _)| *name));
                let hint = hint.or_else(|| {
                    Some("it is rfc3339, unix_s, unix_ms, unix_us or a pattern with %".into())
                });
                section
                    .problems
                    .add_with_hint(&(text.start..text.start), message, hint);
            }
            TimestampFormat::Pattern(text.value)
        }
    };
    Located {
        value,
        start: text.start,
    }
}

fn event_id(parent: &Section<'_, '_, '_>, node: Node<'_>) -> Option<EventIdSpec> {
    match node.get_ref() {
        DeValue::String(path) => Some(EventIdSpec::Natural(vec![Path(path.clone().into_owned())])),
        DeValue::Array(items) if !items.is_empty() => {
            let paths = items.iter().map(|item| {
                parent
                    .as_string("event_id", item)
                    .map(|text| Path(text.value))
            });
            paths.collect::<Option<_>>().map(EventIdSpec::Natural)
        }
        DeValue::Table(_) => {
            let mut section = parent.as_table("event_id", node)?;
            let kind = section.word(
                "hash",
                &[
                    ("content", EventIdKind::Content),
                    ("place", EventIdKind::Place),
                ],
            );
            if kind.is_none() {
                section.missing("hash");
            }
            section.finish();
            kind.map(|kind| match kind {
                EventIdKind::Content => EventIdSpec::Content,
                EventIdKind::Place => EventIdSpec::Place,
            })
        }
        _ => {
            parent.wrong_type(
                "event_id",
                "a path, a list of paths, or { hash = \"content\" } or \"place\"",
                &node,
            );
            None
        }
    }
}

#[derive(Clone, Copy)]
enum EventIdKind {
    Content,
    Place,
}

fn fields(mut section: Section<'_, '_, '_>) -> (Vec<FieldSpec>, Unknown) {
    let mut unknown = Unknown::Keep;
    let mut fields = Vec::new();
    for (name, span, node) in section.rest() {
        // A table called `unknown` is a field of that name; a word is the policy.
        if name == "unknown" && node.get_ref().is_str() {
            let policy = DeTable::from_iter([(Spanned::new(span, "unknown".into()), node)]);
            let mut policy = Section::new(
                section.problems,
                section.title.clone(),
                section.span.clone(),
                policy,
            );
            let words = [
                ("keep", Unknown::Keep),
                ("drop", Unknown::Drop),
                ("reject", Unknown::Reject),
            ];
            unknown = policy.word("unknown", &words).unwrap_or_default();
            continue;
        }
        field_name(section.problems, &name, &span);
        fields.extend(
            section
                .as_table(&name, node)
                .map(|section| field(name, section)),
        );
    }
    (fields, unknown)
}

fn field_name(problems: &Problems<'_>, name: &str, span: &Range<usize>) {
    let valid = !name.is_empty()
        && name
            .chars()
            .all(|c| c == '_' || c.is_alphanumeric() && !c.is_uppercase());
    if !valid || name.starts_with('_') {
        let message = format!(
            "`{name}` is no stored name: those are in snake_case and do not start with `_`"
        );
        let hint = Some("name the source with `from`".into());
        problems.add_with_hint(span, message, hint);
    }
    if Slot::BUILT_IN.iter().any(|(built_in, _)| *built_in == name) {
        problems.add(
            span,
            format!("`{name}` is set in [event] and cannot be a field as well"),
        );
    }
}

fn field(name: String, mut section: Section<'_, '_, '_>) -> FieldSpec {
    let types = ValueType::ALL.map(|value_type| (value_type.name(), value_type));
    let given = section.entries_contain("type");
    let value_type = section.word("type", &types);
    if !given {
        section.missing("type");
    }
    let is_timestamp = value_type == Some(ValueType::Timestamp);
    let (formats, zone) = if is_timestamp {
        formats(&mut section)
    } else {
        (Vec::new(), Tz::UTC)
    };
    let spec = FieldSpec {
        name,
        from: section.string("from").map(|text| Path(text.value)),
        value_type: value_type.unwrap_or(ValueType::String),
        trim: section.bool("trim").unwrap_or(true),
        formats,
        zone,
        derive: section.string("derive"),
        required: section.bool("required").unwrap_or(false),
        min: bound(&mut section, "min", value_type),
        max: bound(&mut section, "max", value_type),
        one_of: one_of(&mut section, value_type),
        pattern: pattern(&mut section),
        min_length: section.count("min_length"),
        max_length: section.count("max_length"),
        severity: severity(&mut section),
    };
    if spec
        .min
        .zip(spec.max)
        .is_some_and(|(min, max)| min.exceeds(max))
    {
        section.problems.add(
            &section.span,
            format!("`min` of {} is greater than its `max`", section.title),
        );
    }
    if spec.derive.is_some() && spec.from.is_some() {
        section.problems.add(
            &section.span,
            format!("{} has both `from` and `derive`", section.title),
        );
    }
    section.finish();
    spec
}

fn severity(section: &mut Section<'_, '_, '_>) -> Severity {
    let words = [("reject", Severity::Reject), ("warn", Severity::Warn)];
    section.word("severity", &words).unwrap_or(Severity::Reject)
}

fn pattern(section: &mut Section<'_, '_, '_>) -> Option<Located<String>> {
    let pattern = section.string("pattern")?;
    if let Err(error) = regex::Regex::new(&pattern.value) {
        let message = error.to_string();
        let last = message
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        section.problems.add(
            &(pattern.start..pattern.start),
            format!("`{}` is no pattern: {last}", pattern.value),
        );
    }
    Some(pattern)
}

fn bound(
    section: &mut Section<'_, '_, '_>,
    key: &'static str,
    value_type: Option<ValueType>,
) -> Option<Bound> {
    let node = section.node(key)?;
    let bound = match value_type? {
        ValueType::Int => integer(node.get_ref()).map(Bound::Int),
        ValueType::Float => float(node.get_ref()).map(Bound::Float),
        ValueType::Timestamp => point_in_time(node.get_ref()).map(Bound::Timestamp),
        _ => None,
    };
    if bound.is_none() {
        let wanted = match value_type? {
            ValueType::Int => "a whole number",
            ValueType::Float => "a number",
            ValueType::Timestamp => "a date or an RFC 3339 time",
            _ => "left out: only numbers and timestamps have a range",
        };
        section.wrong_type(key, wanted, &node);
    }
    bound
}

fn point_in_time(value: &DeValue<'_>) -> Option<Timestamp> {
    match value {
        DeValue::String(text) => parse_time(text),
        DeValue::Datetime(time) => parse_time(&time.to_string()),
        _ => None,
    }
}

fn one_of(section: &mut Section<'_, '_, '_>, value_type: Option<ValueType>) -> Vec<Value<'static>> {
    let Some(node) = section.node("one_of") else {
        return Vec::new();
    };
    let Some(value_type) = value_type else {
        return Vec::new();
    };
    let value = |item: &DeValue<'_>| match value_type {
        ValueType::String => item
            .as_str()
            .map(|text| Value::String(text.to_owned().into())),
        ValueType::Int => integer(item).map(Value::Int),
        ValueType::Float => float(item).map(Value::Float),
        ValueType::Bool => item.as_bool().map(Value::Bool),
        ValueType::Timestamp | ValueType::Json => None,
    };
    let values = node
        .get_ref()
        .as_array()
        .and_then(|items| items.iter().map(|item| value(item.get_ref())).collect());
    values
        .filter(|values: &Vec<_>| !values.is_empty())
        .unwrap_or_else(|| {
            section.wrong_type(
                "one_of",
                &format!("a list of values of type {}", value_type.name()),
                &node,
            );
            Vec::new()
        })
}

fn csv(mut section: Section<'_, '_, '_>) -> CsvSpec {
    let delimiter = section
        .string("delimiter")
        .and_then(|text| match text.value.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Some(*byte),
            _ if text.value == "tab" => Some(b'\t'),
            _ => {
                let message = format!(
                    "`{}` is no delimiter, which is one ASCII character or `tab`",
                    text.value
                );
                section.problems.add(&(text.start..text.start), message);
                None
            }
        });
    let columns = section
        .strings("columns")
        .map(|columns| columns.into_iter().map(|text| text.value).collect());
    section.finish();
    CsvSpec {
        delimiter: delimiter.unwrap_or(b','),
        columns,
    }
}

fn rule(mut section: Section<'_, '_, '_>) -> Option<RuleSpec> {
    let name = section.string("name");
    let when = section.string("when");
    let check = section.string("check");
    let severity = severity(&mut section);
    for (key, found) in [("name", name.is_some()), ("check", check.is_some())] {
        if !found {
            section.missing(key);
        }
    }
    section.finish();
    Some(RuleSpec {
        name: name?.value,
        when,
        check: check?,
        severity,
    })
}

fn duplicate_names(problems: &Problems<'_>, pipeline: &Pipeline) {
    for (index, rule) in pipeline.rules.iter().enumerate() {
        if pipeline.rules[..index]
            .iter()
            .any(|earlier| earlier.name == rule.name)
        {
            problems.add(
                &(rule.check.start..rule.check.start),
                format!("a second rule is called `{}`", rule.name),
            );
        }
    }
}

/// The slot that `name` means, or a problem that names the nearest one.
fn slot(problems: &Problems<'_>, pipeline: &Pipeline, name: &str, at: usize) -> Option<Slot> {
    let slot = pipeline.slot(name);
    if slot.is_none() {
        let hint = pipeline.nearest_slot(name);
        problems.add_with_hint(&(at..at), format!("there is no field `{name}`"), hint);
    }
    slot
}

fn aggregate(mut section: Section<'_, '_, '_>, pipeline: &Pipeline) -> Option<AggregateSpec> {
    let dimension = section.string("dimension");
    if dimension.is_none() {
        section.missing("dimension");
    }
    let grains = grains(&mut section);
    let problems = section.problems;
    section.finish();
    let dimension = dimension?;
    let slot = slot(problems, pipeline, &dimension.value, dimension.start)?;
    if pipeline
        .aggregates
        .iter()
        .any(|spec| spec.dimension == dimension.value)
    {
        problems.add(
            &(dimension.start..dimension.start),
            format!("`{}` is aggregated by twice", dimension.value),
        );
    }
    Some(AggregateSpec {
        dimension: dimension.value,
        slot,
        grains,
    })
}

fn grains(section: &mut Section<'_, '_, '_>) -> Vec<Grain> {
    let Some(names) = section.strings("grains") else {
        return Grain::ALL.to_vec();
    };
    let mut grains = Vec::new();
    for name in names {
        match Grain::ALL
            .into_iter()
            .find(|grain| grain.name() == name.value)
        {
            Some(grain) => grains.push(grain),
            None => {
                let message = format!(
                    "`{}` is no grain, which is `hour`, `day` or `week`",
                    name.value
                );
                section.problems.add(&(name.start..name.start), message);
            }
        }
    }
    grains.sort_unstable();
    grains.dedup();
    grains
}

fn measures(mut section: Section<'_, '_, '_>, pipeline: &Pipeline) -> Vec<MeasureSpec> {
    let problems = section.problems;
    let mut measures = Vec::new();
    for (name, span, node) in section.rest() {
        let Some(mut inner) = section.as_table(&name, node) else {
            continue;
        };
        let stats = statistics(&mut inner);
        inner.finish();
        match slot(problems, pipeline, &name, span.start) {
            Some(Slot::Field(field)) if is_number(pipeline.fields[field].value_type) => {
                measures.push(MeasureSpec { name, field, stats });
            }
            Some(_) => problems.add(
                &span,
                format!("`{name}` is no number and cannot be measured"),
            ),
            None => {}
        }
    }
    measures
}

fn is_number(value_type: ValueType) -> bool {
    matches!(value_type, ValueType::Int | ValueType::Float)
}

fn statistics(section: &mut Section<'_, '_, '_>) -> Vec<Statistic> {
    let Some(names) = section.strings("stats") else {
        return vec![
            Statistic::Sum,
            Statistic::Min,
            Statistic::Max,
            Statistic::Avg,
        ];
    };
    let mut stats = Vec::new();
    for name in names {
        match Statistic::from_name(&name.value) {
            Some(statistic) if !stats.contains(&statistic) => stats.push(statistic),
            Some(_) => {}
            None => {
                let message = format!("`{}` is no statistic", name.value);
                let hint = Some("there are count, sum, min, max, avg, and p1 to p99".into());
                section
                    .problems
                    .add_with_hint(&(name.start..name.start), message, hint);
            }
        }
    }
    stats
}

fn distinct(mut section: Section<'_, '_, '_>, pipeline: &Pipeline) -> Vec<DistinctSpec> {
    let mut specs = Vec::new();
    for (name, _, node) in section.rest() {
        let Some(field) = section.as_string(&name, &node) else {
            continue;
        };
        let slot = slot(section.problems, pipeline, &field.value, field.start);
        specs.extend(slot.map(|slot| DistinctSpec { name, slot }));
    }
    specs
}
