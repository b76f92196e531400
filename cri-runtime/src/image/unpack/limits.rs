//! How much a layer may be, so that a small download cannot fill the disk or the memory (I-25).

/// Limits of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the uncompressed archive.
    pub bytes: u64,
    /// Most bytes of the uncompressed archive that the disk has room for. A layer that is larger is not at fault, so
    /// this is told apart from [`Limits::bytes`]: as a disk that is full.
    pub room: u64,
    /// Most entries.
    pub entries: u64,
    /// Most components of a path.
    pub depth: u64,
    /// Most bytes of a path, and of a link's text: the kernel's `PATH_MAX`.
    pub path_bytes: u64,
    /// Most bytes of one extension record (long names, extended attributes, sparse maps).
    pub extension_bytes: u64,
    /// Most bytes out for one byte in, once more than [`Limits::ratio_from`] came out. gzip reaches 1032; zstd a
    /// million, which no real layer does.
    pub ratio: u64,
    /// Bytes of output below which the ratio is not looked at.
    pub ratio_from: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 256 << 30,
            room: u64::MAX,
            entries: 2_000_000,
            depth: 512,
            path_bytes: 4096,
            extension_bytes: 1 << 20,
            ratio: 10_000,
            ratio_from: 256 << 20,
        }
    }
}
