//! Cells, mutations and the pipeline file.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod cells;
mod pipeline_errors;
mod pipeline_file;
