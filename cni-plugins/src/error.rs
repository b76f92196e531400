//! The error of the CNI protocol: a code, a message and details, and the one place that gives errors their code.
//!
//! Every module has an error type of its own; at the edge of a plugin it becomes an [`Error`], which is what a runtime
//! reads as JSON.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A code of the CNI specification (section "Error"), or of libcni and skel where they add to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub u32);

impl Code {
    /// The plugin does not speak the `cniVersion` of the configuration.
    pub const INCOMPATIBLE_VERSION: Self = Self(1);
    /// A field of the configuration that the plugin does not support; the message names it.
    pub const UNSUPPORTED_FIELD: Self = Self(2);
    /// The container is unknown or does not exist.
    pub const UNKNOWN_CONTAINER: Self = Self(3);
    /// A required environment variable is missing or bad.
    pub const INVALID_ENVIRONMENT: Self = Self(4);
    /// Reading from or writing to the caller failed.
    pub const IO: Self = Self(5);
    /// The configuration is no JSON, or not of the expected shape.
    pub const DECODE: Self = Self(6);
    /// The configuration is well-formed and wrong.
    pub const INVALID_CONFIG: Self = Self(7);
    /// The network namespace is the caller's own (skel).
    pub const INVALID_NETNS: Self = Self(8);
    /// A passing condition: the caller should try again.
    pub const TRY_AGAIN: Self = Self(11);
    /// STATUS: the plugin cannot serve ADD.
    pub const UNAVAILABLE: Self = Self(50);
    /// CHECK found the attachment in another state than ADD left it (first code free for plugins).
    pub const CHECK_FAILED: Self = Self(100);
    /// The host port belongs to another pod, or to a process of the host.
    pub const HOST_PORT_TAKEN: Self = Self(101);
    /// Anything else (what skel makes of a plain error).
    pub const INTERNAL: Self = Self(999);
}

/// What a plugin answers when it fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// Kind of failure.
    #[serde(default)]
    pub code: Code,
    /// One line: what, on which object.
    #[serde(default)]
    pub msg: String,
    /// Why: the chain of causes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl Default for Code {
    fn default() -> Self {
        Self::INTERNAL
    }
}

impl Error {
    /// An error without a cause.
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// An error whose message is `error` and whose details are the causes below it.
    pub fn from_source(code: Code, error: &dyn std::error::Error) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        Self { code, msg: error.to_string(), details: causes.join(": ") }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.msg)?;
        if !self.details.is_empty() {
            write!(f, ": {}", self.details)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Runs every step of a teardown and keeps the first error: DEL goes on through all steps (cni.md 1.5).
#[derive(Debug, Default)]
pub struct FirstError(Option<Error>);

impl FirstError {
    /// Takes the outcome of one step.
    pub fn collect(&mut self, outcome: Result<(), impl Into<Error>>) {
        if let Err(error) = outcome {
            let error = error.into();
            match &self.0 {
                None => self.0 = Some(error),
                Some(first) => tracing::warn!(%error, %first, "another step failed too"),
            }
        }
    }

    /// The first error of all steps.
    ///
    /// # Errors
    /// That error.
    pub fn finish(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Err)
    }
}
