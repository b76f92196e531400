//! The group of one exec inside a container's group, so that the exec's whole process tree can be killed and nothing
//! else: a process tree cannot be told by parents, since a grandchild may outlive its own.

use std::fs;
use std::io;
use std::path::{Component, Path};

use super::{Cgroup, Error, Result};

impl Cgroup {
    /// A child for one exec. It exists in one hierarchy only (v1: the freezer; v2: the one there is); [`Cgroup::join`]
    /// of the child leads into the container's own groups everywhere else, so the container's limits hold.
    ///
    /// No controller is enabled for the child, so the container's group keeps its processes.
    ///
    /// # Errors
    /// [`Error::Path`] if the name is not one path component, or this already is the group of an exec.
    pub fn exec_child(&self, name: &str) -> Result<Self> {
        let mut components = Path::new(name).components();
        let single = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
        if !single || self.exec.is_some() {
            return Err(Error::Path { path: self.path().join(name) });
        }
        Ok(Self { exec: Some(name.into()), ..self.clone() })
    }

    /// Makes the group of an exec; the container's group must exist.
    ///
    /// # Errors
    /// [`Error::Create`].
    pub fn create_exec_child(&self, name: &str) -> Result<Self> {
        let child = self.exec_child(name)?;
        let path = child.directory(child.hierarchies.primary());
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(Error::Create { path, source: error })
            }
            _ => Ok(child),
        }
    }
}
