//! What stops a whole file. A record that cannot be read is no error but a [`Defect`](crate::Defect).

/// A file that cannot be read, or is not what rowmill reads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading failed.
    #[error("reading failed at byte {offset}")]
    Read {
        /// How far it got.
        offset: u64,
        /// Why.
        source: std::io::Error,
    },
    /// The file is compressed in a way that is not read.
    #[error(
        "the file is compressed with {0}, and gzip and zstd are read; give its content on standard input"
    )]
    Compressed(&'static str),
    /// The header of a CSV file cannot be read.
    #[error("the header cannot be read: {0}")]
    Header(String),
}
