//! What tests of waiting need: time that passes when it is told to, and chance that is none.

mod manual_timer;

pub use manual_timer::{FixedRandom, ManualTimer};
