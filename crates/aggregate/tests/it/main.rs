//! Exactness, and merge laws bit for bit.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod fold;
mod numbers;
mod sets;
