//! Layers as archives, and a place to unpack them to.

mod format;
mod limits;
mod meaning;
mod names;
mod stream;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use tar::{Builder, EntryType, Header};

use super::*;

/// Devices, owners and trusted attributes need root.
fn is_root() -> bool {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        eprintln!("skipped: unpacking layers needs root");
    }
    root
}

#[derive(Default)]
struct Layer(Vec<u8>);

impl Layer {
    fn raw(
        mut self,
        kind: EntryType,
        path: &str,
        link: &str,
        content: &[u8],
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_gnu();
        let name = &mut header.as_gnu_mut().unwrap().name;
        // Past the checks of the builder: hostile names are the point.
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }
    fn file(self, path: &str, content: &str) -> Self {
        self.raw(EntryType::Regular, path, "", content.as_bytes(), |_| {})
    }
    fn directory(self, path: &str, mode: u32) -> Self {
        self.raw(EntryType::Directory, path, "", b"", |header| header.set_mode(mode))
    }
    fn symlink(self, path: &str, text: &str) -> Self {
        self.raw(EntryType::Symlink, path, text, b"", |_| {})
    }
    fn hard_link(self, path: &str, target: &str) -> Self {
        self.raw(EntryType::Link, path, target, b"", |_| {})
    }
    fn pax(self, records: &[(&str, &str)]) -> Self {
        let mut content = String::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).unwrap();
            content += &format!("{length} {key}={value}\n");
        }
        self.raw(EntryType::XHeader, "pax", "", content.as_bytes(), |_| {})
    }
    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn expected(bytes: &[u8], archive: &[u8]) -> Expected {
    let content = Content { digest: Digest::of(bytes), size: bytes.len() as u64 };
    Expected { content: Some(content), diff_id: Some(Digest::of(archive)) }
}

/// A place for a layer, inside a directory that must stay as it is.
struct Place {
    base: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("root")).unwrap();
        fs::write(base.path().join("canary"), "untouched").unwrap();
        Self { base }
    }
    fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }
    fn unpack(&self, layer: Layer) -> Result<Unpacked, UnpackError> {
        let archive = layer.end();
        unpack(&archive[..], &expected(&archive, &archive), &self.root(), &Limits::default())
    }
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }
    fn attribute(&self, path: &str, name: &std::ffi::CStr) -> Option<Vec<u8>> {
        let root = kernel::path::open_dir(&self.root()).unwrap();
        use std::os::fd::AsFd;
        kernel::tree::entry::attribute(root.as_fd(), Path::new(path), name).unwrap()
    }
    fn is_opaque(&self, path: &str) -> bool {
        self.attribute(path, c"trusted.overlay.opaque").as_deref() == Some(b"y")
    }
    fn is_whiteout(&self, path: &str) -> bool {
        let metadata = fs::symlink_metadata(self.root().join(path)).unwrap();
        metadata.file_type().is_char_device() && metadata.rdev() == 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        assert_eq!(fs::read_to_string(self.base.path().join("canary")).unwrap(), "untouched");
        assert_eq!(
            fs::read_dir(self.base.path()).unwrap().count(),
            2,
            "something was made outside the layer"
        );
    }
}
