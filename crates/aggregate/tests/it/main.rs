//! Exactness, and merge laws bit for bit.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod numbers;
mod sets;
