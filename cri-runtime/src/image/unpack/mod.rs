//! A layer, from the bytes a registry sends to a directory for overlayfs (I-21 to I-25).
//!
//! Owns: decompression, the tar format, whiteouts, and that nothing an archive says reaches outside its directory. Runs
//! on a blocking thread and reads a stream: memory is bounded whatever the size of the layer. Does not own: where the
//! bytes come from, and when the directory becomes visible ([`super::layers`]).
//!
//! ```text
//! bytes -> metered, hashed -> decompressed -> metered, hashed -> tar members -> apply, by descriptor
//! ```

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

mod apply;
mod archive;
mod compression;
mod extension;
mod limits;
mod meter;
mod sparse;
mod whiteout;

pub use limits::Limits;

use super::digest::Digest;
use super::manifest::Content;
use apply::Applier;
use archive::Archive;
use compression::Decoder;
use meter::Meter;

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream broke off, or cannot be decompressed.
    #[error("read layer")]
    Read(#[source] io::Error),
    /// The archive breaks its own format.
    #[error("read layer archive at entry {path:?}: {reason}")]
    Archive {
        /// Entry it happened at; empty if it has no name yet.
        path: PathBuf,
        /// The rule that is broken.
        reason: &'static str,
    },
    /// More than is allowed of something (I-25).
    #[error("unpack layer: more than {limit} {what}")]
    Limit {
        /// Of what there is too much.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// More than the disk has room for, noticed before the disk is full.
    #[error("unpack layer: no space left")]
    Space(#[source] io::Error),
    /// The kernel refused one step.
    #[error("{operation} {path:?} of the layer")]
    Entry {
        /// What was tried.
        operation: &'static str,
        /// Path inside the layer.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The bytes are not those that the manifest promised.
    #[error("verify layer: {what} is {actual}, expected {expected}")]
    Digest {
        /// `digest` or `diff id`.
        what: &'static str,
        /// What the manifest or configuration says.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// There are more or fewer bytes than promised.
    #[error("verify layer {digest}: {actual} bytes, expected {expected}")]
    Size {
        /// The blob.
        digest: Digest,
        /// What the manifest says.
        expected: u64,
        /// What came.
        actual: u64,
    },
}

impl UnpackError {
    /// The kernel's answer, if it was one, or that the disk would be full.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Read(error) | Self::Space(error) | Self::Entry { source: error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What is known of a directory after it was filled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Directories that had to be made although the archive has no entry for them: their attributes belong to whatever
    /// layer below has them (I-23).
    pub implied: Vec<PathBuf>,
    /// Bytes of the uncompressed archive.
    pub archive_bytes: u64,
}

/// What a stream has to turn out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Digest and size of the bytes as they come; `None` for a local file nobody vouches for.
    pub content: Option<Content>,
    /// Digest of the uncompressed archive.
    pub diff_id: Option<Digest>,
}

/// Unpacks a compressed or plain tar stream into the empty directory `root`, and verifies what flowed by (I-22).
///
/// On an error the directory holds a part of the layer; the caller removes it.
pub fn unpack(
    source: impl Read,
    expected: &Expected,
    root: &Path,
    limits: &Limits,
) -> Result<Unpacked, UnpackError> {
    let taken = Rc::new(Cell::new(0));
    let size = expected.content.as_ref().map(|content| content.size);
    let outer = Meter::new(source, Rc::clone(&taken)).with_limit(size.unwrap_or(u64::MAX));
    let decoder = Decoder::new(BufReader::with_capacity(128 * 1024, outer)).map_err(UnpackError::Read)?;
    let inner = Meter::new(decoder, Rc::default()).with_limit(limits.bytes).with_room(limits.room);
    let inner = inner.with_ratio(taken, limits);
    let mut archive = Archive::new(BufReader::with_capacity(128 * 1024, inner), limits.clone());
    let mut applier = Applier::new(root).map_err(|source| UnpackError::Entry {
        operation: "open",
        path: PathBuf::new(),
        source,
    })?;
    while let Some(member) = archive.next_member()? {
        applier.apply(&member, &mut archive)?;
    }
    let implied = applier.finish()?;
    let (diff_id, archive_bytes, decoder) = archive.into_inner().finish()?;
    let (digest, bytes, _) = decoder.into_inner().into_inner().finish()?;
    if let Some(content) = &expected.content {
        if bytes != content.size {
            let (digest, expected) = (content.digest.clone(), content.size);
            return Err(UnpackError::Size { digest, expected, actual: bytes });
        }
        verify("digest", &content.digest, digest)?;
    }
    if let Some(expected) = &expected.diff_id {
        verify("diff id", expected, diff_id)?;
    }
    Ok(Unpacked { implied, archive_bytes })
}

fn verify(what: &'static str, expected: &Digest, actual: Digest) -> Result<(), UnpackError> {
    if *expected == actual {
        return Ok(());
    }
    Err(UnpackError::Digest { what, expected: expected.clone(), actual })
}

#[cfg(test)]
mod tests;
