//! The child's half of a start: from clone3 to execve.
//!
//! It runs in a copy of a process with one thread, so it may allocate; it never returns into the parent's code.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, pivot_root, sethostname, setsid};

use super::call;
use super::cgroup::Group;

/// The overlay of one container.
pub struct Layers<'a> {
    pub lower: &'a Path,
    pub upper: &'a Path,
    pub work: &'a Path,
    /// Where it is mounted, in the child's own mount namespace.
    pub merged: &'a Path,
}

/// What the child does.
pub struct Start<'a> {
    /// Namespaces it joins, in order.
    pub join: &'a [(BorrowedFd<'a>, CloneFlags)],
    pub group: &'a Group,
    /// A root of its own, or the one it finds.
    pub layers: Option<Layers<'a>>,
    pub filter: &'a [libc::sock_filter],
    /// Path as the child sees it after everything else.
    pub program: &'a Path,
    pub arguments: &'a [CString],
    pub stdout: BorrowedFd<'a>,
}

/// Directories and files of /proc and /sys that containers must not see.
const MASKED: [&str; 10] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const DEVICES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Does it; comes back only with what failed.
pub fn run(start: &Start<'_>) -> anyhow::Error {
    let failure = prepare(start).and_then(|program| {
        if !start.filter.is_empty() {
            call::load_filter(start.filter).context("load seccomp filter")?;
        }
        Ok(program)
    });
    match failure {
        Err(error) => error,
        Ok(program) => anyhow::Error::new(call::execute(program.as_fd(), start.arguments))
            .context(format!("execute {}", start.program.display())),
    }
}

fn prepare(start: &Start<'_>) -> Result<OwnedFd> {
    start.group.join()?;
    for (namespace, kinds) in start.join {
        setns(namespace, *kinds).context("join namespaces")?;
    }
    setsid().context("make session")?;
    let null = File::open("/dev/null").context("open /dev/null")?;
    dup2_stdin(&null).context("set standard input")?;
    dup2_stdout(start.stdout).context("set standard output")?;
    dup2_stderr(start.stdout).context("set standard error")?;
    if let Some(layers) = &start.layers {
        root(layers)?;
        sethostname("floor").context("set hostname")?;
    }
    Ok(File::open(start.program).with_context(|| format!("open {}", start.program.display()))?.into())
}

fn root(layers: &Layers<'_>) -> Result<()> {
    let at = layers.merged;
    attach(None, Path::new("/"), None, MsFlags::MS_REC | MsFlags::MS_SLAVE, None)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        layers.lower.display(),
        layers.upper.display(),
        layers.work.display()
    );
    attach(Some("overlay"), at, Some("overlay"), MsFlags::empty(), Some(&options))?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    attach(Some("proc"), &at.join("proc"), Some("proc"), safe, None)?;
    let dev = at.join("dev");
    attach(
        Some("tmpfs"),
        &dev,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_STRICTATIME,
        Some("mode=755,size=65536k"),
    )?;
    for (name, major, minor) in DEVICES {
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&dev.join(name), SFlag::S_IFCHR, mode, makedev(major, minor))
            .with_context(|| format!("make device {name}"))?;
    }
    for (target, name) in LINKS {
        std::os::unix::fs::symlink(target, dev.join(name)).with_context(|| format!("link {name}"))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        fs::create_dir(dev.join(name)).with_context(|| format!("make /dev/{name}"))?;
    }
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    attach(
        Some("devpts"),
        &dev.join("pts"),
        Some("devpts"),
        quiet,
        Some("newinstance,ptmxmode=0666,mode=0620"),
    )?;
    attach(Some("shm"), &dev.join("shm"), Some("tmpfs"), safe, Some("mode=1777,size=65536k"))?;
    attach(Some("mqueue"), &dev.join("mqueue"), Some("mqueue"), safe, None)?;
    attach(Some("sysfs"), &at.join("sys"), Some("sysfs"), safe | MsFlags::MS_RDONLY, None)?;
    chdir(at).context("enter the new root")?;
    // New and old root on the same place: the old one is then on top and can be let go (pivot_root(2)).
    pivot_root(".", ".").context("pivot root")?;
    umount2(".", MntFlags::MNT_DETACH).context("let go of the old root")?;
    chdir("/").context("enter /")?;
    MASKED.iter().try_for_each(|path| mask(path))?;
    READ_ONLY.iter().try_for_each(|path| read_only(path))
}

fn attach(
    source: Option<&str>,
    at: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<()> {
    mount(source, at, kind, flags, options).with_context(|| format!("mount {}", at.display()))
}

fn mask(path: &str) -> Result<()> {
    let none: Option<&str> = None;
    let hidden = match mount(Some("/dev/null"), path, none, MsFlags::MS_BIND, none) {
        Err(Errno::ENOTDIR) => mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::MS_RDONLY, Some("size=0k")),
        other => other,
    };
    absent_is_fine(hidden).with_context(|| format!("mask {path}"))
}

fn read_only(path: &str) -> Result<()> {
    let none: Option<&str> = None;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    let done = mount(Some(path), path, none, bind, none)
        .and_then(|()| mount(Some(path), path, none, bind | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none));
    absent_is_fine(done).with_context(|| format!("make {path} read-only"))
}

fn absent_is_fine(result: nix::Result<()>) -> nix::Result<()> {
    if result == Err(Errno::ENOENT) { Ok(()) } else { result }
}
