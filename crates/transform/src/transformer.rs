//! A pipeline file, compiled for transformation.

use std::sync::Arc;

use rowmill_expression::Expression;
use rowmill_model::{Located, Pipeline, PipelineError, Slot};

use crate::columns::{Columns, HeaderError};
use crate::convert::Converter;
use crate::targets::Targets;
use crate::time::TimeParser;
use crate::worker::Worker;

/// Turns records into events. Compiled once, shared by all threads; each of them takes a [`Worker`].
#[derive(Debug)]
pub struct Transformer {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) targets: Targets,
    pub(crate) timestamp: TimeParser,
    pub(crate) converters: Vec<Converter>,
    /// Fields that are computed, and what computes them.
    pub(crate) derived: Vec<(usize, Expression)>,
    pub(crate) names: Vec<String>,
}

impl Transformer {
    /// Compiles a pipeline file's schema.
    pub fn new(pipeline: Arc<Pipeline>) -> Result<Self, PipelineError> {
        let time = &pipeline.event.timestamp;
        let timestamp = TimeParser::new(&time.formats, time.zone)
            .map_err(|(index, error)| pipeline.error_at(&time.formats[index], error.to_string()))?;
        let converter =
            |field| Converter::new(field).map_err(|(index, error)| (&field.formats[index], error));
        let converters = pipeline
            .fields
            .iter()
            .map(converter)
            .collect::<Result<_, _>>();
        let converters =
            converters.map_err(|(format, error)| pipeline.error_at(format, error.to_string()))?;
        let mut derived = Vec::new();
        for (index, field) in pipeline.fields.iter().enumerate() {
            if let Some(source) = &field.derive {
                derived.push((index, derivation(&pipeline, source)?));
            }
        }
        let names = pipeline
            .fields
            .iter()
            .map(|field| field.name.clone())
            .collect();
        Ok(Self {
            targets: Targets::new(&pipeline),
            timestamp,
            converters,
            derived,
            names,
            pipeline,
        })
    }

    /// What the columns of a CSV file mean.
    pub fn columns(&self, header: &[&str]) -> Result<Columns, HeaderError> {
        Columns::new(&self.pipeline, &self.targets, header)
    }

    /// A worker for records that live as long as `'a`.
    pub fn worker<'a>(&self) -> Worker<'_, 'a> {
        Worker::new(self)
    }
}

fn derivation(pipeline: &Pipeline, source: &Located<String>) -> Result<Expression, PipelineError> {
    let expression = Expression::compile(&source.value, pipeline)
        .map_err(|error| pipeline.error_at(source, error.to_string()))?;
    for slot in expression.slots() {
        if let Slot::Field(index) = slot
            && pipeline.fields[index].derive.is_some()
        {
            let message = format!(
                "`{}` is derived itself, and a derived field sees only those that are read",
                pipeline.fields[index].name
            );
            return Err(pipeline.error_at(source, message));
        }
        if slot == Slot::EventId {
            return Err(pipeline.error_at(
                source,
                "`event_id` may follow from the fields, so no field derives from it",
            ));
        }
    }
    Ok(expression)
}
