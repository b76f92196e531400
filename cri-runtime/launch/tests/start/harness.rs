//! Runs cases in forked processes, and containers in those.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use launch::compile::{Compiled, Options, compile};
use launch::execute::{Launcher, enclose};
use launch::gather;
use launch::plan::{Failure, Plan};
use launch::protocol::StepTime;
use launch::report::Report;
use oci_spec::runtime::Spec;

/// A named case. The directory is its own and is removed after it.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub run: fn(&Path),
}

/// No case takes a tenth of this, on any machine.
const DEADLINE_MILLISECONDS: i32 = 120_000;

const BUSYBOX: &str = "/bin/busybox";

pub fn main(cases: &[Case]) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return;
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen =
        |case: &&Case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(*filter));
    // SAFETY: no pointers are passed.
    let missing = if unsafe { libc::geteuid() } != 0 {
        Some("starting containers needs root".to_owned())
    } else if !Path::new(BUSYBOX).exists() {
        Some(format!("no {BUSYBOX} (apt-get install -y busybox-static)"))
    } else {
        None
    };
    if let Some(missing) = missing {
        eprintln!("SKIPPED starting containers: {missing}");
        summarise(0, 0, cases.iter().filter(chosen).count());
        return;
    }
    let (mut passed, mut failed) = (0, 0);
    for case in cases.iter().filter(chosen) {
        let directory = tempfile::tempdir().expect("a directory");
        let has_passed = forked(|| (case.run)(directory.path()));
        println!("test {} ... {}", case.name, if has_passed { "ok" } else { "FAILED" });
        *if has_passed { &mut passed } else { &mut failed } += 1;
    }
    summarise(passed, failed, 0);
    if failed > 0 {
        std::process::exit(1);
    }
}

/// The last line, in the words of the standard harness: whoever adds up test programs reads it.
fn summarise(passed: usize, failed: usize, ignored: usize) {
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored");
}

/// Runs `f` in a child process; whether it returned rather than panicked or timed out.
///
/// The child is the first of a PID namespace: whatever it leaves behind, containers too, ends with it.
fn forked(f: impl FnOnce()) -> bool {
    let namespace = kernel::namespace::Kind::Pid;
    let own = kernel::namespace::open(std::process::id() as i32, namespace).expect("own namespace");
    kernel::namespace::unshare(namespace.flag()).expect("unshare");
    // SAFETY: this process has one thread, so the child is a full copy that may do anything.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_ok();
        // SAFETY: ends the process without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!passed)) }
    }
    kernel::namespace::join(own.as_fd(), namespace.flag()).expect("back");
    // SAFETY: no pointers are passed.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let mut ended = libc::pollfd { fd: pidfd as i32, events: libc::POLLIN, revents: 0 };
    // SAFETY: ended is one pollfd.
    if unsafe { libc::poll(&raw mut ended, 1, DEADLINE_MILLISECONDS) } != 1 {
        eprintln!("it takes too long");
        // SAFETY: no pointers are passed.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    // SAFETY: the descriptor was opened above and nobody else knows it.
    unsafe { libc::close(pidfd as i32) };
    wait(pid) == Ended::Code(0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Code(i32),
    Signal(i32),
}

pub fn wait(pid: i32) -> Ended {
    let mut status = 0;
    // SAFETY: status has room for the int.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid, "{}", std::io::Error::last_os_error());
    if libc::WIFEXITED(status) {
        Ended::Code(libc::WEXITSTATUS(status))
    } else {
        Ended::Signal(libc::WTERMSIG(status))
    }
}

pub fn pipe() -> (OwnedFd, OwnedFd) {
    kernel::descriptor::pipe().expect("a pipe")
}

/// A root filesystem of one layer: busybox under all its names, and the usual directories.
pub struct Image {
    pub lower: PathBuf,
    pub upper: PathBuf,
    pub work: PathBuf,
}

impl Image {
    pub fn new(directory: &Path) -> Self {
        let image = Self {
            lower: directory.join("lower"),
            upper: directory.join("upper"),
            work: directory.join("work"),
        };
        for path in [&image.upper, &image.work, &image.lower.join("bin"), &image.lower.join("etc")] {
            std::fs::create_dir_all(path).expect("mkdir");
        }
        for path in ["proc", "sys", "dev", "tmp"] {
            std::fs::create_dir(image.lower.join(path)).expect("mkdir");
        }
        std::fs::copy(BUSYBOX, image.lower.join("bin/busybox")).expect("copy busybox");
        for name in [
            "sh", "cat", "id", "ls", "hostname", "stat", "grep", "mkdir", "touch", "readlink", "umask",
            "sleep", "echo", "chmod", "mount", "sed", "head", "true", "printenv", "mknod", "test", "wc",
            "sort", "dd",
        ] {
            std::os::unix::fs::symlink("busybox", image.lower.join("bin").join(name)).expect("link");
        }
        image
    }

    pub fn options(&self) -> Options {
        Options {
            rootfs: launch::compile::Rootfs::Overlay {
                lower: vec![self.lower.clone()],
                upper: self.upper.clone(),
                work: self.work.clone(),
            },
            ..Options::default()
        }
    }
}

/// A plan with its descriptors.
pub struct Ready {
    pub plan: Plan,
    pub fds: Vec<OwnedFd>,
}

impl Ready {
    /// Compiles and gathers, as the daemon does.
    pub fn new(spec: &Spec, options: &Options, given: Vec<OwnedFd>) -> Self {
        assert_eq!(usize::from(options.given), given.len());
        Self::from(compile(spec, options).expect("compile"), given)
    }

    pub fn from(compiled: Compiled, given: Vec<OwnedFd>) -> Self {
        let mut fds = given;
        fds.extend(gather(&compiled.needs).expect("gather"));
        // The plan travels encoded; what arrives must be what was sent.
        let bytes = compiled.plan.encode().expect("encode");
        Self { plan: Plan::decode(&bytes).expect("decode"), fds }
    }
}

/// The supervisor's side of a case.
pub struct Room {
    launcher: Launcher,
    null: OwnedFd,
}

/// A started process.
pub struct Running {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub output: File,
    pub steps: Vec<StepTime>,
}

impl Room {
    /// Leaves the host behind: everything that needs its paths must have been gathered.
    pub fn enter() -> Self {
        let launcher = Launcher::new().expect("a launcher");
        let null = File::options().read(true).write(true).open("/dev/null").expect("the null device").into();
        enclose().expect("a mount namespace of its own");
        Self { launcher, null }
    }

    pub fn start(&self, ready: &Ready) -> Result<Running, Failure> {
        let (output, stdout) = pipe();
        self.start_with(ready, [self.null.as_fd(), stdout.as_fd(), stdout.as_fd()], output)
    }

    /// Starts with these streams; `output` is where the program's output can be read.
    pub fn start_with(
        &self,
        ready: &Ready,
        streams: [BorrowedFd<'_>; 3],
        output: OwnedFd,
    ) -> Result<Running, Failure> {
        let (report, report_end) = pipe();
        let fds: Vec<BorrowedFd<'_>> = ready.fds.iter().map(AsFd::as_fd).collect();
        let spawned = self.launcher.spawn(&ready.plan, &fds, report_end, streams)?;
        let mut bytes = Vec::new();
        File::from(report).read_to_end(&mut bytes).expect("read the report");
        let outcome = Report::decode(&bytes).expect("decode the report");
        let steps = match outcome.into_result() {
            Ok(steps) => [vec![spawned.clone], steps].concat(),
            Err(failure) => {
                wait(spawned.pid);
                return Err(failure);
            }
        };
        Ok(Running { pid: spawned.pid, pidfd: spawned.pidfd, output: output.into(), steps })
    }

    /// Starts and waits; what the program wrote, and how it ended.
    pub fn run(&self, ready: &Ready) -> Result<(String, Ended), Failure> {
        self.start(ready).map(Running::finish)
    }
}

impl Running {
    pub fn finish(mut self) -> (String, Ended) {
        let mut text = String::new();
        self.output.read_to_string(&mut text).expect("output is text");
        (text, wait(self.pid))
    }

    pub fn kill(self) -> Ended {
        // SAFETY: no pointers are passed but a null one.
        let sent = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.pidfd.as_raw_fd(), libc::SIGKILL, 0, 0)
        };
        assert_eq!(sent, 0);
        wait(self.pid)
    }

    /// Reads until the program has written a line.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let mut byte = [0_u8];
        while self.output.read(&mut byte).expect("output") == 1 && byte[0] != b'\n' {
            line.push(char::from(byte[0]));
        }
        line
    }
}

/// Runs a container with this spec and image, to its end. The supervisor's part is played by a child, so the caller
/// still sees the host afterwards.
pub fn run(spec: &Spec, options: &Options) -> Result<(String, Ended), Failure> {
    let ready = Ready::new(spec, options, Vec::new());
    run_ready(&ready)
}

/// [`run`] for a plan that is ready.
pub fn run_ready(ready: &Ready) -> Result<(String, Ended), Failure> {
    run_apart(ready, || ())
}

/// [`run`] for a plan that is ready, while the host does something.
pub fn run_apart(ready: &Ready, meanwhile: impl FnOnce()) -> Result<(String, Ended), Failure> {
    let (read, write) = pipe();
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let ran = Room::enter().run(ready);
        let sent = ran.map(|(text, ended)| match ended {
            Ended::Code(code) => (text, code, 0),
            Ended::Signal(signal) => (text, 0, signal),
        });
        serde_json::to_writer(File::from(write), &sent).expect("write");
        // SAFETY: ends the process without the parent's exit handlers.
        unsafe { libc::_exit(0) };
    }
    drop(write);
    meanwhile();
    let text = std::io::read_to_string(File::from(read)).expect("read");
    assert_eq!(wait(pid), Ended::Code(0));
    let received: Result<(String, i32, i32), Failure> = serde_json::from_str(&text).expect("a result");
    received.map(|(text, code, signal)| {
        (text, if signal == 0 { Ended::Code(code) } else { Ended::Signal(signal) })
    })
}
