//! A supervisor in a temporary directory, and a client that waits with deadlines.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use kernel::event::wait_readable;
use kernel::mount::{open_tree_clone, propagation, set_attr};
use kernel::process::Pidfd;
use kernel::socket::{Connection, Listener};
use kernel::{path, spawn};
use launch::plan::{CgroupJoin, Executable, Failure, FdIndex, Plan, Program, Root, Signals, Step};
use launch::protocol::{EXITS_FD, Exit, LISTENER_FD, Launch, Process, Reply, Request, Stdio, VERSION};

/// No wait in a test lasts longer.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Whether this test can run; says so if not.
pub fn is_root() -> bool {
    let root = kernel::process::is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// Builds a program as a release does, in a directory that survives the test run. Returns where it is.
pub fn build(package: &str, manifest: &str, arguments: &[&str], output: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--manifest-path", manifest]).args(arguments);
    cargo.arg("--target-dir").arg(&target);
    assert!(cargo.status().unwrap().success(), "{package} does not build");
    target.join(output)
}

/// The supervisor as it is shipped: static, because there is no loader where it lives when it is executed in place.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let arguments = ["--profile", "supervisor", "--target", &target];
        build("supervisor", manifest, &arguments, &format!("{target}/supervisor/orlop-supervisor"))
    })
}

/// Opens the write end of a FIFO once somebody reads from it.
pub fn open_gate(path: &Path) -> File {
    let mut gate = None;
    wait_until("a reader at the gate", || {
        gate = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(path).ok();
        gate.is_some()
    });
    gate.unwrap()
}

/// Makes a FIFO.
pub fn make_gate(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A running supervisor, ended with everything it started when the test is over.
pub struct Supervisor {
    pub directory: tempfile::TempDir,
    child: Child,
}

impl Supervisor {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let exits = directory.path().join("exits");
        fs::create_dir(&exits).unwrap();
        let exits = path::open_dir(&exits).unwrap();
        Self::start_with(directory, exits, &[])
    }

    pub fn start_with(directory: tempfile::TempDir, exits: OwnedFd, environment: &[(&str, &str)]) -> Self {
        let listener = Listener::bind(&directory.path().join("socket")).unwrap();
        let program = spawn::sealed_copy(binary()).unwrap();
        let log = File::create(directory.path().join("supervisor.log")).unwrap();
        let descriptors = [(listener.as_fd(), LISTENER_FD), (exits.as_fd(), EXITS_FD)];
        let name = OsStr::new("orlop-supervisor");
        let child = spawn::detached(program.as_fd(), name, &[], environment, &descriptors, log).unwrap();
        Self { directory, child }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub fn notices(&self) -> String {
        fs::read_to_string(self.directory.path().join("supervisor.log")).unwrap()
    }

    /// A connection that has not said anything yet.
    pub fn connect_silently(&self) -> Client {
        let connection = Connection::connect(&self.directory.path().join("socket")).unwrap();
        connection.set_send_buffer(1 << 20).unwrap();
        Client { connection, tokens: 0 }
    }

    /// A daemon, and what it was told when it said hello.
    pub fn connect(&self) -> (Client, Vec<(Process, Vec<OwnedFd>)>) {
        let client = self.connect_silently();
        client.send(&Request::Hello { version: VERSION }, &[]);
        let Reply::Welcome { version, pid, processes } = client.reply().0 else { panic!("no welcome") };
        assert_eq!((version, pid), (VERSION, self.pid()));
        let known = (0..processes).map(|_| match client.reply() {
            (Reply::Known(process), descriptors) => (process, descriptors),
            (other, _) => panic!("{other:?} among the known processes"),
        });
        let known = known.collect();
        (client, known)
    }

    pub fn client(&self) -> Client {
        let (client, known) = self.connect();
        assert!(known.is_empty(), "{known:?}");
        client
    }

    pub fn log_path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn exit_record(&self, id: &str) -> Option<Exit> {
        let record = fs::read(self.directory.path().join("exits").join(id)).ok()?;
        Some(serde_json::from_slice(&record).unwrap())
    }

    /// Descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Pids of its children.
    pub fn children(&self) -> Vec<i32> {
        children(self.pid())
    }

    /// Waits for its end by itself.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let pidfd = Pidfd::open(self.pid()).unwrap();
        assert!(pidfd.wait_exit(DEADLINE).unwrap(), "it does not end: {}", self.notices());
        self.child.wait().unwrap()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            for pid in self.children() {
                if let Ok(pidfd) = Pidfd::open(pid) {
                    let _ = pidfd.send_signal(libc::SIGKILL);
                }
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("supervisor said:\n{}", self.notices());
        }
    }
}

pub fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Waits for something that nobody announces.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What [`Reply::Started`] said.
#[derive(Debug)]
pub struct Started {
    pub pid: i32,
    pub start_time: u64,
    pub started_at: i64,
    pub pidfd: Pidfd,
    /// Read ends of the log pipes and write end of standard input.
    pub pipes: Vec<OwnedFd>,
}

pub struct Client {
    pub connection: Connection,
    tokens: u64,
}

impl Client {
    pub fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) {
        self.connection.send(&postcard::to_stdvec(request).unwrap(), descriptors).unwrap();
    }

    /// The next reply; `None` if the supervisor closed the connection.
    pub fn try_reply(&self) -> io::Result<Option<(Reply, Vec<OwnedFd>)>> {
        assert!(wait_readable(self.connection.as_fd(), DEADLINE).unwrap(), "no reply in time");
        let mut buffer = vec![0; 1 << 16];
        let received = self.connection.receive(&mut buffer)?;
        Ok(received.map(|r| (postcard::from_bytes(&buffer[..r.length]).unwrap(), r.descriptors)))
    }

    pub fn reply(&self) -> (Reply, Vec<OwnedFd>) {
        self.try_reply().unwrap().expect("connection closed")
    }

    /// Asks for a start without waiting for the answer.
    pub fn ask(&mut self, id: &str, program: &Order<'_>, stdio: Stdio, streams: &[BorrowedFd<'_>]) -> u64 {
        self.tokens += 1;
        let root = open_tree_clone(Path::new("/"), true).unwrap();
        // The host's root is shared where systemd runs, and so would the clone be: pivot_root refuses that.
        set_attr(root.as_fd(), true, 0, 0, propagation::PRIVATE).unwrap();
        let mut descriptors = vec![root.as_fd()];
        descriptors.extend_from_slice(&program.descriptors);
        descriptors.extend_from_slice(streams);
        let plan = program.plan().encode().unwrap();
        let launch = Launch { token: self.tokens, id: id.to_owned(), plan, stdio, record: program.record };
        self.send(&Request::Launch(launch), &descriptors);
        self.tokens
    }

    /// The answer to a start.
    pub fn answer(&self, expected: u64) -> Result<Started, Failure> {
        match self.reply() {
            (Reply::Started { token, pid, start_time, started_at, steps }, descriptors) => {
                assert_eq!(token, expected);
                assert_eq!(steps[0].name, "clone");
                let mut descriptors = descriptors.into_iter();
                let pidfd = Pidfd::from(descriptors.next().unwrap());
                Ok(Started { pid, start_time, started_at, pidfd, pipes: descriptors.collect() })
            }
            (Reply::Failed { token, failure }, _) => {
                assert_eq!(token, expected);
                Err(failure)
            }
            (other, _) => panic!("answered by {other:?}"),
        }
    }

    pub fn start(
        &mut self,
        id: &str,
        program: &Order<'_>,
        stdio: Stdio,
        streams: &[BorrowedFd<'_>],
    ) -> Started {
        let token = self.ask(id, program, stdio, streams);
        self.answer(token).unwrap()
    }

    /// Starts a shell script whose output is logged to `log`.
    pub fn start_logged(&mut self, id: &str, script: &str, log: &File) -> Started {
        self.start(id, &Order::shell(script), LOGGED, &[log.as_fd()])
    }

    /// Waits for the answer to a start, whatever it is.
    pub fn settle_started(&self) {
        match self.reply().0 {
            Reply::Started { .. } => {}
            other => panic!("answered by {other:?}"),
        }
    }

    pub fn exited(&self) -> Exit {
        match self.reply().0 {
            Reply::Exited(exit) => exit,
            other => panic!("{other:?} instead of an exit"),
        }
    }

    pub fn refused(&self) -> String {
        match self.reply().0 {
            Reply::Refused { reason } => reason,
            other => panic!("{other:?} instead of a refusal"),
        }
    }

    pub fn forget(&self, id: &str) {
        self.send(&Request::Forget { id: id.to_owned() }, &[]);
    }

    /// Returns when the supervisor has served everything that was sent so far.
    pub fn settle(&self) {
        self.send(&Request::ReopenLog { id: "nobody".to_owned() }, &[]);
        match self.reply().0 {
            Reply::LogReopened { done: false, .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }
}

/// Lines of at most 16 KiB to one log, no standard input.
pub const LOGGED: Stdio = Stdio::Logged { log: true, max_line: 16 << 10, stdin: false };

/// What is to be started: in a mount namespace of its own, with the host's root filesystem as its root.
pub struct Order<'a> {
    pub arguments: Vec<Vec<u8>>,
    pub clone_flags: u64,
    /// Descriptors behind the root filesystem, which is number 0.
    pub descriptors: Vec<BorrowedFd<'a>>,
    pub executable: Executable,
    pub pid_namespace: Option<FdIndex>,
    pub signals: Signals,
    /// Files to join cgroups by.
    pub tasks: Vec<FdIndex>,
    pub record: bool,
}

impl Order<'_> {
    pub fn new(arguments: &[&str]) -> Self {
        Self {
            arguments: arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
            clone_flags: libc::CLONE_NEWNS as u64,
            descriptors: Vec::new(),
            executable: Executable::Lookup,
            pid_namespace: None,
            signals: Signals::Unblocked,
            tasks: Vec::new(),
            record: true,
        }
    }

    pub fn shell(script: &str) -> Self {
        Self::new(&["/bin/sh", "-c", script])
    }

    pub fn encoded(&self) -> Vec<u8> {
        self.plan().encode().unwrap()
    }

    fn plan(&self) -> Plan {
        Plan {
            clone_flags: self.clone_flags,
            join: Vec::new(),
            pid_namespace: self.pid_namespace,
            cgroup: CgroupJoin { unified: None, tasks: self.tasks.clone() },
            // An absent limit of descriptors or OOM score would be the supervisor's.
            steps: vec![Step::Root(Root::Tree(FdIndex(0))), Step::OomScore(0)],
            program: Program {
                executable: self.executable.clone(),
                arguments: self.arguments.clone(),
                environment: vec![b"PATH=/usr/bin:/bin".to_vec()],
                signals: self.signals,
            },
        }
    }
}

/// A log file as a daemon opens it.
pub fn open_log(path: &Path) -> File {
    File::options().read(true).append(true).create(true).open(path).unwrap()
}

/// The records of a log file: stream, tag, content.
pub fn records(path: &Path) -> Vec<(String, String, Vec<u8>)> {
    let text = fs::read(path).unwrap();
    let Some(text) = text.strip_suffix(b"\n") else {
        assert!(text.is_empty(), "torn: {:?}", String::from_utf8_lossy(&text));
        return Vec::new();
    };
    let parse = |record: &[u8]| {
        let mut fields = record.splitn(4, |&byte| byte == b' ');
        let mut field = || fields.next().unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(record)));
        assert_eq!(field().len(), 30, "time");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(field()), text(field()), field().to_vec())
    };
    text.split(|&byte| byte == b'\n').map(parse).collect()
}

/// What a stream wrote, as a reader of the log puts it together.
pub fn joined(path: &Path, stream: &str) -> Vec<u8> {
    let mut output = Vec::new();
    for (_, tag, content) in records(path).into_iter().filter(|(of, _, _)| of == stream) {
        output.extend_from_slice(&content);
        if tag == "F" {
            output.push(b'\n');
        }
    }
    output
}
