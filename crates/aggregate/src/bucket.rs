//! What one (dimension, value, period) knows.

use smallvec::SmallVec;

use crate::bytes::{Reader, push_varint};
use crate::distinct::{Distinct, DistinctHash};
use crate::layout::Layout;
use crate::measure::{Measure, Measured};

/// The version of a bucket's bytes.
const FORMAT: u8 = 2;

/// What one (dimension, value, period) knows. Buckets of one layout merge.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// How many events.
    pub count: u64,
    /// Of each measure of the layout, in its order.
    pub measures: SmallVec<[Measure; 1]>,
    /// Of each distinct count of the layout, in its order.
    pub distinct: SmallVec<[Distinct; 2]>,
}

/// What an event adds to each of its buckets, worked out once.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) measures: Vec<Option<Measured>>,
    pub(crate) distinct: Vec<Option<DistinctHash>>,
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
    pub fn new(layout: &Layout) -> Self {
        let measures = layout
            .measures
            .iter()
            .map(|measure| Measure::new(measure.with_quantiles))
            .collect();
        Self {
            count: 0,
            measures,
            distinct: layout
                .distinct
                .iter()
                .map(|_| Distinct::default())
                .collect(),
        }
    }

    /// Forgets all events, but keeps the room that they took.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.measures.iter_mut().for_each(Measure::clear);
        self.distinct.iter_mut().for_each(Distinct::clear);
    }

    /// Becomes the bucket of this body.
    pub(crate) fn set_body(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        self.clear();
        self.merge_body(bytes)
    }

    /// Counts an event.
    pub(crate) fn add(&mut self, sample: &Sample) {
        self.count += 1;
        for (measure, measured) in self.measures.iter_mut().zip(&sample.measures) {
            if let Some(measured) = measured {
                measure.add(measured);
            }
        }
        for (distinct, hash) in self.distinct.iter_mut().zip(&sample.distinct) {
            if let Some(hash) = hash {
                distinct.add_hash(*hash);
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

    /// How many bytes it takes beside its own size, or more.
    pub(crate) fn heap_bytes(&self) -> usize {
        let mut bytes = 0;
        if self.measures.spilled() {
            bytes += self.measures.capacity() * size_of::<Measure>();
        }
        if self.distinct.spilled() {
            bytes += self.distinct.capacity() * size_of::<Distinct>();
        }
        let measures = self.measures.iter().map(Measure::heap_bytes);
        let distinct = self.distinct.iter().map(Distinct::heap_bytes);
        bytes + measures.chain(distinct).sum::<usize>()
    }

    /// The bucket's bytes: the same for the same events, however they came together.
    pub fn encode(&self, layout: &Layout) -> Vec<u8> {
        let mut out = head(layout).to_vec();
        self.encode_body(&mut out);
        debug_assert!(
            Self::decode(layout, &out).as_ref() == Ok(self),
            "a bucket is read back as it was written"
        );
        out
    }

    /// The bytes that follow the head, for whoever knows the layout.
    pub(crate) fn encode_body(&self, out: &mut Vec<u8>) {
        push_varint(out, self.count);
        self.measures.iter().for_each(|measure| measure.encode(out));
        self.distinct
            .iter()
            .for_each(|distinct| distinct.encode(out));
    }

    /// The bucket of these bytes.
    pub fn decode(layout: &Layout, bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader(bytes);
        if reader.byte() != Some(FORMAT) {
            return Err(StateError::OtherPlan);
        }
        if reader.array().map(u64::from_be_bytes) != Some(layout.fingerprint) {
            return Err(StateError::OtherPlan);
        }
        let mut bucket = Self::new(layout);
        bucket.merge_body(reader.0)?;
        Ok(bucket)
    }

    /// Adds the events of a bucket's body.
    pub(crate) fn merge_body(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let mut reader = Reader(bytes);
        self.merge_from(&mut reader)
            .filter(|()| reader.0.is_empty())
            .ok_or(StateError::Malformed)
    }

    /// Sorts out what was gathered, so that reading and writing it does not do so each time.
    pub(crate) fn settle(&mut self) {
        self.distinct.iter_mut().for_each(Distinct::settle);
    }

    fn merge_from(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        self.count = self.count.checked_add(reader.varint()?)?;
        for measure in &mut self.measures {
            measure.merge_encoded(reader)?;
        }
        for distinct in &mut self.distinct {
            distinct.merge_encoded(reader)?;
        }
        Some(())
    }
}

/// What a bucket's bytes begin with.
pub(crate) fn head(layout: &Layout) -> [u8; 9] {
    let mut head = [FORMAT; 9];
    head[1..].copy_from_slice(&layout.fingerprint.to_be_bytes());
    head
}

/// How many events a bucket's body says there are.
pub(crate) fn count_of_body(bytes: &[u8]) -> Result<u64, StateError> {
    Reader(bytes).varint().ok_or(StateError::Malformed)
}
