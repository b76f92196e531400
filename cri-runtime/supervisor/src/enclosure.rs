//! Where the supervisor lives: a mount namespace of its own with next to nothing in it.
//!
//! Every child starts from a copy of this namespace, and clone and pivot cost more with every mount in it (trap 18).
//! Host directories are out of reach from here: whatever a start needs of them arrives as a descriptor.
//!
//! Owns: the descriptors that are kept of the world outside: `/proc`, the null device, and the launcher's.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use kernel::path;
use kernel::process::{DescriptorLimit, Stat, own_pid, raise_descriptor_limit};
use launch::execute::Launcher;

/// What is kept of the world outside.
#[derive(Debug)]
pub struct Enclosure {
    proc: OwnedFd,
    null: OwnedFd,
    launcher: Launcher,
    descriptor_limit: DescriptorLimit,
}

impl Enclosure {
    /// Keeps `/proc` and the null device of the present mount namespace, and makes room for descriptors.
    ///
    /// # Errors
    /// Whatever opening them returns.
    pub fn open() -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let proc = path::open_dir(Path::new("/proc"))?;
        let descriptor_limit = raise_descriptor_limit()?;
        Ok(Self { proc, null: null.into(), launcher: Launcher::new()?, descriptor_limit })
    }

    /// Leaves the present mount namespace for an empty one. Only what was opened before stays within reach.
    ///
    /// # Errors
    /// Whatever the kernel returns; the process must not go on then.
    pub fn enter(&self) -> io::Result<()> {
        launch::execute::enclose()
    }

    /// Continues with descriptors that were kept over `execve`, in the order of [`Enclosure::descriptors`].
    pub fn from_descriptors(
        [proc, null, pid_namespace, procfs]: [OwnedFd; 4],
        descriptor_limit: DescriptorLimit,
    ) -> Self {
        Self { proc, null, launcher: Launcher::from_descriptors([pid_namespace, procfs]), descriptor_limit }
    }

    /// The limit of open descriptors from before it was raised. The supervisor needs a few per process; a program
    /// that walks through all it could have open must not be made to walk through a million.
    pub fn descriptor_limit(&self) -> DescriptorLimit {
        self.descriptor_limit
    }

    /// The descriptors another program needs to continue.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 4] {
        let [pid_namespace, procfs] = self.launcher.descriptors();
        [self.proc.as_fd(), self.null.as_fd(), pid_namespace, procfs]
    }

    /// What starts processes.
    pub fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    /// The null device, for a standard stream.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`.
    pub fn null(&self) -> io::Result<OwnedFd> {
        self.null.try_clone()
    }

    fn read(&self, path: &str, content: &mut Vec<u8>) -> io::Result<()> {
        let file = path::open_beneath(self.proc.as_fd(), Path::new(path), libc::O_RDONLY, 0)?;
        File::from(file).read_to_end(content).map(|_| ())
    }

    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is no such process.
    pub fn start_time(&self, pid: i32) -> io::Result<u64> {
        let mut stat = Vec::with_capacity(512);
        self.read(&format!("{pid}/stat"), &mut stat)?;
        Ok(Stat::parse(&stat)?.start_time)
    }

    /// Pids of this process's children, ended or not.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] on kernels without `CONFIG_PROC_CHILDREN`.
    pub fn children(&self) -> io::Result<Vec<i32>> {
        let mut list = Vec::new();
        let pid = own_pid();
        self.read(&format!("{pid}/task/{pid}/children"), &mut list)?;
        let list = String::from_utf8_lossy(&list);
        Ok(list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }

    /// Asks the kernel to spare this process when memory runs out. Without the privilege it stays as it is.
    pub fn spare_from_oom_killer(&self) {
        let adjust = |value: &str| {
            let file = path::open_beneath(
                self.proc.as_fd(),
                Path::new(&format!("{}/oom_score_adj", own_pid())),
                libc::O_WRONLY,
                0,
            )?;
            io::Write::write_all(&mut File::from(file), value.as_bytes())
        };
        // Best effort by design: containers must start on hosts that do not grant it.
        let _ = adjust("-999");
    }
}
