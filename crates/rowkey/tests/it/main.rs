//! Properties of the keys: what is written is read back, order means what it says, and no range meets a stranger.

mod ranges;
mod round_trip;
mod strategies;
mod time;
