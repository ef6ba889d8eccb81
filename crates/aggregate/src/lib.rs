//! Aggregates of events: exact, and mergeable in any order bit for bit.
//!
//! A [`Bucket`] is what one (dimension, value, period) knows: a count, for each measure its exact sum, least and greatest
//! value and a sketch of its quantiles, for each distinct count a set. Buckets merge, and merging is associative and
//! commutative to the bit: one pass, many shards, and hours rolled up to days and weeks all store the same bytes.
//!
//! ```
//! use rowmill_aggregate::ExactSum;
//!
//! let mut sum = ExactSum::default();
//! for _ in 0..10 {
//!     sum.add_float(0.1);
//! }
//! assert_eq!((sum.to_string().as_str(), sum.to_float()), ("1", 1.0));
//! ```
//!
//! Three decisions make that so. Sums add the shortest decimals that name the floats, in as many digits as it takes; float
//! addition depends on order, and sums of the binary values differ from what the text of a file says. Quantiles count in
//! buckets of equal relative width, cut from the bits of the float, not by a logarithm that differs between machines.
//! Distinct sets are exact up to [`EXACT_MAX`] values and HyperLogLog registers beyond, and which of the two depends on the
//! union alone.

mod board;
mod bucket;
mod bytes;
mod cells;
mod cut;
mod distinct;
mod exact_sum;
mod groups;
mod key;
mod layout;
mod limbs;
mod measure;
mod merge;
mod observation;
mod partial;
mod period;
mod plan;
mod quantiles;
mod rollup;
mod session;
mod straight;
mod touched;

pub use board::{BoardEntry, rank, read_board};
pub use bucket::{Bucket, StateError};
pub use cells::{StoredFigures, read_row};
pub use cut::{BOARD_BYTES_MAX, Cuts};
pub use distinct::{Distinct, DistinctHash, EXACT_MAX};
pub use exact_sum::{ExactSum, InvalidDecimal};
pub use groups::Groups;
pub use layout::{Figures, Layout};
pub use measure::Measure;
pub use merge::{Merge, Step};
pub use observation::{Observation, PlanError};
pub use partial::{CHUNK_BYTES, PartialWriter};
pub use period::Period;
pub use plan::{Plan, description};
pub use quantiles::Quantiles;
pub use rollup::{RollUp, board_name, combine};
pub use session::SessionPlan;
pub use straight::{LateRows, Straight, StraightRows};
pub use touched::{Touched, TouchedKeys};
