//! The engine's failures as those of a store, in words.

use std::io;
use std::path::Path;

use fjall::LsmError;
use rowmill_store::{Error, ErrorKind};

const DAMAGED: &str =
    "`rowmill store check` says which files are damaged; restore the store from a backup";

/// A failure of the engine while doing something.
pub(crate) fn engine(doing: &str, error: fjall::Error) -> Error {
    use fjall::Error as Engine;
    match error {
        Engine::Io(io) | Engine::Storage(LsmError::Io(io)) => of_io(doing, io),
        Engine::Locked => failed(
            ErrorKind::Locked,
            doing,
            "another process has the store open",
        ),
        Engine::Poisoned => failed(
            ErrorKind::Internal,
            doing,
            "the engine stopped after an earlier failure to write",
        ),
        Engine::KeyspaceDeleted => failed(ErrorKind::NotFound, doing, "the table was dropped"),
        Engine::InvalidVersion(_) | Engine::Storage(LsmError::InvalidVersion(_)) => failed(
            ErrorKind::Corrupt,
            doing,
            "its files are of another version",
        ),
        Engine::JournalRecovery(_) | Engine::InvalidTrailer | Engine::InvalidTag(_) => {
            damaged(doing, "a journal is damaged")
        }
        Engine::Storage(LsmError::ChecksumMismatch { .. }) => {
            damaged(doing, "a block's checksum does not match what is in it")
        }
        Engine::Decompress(_) | Engine::Storage(LsmError::Decompress(_)) => {
            damaged(doing, "a block cannot be decompressed")
        }
        Engine::Unrecoverable | Engine::Storage(_) => {
            damaged(doing, "a table file or a manifest is damaged or missing")
        }
        _ => failed(ErrorKind::Internal, doing, "the engine failed"),
    }
}

/// A failure of the operating system. Each is told in one sentence.
fn of_io(doing: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failed(ErrorKind::Full, doing, "no space is left on the device")
        }
        io::ErrorKind::PermissionDenied => failed(ErrorKind::Denied, doing, "permission denied"),
        io::ErrorKind::ReadOnlyFilesystem => {
            failed(ErrorKind::Denied, doing, "the file system is read-only")
        }
        io::ErrorKind::NotFound => damaged(doing, "a file of the store is missing"),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
            damaged(doing, "a file of the store is cut short")
        }
        _ => Error::new(ErrorKind::Internal, doing).with_source(error),
    }
}

fn failed(kind: ErrorKind, doing: &str, what: &str) -> Error {
    Error::new(kind, format!("{doing}: {what}"))
}

fn damaged(doing: &str, what: &str) -> Error {
    failed(ErrorKind::Corrupt, doing, what).with_hint(DAMAGED)
}

/// The same of a write, which may have taken effect.
pub(crate) fn write(table: &str, error: fjall::Error) -> Error {
    engine(&format!("writing to `{table}`"), error).with_unknown_effect()
}

/// A failure to open the store in `folder`.
pub(crate) fn open(folder: &Path, error: fjall::Error) -> Error {
    engine(&format!("opening the store in {}", folder.display()), error)
}
