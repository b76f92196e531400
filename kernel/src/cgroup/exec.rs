//! The group of one exec inside a container's group, so that the exec's whole process tree can be killed and nothing
//! else: a process tree cannot be told by parents, since a grandchild may outlive its own.

use std::fs;
use std::io;
use std::path::{Component, Path};
use std::thread;
use std::time::{Duration, Instant};

use super::control;
use super::{Cgroup, Error, Result};

/// Between two attempts to remove a group that is emptied.
const PAUSE: Duration = Duration::from_micros(200);

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

    /// Removes the group of an exec that ended; what it left running goes on as a part of the container.
    ///
    /// A process that is born while the others are moved keeps the group for another round, until `deadline` from now.
    ///
    /// # Errors
    /// [`Error::Remove`], with EBUSY after the deadline; [`Error::Read`] and [`Error::Write`].
    pub fn dissolve(&self, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        let own = self.directory(self.hierarchies.primary());
        let Some(parent) = own.parent().filter(|_| self.exec.is_some()) else {
            return Err(Error::Path { path: self.path() });
        };
        let above = parent.join("cgroup.procs");
        loop {
            match fs::remove_dir(&own) {
                Err(error) if control::is_absent(&error) => return Ok(()),
                Err(source) if source.raw_os_error() != Some(libc::EBUSY) || Instant::now() >= end => {
                    return Err(Error::Remove { path: own, source });
                }
                Err(_) => {}
                Ok(()) => return Ok(()),
            }
            for pid in self.procs()? {
                match control::write(&above, &pid.to_string()) {
                    // It ended meanwhile.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    Err(source) => {
                        return Err(Error::Write { path: above, value: pid.to_string(), source });
                    }
                    Ok(()) => {}
                }
            }
            // A process that has just ended keeps the group for an instant, of which there is no event on v1.
            thread::sleep(PAUSE);
        }
    }
}
