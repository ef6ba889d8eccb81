//! Quality checks: (event, rules) to a verdict and *all* findings, and duplicates by identity.
//!
//! ```
//! use rowmill_model::{Event, Pipeline, Value};
//! use rowmill_quality::{Checks, Verdict};
//! use rowmill_rowkey::Timestamp;
//!
//! let pipeline = Pipeline::parse(
//!     "[pipeline]\nname = 'p'\n[event]\nuser_id = 'u'\ntimestamp = 't'\n[fields.length]\ntype = 'float'\nmin = 0",
//! )?;
//! let checks = Checks::new(&pipeline)?;
//! let event = Event {
//!     user_id: None,
//!     timestamp: Timestamp::from_micros(0)?,
//!     event_type: None,
//!     event_id: "1".into(),
//!     values: vec![Value::Float(-3.0)],
//!     unknown: vec![],
//! };
//! let mut findings = vec![];
//! assert_eq!(checks.check(&event, true, &mut findings), Verdict::Reject);
//! assert_eq!(findings[0].to_string(), "range length: -3 is below 0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A check says what it found and never stops the others: whoever mends a record sees everything at once. Only a rule's
//! `check` that is true passes, and a rule is only for events for which its `when` is true; an expression that has no
//! value, because it compares something absent, is neither.

mod checks;
mod duplicates;
mod field;

pub use checks::{Checks, Verdict};
pub use duplicates::{Identity, Seen};
