//! The data folder: who may read it, and who has it open.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// The database inside the data folder.
pub const DATABASE: &str = "store.db";
/// The file whose lock says that a server has the folder open.
pub const LOCK: &str = "lock";

/// Makes the folder and an empty database file, readable by nobody else; returns the file's path.
pub(crate) fn prepare(folder: &Path) -> Result<PathBuf, StoreError> {
    create_folder(folder).map_err(at(folder))?;
    let path = folder.join(DATABASE);
    // SQLite gives its -wal and -shm files the mode of the database file.
    let file = open_private(&path).map_err(at(&path))?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(at(&path))?;
    // The name of a new file is durable only when its folder is.
    file.sync_all().and_then(|()| sync_folder(folder)).map_err(at(&path))?;
    Ok(path)
}

/// Takes the lock for as long as the returned file is open.
///
/// The lock is the system's and ends with the process, so a crash leaves nothing to clean up.
pub(crate) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK);
    let file = open_private(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { path, source }),
    }
}

fn create_folder(folder: &Path) -> io::Result<()> {
    match folder.metadata() {
        Ok(found) => {
            let mode = found.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                tracing::warn!(folder = %folder.display(), mode = format_args!("{mode:o}"),
                    "other users can look into the data folder; chmod 700 it");
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            folder.parent().map_or(Ok(()), sync_folder)
        }
        Err(error) => Err(error),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { path: path.to_owned(), source }
}
