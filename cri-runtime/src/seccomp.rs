//! Seccomp programs: compiled once for each profile and set of capabilities, then taken from memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use launch::plan::SockFilter;

/// Most programs kept; containers of one node use a handful of profiles.
const KEPT: usize = 128;

/// Compiled programs by the key of what they were compiled from.
#[derive(Debug, Default)]
pub struct Filters {
    inner: Mutex<HashMap<String, Arc<Vec<SockFilter>>>>,
}

impl Filters {
    /// The program of `key`, compiled by `compile` if it is not there yet.
    ///
    /// # Errors
    /// Those of `compile`.
    pub fn get<E>(
        &self,
        key: String,
        compile: impl FnOnce() -> Result<Vec<SockFilter>, E>,
    ) -> Result<Arc<Vec<SockFilter>>, E> {
        if let Some(program) = self.inner.lock().expect("no panic while holding it").get(&key) {
            return Ok(program.clone());
        }
        // Compiled outside the lock: at worst two callers do the same work once.
        let program = Arc::new(compile()?);
        let mut inner = self.inner.lock().expect("no panic while holding it");
        if inner.len() >= KEPT {
            inner.clear();
        }
        inner.insert(key, program.clone());
        Ok(program)
    }
}
