//! How a layer is compressed, by its first bytes: media types lie, and nothing depends on them (I-21).

use std::io::{self, BufRead, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// Largest window a zstd frame may ask for: 128 MiB of memory (I-25).
const WINDOW_LOG_MAX: u32 = 27;

/// The head that was looked at, and the rest.
type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

/// A decompressor. Several gzip members or zstd frames in a row are one stream.
pub enum Decoder<R: BufRead> {
    /// Not compressed.
    Plain(Whole<R>),
    /// gzip, and eStargz.
    Gzip(Box<MultiGzDecoder<Whole<R>>>),
    /// zstd, and zstd:chunked with its skippable frames.
    Zstd(Box<zstd::stream::read::Decoder<'static, Whole<R>>>),
}

impl<R: BufRead> Decoder<R> {
    /// Looks at the first bytes.
    pub fn new(mut source: R) -> io::Result<Self> {
        let mut head = Vec::with_capacity(6);
        source.by_ref().take(6).read_to_end(&mut head)?;
        let kind = head.clone();
        let whole = Cursor::new(head).chain(source);
        match kind.as_slice() {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(whole)))),
            // A frame, or a skippable frame in front of one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Ok(Self::Zstd(Box::new(decoder)))
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Err(unsupported("xz")),
            [b'B', b'Z', b'h', ..] => Err(unsupported("bzip2")),
            _ => Ok(Self::Plain(whole)),
        }
    }

    /// The compressed stream, to read what follows the compressed data.
    pub fn into_inner(self) -> R {
        let whole = match self {
            Self::Plain(whole) => whole,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
        };
        whole.into_inner().1
    }
}

fn unsupported(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("{name} compression is not supported"))
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Gzip(reader) => reader.read(buffer),
            Self::Zstd(reader) => reader.read(buffer),
        }
    }
}
