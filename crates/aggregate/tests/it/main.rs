//! Exactness, and merge laws bit for bit.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod boards;
mod golden;
mod numbers;
mod plays;
mod rollup;
mod sets;
