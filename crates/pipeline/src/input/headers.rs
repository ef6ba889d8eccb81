//! What the columns of CSV files mean: once for all files that have the same header.

use std::collections::HashMap;
use std::sync::Arc;

use rowmill_transform::{Columns, HeaderError};

use crate::stages::Stages;

/// The headers that were met.
#[derive(Debug, Default)]
pub(super) struct Headers {
    known: HashMap<Vec<String>, Header>,
}

/// A header, and what its columns mean.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) columns: Arc<Columns>,
    /// As a JSON array.
    pub(super) json: Arc<str>,
}

impl Headers {
    /// What a header means by the pipeline file.
    pub(super) fn of(&mut self, stages: &Stages, header: &[String]) -> Result<Header, HeaderError> {
        if let Some(known) = self.known.get(header) {
            return Ok(known.clone());
        }
        let names: Vec<_> = header.iter().map(String::as_str).collect();
        let json = serde_json::to_string(header).expect("texts are JSON");
        let found = Header {
            columns: Arc::new(stages.transformer.columns(&names)?),
            json: json.into(),
        };
        self.known.insert(header.to_vec(), found.clone());
        Ok(found)
    }
}
