//! The key of a group in a partial: its dimension and value.

use crate::bucket::StateError;
use crate::plan::Plan;

/// Which dimension of the plan, and which of its values. One past the dimensions are the sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupKey<'a> {
    pub(crate) dimension: usize,
    pub(crate) value: &'a str,
}

impl<'a> GroupKey<'a> {
    /// Appends the key's bytes, which sort as dimensions and values do.
    pub(crate) fn push(out: &mut Vec<u8>, dimension: usize, value: &str) {
        let dimension = u16::try_from(dimension).expect("a pipeline file has few dimensions");
        out.extend_from_slice(&dimension.to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn decode(bytes: &'a [u8], plan: &Plan) -> Result<Self, StateError> {
        let (dimension, value) = bytes.split_first_chunk().ok_or(StateError::Malformed)?;
        let dimension = usize::from(u16::from_be_bytes(*dimension));
        let value = std::str::from_utf8(value).map_err(|_| StateError::Malformed)?;
        if dimension > plan.session_dimension() || value.is_empty() {
            return Err(StateError::Malformed);
        }
        Ok(Self { dimension, value })
    }
}
