//! What is aggregated, compiled from a pipeline file.

use std::borrow::Cow;
use std::sync::Arc;

use rowmill_expression::Expression;
use rowmill_model::{
    AggregateSpec, DimensionSource, Grain, Located, Pipeline, PipelineError, Slot, Statistic,
    Value, ValueType,
};
use rowmill_rowkey::TOTAL_DIMENSION;

use crate::layout::{Layout, MeasurePlan};
use crate::merge::Merge;
use crate::partial::PartialWriter;
use crate::session::SessionPlan;

/// What is aggregated: dimensions, measures, distinct counts, and where a timeline row has their values.
#[derive(Debug)]
pub struct Plan {
    pub(crate) dimensions: Vec<Dimension>,
    pub(crate) layout: Layout,
    pub(crate) sessions: Option<SessionPlan>,
    /// Of each measure of the layout, which of an observation's values it measures.
    pub(crate) measured: Vec<usize>,
    /// Of each distinct count, which of an observation's values it counts.
    pub(crate) counted: Vec<usize>,
    /// The slots whose values are needed, each once; what dimensions and measures point into.
    pub(crate) slots: Vec<Slot>,
    /// The slots that are columns of the timeline, by name, with their type and their place in `slots`.
    pub(crate) columns: Vec<Column>,
    pub(crate) placeholder: Option<String>,
    /// How many fields an event has, for expressions.
    pub(crate) fields: usize,
    /// Of everything that an hour's buckets depend on.
    pub(crate) fingerprint: u64,
}

#[derive(Debug)]
pub(crate) struct Dimension {
    pub(crate) name: String,
    pub(crate) value: DimensionPlan,
    pub(crate) filter: Option<Expression>,
    pub(crate) grains: Vec<Grain>,
    /// Of each leaderboard, which figure it orders by.
    pub(crate) boards: Vec<usize>,
    pub(crate) board_size: usize,
}

/// What an event's value of a dimension is.
#[derive(Debug)]
pub(crate) enum DimensionPlan {
    /// The one value of the total.
    Total,
    /// One of an observation's values.
    One(usize),
    /// Several of them.
    Several(Vec<usize>),
    /// What an expression says.
    Derived(Expression),
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) slot: Slot,
    pub(crate) value_type: ValueType,
    pub(crate) value: usize,
}

/// Collects the slots that are needed, each once.
#[derive(Default)]
struct Slots(Vec<Slot>);

impl Slots {
    fn index(&mut self, slot: Slot) -> usize {
        let known = self.0.iter().position(|other| *other == slot);
        known.unwrap_or_else(|| {
            self.0.push(slot);
            self.0.len() - 1
        })
    }

    fn expression(
        &mut self,
        source: &Located<String>,
        pipeline: &Pipeline,
        is_condition: bool,
    ) -> Result<Expression, PipelineError> {
        let compiled = if is_condition {
            Expression::compile_condition(&source.value, pipeline)
        } else {
            Expression::compile_value(&source.value, pipeline)
        };
        let compiled = compiled.map_err(|error| pipeline.error_at(source, error.to_string()))?;
        for slot in compiled.slots() {
            self.index(slot);
        }
        Ok(compiled)
    }
}

impl Plan {
    /// The plan of a pipeline file.
    pub fn new(pipeline: &Pipeline) -> Result<Arc<Self>, PipelineError> {
        let mut slots = Slots::default();
        let layout = Layout::new(measures(pipeline), distinct(pipeline));
        let mut dimensions = vec![Dimension {
            name: TOTAL_DIMENSION.to_owned(),
            value: DimensionPlan::Total,
            filter: None,
            grains: Grain::ALL.to_vec(),
            boards: Vec::new(),
            board_size: 0,
        }];
        let figures = layout.figure_names();
        for spec in &pipeline.aggregates {
            dimensions.push(dimension(spec, pipeline, &figures, &mut slots)?);
        }
        let measured = pipeline.measures.iter();
        let measured = measured
            .map(|spec| slots.index(Slot::Field(spec.field)))
            .collect();
        let counted = pipeline.distinct.iter();
        let counted = counted.map(|spec| slots.index(spec.slot)).collect();
        let sessions = pipeline.sessions.as_ref();
        let sessions = sessions.map(|spec| SessionPlan::new(spec, slots.index(spec.slot)));
        Ok(Arc::new(Self {
            fingerprint: fingerprint(pipeline, &layout),
            columns: columns(pipeline, &slots.0),
            placeholder: pipeline.event.user_id.placeholder.clone(),
            fields: pipeline.fields.len(),
            slots: slots.0,
            dimensions,
            layout,
            sessions,
            measured,
            counted,
        }))
    }

    /// The columns that a timeline row needs, ordered by name. User, id and time are in its key.
    pub fn timeline_columns(&self) -> Vec<(String, Slot)> {
        self.columns
            .iter()
            .map(|column| (column.name.clone(), column.slot))
            .collect()
    }

    /// The same columns with their types, as texts: what tells whether a row of the timeline has all that is needed.
    pub fn column_texts(&self) -> Vec<String> {
        let text = |column: &Column| format!("{} {}", column.name, column.value_type.name());
        self.columns.iter().map(text).collect()
    }

    /// What stands for a dimension in the keys of groups of sessions.
    pub(crate) fn session_dimension(&self) -> usize {
        self.dimensions.len()
    }

    /// An empty partial of this plan.
    pub fn partial(&self) -> PartialWriter {
        PartialWriter::new(self.fingerprint)
    }

    /// A chunk without a group.
    pub fn chunk_of_nothing(&self) -> Vec<u8> {
        crate::partial::head(self.fingerprint).to_vec()
    }

    /// Whether a chunk is of a partial of this plan.
    pub fn reads(&self, chunk: &[u8]) -> bool {
        chunk.starts_with(&crate::partial::head(self.fingerprint))
    }

    /// A merge of so many partials of this plan.
    pub fn merge(&self, inputs: usize) -> Merge {
        Merge::new(inputs, self.fingerprint)
    }

    /// Sessions, if they are aggregated.
    pub fn sessions(&self) -> Option<&SessionPlan> {
        self.sessions.as_ref()
    }

    /// What a bucket of events holds.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// 16 hexadecimal digits that change when what is aggregated does.
    pub fn fingerprint(&self) -> String {
        format!("{:016x}", self.fingerprint)
    }

    /// The names of the dimensions, the total first.
    pub fn dimension_names(&self) -> impl Iterator<Item = &str> {
        self.dimensions
            .iter()
            .map(|dimension| dimension.name.as_str())
    }

    /// For which lengths of time a dimension is aggregated.
    pub fn grains(&self, dimension: &str) -> Option<&[Grain]> {
        let of_name = |it: &&Dimension| it.name == dimension;
        let found = self.dimensions.iter().find(of_name);
        found.map(|dimension| dimension.grains.as_slice())
    }

    /// Whether the places by a figure, so many of them, are kept of a dimension.
    pub fn has_board(&self, dimension: &str, figure: usize, places: usize) -> bool {
        let of_name = |it: &&Dimension| it.name == dimension;
        let found = self.dimensions.iter().find(of_name);
        found.is_some_and(|it| it.boards.contains(&figure) && places <= it.board_size)
    }

    /// The names of what [`Layout::figures`] gives.
    pub fn figure_names(&self) -> Vec<String> {
        self.layout.figure_names()
    }
}

fn measures(pipeline: &Pipeline) -> Vec<MeasurePlan> {
    let measure = |spec: &rowmill_model::MeasureSpec| {
        let is_int = pipeline.fields[spec.field].value_type == ValueType::Int;
        MeasurePlan::new(&spec.name, is_int, spec.stats.clone())
    };
    pipeline.measures.iter().map(measure).collect()
}

fn distinct(pipeline: &Pipeline) -> Vec<String> {
    let names = pipeline.distinct.iter();
    names.map(|spec| spec.name.clone()).collect()
}

fn dimension(
    spec: &AggregateSpec,
    pipeline: &Pipeline,
    figures: &[String],
    slots: &mut Slots,
) -> Result<Dimension, PipelineError> {
    let value = match &spec.source {
        DimensionSource::Fields(fields) => match fields.as_slice() {
            [slot] => DimensionPlan::One(slots.index(*slot)),
            several => {
                DimensionPlan::Several(several.iter().map(|slot| slots.index(*slot)).collect())
            }
        },
        DimensionSource::Expression(source) => {
            DimensionPlan::Derived(slots.expression(source, pipeline, false)?)
        }
    };
    let filter = spec.filter.as_ref();
    let filter = filter.map(|filter| slots.expression(filter, pipeline, true));
    let mut boards = Vec::new();
    for name in &spec.top.by {
        let figure = figures.iter().position(|figure| *figure == name.value);
        boards.push(figure.ok_or_else(|| {
            let message = format!(
                "there is no figure `{}`; there are {}",
                name.value,
                figures.join(", ")
            );
            pipeline.error_at(name, message)
        })?);
    }
    Ok(Dimension {
        name: spec.name.clone(),
        value,
        filter: filter.transpose()?,
        grains: spec.grains.clone(),
        boards,
        board_size: spec.top.size,
    })
}

fn columns(pipeline: &Pipeline, slots: &[Slot]) -> Vec<Column> {
    let is_column = |slot: &Slot| matches!(slot, Slot::EventType | Slot::Field(_));
    let column = |(value, slot): (usize, &Slot)| Column {
        name: pipeline.slot_name(*slot).to_owned(),
        slot: *slot,
        value_type: pipeline.slot_type(*slot),
        value,
    };
    let mut columns: Vec<_> = slots
        .iter()
        .enumerate()
        .filter(|(_, slot)| is_column(slot))
        .map(column)
        .collect();
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    columns
}

/// Of everything that the stored bytes depend on: what is counted, for which lengths of time, and what is shown of it.
fn fingerprint(pipeline: &Pipeline, layout: &Layout) -> u64 {
    let mut text = String::new();
    for part in description(pipeline) {
        text += &part;
        text.push('\n');
    }
    text += &format!("{:016x}", layout.fingerprint);
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

/// What is aggregated, a line for each thing, in words that a message can show: ``dimension `song`: field song; by day, week``.
pub fn description(pipeline: &Pipeline) -> Vec<String> {
    let list = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(", ");
    let slot = |slot: &Slot| {
        format!(
            "{} {}",
            pipeline.slot_name(*slot),
            pipeline.slot_type(*slot).name()
        )
    };
    let dimension = |spec: &AggregateSpec| {
        let source: Cow<'_, str> = match &spec.source {
            DimensionSource::Fields(slots) => list(&mut slots.iter().map(slot)).into(),
            DimensionSource::Expression(source) => source.value.as_str().into(),
        };
        let filter = spec.filter.as_ref();
        let filter = filter.map_or(String::new(), |it| format!(" where {}", it.value));
        let grains = list(&mut spec.grains.iter().map(|grain| grain.name().to_owned()));
        let boards = list(&mut spec.top.by.iter().map(|name| name.value.clone()));
        format!(
            "dimension `{}` of {source}{filter}, by {grains}, top {} by {boards}",
            spec.name, spec.top.size
        )
    };
    let measure = |spec: &rowmill_model::MeasureSpec| {
        let stats = list(&mut spec.stats.iter().map(Statistic::to_string));
        format!(
            "measure `{}` {}: {stats}",
            spec.name,
            pipeline.fields[spec.field].value_type.name()
        )
    };
    let distinct = |spec: &rowmill_model::DistinctSpec| {
        format!("distinct `{}` of {}", spec.name, slot(&spec.slot))
    };
    let session = |spec: &rowmill_model::SessionSpec| match spec.gap_micros {
        None => format!("sessions of {}", slot(&spec.slot)),
        Some(gap) => format!("sessions by gaps of {} s", gap / 1_000_000),
    };
    let dimensions = pipeline.aggregates.iter().map(dimension);
    dimensions
        .chain(pipeline.measures.iter().map(measure))
        .chain(pipeline.distinct.iter().map(distinct))
        .chain(pipeline.sessions.iter().map(session))
        .chain(
            pipeline
                .event
                .user_id
                .placeholder
                .iter()
                .map(|it| format!("no user is {it}")),
        )
        .collect()
}

/// The text of several values as one, which no other values have: joined by `|`, with `\` before a `|` or `\` of their own.
pub(crate) fn push_joined(out: &mut String, value: &Value<'_>, is_first: bool) {
    if !is_first {
        out.push('|');
    }
    for character in value.to_text().chars() {
        if matches!(character, '|' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
}
