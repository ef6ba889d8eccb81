//! Cells, mutations and the pipeline file.

mod cells;
mod pipeline_errors;
mod pipeline_file;
