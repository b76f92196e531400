//! One layer: entries in order, packed as a tar and compressed.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use tar::{EntryType, Header};

use super::digest;

/// How the tar of a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip.
    #[default]
    Gzip,
    /// zstd.
    Zstd,
}

impl Compression {
    /// Media type of a layer compressed this way.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

#[derive(Debug, Clone)]
enum Kind {
    File(Vec<u8>),
    Folder,
    Fifo,
    Symlink(String),
    Hardlink(String),
    /// A file of zeros of this many bytes, of which the archive holds none (GNU sparse).
    Hole(u64),
}

#[derive(Debug, Clone)]
struct Entry {
    /// Exactly what the archive says; nothing is cleaned.
    name: String,
    mode: u32,
    owner: (u64, u64),
    kind: Kind,
}

/// Entries of a layer, in the order in which they are unpacked.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    entries: Vec<Entry>,
}

/// A packed layer.
#[derive(Debug)]
pub struct Packed {
    /// Digest of the uncompressed tar.
    pub diff_id: String,
    /// What a registry serves.
    pub bytes: Vec<u8>,
}

impl Layer {
    /// A layer without entries.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &str, mode: u32, kind: Kind) -> Self {
        self.entries.push(Entry { name: name.to_owned(), mode, owner: (0, 0), kind });
        self
    }

    /// A file.
    #[must_use]
    pub fn file(self, name: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.with(name, mode, Kind::File(content.into()))
    }

    /// A folder.
    #[must_use]
    pub fn folder(self, name: &str, mode: u32) -> Self {
        self.with(name, mode, Kind::Folder)
    }

    /// A named pipe.
    #[must_use]
    pub fn fifo(self, name: &str) -> Self {
        self.with(name, 0o644, Kind::Fifo)
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.with(name, 0o777, Kind::Symlink(target.to_owned()))
    }

    /// A hard link to another name of the image.
    #[must_use]
    pub fn hardlink(self, name: &str, target: &str) -> Self {
        self.with(name, 0o644, Kind::Hardlink(target.to_owned()))
    }

    /// A file of zeros that takes no room in the archive.
    #[must_use]
    pub fn hole(self, name: &str, bytes: u64) -> Self {
        self.with(name, 0o644, Kind::Hole(bytes))
    }

    /// Gives the last entry to a user and group.
    #[must_use]
    pub fn owned_by(mut self, uid: u64, gid: u64) -> Self {
        if let Some(entry) = self.entries.last_mut() {
            entry.owner = (uid, gid);
        }
        self
    }

    /// A host file at another name, with its mode.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn copied(self, from: &Path, name: &str) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let content = std::fs::read(from).with_context(|| format!("read {}", from.display()))?;
        let mode = std::fs::metadata(from)?.permissions().mode() & 0o7777;
        Ok(self.file(name.trim_start_matches('/'), mode, content))
    }

    /// A host program at its own path, with the shared libraries it loads.
    ///
    /// # Errors
    /// It or a library cannot be found.
    pub fn host_program(mut self, program: &Path) -> Result<Self> {
        for path in std::iter::once(program.to_owned()).chain(super::libraries(program)?) {
            let name = path.to_string_lossy().into_owned();
            if !self.entries.iter().any(|entry| entry.name == name.trim_start_matches('/')) {
                self = self.copied(&path, &name)?;
            }
        }
        Ok(self)
    }

    /// Makes the tar and compresses it.
    ///
    /// # Errors
    /// A compressor fails, which a memory buffer gives no reason for.
    pub fn pack(&self, compression: Compression) -> Result<Packed> {
        let mut builder = tar::Builder::new(Vec::new());
        for entry in &self.entries {
            entry.write(&mut builder).with_context(|| format!("pack {}", entry.name))?;
        }
        let tar = builder.into_inner()?;
        let diff_id = digest(&tar);
        let bytes = match compression {
            Compression::None => tar,
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&tar)?;
                encoder.finish()?
            }
            Compression::Zstd => zstd::encode_all(tar.as_slice(), 1)?,
        };
        Ok(Packed { diff_id, bytes })
    }
}

impl Entry {
    fn write(&self, builder: &mut tar::Builder<Vec<u8>>) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        header.set_mtime(1_704_067_200);
        header.set_size(0);
        // The safe setters refuse names that climb or are absolute, which hostile layers have.
        let field = header.as_gnu_mut().context("header is not GNU's")?.name.as_mut_slice();
        let name = self.name.as_bytes();
        field.get_mut(..name.len()).context("name is longer than 100 bytes")?.copy_from_slice(name);
        let mut data: &[u8] = &[];
        match &self.kind {
            Kind::File(content) => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(content.len() as u64);
                data = content;
            }
            Kind::Folder => header.set_entry_type(EntryType::Directory),
            Kind::Fifo => header.set_entry_type(EntryType::Fifo),
            Kind::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_link_name_literal(target)?;
            }
            Kind::Hardlink(target) => {
                header.set_entry_type(EntryType::Link);
                header.set_link_name_literal(target)?;
            }
            Kind::Hole(bytes) => {
                header.set_entry_type(EntryType::GNUSparse);
                let gnu = header.as_gnu_mut().context("header is not GNU's")?;
                gnu.set_real_size(*bytes);
                // One run of no bytes at the very end says how far the hole reaches.
                gnu.sparse[0].set_offset(*bytes);
                gnu.sparse[0].set_length(0);
            }
        }
        header.set_cksum();
        builder.append(&header, data)?;
        Ok(())
    }
}
