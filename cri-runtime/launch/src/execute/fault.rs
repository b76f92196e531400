//! How a step fails: the kernel's answer, and the object it was about.

use std::fmt::Display;
use std::io;

/// An error and, if the step has several objects, the one that failed.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) object: Option<String>,
    pub(super) error: io::Error,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self { object: None, error }
    }
}

pub(super) type Result<T = ()> = std::result::Result<T, Fault>;

/// Names the object of an error.
pub(super) trait On<T> {
    fn on(self, object: impl Display) -> Result<T>;
}

impl<T> On<T> for io::Result<T> {
    fn on(self, object: impl Display) -> Result<T> {
        self.map_err(|error| Fault { object: Some(object.to_string()), error })
    }
}

impl<T> On<T> for Result<T> {
    fn on(self, object: impl Display) -> Result<T> {
        self.map_err(|fault| Fault { object: Some(object.to_string()), error: fault.error })
    }
}

/// The kernel's error with this number.
pub(super) fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}
