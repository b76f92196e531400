//! Image references: what a person writes, made whole and checked (I-01, I-02).
//!
//! Pure. The grammar is that of `distribution/reference`; the defaults (`docker.io`, `library/`, `latest`) are Docker's.

use std::fmt;
use std::str::FromStr;

use super::digest::{Digest, DigestError};

/// Host a reference without one belongs to.
pub const DEFAULT_HOST: &str = "docker.io";
const DEFAULT_NAMESPACE: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// Most bytes in host and path together.
const NAME_MAX: usize = 255;
/// Most bytes in a tag.
const TAG_MAX: usize = 128;

/// A complete reference: host, path, and either a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    path: String,
    version: Version,
}

/// What of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// Whatever the tag points to at the moment.
    Tag(String),
    /// Exactly this manifest.
    Digest(Digest),
}

/// Why a text is no reference. The message names the text and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("parse image reference: it is empty")]
    Empty,
    /// Host, path or tag break the grammar.
    #[error("parse image reference {text:?}: {reason}")]
    Form {
        /// What was given.
        text: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The part behind `@`.
    #[error("parse image reference {text:?}")]
    Digest {
        /// What was given.
        text: String,
        /// What is wrong with the digest.
        #[source]
        source: DigestError,
    },
}

impl Reference {
    /// The registry's name, lower case, with its port: `docker.io`, `[::1]:5000`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository on that registry: `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Tag or digest.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Host and path, without tag or digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// The same repository, pinned to a manifest.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { version: Version::Digest(digest), ..self.clone() }
    }

    /// The same repository with a tag (`InvalidTag` as [`ReferenceError::Form`]).
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        format!("{}:{tag}", self.name()).parse()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}/{}:{tag}", self.host, self.path),
            Version::Digest(digest) => write!(f, "{}/{}@{digest}", self.host, self.path),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let form = |reason| ReferenceError::Form { text: text.to_owned(), reason };
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse();
                let digest =
                    digest.map_err(|source| ReferenceError::Digest { text: text.to_owned(), source })?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (host, remainder) = split_host(rest);
        let (path, tag) = match remainder.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (remainder, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(form(
                "a tag is 1 to 128 letters, digits, '_', '.' or '-' and starts with none of the last two",
            ));
        }
        let host = host.map(str::to_ascii_lowercase).unwrap_or_else(|| DEFAULT_HOST.to_owned());
        if !is_host(&host) {
            return Err(form("the registry host is not a host name or address with an optional port"));
        }
        // Docker Hub has answered to two names since its beginnings.
        let host = if host == "index.docker.io" { DEFAULT_HOST.to_owned() } else { host };
        if !path.split('/').all(is_path_component) {
            return Err(form(
                "a repository path is lower-case letters and digits, separated by '.', '_', '__', '-' or '/'",
            ));
        }
        let official = host == DEFAULT_HOST && !path.contains('/');
        let path = if official { format!("{DEFAULT_NAMESPACE}{path}") } else { path.to_owned() };
        if host.len() + 1 + path.len() > NAME_MAX {
            return Err(form("host and path are longer than 255 characters"));
        }
        // A tag beside a digest is dropped: the digest decides, and nobody verified that the tag agrees (I-02).
        let version = match digest {
            Some(digest) => Version::Digest(digest),
            None => Version::Tag(tag.unwrap_or(DEFAULT_TAG).to_owned()),
        };
        Ok(Self { host, path, version })
    }
}

/// The first component is a host if it could not be part of a path: it has a dot or a colon, or is `localhost`.
fn split_host(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first.eq_ignore_ascii_case("localhost") => {
            (Some(first), rest)
        }
        _ => (None, text),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        (None, port)
    } else {
        match host.split_once(':') {
            Some((name, _)) => (Some(name), &host[name.len()..]),
            None => (Some(host), ""),
        }
    };
    let label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    let port_is_valid = match port.strip_prefix(':') {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    port_is_valid && name.is_none_or(|name| name.split('.').all(label))
}

/// `[a-z0-9]+` joined by one of `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let bytes = component.as_bytes();
    let edges = bytes.first().zip(bytes.last());
    if !edges.is_some_and(|(first, last)| alphanumeric(*first) && alphanumeric(*last)) {
        return false;
    }
    component.split(|c: char| c.is_ascii() && alphanumeric(c as u8)).all(|separator| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    })
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests;
