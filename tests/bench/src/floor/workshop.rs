//! What every operation needs: folders, cgroups, the network, the compiled filter, and a started process.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use launch::seccomp::{Arch, Context as Container, KernelVersion, runtime_default};
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::pipe2;

use super::call::{self, Side};
use super::cgroup::{Group, Groups};
use super::child::{self, Layers, Start};
use super::network::Network;

/// Longest wait for a child, milliseconds.
const DEADLINE: u16 = 10_000;
/// What containers keep of root's capabilities by default: the filter's conditions look at them.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Where containers are made.
pub struct Workshop {
    folder: PathBuf,
    groups: Groups,
    pub network: Network,
    filter: Vec<libc::sock_filter>,
    pause: Option<PathBuf>,
    own_pids: OwnedFd,
    made: u64,
}

/// A process that runs; dropping it ends it and removes what it had.
pub struct Running {
    pidfd: OwnedFd,
    group: Group,
    folder: Option<PathBuf>,
    /// Its standard output and error.
    output: File,
    ended: bool,
}

/// What is started, besides the program.
pub struct Shape<'a> {
    /// Namespaces that are made.
    pub create: CloneFlags,
    /// Namespaces that are joined.
    pub join: &'a [(BorrowedFd<'a>, CloneFlags)],
    /// The pid namespace of this process is joined.
    pub pids_of: Option<BorrowedFd<'a>>,
    /// With an overlay root.
    pub root: bool,
    /// With the default filter.
    pub filter: bool,
}

impl Workshop {
    /// Makes the folders and groups, and moves this process into mount and network namespaces of its own.
    pub fn open(dir: &Path, cgroup: &str, program: &Path, pause: Option<&Path>) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS).context("make mount namespace")?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("make mounts private")?;
        let folder = dir.canonicalize().with_context(|| format!("find {}", dir.display()))?;
        let folder = folder.join(format!("floor-{}", std::process::id()));
        for name in ["bin", "proc", "dev", "sys"] {
            let path = folder.join("lower").join(name);
            fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        }
        let workshop = Self {
            groups: Groups::open(cgroup)?,
            network: Network::open()?,
            filter: filter()?,
            pause: pause.map(Path::canonicalize).transpose().context("find the pause program")?,
            own_pids: File::open("/proc/self/ns/pid").context("open own pid namespace")?.into(),
            made: 0,
            folder,
        };
        let inside = workshop.folder.join("lower/bin/program");
        fs::copy(program, &inside).with_context(|| format!("copy {}", program.display()))?;
        Ok(workshop)
    }

    /// Starts the holder of a sandbox's namespaces.
    pub fn start_pause(&mut self, shape: &Shape<'_>) -> Result<Running> {
        match self.pause.clone() {
            Some(pause) => self.start(shape, &pause, &["pause"]),
            None => {
                let program = self.folder.join("lower/bin/program");
                self.start(shape, &program, &["program", "sleep"])
            }
        }
    }

    /// Starts the program of the image with these arguments.
    pub fn start_program(&mut self, shape: &Shape<'_>, arguments: &[&str]) -> Result<Running> {
        let words: Vec<&str> = std::iter::once("program").chain(arguments.iter().copied()).collect();
        self.start(shape, Path::new("/bin/program"), &words)
    }

    fn start(&mut self, shape: &Shape<'_>, program: &Path, arguments: &[&str]) -> Result<Running> {
        self.made += 1;
        let name = self.made.to_string();
        let mut folder = None;
        if shape.root {
            let made = self.folder.join(&name);
            for part in ["", "upper", "work", "merged"] {
                fs::create_dir(made.join(part))
                    .with_context(|| format!("make {}", made.join(part).display()))?;
            }
            folder = Some(made);
        }
        let group = self.groups.create(&name)?;
        let unified = group.unified.as_ref().map(File::open).transpose().context("open cgroup")?;
        let arguments = arguments.iter().map(|word| CString::new(*word)).collect::<Result<Vec<_>, _>>()?;
        let (mut failure, told) = pipe()?;
        let (output, stdout) = pipe()?;
        if let Some(process) = shape.pids_of {
            // Concerns only children, and has to be undone for the next one.
            setns(process, CloneFlags::CLONE_NEWPID).context("join pid namespace")?;
        }
        let side = call::clone3(shape.create.bits(), unified.as_ref().map(AsFd::as_fd)).context("clone");
        let pidfd = match side {
            Ok(Side::Child) => {
                let layers = folder.as_deref().map(|made| {
                    let part = |name: &str| made.join(name);
                    (part("upper"), part("work"), part("merged"))
                });
                let lower = self.folder.join("lower");
                let start = Start {
                    join: shape.join,
                    group: &group,
                    layers: layers.as_ref().map(|(upper, work, merged)| Layers {
                        lower: &lower,
                        upper,
                        work,
                        merged,
                    }),
                    filter: if shape.filter { &self.filter } else { &[] },
                    program,
                    arguments: &arguments,
                    stdout: stdout.as_fd(),
                };
                let error = child::run(&start);
                // If this cannot be told either, the parent sees the exit code.
                let _untold = File::from(told).write_all(format!("{error:#}").as_bytes());
                call::exit(125)
            }
            Ok(Side::Parent(pidfd)) => pidfd,
            Err(error) => return Err(error),
        };
        drop(told);
        drop(stdout);
        let running = Running { pidfd, group, folder, output, ended: false };
        if shape.pids_of.is_some() {
            setns(self.own_pids.as_fd(), CloneFlags::CLONE_NEWPID).context("return to own pid namespace")?;
        }
        // Closed by execve: nothing to read means that the program runs.
        readable(failure.as_fd(), "the program is executed")?;
        let mut text = String::new();
        failure.read_to_string(&mut text).context("read what the child says")?;
        if text.is_empty() { Ok(running) } else { bail!("start: {text}") }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("floor: remove {}: {error}", self.folder.display());
        }
    }
}

impl Running {
    /// A descriptor of the process, through which its namespaces can be joined.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for output.
    pub fn wait_output(&self) -> Result<()> {
        readable(self.output.as_fd(), "the program writes")
    }

    /// Waits for the end; the process is reaped.
    pub fn wait(&mut self) -> Result<()> {
        readable(self.pidfd.as_fd(), "the program ends")?;
        waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED).context("reap")?;
        self.ended = true;
        Ok(())
    }

    /// SIGKILL, reap, and remove the group: what a stop costs.
    pub fn end(mut self) -> Result<Duration> {
        let begun = Instant::now();
        call::kill(self.pidfd.as_fd()).context("kill")?;
        self.wait()?;
        let folder = self.folder.take();
        drop(self);
        let time = begun.elapsed();
        folder.iter().try_for_each(fs::remove_dir_all).context("remove the container's folder")?;
        Ok(time)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let ended = call::kill(self.pidfd.as_fd()).map_err(anyhow::Error::new).and_then(|()| self.wait());
            if let Err(error) = ended {
                eprintln!("floor: end a process: {error:#}");
            }
        }
        if let Some(folder) = self.folder.take()
            && let Err(error) = fs::remove_dir_all(&folder)
        {
            eprintln!("floor: remove {}: {error}", folder.display());
        }
        // The group goes next, by its own drop: it is empty now.
        let _last = &self.group;
    }
}

fn pipe() -> Result<(File, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).context("make pipe")?;
    Ok((reader.into(), writer))
}

fn readable(fd: BorrowedFd<'_>, what: &str) -> Result<()> {
    let mut wanted = [PollFd::new(fd, PollFlags::POLLIN)];
    match poll(&mut wanted, PollTimeout::from(DEADLINE)).context("poll")? {
        0 => bail!("waited {} s in vain until {what}", DEADLINE / 1000),
        _ => Ok(()),
    }
}

/// The default filter for the default capabilities, as the kernel takes it.
fn filter() -> Result<Vec<libc::sock_filter>> {
    let native = Arch::native().context("seccomp: unknown architecture")?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("read the kernel's release")?;
    let container = Container {
        capabilities: CAPABILITIES.iter().map(ToString::to_string).collect(),
        native,
        kernel: KernelVersion::parse(release.trim())?,
    };
    let program = runtime_default().resolve(&container)?.compile(native)?.program;
    Ok(program
        .iter()
        .map(|one| libc::sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k })
        .collect())
}
