//! The supervisor's half of a start: from a plan and its descriptors to a running program.
//!
//! Owns: [`enclose`], the small mount namespace to start from; [`Launcher::spawn`], `clone3` with everything that must
//! be said to it; and the child that carries the plan out ([`run`]). Does not own: stdio pipes, waiting, the log, the
//! report's reading end. The caller is single-threaded, so the child is a plain fork: it may allocate.
//!
//! What the child looks at was compiled and validated by the daemon; paths are the one hostile thing left, because the
//! files they lead through are the image's. They are resolved by the kernel inside a root from which the host is
//! already gone.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use kernel::mount::{self, Builder};
use kernel::namespace::{self, Kind};

use crate::plan::{Failure, Plan};
use crate::protocol::StepTime;

mod child;
pub(crate) mod clock;
mod descriptors;
mod fault;
mod mounts;
mod process;
mod program;
mod target;

pub use child::run;

/// Where the child attaches its root filesystem: an empty directory in the supervisor's mount namespace.
pub const HOOK: &str = "/r";

const CLONE_PIDFD: u64 = libc::CLONE_PIDFD as u64;
/// The constants of the C library are missing on musl.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args`, up to `cgroup` (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Moves the calling process into a mount namespace that holds one empty directory, [`HOOK`], and nothing of the host.
///
/// Cloning and pivoting take time with every mount there is (61 us and 19 mounts, 597 us and 693). What the process
/// still needs of the host it must hold as descriptors: make a [`Launcher`] first.
///
/// # Errors
/// `EINVAL` if the host's root is the initial ramfs, which cannot be pivoted away; `EPERM` without `CAP_SYS_ADMIN`.
pub fn enclose() -> io::Result<()> {
    namespace::unshare(Kind::Mount.flag())?;
    mount::make_private(Path::new("/"), true)?;
    let builder = Builder::new("tmpfs")?;
    builder.option("mode", b"0755")?;
    builder.option("size", b"64k")?;
    let room =
        builder.mount(mount::attribute::NOSUID | mount::attribute::NODEV | mount::attribute::NOEXEC)?;
    mount::move_into(room.as_fd(), kernel::path::open_dir(Path::new("/"))?.as_fd())?;
    descriptors::change_directory(room.as_fd())?;
    std::fs::create_dir(HOOK.trim_start_matches('/'))?;
    mount::pivot_here()?;
    mount::set_attr(room.as_fd(), false, mount::attribute::RDONLY, 0, 0)
}

/// What starts processes, and holds what they need of the host.
#[derive(Debug)]
pub struct Launcher {
    /// The namespace to come back to after a clone into another one.
    pid_namespace: OwnedFd,
    /// procfs of the supervisor's PID namespace, detached: nobody can mount anything over it.
    proc: OwnedFd,
}

/// A process between `clone3` and `execve`.
#[derive(Debug)]
pub struct Spawned {
    /// Process id in the supervisor's PID namespace.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// How long the parent took.
    pub clone: StepTime,
}

impl Launcher {
    /// Takes hold of `/proc` and of the PID namespace. Call it before [`enclose`].
    pub fn new() -> io::Result<Self> {
        let proc = mount::open_tree_clone(Path::new("/proc"), false)?;
        if !descriptors::is_procfs(proc.as_fd())? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "/proc is not procfs"));
        }
        // Children go where `pid_for_children` points, which is what must be restored.
        let pid_namespace = File::open("/proc/thread-self/ns/pid_for_children")?.into();
        Ok(Self { pid_namespace, proc })
    }

    /// Continues with descriptors that were kept over `execve`, in the order of [`Launcher::descriptors`].
    pub fn from_descriptors([pid_namespace, proc]: [OwnedFd; 2]) -> Self {
        Self { pid_namespace, proc }
    }

    /// What another program of this process needs to continue: PID namespace and procfs.
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.pid_namespace.as_fd(), self.proc.as_fd()]
    }

    /// Starts a process that carries `plan` out and reports on `report`, a pipe's write end, which is closed here.
    ///
    /// `fds` are the descriptors the plan refers to, `stdio` the standard streams. All must be close-on-exec, as every
    /// descriptor of the caller. The caller must be single-threaded.
    ///
    /// # Errors
    /// The failure of `clone3` itself. What fails in the child is in its report.
    pub fn spawn(
        &self,
        plan: &Plan,
        fds: &[BorrowedFd<'_>],
        report: OwnedFd,
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<Spawned, Failure> {
        let started = Instant::now();
        let fail = |error: io::Error| Failure::new("clone", "", &error);
        let mut pidfd: i32 = -1;
        let mut args = CloneArgs {
            flags: plan.clone_flags | CLONE_PIDFD,
            pidfd: &raw mut pidfd as u64,
            exit_signal: libc::SIGCHLD as u64,
            ..CloneArgs::default()
        };
        if let Some(index) = plan.cgroup.unified {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = descriptors::get(fds, index).map_err(fail)?.as_raw_fd() as u64;
        }
        if let Some(index) = plan.pid_namespace {
            let namespace = descriptors::get(fds, index).map_err(fail)?;
            namespace::join(namespace, Kind::Pid.flag())
                .map_err(|error| Failure::new("join namespace", "pid", &error))?;
        }
        // SAFETY: args is a valid clone_args of the size given, whose pidfd points to an int that outlives the call.
        // Without CLONE_VM the child has its own copy of everything, and the caller has no other thread that could
        // hold a lock in that copy.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
        let error = io::Error::last_os_error();
        if pid == 0 {
            run(plan, fds, self.proc.as_fd(), report, stdio);
        }
        let restored = match plan.pid_namespace {
            Some(_) => namespace::join(self.pid_namespace.as_fd(), Kind::Pid.flag()),
            None => Ok(()),
        };
        if pid < 0 {
            return Err(fail(error));
        }
        // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else knows.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        if let Err(error) = restored {
            // Later processes would be born in a container's PID namespace: this must not go on unseen.
            // SAFETY: no pointers but a null one are passed.
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), libc::SIGKILL, 0, 0) };
            return Err(Failure::new("leave namespace", "pid", &error));
        }
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Ok(Spawned { pid: pid as i32, pidfd, clone: StepTime { name: "clone".to_owned(), nanos } })
    }
}
