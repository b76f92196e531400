//! What can go wrong for a person at a terminal, and the exit code that tells a script.

use std::error::Error as _;
use std::io;

use kubelet::manifest::ManifestError;

/// Wrong usage or a manifest that cannot be read (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// No runtime answers (`EX_UNAVAILABLE`).
pub const UNAVAILABLE: u8 = 69;
/// The runtime or the host failed (`EX_SOFTWARE`).
pub const RUNTIME: u8 = 70;
/// Ended by Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// An error of a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Something the user asked for that cannot be.
    #[error("{0}")]
    Usage(String),
    /// No runtime.
    #[error("{what}; {advice}")]
    Unavailable {
        /// What was tried.
        what: String,
        /// What to do.
        advice: String,
        /// Why it failed.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The runtime answered with an error.
    #[error("{operation} {object}: {}", status.message())]
    Call {
        /// What was asked.
        operation: &'static str,
        /// Of what.
        object: String,
        /// The answer.
        status: Box<tonic::Status>,
    },
    /// Something of the host.
    #[error("{operation} {object}")]
    Io {
        /// What was done.
        operation: &'static str,
        /// With what.
        object: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A pod that did not come up.
    #[error("{0}")]
    Pod(String),
}

impl Error {
    pub fn call(operation: &'static str, object: &str, status: tonic::Status) -> Self {
        Self::Call { operation, object: object.to_owned(), status: Box::new(status) }
    }

    pub fn io(operation: &'static str, object: impl Into<String>, source: io::Error) -> Self {
        Self::Io { operation, object: object.into(), source }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Manifest(_) | Self::Usage(_) => USAGE,
            Self::Unavailable { .. } => UNAVAILABLE,
            Self::Call { status, .. } if status.code() == tonic::Code::Unavailable => UNAVAILABLE,
            Self::Call { .. } | Self::Io { .. } | Self::Pod(_) => RUNTIME,
        }
    }

    /// The error and its causes in one line; what a cause repeats is left out.
    pub fn one_line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !line.contains(&text) {
                line = format!("{line}: {text}");
            }
            cause = error.source();
        }
        line.replace('\n', " ")
    }
}

/// A result of a command.
pub type Result<T> = std::result::Result<T, Error>;
