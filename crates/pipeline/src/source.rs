//! Where the bytes of an input come from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rowmill_ingest::Compression;
use rowmill_objects::Object;
use xxhash_rust::xxh3::xxh3_128;

use crate::file_ledger::Stamp;

/// What is read from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Standard input.
    Stdin,
    /// A file, or whatever else has a path.
    Path(PathBuf),
    /// An object of Google Cloud Storage.
    Object(Box<Object>),
}

/// A stream of bytes.
pub(crate) type Bytes = Box<dyn Read + Send>;

impl Source {
    /// Starts to read it from its beginning. Standard input has but one.
    pub(crate) fn open(&self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Stdin => Box::new(io::stdin()),
            Self::Path(path) => Box::new(File::open(path)?),
            Self::Object(object) => Box::new(object.open()),
        })
    }

    /// A hash of the file itself, however its path is spelled.
    pub(crate) fn identity(&self) -> Option<u128> {
        let Self::Path(path) = self else {
            return None;
        };
        let path = path.canonicalize().ok()?;
        Some(xxh3_128(path.as_os_str().as_encoded_bytes()))
    }

    /// Whether it can be read more than once.
    pub(crate) fn is_repeatable(&self) -> bool {
        match self {
            Self::Stdin => false,
            Self::Path(path) => path.is_file(),
            Self::Object(_) => true,
        }
    }

    /// What tells that it is as it was, where anything does.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let path = match self {
            Self::Stdin => return None,
            Self::Path(path) => path,
            Self::Object(object) => {
                return Some(Stamp {
                    bytes: object.bytes(),
                    version: object.version()?.to_owned(),
                });
            }
        };
        let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let modified = metadata.modified().ok()?;
        let since_epoch = modified.duration_since(UNIX_EPOCH).ok()?;
        Some(Stamp {
            bytes: metadata.len(),
            version: since_epoch.as_nanos().to_string(),
        })
    }

    /// Its name without folders, which ids by place go by.
    pub(crate) fn file_name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::Object(object) => {
                let uri = object.uri();
                uri.rsplit('/').next().unwrap_or_default().to_owned()
            }
            Self::Path(path) => path
                .file_name()
                .map_or_else(|| "-".into(), |name| name.to_string_lossy().into_owned()),
        }
    }

    /// What the name of its content ends with, that of its compression left out.
    pub(crate) fn extension(&self) -> Option<String> {
        let name = self.file_name();
        let name = Path::new(&name);
        let extension = |path: &Path| Some(path.extension()?.to_str()?.to_ascii_lowercase());
        let last = extension(name)?;
        if Compression::extensions().contains(&last.as_str()) {
            extension(Path::new(name.file_stem()?))
        } else {
            Some(last)
        }
    }
}

/// The first bytes of a stream, and the stream with these before it again: a failure too is met again in its place.
pub(crate) fn peek(mut stream: Bytes, bytes: usize) -> (Vec<u8>, Bytes) {
    let mut head = Vec::new();
    let failure = stream
        .by_ref()
        .take(bytes as u64)
        .read_to_end(&mut head)
        .err();
    let again = io::Cursor::new(head.clone())
        .chain(Failing(failure))
        .chain(stream);
    (head, Box::new(again))
}

/// Fails once, if at all, and is empty then.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
