//! One execution of a plugin: configuration on standard input, result on standard output, an end in any case.
//!
//! Input and outputs are memory files, not pipes: there is nothing to pump, no reader that could block, and a child the
//! plugin leaves behind cannot hold the call.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kernel::process::{Pidfd, Reap};
use nix::libc::{ETXTBSY, SIGKILL};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::call::Arguments;
use crate::error::{Code, Error as CniError};

/// How long a plugin may take. A plugin that waits for a daemon (DHCP, an agent) may be slow; one that hangs must not
/// hold a pod for ever.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// A result or an error is a few kilobytes.
const OUTPUT_MAX: u64 = 4 << 20;
/// A plugin that is being replaced cannot be executed; libcni retries 5 times after 1 s.
const BUSY_RETRIES: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// What a plugin finds in its environment.
#[derive(Debug)]
pub struct Environment<'a> {
    /// `CNI_COMMAND`.
    pub verb: &'static str,
    /// `CNI_CONTAINERID`, empty for GC and STATUS.
    pub container_id: &'a str,
    /// `CNI_NETNS`.
    pub netns: Option<&'a str>,
    /// `CNI_IFNAME`.
    pub ifname: &'a str,
    /// `CNI_ARGS`.
    pub arguments: &'a Arguments,
    /// `CNI_PATH`.
    pub path: &'a [PathBuf],
}

/// Failures of an execution.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("execute plugin {}", path.display())]
    Start {
        /// Plugin.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Memory files or waiting failed.
    #[error("run plugin {}", path.display())]
    Run {
        /// Plugin.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("plugin {} did not end within {} s and was killed", path.display(), deadline.as_secs())]
    Deadline {
        /// Plugin.
        path: PathBuf,
        /// How long it had.
        deadline: Duration,
    },
    /// It failed in the way the specification prescribes.
    #[error("{0}")]
    Refused(CniError),
    /// It failed in another way.
    #[error("plugin {} failed with {status}: {output}", path.display())]
    Failed {
        /// Plugin.
        path: PathBuf,
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },
}

impl From<Error> for CniError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(error) => error,
            other => CniError::from_source(Code::INTERNAL, &other),
        }
    }
}

/// Runs a plugin and returns what it wrote on standard output.
///
/// # Errors
/// Its own error, or [`Error`].
pub fn run(
    path: &Path,
    environment: &Environment<'_>,
    input: &[u8],
    deadline: Duration,
) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Run { path: path.to_owned(), source };
    let mut stdin = memory("cni-stdin").map_err(failed)?;
    stdin.write_all(input).and_then(|()| stdin.seek(SeekFrom::Start(0))).map_err(failed)?;
    let (stdout, stderr) = (memory("cni-stdout").map_err(failed)?, memory("cni-stderr").map_err(failed)?);

    let mut command = Command::new(path);
    command.env("CNI_COMMAND", environment.verb);
    command.env("CNI_PATH", joined(environment.path));
    for (key, value) in [
        ("CNI_CONTAINERID", environment.container_id),
        ("CNI_NETNS", environment.netns.unwrap_or_default()),
        ("CNI_IFNAME", environment.ifname),
        ("CNI_ARGS", &environment.arguments.to_text()),
    ] {
        command.env(key, value);
    }
    // What a service manager gave this process is not for its children (traps 23).
    for key in
        ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]
    {
        command.env_remove(key);
    }
    let copy = |file: &File| file.try_clone().map(Stdio::from).map_err(failed);
    command.stdin(copy(&stdin)?).stdout(copy(&stdout)?).stderr(copy(&stderr)?);

    let status = wait(path, start(path, &mut command)?, deadline)?;
    let output = read(stdout).map_err(failed)?;
    if status.code == 0 && status.signal == 0 {
        return Ok(output);
    }
    Err(failure(path, &status, &output, &read(stderr).map_err(failed)?))
}

fn joined(path: &[PathBuf]) -> std::ffi::OsString {
    // A directory with a colon in its name cannot be said in CNI_PATH.
    std::env::join_paths(path.iter().filter(|p| !p.to_string_lossy().contains(':'))).unwrap_or_default()
}

fn memory(name: &str) -> io::Result<File> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC)?.into())
}

fn read(mut file: File) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn start(path: &Path, command: &mut Command) -> Result<std::process::Child, Error> {
    let mut retries = 0;
    loop {
        match command.spawn() {
            Ok(child) => return Ok(child),
            Err(error) if error.raw_os_error() == Some(ETXTBSY) && retries < BUSY_RETRIES => {
                retries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            Err(source) => return Err(Error::Start { path: path.to_owned(), source }),
        }
    }
}

fn wait(
    path: &Path,
    mut child: std::process::Child,
    deadline: Duration,
) -> Result<kernel::process::ExitStatus, Error> {
    let failed = |source| Error::Run { path: path.to_owned(), source };
    let end = Instant::now() + deadline;
    let waited =
        i32::try_from(child.id()).map_err(io::Error::other).and_then(Pidfd::open).and_then(|pidfd| {
            let ended = pidfd.wait_exit(end.saturating_duration_since(Instant::now()))?;
            if !ended {
                pidfd.send_signal(SIGKILL)?;
            }
            Ok((pidfd, ended))
        });
    let (pidfd, ended) = match waited {
        Ok(waited) => waited,
        Err(source) => {
            // Never leave a child behind that nobody watches.
            let killed = child.kill().and_then(|()| child.wait());
            if let Err(error) = killed {
                tracing::warn!(%error, plugin = %path.display(), "kill plugin");
            }
            return Err(failed(source));
        }
    };
    if !ended {
        // After SIGKILL it ends as soon as the kernel lets go of it; one in an uninterruptible call may not.
        if pidfd.wait_exit(Duration::from_secs(1)).map_err(failed)? {
            pidfd.try_wait(Reap::Now).map_err(failed)?;
        }
        return Err(Error::Deadline { path: path.to_owned(), deadline });
    }
    let status = pidfd.try_wait(Reap::Now).map_err(failed)?;
    status.ok_or_else(|| failed(io::Error::other("the plugin ended and has no status")))
}

/// A failed plugin writes an error on standard output; whatever else it wrote is all there is to show.
fn failure(path: &Path, status: &kernel::process::ExitStatus, output: &[u8], stderr: &[u8]) -> Error {
    if let Ok(error) = serde_json::from_slice::<CniError>(output)
        && !error.msg.is_empty()
    {
        return Error::Refused(error);
    }
    let said = [output, stderr].map(|text| String::from_utf8_lossy(text).trim().to_owned());
    let output = said.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
    let status = match status.signal {
        0 => format!("exit code {}", status.code),
        signal => format!("signal {signal}"),
    };
    Error::Failed { path: path.to_owned(), status, output }
}
