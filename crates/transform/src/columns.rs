//! What the columns of one CSV file mean, resolved from its header once.

use std::collections::HashMap;
use std::fmt;

use rowmill_model::Pipeline;

use crate::targets::{Resolved, Target, Targets};

/// The columns of a CSV file, each with the slots it fills.
#[derive(Debug, Clone)]
pub struct Columns {
    pub(crate) resolved: Vec<Resolved>,
}

impl Columns {
    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.resolved.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.resolved.is_empty()
    }

    pub(crate) fn new(
        pipeline: &Pipeline,
        targets: &Targets,
        header: &[&str],
    ) -> Result<Self, HeaderError> {
        let resolve = |(index, name): (usize, &&str)| targets.resolve(name, Some(index + 1));
        let columns = Self {
            resolved: header.iter().enumerate().map(resolve).collect(),
        };
        columns.check_collisions(pipeline, targets, header)?;
        let mut is_filled = vec![false; targets.len()];
        for target in columns.resolved.iter().flat_map(|column| &column.targets) {
            is_filled[target.0] = true;
        }
        let filled = |target: &Target| is_filled[target.0];
        let mut missing: Vec<String> = Vec::new();
        for (path, target) in targets.paths() {
            let needed = targets
                .field_index(*target)
                .is_none_or(|index| pipeline.fields[index].required);
            if needed && !filled(target) && !missing.contains(&path.to_string()) {
                missing.push(path.to_string());
            }
        }
        for (index, field) in pipeline.fields.iter().enumerate() {
            let named = field.from.is_none() && field.derive.is_none() && field.required;
            if named && !filled(&targets.field(index)) {
                missing.push(field.name.clone());
            }
        }
        if missing.is_empty() {
            return Ok(columns);
        }
        Err(HeaderError::Missing {
            missing,
            header: header.iter().map(ToString::to_string).collect(),
        })
    }

    fn check_collisions(
        &self,
        pipeline: &Pipeline,
        targets: &Targets,
        header: &[&str],
    ) -> Result<(), HeaderError> {
        let mut stored: HashMap<&str, &str> = HashMap::new();
        for (column, name) in self.resolved.iter().zip(header) {
            let fields = column
                .targets
                .iter()
                .filter_map(|target| targets.field_index(*target));
            let names = fields
                .map(|index| pipeline.fields[index].name.as_str())
                .chain(column.unknown.as_deref());
            for field in names {
                if let Some(first) = stored.insert(field, name) {
                    return Err(HeaderError::Collision {
                        first: first.to_owned(),
                        second: (*name).to_owned(),
                        field: field.to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// A CSV header that the pipeline file cannot be used with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderError {
    /// Columns that every event needs are not there.
    Missing {
        /// The columns.
        missing: Vec<String>,
        /// Those that are there.
        header: Vec<String>,
    },
    /// Two columns are the same field once their names are folded.
    Collision {
        /// The first column.
        first: String,
        /// The second column.
        second: String,
        /// The field.
        field: String,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| {
            names
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match self {
            Self::Missing { missing, header } => {
                write!(
                    f,
                    "the pipeline file needs the {} {}; the header has {}",
                    if missing.len() == 1 {
                        "column"
                    } else {
                        "columns"
                    },
                    list(missing),
                    list(header)
                )
            }
            Self::Collision {
                first,
                second,
                field,
            } => {
                write!(
                    f,
                    "the columns `{first}` and `{second}` are both the field `{field}`"
                )
            }
        }
    }
}

impl std::error::Error for HeaderError {}
