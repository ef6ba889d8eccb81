//! The stages of one pipeline file, compiled once and shared by every job and thread.

use std::sync::Arc;

use rowmill_aggregate::Plan;
use rowmill_model::{EventIdSpec, Pipeline, PipelineError, Slot};
use rowmill_quality::Checks;
use rowmill_transform::Transformer;

/// A pipeline file, compiled.
#[derive(Debug)]
pub struct Stages {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) transformer: Transformer,
    pub(crate) checks: Checks,
    pub(crate) plan: Arc<Plan>,
    pub(crate) timeline_columns: Vec<(String, Slot)>,
    /// Whether an event's identity is the hash of its key.
    pub(crate) hashes_ids: bool,
}

impl Stages {
    /// Compiles everything in a pipeline file that can be wrong.
    pub fn new(pipeline: Pipeline) -> Result<Self, PipelineError> {
        let pipeline = Arc::new(pipeline);
        let plan = Plan::new(&pipeline)?;
        Ok(Self {
            transformer: Transformer::new(Arc::clone(&pipeline))?,
            checks: Checks::new(&pipeline)?,
            timeline_columns: plan.timeline_columns(),
            hashes_ids: !matches!(pipeline.event.event_id, EventIdSpec::Natural(_)),
            plan,
            pipeline,
        })
    }

    /// The pipeline file.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// What is aggregated.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }
}
