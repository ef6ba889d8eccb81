//! The engine's failures as those of a store.

use std::io;
use std::path::Path;

use rowmill_store::{Error, ErrorKind};

/// A failure of the engine while doing something.
pub(crate) fn engine(doing: &str, error: fjall::Error) -> Error {
    let kind = match &error {
        fjall::Error::Locked => ErrorKind::Locked,
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => of_io(io),
        fjall::Error::InvalidTag(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::InvalidVersion(_)
        | fjall::Error::JournalRecovery(_)
        | fjall::Error::Decompress(_)
        | fjall::Error::Unrecoverable => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    };
    let message = match kind {
        ErrorKind::Full => format!("{doing}: no space is left on the device"),
        _ => doing.to_owned(),
    };
    match error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => {
            Error::new(kind, message).with_source(io)
        }
        other => Error::new(kind, message).with_source(other),
    }
}

/// The same of a write, which may have taken effect.
pub(crate) fn write(table: &str, error: fjall::Error) -> Error {
    engine(&format!("writing to `{table}`"), error).with_unknown_effect()
}

/// A failure to open the store in `folder`.
pub(crate) fn open(folder: &Path, error: fjall::Error) -> Error {
    let folder = folder.display();
    match error {
        fjall::Error::Locked => {
            let message = format!(
                "the store in {folder} is open in another process; only one at a time can use it"
            );
            Error::new(ErrorKind::Locked, message)
        }
        error => engine(&format!("opening the store in {folder}"), error),
    }
}

fn of_io(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
        _ => ErrorKind::Internal,
    }
}
