//! What rowmill handles, as types: the pipeline file, values, events, mutations, rows and tables.
//!
//! | type | is |
//! |---|---|
//! | [`Pipeline`] | the parsed `rowmill.toml`: what an event is and what is done with it |
//! | [`Value`], [`ValueType`] | one typed field, and its bytes in a cell |
//! | [`Event`] | one event, its values borrowed from the input |
//! | [`Finding`], [`Reason`] | one thing wrong with one record |
//! | [`MutationBatch`], [`Row`] | what is written to a table and read from it, as compact buffers |
//! | [`TABLES`] | the five tables and their families |
//!
//! ```
//! use rowmill_model::Pipeline;
//!
//! let pipeline = Pipeline::parse(
//!     r#"
//!     [pipeline]
//!     name = "listens"
//!     [event]
//!     user_id = "userId"
//!     timestamp = { from = "ts", format = "unix_ms" }
//!     [fields.length]
//!     type = "float"
//!     min = 0
//!     "#,
//! )?;
//! assert_eq!(pipeline.fields[0].name, "length");
//!
//! let error = Pipeline::parse("[pipeline]\nnmae = \"listens\"").unwrap_err();
//! assert!(error.to_string().contains("2:1: unknown key `nmae` in [pipeline]; did you mean `name`?"));
//! # Ok::<(), rowmill_model::PipelineError>(())
//! ```
//!
//! Mutations are flat buffers, not trees of vectors: an event of twenty fields costs one copy into an arena instead of
//! forty allocations, and a store can keep or send the bytes as they are.
//!
//! Features: `testing` adds the proptest strategies of the `arbitrary` module.

#[cfg(feature = "testing")]
pub mod arbitrary;
pub mod columns;
mod event;
mod finding;
mod mutation;
mod pipeline;
mod row;
mod tables;
mod value;

pub use event::{Event, EventReadError, Provenance, Slot, StoredEvent};
pub use finding::{Finding, Reason, Severity};
pub use mutation::{
    CellWriter, InvalidMutation, Mutation, MutationBatch, Mutations, RowMutation, RowWriter,
    TIMESTAMP_MICROS_STEP,
};
pub use pipeline::{
    AggregateSpec, Bound, CsvSpec, DimensionSource, DistinctSpec, EventIdSpec, EventSpec,
    FieldSpec, Grain, Located, Location, MeasureSpec, Path, Pipeline, PipelineError, Problem,
    RejectLimit, RetentionSpec, RuleSpec, SessionSpec, Statistic, TimestampFormat, TimestampSpec,
    TopSpec, Unknown, UserIdSpec,
};
pub use row::{Cell, Cells, Row, RowBuilder};
pub use tables::{FamilySpec, GcRule, TABLES, TableSpec};
pub use value::{Value, ValueError, ValueType, parse_time};
