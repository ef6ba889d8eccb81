//! Exactness, and merge laws bit for bit.

mod fold;
mod numbers;
mod sets;
