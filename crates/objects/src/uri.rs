//! Names of objects: `gs://bucket/name`, `gs://bucket/folder/`, `gs://bucket/prefix*`.

use std::fmt;
use std::str::FromStr;

use glob::{MatchOptions, Pattern};

use crate::error::Error;

/// Some objects of a bucket.
///
/// - `gs://bucket/a/b.csv` is one object.
/// - `gs://bucket/a/` is all objects whose names begin with `a/`.
/// - `gs://bucket/a/b*.csv` is those that match; `*` and `?` match no slash, `**` does.
/// - `gs:///a` and `gs://bucket` are rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectUri {
    pub(crate) bucket: String,
    pub(crate) path: String,
    pattern: Option<Pattern>,
}

impl ObjectUri {
    /// Whether a text is meant to name objects.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("gs://")
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.path.is_empty() || self.path.ends_with('/')
    }

    /// Whether it is the one object of that name.
    pub fn is_single(&self) -> bool {
        self.pattern.is_none() && !self.is_folder()
    }

    /// What all names begin with.
    pub(crate) fn prefix(&self) -> &str {
        let end = self.path.find(['*', '?', '[']).unwrap_or(self.path.len());
        &self.path[..end]
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::default()
        };
        match &self.pattern {
            Some(pattern) => pattern.matches_with(name, options),
            None if self.is_folder() => name.starts_with(&self.path) && !name.ends_with('/'),
            None => name == self.path,
        }
    }
}

impl FromStr for ObjectUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let problem = |problem: String| Error::Uri {
            uri: text.to_owned(),
            problem,
        };
        let rest = text
            .strip_prefix("gs://")
            .and_then(|rest| rest.split_once('/'));
        let (bucket, path) = rest
            .filter(|(bucket, _)| !bucket.is_empty() && !bucket.contains(['*', '?', '[']))
            .ok_or_else(|| problem("it is not of the form gs://BUCKET/NAME".to_owned()))?;
        let pattern = path
            .contains(['*', '?', '['])
            .then(|| Pattern::new(path))
            .transpose()
            .map_err(|error| problem(error.msg.to_owned()))?;
        Ok(Self {
            bucket: bucket.to_owned(),
            path: path.to_owned(),
            pattern,
        })
    }
}

impl fmt::Display for ObjectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gs://{}/{}", self.bucket, self.path)
    }
}
