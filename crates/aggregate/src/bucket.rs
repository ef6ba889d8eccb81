//! What one (dimension, value, period) knows.

use crate::bytes::{Reader, push_varint};
use crate::distinct::Distinct;
use crate::measure::Measure;
use crate::plan::{Observation, Plan};

/// The version of a bucket's bytes.
const FORMAT: u8 = 1;

/// What one (dimension, value, period) knows. Buckets of one plan merge.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// How many events.
    pub count: u64,
    /// Of each measure of the plan, in its order.
    pub measures: Vec<Measure>,
    /// Of each distinct count of the plan, in its order.
    pub distinct: Vec<Distinct>,
}

/// A bucket's bytes that cannot be read with this pipeline file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// They were written with other measures or distinct counts.
    #[error("the aggregates were made with other measures; run `rowmill aggregate --all`")]
    OtherPlan,
    /// They are no bucket.
    #[error("the bytes are no aggregate")]
    Malformed,
}

impl Bucket {
    /// A bucket of no events.
    pub fn new(plan: &Plan) -> Self {
        let measures = plan
            .measures
            .iter()
            .map(|measure| Measure::new(measure.with_quantiles))
            .collect();
        Self {
            count: 0,
            measures,
            distinct: vec![Distinct::default(); plan.distinct.len()],
        }
    }

    /// Counts an event.
    pub fn add(&mut self, plan: &Plan, observation: &Observation<'_>) {
        self.count += 1;
        for (measure, spec) in self.measures.iter_mut().zip(&plan.measures) {
            measure.add(&observation.values[spec.value]);
        }
        for (distinct, spec) in self.distinct.iter_mut().zip(&plan.distinct) {
            let value = &observation.values[spec.value];
            if !value.is_null() {
                distinct.add(&value.to_text());
            }
        }
    }

    /// Adds the events of another bucket, which must not be among this one's.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.measures
            .iter_mut()
            .zip(&other.measures)
            .for_each(|(ours, theirs)| ours.merge(theirs));
        self.distinct
            .iter_mut()
            .zip(&other.distinct)
            .for_each(|(ours, theirs)| ours.merge(theirs));
    }

    /// The bucket's bytes: the same for the same events, however they came together.
    pub fn encode(&self, plan: &Plan) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&plan.fingerprint.to_be_bytes());
        push_varint(&mut out, self.count);
        self.measures
            .iter()
            .for_each(|measure| measure.encode(&mut out));
        self.distinct
            .iter()
            .for_each(|distinct| distinct.encode(&mut out));
        debug_assert!(
            Self::decode(plan, &out).as_ref() == Ok(self),
            "a bucket is read back as it was written"
        );
        out
    }

    /// The bucket of these bytes.
    pub fn decode(plan: &Plan, bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader(bytes);
        if reader.byte() != Some(FORMAT) {
            return Err(StateError::Malformed);
        }
        if reader.array().map(u64::from_be_bytes) != Some(plan.fingerprint) {
            return Err(StateError::OtherPlan);
        }
        Self::decode_counts(plan, &mut reader)
            .filter(|_| reader.0.is_empty())
            .ok_or(StateError::Malformed)
    }

    fn decode_counts(plan: &Plan, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            count: reader.varint()?,
            measures: plan
                .measures
                .iter()
                .map(|measure| Measure::decode(reader, measure.with_quantiles))
                .collect::<Option<_>>()?,
            distinct: plan
                .distinct
                .iter()
                .map(|_| Distinct::decode(reader))
                .collect::<Option<_>>()?,
        })
    }
}
