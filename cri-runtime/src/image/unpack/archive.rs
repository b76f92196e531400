//! The tar format: ustar, GNU and pax, as a stream of members (I-23).
//!
//! Headers are decoded by the `tar` crate. The stream is walked here, because names and extension records are read with
//! a limit on their size: an archive must not choose how much memory its reader takes.

use std::ffi::{CString, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use tar::{EntryType, Header};

use super::extension::Extension;
use super::meter::TooMuch;
use super::sparse::{self, Segment};
use super::{Limits, UnpackError};

const BLOCK: usize = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A further name of a file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
}

/// One entry, its extensions applied.
#[derive(Debug)]
pub struct Member {
    /// What it is.
    pub kind: Kind,
    /// Relative path without `.` and `..`; empty for the root of the layer.
    pub path: PathBuf,
    /// Text of a symbolic link; of a hard link the target inside the layer, cleaned like `path`.
    pub link: PathBuf,
    /// Permissions with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time: seconds and nanoseconds.
    pub modified: (i64, i64),
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Length of the file.
    pub size: u64,
    /// Where the stored data goes, if there are holes.
    pub segments: Option<Vec<Segment>>,
    /// Extended attributes.
    pub attributes: Vec<(CString, Vec<u8>)>,
}

/// A tar stream. Reading from it gives the data of the current member.
pub struct Archive<R> {
    reader: R,
    limits: Limits,
    entries: u64,
    /// Data of the current member not read yet.
    remaining: u64,
    /// Bytes behind it up to the next block.
    padding: u64,
    global: Extension,
}

impl<R: Read> Archive<R> {
    /// Starts at the first header.
    pub fn new(reader: R, limits: Limits) -> Self {
        Self { reader, limits, entries: 0, remaining: 0, padding: 0, global: Extension::default() }
    }

    /// The stream behind; what follows the end of the archive is still in it.
    pub fn into_inner<I>(self) -> I
    where
        R: IntoInner<I>,
    {
        self.reader.into_inner()
    }

    /// The next entry, `None` at the end of the archive.
    pub fn next_member(&mut self) -> Result<Option<Member>, UnpackError> {
        let mut local = Extension::default();
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else { return Ok(None) };
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(UnpackError::Limit { what: "entries", limit: self.limits.entries });
            }
            let size = header.entry_size().map_err(|_| broken("its size is not a number"))?;
            self.data(size);
            match header.entry_type() {
                EntryType::GNULongName => local.path = Some(self.text()?),
                EntryType::GNULongLink => local.link = Some(self.text()?),
                EntryType::XHeader => local.parse(&self.extension()?)?,
                EntryType::XGlobalHeader => {
                    let content = self.extension()?;
                    self.global.parse(&content)?;
                }
                kind => {
                    let mut merged = self.global.clone();
                    merged.merge(std::mem::take(&mut local));
                    if let Some(member) = self.member(&header, kind, merged)? {
                        return Ok(Some(member));
                    }
                }
            }
        }
    }

    fn data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip_rest(&mut self) -> Result<(), UnpackError> {
        let rest = self.remaining + self.padding;
        (self.remaining, self.padding) = (0, 0);
        let skipped = io::copy(&mut self.reader.by_ref().take(rest), &mut io::sink());
        match skipped.map_err(TooMuch::recover)? == rest {
            true => Ok(()),
            false => Err(broken("the archive ends inside it")),
        }
    }

    /// The next header; `None` at two zero blocks or at the end of the stream.
    fn header(&mut self) -> Result<Option<Header>, UnpackError> {
        let mut zero_blocks = 0;
        loop {
            let mut header = Header::new_old();
            let block = header.as_mut_bytes();
            if !self.block(block)? {
                return Ok(None);
            }
            if block.iter().all(|byte| *byte == 0) {
                zero_blocks += 1;
                if zero_blocks == 2 {
                    return Ok(None);
                }
                continue;
            }
            let sum = block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>();
            let sum = sum + 8 * u32::from(b' ');
            if header.cksum().ok() != Some(sum) {
                return Err(broken("its header's checksum does not match"));
            }
            return Ok(Some(header));
        }
    }

    /// Reads one block; `false` at the end of the stream.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, UnpackError> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..]).map_err(TooMuch::recover)? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(broken("the archive ends inside a header")),
                read => filled += read,
            }
        }
        Ok(true)
    }

    fn extension(&mut self) -> Result<Vec<u8>, UnpackError> {
        if self.remaining > self.limits.extension_bytes {
            let limit = self.limits.extension_bytes;
            return Err(UnpackError::Limit { what: "bytes in an extension record", limit });
        }
        let mut content = Vec::with_capacity(self.remaining as usize);
        self.read_to_end(&mut content).map_err(TooMuch::recover)?;
        Ok(content)
    }

    fn text(&mut self) -> Result<Vec<u8>, UnpackError> {
        let mut text = self.extension()?;
        text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
        Ok(text)
    }

    fn member(
        &mut self,
        header: &Header,
        kind: EntryType,
        mut extension: Extension,
    ) -> Result<Option<Member>, UnpackError> {
        let raw_path = extension.path.take().unwrap_or_else(|| header.path_bytes().into_owned());
        let (path, is_directory_name) = self.clean(&raw_path)?;
        let at = |reason| UnpackError::Archive { path: path.clone(), reason };
        let kind = match kind {
            // Before ustar a directory was a file whose name ends in a slash.
            EntryType::Regular if is_directory_name => Kind::Directory,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
            EntryType::Link => Kind::HardLink,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Char => Kind::Character,
            EntryType::Block => Kind::Block,
            EntryType::Directory => Kind::Directory,
            EntryType::Fifo => Kind::Fifo,
            // Vendor types that do not stand for a file (volume labels, multi-volume parts).
            _ => return Ok(None),
        };
        if let Some(size) = extension.size {
            self.data(size);
        }
        if kind != Kind::File && kind != Kind::HardLink && self.remaining > 0 {
            return Err(at("it has data, but is no file"));
        }
        let raw_link = extension.link.take();
        let raw_link = raw_link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let raw_link = raw_link.unwrap_or_default();
        let link = match kind {
            Kind::HardLink => self.clean(&raw_link)?.0,
            _ => self.text_path(raw_link)?,
        };
        let fixed = header.as_old();
        let owner = |number: Option<u64>, header: io::Result<u64>, field: &[u8]| {
            let number = number.or_else(|| number_or_zero(header, field));
            number.and_then(|number| u32::try_from(number).ok()).filter(|id| *id != u32::MAX)
        };
        let number = |value: io::Result<Option<u32>>| value.ok().flatten().unwrap_or(0);
        let mut member = Member {
            kind,
            link,
            mode: number_or_zero(header.mode(), &fixed.mode).ok_or_else(|| at("its mode is not a number"))?
                & 0o7777,
            uid: owner(extension.uid, header.uid(), &fixed.uid)
                .ok_or_else(|| at("its owner is not a 32-bit number"))?,
            gid: owner(extension.gid, header.gid(), &fixed.gid)
                .ok_or_else(|| at("its group is not a 32-bit number"))?,
            modified: extension.modified.unwrap_or((header.mtime().unwrap_or(0) as i64, 0)),
            device: (number(header.device_major()), number(header.device_minor())),
            size: self.remaining,
            segments: None,
            attributes: std::mem::take(&mut extension.attributes),
            path,
        };
        self.sparse(header, extension, &mut member)?;
        Ok(Some(member))
    }

    fn sparse(
        &mut self,
        header: &Header,
        extension: Extension,
        member: &mut Member,
    ) -> Result<(), UnpackError> {
        if member.kind != Kind::File {
            return Ok(());
        }
        if let Some(name) = &extension.sparse.name {
            member.path = self.clean(name)?.0;
        }
        let path = member.path.clone();
        let at = |reason| UnpackError::Archive { path: path.clone(), reason };
        let (segments, size) = if header.entry_type() == EntryType::GNUSparse {
            let gnu = header.as_gnu().ok_or_else(|| at("a sparse file without a GNU header"))?;
            let size = gnu.real_size().map_err(|_| at("its real size is not a number"))?;
            // The blocks of the map stand before the data and do not count as such.
            let segments = sparse::old(gnu, &mut self.reader).map_err(at)?;
            (segments, size)
        } else if let Some(size) = extension.sparse.size {
            let segments = match extension.sparse.in_data {
                true => sparse::in_data(self),
                false => sparse::pairs(&extension.sparse.map),
            };
            (segments.map_err(at)?, size)
        } else {
            return Ok(());
        };
        sparse::check(&segments, size, self.remaining).map_err(at)?;
        (member.segments, member.size) = (Some(segments), size);
        Ok(())
    }

    /// A relative path without `.` and `..`: whatever climbs above the root stays at the root, as in a chroot. Also
    /// whether it ended in a slash.
    fn clean(&self, raw: &[u8]) -> Result<(PathBuf, bool), UnpackError> {
        let path = self.text_path(raw.to_vec())?;
        let mut clean = PathBuf::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => clean.push(name),
                Component::ParentDir => {
                    clean.pop();
                }
                _ => {}
            }
        }
        if clean.components().count() as u64 > self.limits.depth {
            return Err(UnpackError::Limit { what: "directories in a path", limit: self.limits.depth });
        }
        Ok((clean, raw.ends_with(b"/")))
    }

    fn text_path(&self, raw: Vec<u8>) -> Result<PathBuf, UnpackError> {
        if raw.len() as u64 >= self.limits.path_bytes {
            return Err(UnpackError::Limit { what: "bytes in a path", limit: self.limits.path_bytes });
        }
        if raw.contains(&0) {
            return Err(broken("its name contains a zero byte"));
        }
        Ok(PathBuf::from(OsString::from_vec(raw)))
    }
}

/// The data of the current member.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let read = self.reader.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.remaining -= read as u64;
        Ok(read)
    }
}

/// Buffers that give back what they read from.
pub trait IntoInner<I> {
    /// The reader below; whatever the buffer holds has been seen by it already.
    fn into_inner(self) -> I;
}

impl<I: Read> IntoInner<I> for io::BufReader<I> {
    fn into_inner(self) -> I {
        io::BufReader::into_inner(self)
    }
}

/// A field that nobody filled in counts as zero, as in every other reader.
fn number_or_zero<T: Default>(number: io::Result<T>, field: &[u8]) -> Option<T> {
    let is_empty = field.iter().all(|byte| matches!(byte, 0 | b' '));
    if is_empty { Some(T::default()) } else { number.ok() }
}

fn broken(reason: &'static str) -> UnpackError {
    UnpackError::Archive { path: Path::new("").to_owned(), reason }
}
