//! pax extension records: `LENGTH KEY=VALUE\n`, for what the fixed header has no room for.

use std::ffi::CString;
use std::path::PathBuf;

use super::UnpackError;

const ATTRIBUTE_PREFIX: &str = "SCHILY.xattr.";

/// What extension records say about the entry that follows (or, global ones, about all).
#[derive(Debug, Clone, Default)]
pub struct Extension {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub modified: Option<(i64, i64)>,
    pub attributes: Vec<(CString, Vec<u8>)>,
    pub sparse: SparseExtension,
}

/// GNU's sparse formats 0.0, 0.1 and 1.0.
#[derive(Debug, Clone, Default)]
pub struct SparseExtension {
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    /// Offsets and lengths in turn (0.0 and 0.1).
    pub map: Vec<u64>,
    /// The map is at the start of the data (1.0).
    pub in_data: bool,
}

impl Extension {
    /// Adds the records of one header.
    pub fn parse(&mut self, mut records: &[u8]) -> Result<(), UnpackError> {
        while !records.is_empty() && records[0] != 0 {
            let (record, rest) =
                split_record(records).ok_or_else(|| broken("an extension record is cut off"))?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) =
                record.split_at(equals.ok_or_else(|| broken("an extension record has no value"))?);
            // Keys are UTF-8 by definition; others belong to nobody we know.
            if let Ok(key) = std::str::from_utf8(key) {
                self.set(key, &value[1..])?;
            }
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Result<(), UnpackError> {
        let number = || {
            let text = std::str::from_utf8(value).ok();
            text.and_then(|text| text.parse::<u64>().ok())
                .ok_or_else(|| broken("an extension record is not a number"))
        };
        match key {
            "path" => self.path = Some(value.to_vec()),
            "linkpath" => self.link = Some(value.to_vec()),
            "size" => self.size = Some(number()?),
            "uid" => self.uid = Some(number()?),
            "gid" => self.gid = Some(number()?),
            "mtime" => self.modified = Some(time(value).ok_or_else(|| broken("a time is not a number"))?),
            "GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
            "GNU.sparse.size" | "GNU.sparse.realsize" => self.sparse.size = Some(number()?),
            "GNU.sparse.major" => self.sparse.in_data = value == b"1",
            "GNU.sparse.offset" | "GNU.sparse.numbytes" => self.sparse.map.push(number()?),
            "GNU.sparse.map" => {
                let numbers = std::str::from_utf8(value).unwrap_or("?").split(',').map(str::parse);
                let numbers = numbers.collect::<Result<_, _>>();
                self.sparse.map = numbers.map_err(|_| broken("a sparse map is not a list of numbers"))?;
            }
            key => {
                if let Some(name) = key.strip_prefix(ATTRIBUTE_PREFIX)
                    && let Ok(name) = CString::new(name)
                {
                    self.attributes.push((name, value.to_vec()));
                }
            }
        }
        Ok(())
    }

    /// What `other` says wins.
    pub fn merge(&mut self, other: Self) {
        self.path = other.path.or(self.path.take());
        self.link = other.link.or(self.link.take());
        self.size = other.size.or(self.size);
        self.uid = other.uid.or(self.uid);
        self.gid = other.gid.or(self.gid);
        self.modified = other.modified.or(self.modified);
        self.attributes.extend(other.attributes);
        if other.sparse.size.is_some() {
            self.sparse = other.sparse;
        }
    }
}

fn split_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = records.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    if length > records.len() || length < space + 2 || records[length - 1] != b'\n' {
        return None;
    }
    Some((&records[space + 1..length - 1], &records[length..]))
}

/// `[-]SECONDS[.FRACTION]`; times before the epoch count their fraction downwards.
fn time(value: &[u8]) -> Option<(i64, i64)> {
    let text = std::str::from_utf8(value).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let whole: i64 = seconds.parse().ok()?;
    match seconds.starts_with('-') && nanoseconds > 0 {
        true => Some((whole.checked_sub(1)?, 1_000_000_000 - nanoseconds)),
        false => Some((whole, nanoseconds)),
    }
}

fn broken(reason: &'static str) -> UnpackError {
    UnpackError::Archive { path: PathBuf::new(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_broken_ones_refused() {
        let mut extension = Extension::default();
        extension.parse(b"12 path=a/b\n21 mtime=-1.25000000\n28 SCHILY.xattr.user.a=b=\nc\n").unwrap();
        assert_eq!(extension.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(extension.modified, Some((-2, 750_000_000)));
        assert_eq!(extension.attributes, [(c"user.a".to_owned(), b"b=\nc".to_vec())]);
        for broken in [&b"99 path=a\n"[..], b"x path=a\n", b"9 pathaa\n", b"12 size=abcd\n", b"1 \n"] {
            assert!(Extension::default().parse(broken).is_err(), "{broken:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = Extension::default().parse(&bytes);
        }
    }
}
