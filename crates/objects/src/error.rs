//! What can go wrong with objects.

/// Objects that cannot be found or named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text names no objects.
    #[error("`{uri}` is no object: {problem}")]
    Uri {
        /// The text.
        uri: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such object.
    #[error("no object matches `{uri}`")]
    NotFound {
        /// The object or pattern.
        uri: String,
    },
    /// The service failed, or refused.
    #[error("{uri}: {message}")]
    Service {
        /// What was asked for.
        uri: String,
        /// What the service, or the way to it, says.
        message: String,
    },
}
