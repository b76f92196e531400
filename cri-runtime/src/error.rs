//! How an operation failed, as its caller is told: a class, which becomes a gRPC code in one place, and one line.

use std::error::Error;
use std::fmt::Write;
use std::io;

/// Classes of failure; [`crate::server`] maps each to the gRPC code of the same name (G-05).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The request can never succeed as it is.
    InvalidArgument,
    /// The object does not exist.
    NotFound,
    /// Another object has the name.
    AlreadyExists,
    /// The object is in the wrong state.
    FailedPrecondition,
    /// Out of disk, addresses, descriptors.
    ResourceExhausted,
    /// It took too long.
    DeadlineExceeded,
    /// The runtime cannot answer now.
    Unavailable,
    /// The runtime does not offer this.
    Unimplemented,
    /// Anything else.
    Internal,
}

/// A failed operation. Cheap enough to be handed to everybody who waited for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind.
    pub class: Class,
    /// One line; becomes a pod event verbatim.
    pub message: String,
}

impl Failure {
    /// A failure with its own words.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }

    /// A failure that tells `error` and its causes. Errors that say the disk is full, or that a limit of the host is
    /// reached, become [`Class::ResourceExhausted`] whatever operation met them.
    pub fn because(class: Class, error: &(dyn Error + 'static)) -> Self {
        let class = if exhausted(error) { Class::ResourceExhausted } else { class };
        Self { class, message: chain(error) }
    }
}

fn exhausted(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory
            );
        }
        next = error.source();
    }
    false
}

/// An error and its causes in one line: `start container: mount /data: Permission denied (os error 13)`.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // A transparent error says what its cause says.
        if !line.ends_with(&text) {
            // Writing to a String cannot fail.
            let _ = write!(line, ": {text}");
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("write record {name}")]
    struct Write {
        name: &'static str,
        #[source]
        source: io::Error,
    }

    #[test]
    fn a_full_disk_is_resource_exhausted_however_deep_it_lies() {
        let error = Write { name: "pod", source: io::Error::from_raw_os_error(28) };
        let failure = Failure::because(Class::Internal, &error);
        assert_eq!(failure.class, Class::ResourceExhausted);
        assert_eq!(failure.message, "write record pod: No space left on device (os error 28)");
    }
}
