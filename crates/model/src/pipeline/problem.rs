//! What is wrong with a pipeline file, where, and what was probably meant.

use std::fmt;

/// Everything wrong with a pipeline file, in the order it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineError {
    problems: Vec<Problem>,
}

impl PipelineError {
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.location.cmp(&b.location));
        Self { problems }
    }

    /// The single problems; there is at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for PipelineError {}

/// One thing wrong with a pipeline file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub location: Location,
    /// What is wrong, as a fragment.
    pub message: String,
    /// What was probably meant, as a fragment.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.message)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

/// A place in a pipeline file, or a value that was set over it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// In the file.
    File {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// In a value set over the file, as it was written.
    Override(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { line, column } => write!(f, "{line}:{column}"),
            Self::Override(text) => write!(f, "--set {text}"),
        }
    }
}

/// The name of `known` that `name` is most likely a slip for, as a hint.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let distance =
        |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let nearest = known.into_iter().min_by_key(|other| distance(other))?;
    let close = distance(nearest) <= nearest.len().max(name.len()).div_ceil(3)
        && distance(nearest) < name.len();
    close.then(|| format!("did you mean `{nearest}`?"))
}
