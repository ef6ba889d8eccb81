//! Files: private ones, atomic ones, locked ones, and what their failures mean.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use rowmill_store::{Error, ErrorKind, Result};
use xxhash_rust::xxh3::Xxh3;

use super::LOCK;

/// A failure of the operating system, in one sentence.
pub(crate) fn io_error(doing: &str, path: &Path, error: &io::Error) -> Error {
    let (kind, what) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::Full, "no space is left on the device".to_owned())
        }
        io::ErrorKind::PermissionDenied => (ErrorKind::Denied, "permission denied".to_owned()),
        io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Denied, "the file system is read-only".to_owned())
        }
        _ => (ErrorKind::Internal, error.to_string()),
    };
    Error::new(kind, format!("{doing} {}: {what}", path.display()))
}

/// Whether the file is not there.
pub(crate) fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// A folder that only its owner can look into.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A file that only its owner can read; made if it is not there, and left as it is otherwise.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().read(true).write(true).create(true)).open(path)
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Takes from everybody but the owner what they may do with a file or folder.
#[cfg(unix)]
pub(super) fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = path.symlink_metadata()?.permissions().mode();
    let of_owner = mode & 0o700;
    if mode & 0o777 == of_owner {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(of_owner))
}

#[cfg(not(unix))]
pub(super) fn restrict(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Opens a file to read it, as part of the store in `folder`.
pub(crate) fn open_to_read(folder: &Path, path: &Path) -> Result<File> {
    File::open(path).map_err(|error| {
        if absent(&error) {
            let name = path.strip_prefix(folder).unwrap_or(path);
            return super::damaged(folder, &format!("it has no `{}`", name.display()));
        }
        io_error("reading", path, &error)
    })
}

/// All of a small file of the store in `folder`.
pub(crate) fn read_whole(folder: &Path, name: &str) -> Result<Vec<u8>> {
    let path = folder.join(name);
    let mut bytes = Vec::new();
    let read = open_to_read(folder, &path)?.read_to_end(&mut bytes);
    read.map_err(|error| io_error("reading", &path, &error))?;
    Ok(bytes)
}

/// Replaces a file by one with these contents, or leaves it as it is. It is on disk when this returns.
pub(crate) fn write_atomic(folder: &Path, name: &str, contents: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(&format!(".{name}-"))
        .tempfile_in(folder)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name))
        .map_err(|error| error.error)?;
    sync_dir(folder)
}

/// Makes sure that the names in a folder are on disk.
#[cfg(unix)]
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
pub(crate) fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A hash of the first `bytes` bytes of a file; none if it is shorter.
pub(crate) fn hash_prefix(file: &File, bytes: u64) -> io::Result<Option<u64>> {
    let mut hash = Xxh3::new();
    let read = each_piece(file, bytes, |piece| {
        hash.update(piece);
        Ok(())
    })?;
    Ok((read == bytes).then(|| hash.digest()))
}

/// Copies the first `bytes` bytes of a file into a new private one.
pub(crate) fn copy_prefix(from: &File, to: &Path, bytes: u64) -> io::Result<()> {
    let mut copy = private(OpenOptions::new().write(true).create_new(true)).open(to)?;
    each_piece(from, bytes, |piece| copy.write_all(piece))?;
    copy.sync_all()
}

/// The checksum of a whole file, as the engine's manifests have it.
pub(crate) fn checksum(file: &File) -> io::Result<u128> {
    let mut hash = Xxh3::new();
    each_piece(file, u64::MAX, |piece| {
        hash.update(piece);
        Ok(())
    })?;
    Ok(hash.digest128())
}

fn each_piece(
    mut file: &File,
    bytes: u64,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = file.take(bytes);
    let mut buffer = vec![0; 1 << 18];
    let mut total = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(total),
            read => {
                take(&buffer[..read])?;
                total += read as u64;
            }
        }
    }
}

/// Takes the store in `folder` for writing: alone.
pub(crate) fn lock_exclusive(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let file = create_private(&path).map_err(|error| {
        io_error("opening", &path, &error).with_hint(
            "this command writes to the store; `query`, `export`, `verify` and `store check` only read it",
        )
    })?;
    file.try_lock().map_err(|error| locked(folder, error))?;
    Ok(file)
}

/// Takes the store in `folder` for reading: together with other readers. A copy of a store that lacks the lock's file has
/// nobody who writes to it.
pub(crate) fn lock_shared(folder: &Path) -> Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(io_error("opening", &path, &error)),
    };
    file.try_lock_shared()
        .map_err(|error| locked(folder, error))?;
    Ok(Some(file))
}

fn locked(folder: &Path, error: std::fs::TryLockError) -> Error {
    match error {
        std::fs::TryLockError::WouldBlock => {
            let message = format!(
                "the store in {} is open in another process",
                folder.display()
            );
            Error::new(ErrorKind::Locked, message)
                .with_hint("one process writes alone, or several read; try again when it has ended")
        }
        std::fs::TryLockError::Error(error) => io_error("locking", folder, &error),
    }
}
