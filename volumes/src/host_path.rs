//! `hostPath`: something of the host, checked to be what the manifest says and never changed or removed.

use std::fs::{self, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{Stats, Volume, VolumeError};

/// `hostPath.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostPathType {
    /// No check: the runtime mounts whatever is there.
    Any,
    /// A directory, made with mode 0755 if nothing is there.
    DirectoryOrCreate,
    /// A directory.
    Directory,
    /// A regular file, made with mode 0644 if nothing is there; its directory has to exist.
    FileOrCreate,
    /// A regular file.
    File,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl HostPathType {
    /// The type of that name; validation refused every other.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "DirectoryOrCreate" => Self::DirectoryOrCreate,
            "Directory" => Self::Directory,
            "FileOrCreate" => Self::FileOrCreate,
            "File" => Self::File,
            "Socket" => Self::Socket,
            "CharDevice" => Self::CharDevice,
            "BlockDevice" => Self::BlockDevice,
            _ => Self::Any,
        }
    }

    fn matches(self, found: FileType) -> bool {
        match self {
            Self::Any => true,
            Self::DirectoryOrCreate | Self::Directory => found.is_dir(),
            Self::FileOrCreate | Self::File => found.is_file(),
            Self::Socket => found.is_socket(),
            Self::CharDevice => found.is_char_device(),
            Self::BlockDevice => found.is_block_device(),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::DirectoryOrCreate | Self::Directory => "a directory",
            Self::FileOrCreate | Self::File => "a file",
            Self::Socket => "a socket file",
            Self::CharDevice => "a character device",
            Self::BlockDevice => "a block device",
        }
    }
}

/// A path of the host.
#[derive(Clone, Debug)]
pub struct HostPath {
    path: PathBuf,
    kind: HostPathType,
}

impl HostPath {
    /// Describes the volume; nothing is looked at yet.
    #[must_use]
    pub fn new(path: &Path, kind: HostPathType) -> Self {
        Self { path: path.to_owned(), kind }
    }

    fn create(&self) -> io::Result<()> {
        match self.kind {
            HostPathType::DirectoryOrCreate => {
                fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.path)
            }
            HostPathType::FileOrCreate => {
                // Another pod may make it at the same moment; either one's empty file is right.
                OpenOptions::new().create(true).append(true).mode(0o644).open(&self.path).map(drop)
            }
            _ => Ok(()),
        }
    }
}

impl Volume for HostPath {
    fn prepare(&self) -> Result<PathBuf, VolumeError> {
        if self.kind == HostPathType::Any {
            return Ok(self.path.clone());
        }
        let failed = |source| VolumeError::HostPath { path: self.path.clone(), source };
        let mismatch =
            || VolumeError::HostPathType { path: self.path.clone(), expected: self.kind.expected() };
        // Links are followed, as the mount will follow them.
        let found = match fs::metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create().map_err(failed)?;
                match fs::metadata(&self.path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(mismatch()),
                    other => other.map_err(failed)?,
                }
            }
            Err(error) => return Err(failed(error)),
        };
        if self.kind.matches(found.file_type()) { Ok(self.path.clone()) } else { Err(mismatch()) }
    }

    fn teardown(&self) -> Result<(), VolumeError> {
        Ok(())
    }

    fn stats(&self) -> Result<Option<Stats>, VolumeError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
