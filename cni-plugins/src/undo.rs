//! Steps that take back what was done, run in reverse order unless everything went well.

use crate::error::Error;

type Step<'a> = Box<dyn FnMut() -> Result<(), Error> + 'a>;

/// A guard: pushes after each step, disarmed at the end.
#[derive(Default)]
pub struct Undo<'a> {
    steps: Vec<(&'static str, Step<'a>)>,
}

impl<'a> Undo<'a> {
    /// Nothing to undo yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers how to take back a step.
    pub fn push(&mut self, what: &'static str, step: impl FnMut() -> Result<(), Error> + 'a) {
        self.steps.push((what, Box::new(step)));
    }

    /// Everything went well.
    pub fn disarm(mut self) {
        self.steps.clear();
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        while let Some((what, mut step)) = self.steps.pop() {
            // The error that made this necessary is the one the caller gets.
            if let Err(error) = step() {
                tracing::warn!(%error, "{what} after a failed ADD");
            }
        }
    }
}
