//! Properties of the keys: what is written is read back, order means what it says, and no range meets a stranger.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod ranges;
mod round_trip;
mod strategies;
mod time;
