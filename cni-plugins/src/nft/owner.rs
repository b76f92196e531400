//! Whom a set element belongs to, written into the element itself: the kernel is the only record of a host port.
//!
//! An element carries up to 256 bytes for user space. We write a comment for people (`nft list ruleset` shows it), and
//! two digests for us, because container ids and network names have no fixed length.

use sha2::{Digest, Sha256};

/// Identity of an attachment, and what people call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Digest of the network's name.
    network: [u8; 8],
    /// Digest of container id and interface name.
    attachment: [u8; 16],
    /// The pod and the beginning of the container id.
    pub comment: String,
}

const COMMENT: u8 = 0;
/// User data types from 0 are nft's; it skips those it does not know.
const IDENTITY: u8 = 0xc1;
/// nft refuses longer comments; one byte is the terminating zero.
const COMMENT_MAX: usize = 127;

/// Type, length, value: the form of nftables user data.
pub(super) fn user_data(kind: u8, text: &str) -> Vec<u8> {
    let mut end = text.len().min(COMMENT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut data = vec![kind, end as u8 + 1];
    data.extend_from_slice(&text.as_bytes()[..end]);
    data.push(0);
    data
}

/// A digest over fields of any length, so that no two different lists of fields give the same input.
fn digest<const N: usize>(fields: &[&str]) -> [u8; N] {
    let mut hasher = Sha256::new();
    for field in fields {
        hasher.update((field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    let mut short = [0; N];
    short.copy_from_slice(&hasher.finalize()[..N]);
    short
}

impl Owner {
    /// The owner of what is made for this attachment. `pod` is `namespace/name`, if known.
    pub fn new(network: &str, container_id: &str, ifname: &str, pod: Option<&str>) -> Self {
        let short: String = container_id.chars().take(13).collect();
        let comment = match pod {
            Some(pod) => format!("{pod} {short}"),
            None => container_id.to_owned(),
        };
        Self { network: digest(&[network]), attachment: digest(&[container_id, ifname]), comment }
    }

    /// Whether both are the same attachment, under whatever network name: a conflist renamed between ADD and DEL must
    /// not leave anything (containernetworking/plugins#752).
    pub fn same_attachment(&self, other: &Self) -> bool {
        self.attachment == other.attachment
    }

    /// Whether both belong to the same network.
    pub fn same_network(&self, other: &Self) -> bool {
        self.network == other.network
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut data = user_data(COMMENT, &self.comment);
        data.extend_from_slice(&[IDENTITY, 24]);
        data.extend_from_slice(&self.network);
        data.extend_from_slice(&self.attachment);
        data
    }

    pub(super) fn decode(mut data: &[u8]) -> Option<Self> {
        let (mut comment, mut identity) = (String::new(), None);
        while let [kind, length, rest @ ..] = data {
            let value = rest.get(..usize::from(*length))?;
            match *kind {
                COMMENT => comment = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
                IDENTITY => identity = value.split_first_chunk::<8>(),
                _ => {}
            }
            data = &rest[usize::from(*length)..];
        }
        let (network, attachment) = identity?;
        Some(Self { network: *network, attachment: attachment.try_into().ok()?, comment })
    }
}

#[cfg(test)]
mod tests;
