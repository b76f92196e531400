//! A runtime that a command starts for itself: with the usual directories, because that is where the images are, and with
//! `--ephemeral`, so that nothing of it is left when it ends.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cri_api::{client, v1};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{CONNECT, Connection, ask};
use crate::args::DEFAULT_ENDPOINT;
use crate::error::{Error, Result};

const START: Duration = Duration::from_secs(15);
/// A runtime ends its requests, its supervisor and its network one after the other, each with a deadline of its own.
const END: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A runtime that this command started and ends.
#[derive(Debug)]
pub struct OwnRuntime {
    child: Child,
    log: PathBuf,
}

/// The runtime beside our own executable.
pub fn program() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent()?.join("cri-runtime");
    path.is_file().then_some(path)
}

impl OwnRuntime {
    /// Starts it and waits until it answers.
    pub async fn start(program: &Path) -> Result<(Connection, Self)> {
        let mut own = Self::spawn(program)?;
        let problem = match own.answers().await {
            Ok(connection) => return Ok((connection, own)),
            Err(problem) => problem,
        };
        let last = own.last_words();
        let advice = match own.end().await {
            Ok(()) => "start `cri-runtime` by hand to see more".to_owned(),
            Err(error) => error.one_line(),
        };
        Err(Error::Unavailable {
            what: format!("the runtime {} {problem}: {last}", program.display()),
            advice,
            source: None,
        })
    }

    fn spawn(program: &Path) -> Result<Self> {
        let log = std::env::temp_dir().join(format!("orlop-runtime-{}.log", std::process::id()));
        let failed =
            |operation, object: &Path, source| Error::io(operation, object.display().to_string(), source);
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&log);
        let file = file.map_err(|source| failed("make", &log, source))?;
        let copy = file.try_clone().map_err(|source| failed("open", &log, source))?;
        let mut command = Command::new(program);
        command.arg("--ephemeral").stdin(Stdio::null()).stdout(file).stderr(copy);
        // A group of its own: Ctrl-C is for the pod, whose end still needs the runtime.
        command.process_group(0);
        let child = command.spawn().map_err(|source| failed("start", program, source))?;
        Ok(Self { child, log })
    }

    /// The connection, or why there will be none.
    async fn answers(&mut self) -> std::result::Result<Connection, String> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(channel) = client::connect(DEFAULT_ENDPOINT, CONNECT).await {
                return Ok(Connection { endpoint: DEFAULT_ENDPOINT.to_owned(), channel });
            }
            match self.child.try_wait() {
                Ok(Some(status)) => return Err(format!("ended at its start ({status})")),
                Err(error) => return Err(format!("cannot be waited for ({error})")),
                Ok(None) if Instant::now() > deadline => {
                    return Err(format!("does not answer after {} s", START.as_secs()));
                }
                Ok(None) => sleep(PAUSE).await,
            }
        }
    }

    /// The last line of its log that says something.
    fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
    }

    /// Asks it to end, and waits for that unless others run pods in it by now: then it ends with the last of them.
    pub async fn release(mut self, connection: &Connection) -> Result<()> {
        let state = Some(v1::PodSandboxStateValue { state: v1::PodSandboxState::SandboxReady.into() });
        let filter = Some(v1::PodSandboxFilter { state, ..Default::default() });
        let answer = connection.runtime().list_pod_sandbox(ask(v1::ListPodSandboxRequest { filter })).await;
        // One that does not answer is ended all the same.
        let others = answer.map_or(0, |answer| answer.into_inner().items.len());
        if others == 0 {
            return self.end().await;
        }
        eprintln!("orlop: the runtime goes on for {others} other pods and ends with the last of them");
        let signalled = self.signal();
        let removed = fs::remove_file(&self.log);
        signalled.and(removed).map_err(|source| Error::io("leave", "the runtime", source))
    }

    /// Asks it to end and waits until it has. What it said is kept if anything went wrong.
    pub async fn end(mut self) -> Result<()> {
        let ended = self.terminate().await;
        let problem = match &ended {
            Ok(Some(status)) if status.success() => None,
            Ok(Some(status)) => Some(format!("the runtime failed while it ended ({status})")),
            Ok(None) => Some(format!("the runtime did not end within {} s and was killed", END.as_secs())),
            Err(error) => Some(format!("the runtime cannot be ended ({error})")),
        };
        match problem {
            None => fs::remove_file(&self.log)
                .map_err(|source| Error::io("remove", self.log.display().to_string(), source)),
            Some(problem) => {
                let (last, log) = (self.last_words(), self.log.display());
                Err(Error::Pod(format!("{problem}: {last}; its log is {log}")))
            }
        }
    }

    /// TERM, and KILL if that is not enough.
    async fn terminate(&mut self) -> io::Result<Option<std::process::ExitStatus>> {
        self.signal()?;
        match timeout(END, self.child.wait()).await {
            Ok(status) => status.map(Some),
            Err(_) => self.child.kill().await.map(|()| None),
        }
    }

    fn signal(&mut self) -> io::Result<()> {
        // Without an id it was waited for already, and the answer is remembered.
        let Some(pid) = self.child.id() else { return Ok(()) };
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        Ok(kill(Pid::from_raw(pid), Signal::SIGTERM)?)
    }
}
