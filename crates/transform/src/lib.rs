//! Raw records to typed events: naming, cleaning, conversion, derivation. Pure: a record in, an event and findings out.
//!
//! ```
//! use std::sync::Arc;
//! use rowmill_model::{Pipeline, Value};
//! use rowmill_transform::{Place, Transformer};
//!
//! let pipeline = Pipeline::parse(
//!     r#"
//!     [pipeline]
//!     name = "listens"
//!     [event]
//!     user_id = "userId"
//!     timestamp = { from = "ts", format = "unix_ms" }
//!     event_id = ["sessionId", "itemInSession"]
//!     [fields]
//!     length = { type = "float" }
//!     "#,
//! )?;
//! let transformer = Transformer::new(Arc::new(pipeline))?;
//! let text = r#"{"userId": "26", "ts": 1542241826796, "sessionId": 583, "itemInSession": 0, "length": " 655.7 "}"#;
//! let place = Place { source: "2018-11-15.json", record: 1 };
//! let outcome = transformer.worker().json(text, place);
//! let event = outcome.event.unwrap();
//! assert_eq!((event.user_id.as_deref(), &*event.event_id), (Some("26"), "583.0"));
//! assert_eq!(event.values, [Value::Float(655.7)]);
//! assert_eq!(event.unknown[0], ("item_in_session".into(), "0".into()));
//! # Ok::<(), rowmill_model::PipelineError>(())
//! ```
//!
//! The schema is compiled once into slots: a name of the input is looked up once a file or chunk, a value goes straight
//! into its slot, and text stays borrowed from the input. There is no map of strings for a record.
//!
//! CSV fields and JSON values are converted by the same code from the text they are written as, so the same event has
//! the same values, and the same content hash, in both.

mod columns;
mod convert;
mod identity;
mod json;
mod naming;
mod number;
mod targets;
mod time;
mod transformer;
mod worker;

pub use columns::{Columns, HeaderError};
pub use identity::Place;
pub use naming::stored_name;
pub use transformer::Transformer;
pub use worker::{Outcome, Worker};
