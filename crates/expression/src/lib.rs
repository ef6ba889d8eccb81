//! Conditions and derivations of a pipeline file: [CEL](https://cel.dev), compiled once against the schema.
//!
//! ```
//! use rowmill_expression::Expression;
//! use rowmill_model::{Event, Pipeline, Value};
//! use rowmill_rowkey::Timestamp;
//!
//! let pipeline = Pipeline::parse(
//!     "[pipeline]\nname = 'p'\n[event]\nuser_id = 'u'\ntimestamp = 't'\n[fields.length]\ntype = 'float'",
//! )?;
//! let long = Expression::compile("has(length) && length > 60.0", &pipeline)?;
//! let event = Event {
//!     user_id: None,
//!     timestamp: Timestamp::from_micros(0)?,
//!     event_type: None,
//!     event_id: "1".into(),
//!     values: vec![Value::Float(61.5)],
//!     unknown: vec![],
//! };
//! assert_eq!(long.test(&event)?, true);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Every name in an expression is a slot of the event: a field of the schema, or `user_id`, `event_type`, `event_id`,
//! `timestamp`. A value that is absent is `null`, and `has(name)` asks whether it is there; CEL's own `has` asks that of
//! a message's field, which events do not have. Comparing `null` with a number is neither true nor false but an error,
//! which [`Expression::test`] reports, so that a stage can say which way it errs.
//!
//! The interpreter is the `cel` crate's. Conditions as plain as `level == 'paid' && length > 0.0`, which most rules are
//! made of, are answered by a shortcut without it; a property test holds the two against each other.

mod expression;
mod shortcut;
mod slots;

pub use expression::{CompileError, EvaluationError, Expression};
