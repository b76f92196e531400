//! One call of a plugin: the attachment it is about, and the configuration it was given.
//!
//! Owns: validation of what a caller says (cni.md 1.1), the parameters of `CNI_ARGS`, and the fields every network
//! configuration has. Plugins read their own fields from [`NetConfig::fields`].

mod arguments;
mod config;

use std::path::PathBuf;

pub use arguments::Arguments;
pub use config::{NetConfig, ValidAttachment};

use crate::error::{Code, Error};
use crate::invoke::delegate::OwnBinary;
use crate::netns::Netns;

/// What a plugin does with a link whose namespace is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teardown {
    /// Delete it: nobody else will. 15 to 32 ms for a veth.
    Link,
    /// The caller drops the namespace right after DEL, and the kernel removes all links of it in one go. The plugin
    /// only makes sure that the link carries nothing any more (about 0.5 ms), so that its address can be given away.
    NamespaceDropped,
}

/// The parameters of a verb. GC and STATUS concern no attachment: their ids are empty and there is no namespace.
#[derive(Debug)]
pub struct Call<'a> {
    /// Id of the container.
    pub container_id: String,
    /// Its network namespace; `None` on DEL if that is gone.
    pub netns: Option<Netns>,
    /// Name of the interface inside.
    pub ifname: String,
    /// `CNI_ARGS`.
    pub arguments: Arguments,
    /// Directories in which delegated plugins are looked for (`CNI_PATH`). If there is none, only built-in plugins
    /// can be delegated to.
    pub path: Vec<PathBuf>,
    /// The configuration.
    pub config: NetConfig,
    /// How links end.
    pub teardown: Teardown,
    /// Which file on disk holds the plugins of this library, to be called in process.
    pub own_binary: &'a OwnBinary,
}

impl Call<'_> {
    /// The namespace of the container, which every verb but DEL needs.
    ///
    /// # Errors
    /// Code 4.
    pub fn netns(&self) -> Result<&Netns, Error> {
        self.netns.as_ref().ok_or_else(|| {
            Error::new(Code::INVALID_ENVIRONMENT, "required env variables [CNI_NETNS] missing")
        })
    }

    /// `namespace/name` of the pod, where the runtime said so.
    pub fn pod(&self) -> Option<String> {
        Some(format!("{}/{}", self.arguments.get("K8S_POD_NAMESPACE")?, self.arguments.get("K8S_POD_NAME")?))
    }
}

/// Whether a text can be a container id or network name.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// Checks a container id.
///
/// # Errors
/// Code 4.
pub fn validate_container_id(id: &str) -> Result<(), Error> {
    if is_name(id) {
        return Ok(());
    }
    let msg = format!(
        "invalid container id {id:?}: it has to start with a letter or digit and to consist of letters, digits, _ . -"
    );
    Err(Error::new(Code::INVALID_ENVIRONMENT, msg))
}

/// Checks a network name.
///
/// # Errors
/// Code 7.
pub fn validate_network_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::new(Code::INVALID_CONFIG, "missing network name"));
    }
    if is_name(name) {
        return Ok(());
    }
    let msg = format!(
        "invalid network name {name:?}: it has to start with a letter or digit and to consist of letters, digits, _ . -"
    );
    Err(Error::new(Code::INVALID_CONFIG, msg))
}

/// Checks an interface name as the kernel does (`dev_valid_name`).
///
/// # Errors
/// Code 4.
pub fn validate_ifname(name: &str) -> Result<(), Error> {
    let problem = match name {
        "" => "it is empty",
        "." | ".." => "it is a directory",
        _ if name.len() > 15 => "it is longer than 15 bytes",
        _ if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) => {
            "it has a slash, a colon or white space"
        }
        _ => return Ok(()),
    };
    Err(Error::new(Code::INVALID_ENVIRONMENT, format!("invalid interface name {name:?}: {problem}")))
}

#[cfg(test)]
mod tests;
