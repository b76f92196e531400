//! Reaching the supervisor: the one that runs, or a new one.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kernel::cgroup::Hierarchies;
use kernel::file;
use kernel::process::Pidfd;
use kernel::socket::{Connection, Listener};
use kernel::spawn;
use launch::protocol::{EXITS_FD, LISTENER_FD, Reply, Request, VERSION};

use super::{Known, SupervisorError};
use crate::supervisor::connection::{MESSAGE_MAX, Wire};

/// How long a supervisor may take to say who it is.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);

/// What is needed to reach or to start a supervisor.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The `orlop-supervisor` executable.
    pub supervisor: PathBuf,
    /// Where its socket is or will be.
    pub socket: PathBuf,
    /// Where it writes exit records.
    pub exits: PathBuf,
    /// Where its own messages go.
    pub log: PathBuf,
    /// Its group, outside of the daemon's: a restart of the daemon's service must not end it (trap 4).
    pub cgroup: PathBuf,
    /// The groups of the host.
    pub hierarchies: Hierarchies,
}

/// Connects to the supervisor that listens at the socket, or starts one.
pub(super) async fn connect_or_spawn(programs: &Programs) -> Result<(Wire, Vec<Known>), SupervisorError> {
    match Connection::connect(&programs.socket) {
        Ok(connection) => return greet(connection).await,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
        Err(source) => return Err(SupervisorError::Reach { operation: "connect to", source }),
    }
    let programs = programs.clone();
    let connection = tokio::task::spawn_blocking(move || spawn(&programs)).await;
    let connection = connection
        .map_err(io::Error::other)
        .and_then(|result| result)
        .map_err(|source| SupervisorError::Reach { operation: "start", source })?;
    greet(connection).await
}

fn spawn(programs: &Programs) -> io::Result<Connection> {
    let named = |what: &str, path: &Path, e: io::Error| {
        io::Error::new(e.kind(), format!("{what} {}: {e}", path.display()))
    };
    // Another daemon of this state directory is excluded by the lock on it: a socket that is there is a dead one's.
    match fs::remove_file(&programs.socket) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(named("remove", &programs.socket, e)),
        _ => {}
    }
    fs::create_dir_all(&programs.exits).map_err(|e| named("make directory", &programs.exits, e))?;
    let exits = kernel::path::open_dir(&programs.exits).map_err(|e| named("open", &programs.exits, e))?;
    let program =
        spawn::sealed_copy(&programs.supervisor).map_err(|e| named("copy", &programs.supervisor, e))?;
    let log = OpenOptions::new().append(true).create(true).open(&programs.log);
    let log = log.map_err(|e| named("open", &programs.log, e))?;
    let listener = Listener::bind(&programs.socket).map_err(|e| named("bind", &programs.socket, e))?;
    let descriptors = [(listener.as_fd(), LISTENER_FD), (exits.as_fd(), EXITS_FD)];
    let child = spawn::detached(program.as_fd(), OsStr::new("orlop-supervisor"), &[], &[], &descriptors, log)
        .map_err(|e| named("execute", &programs.supervisor, e))?;
    if let Err(error) = own_cgroup(programs, child.id()) {
        tracing::warn!(error = %crate::error::chain(&error), "supervisor stays in the daemon's cgroup: ending that group ends every container");
    }
    Connection::connect(&programs.socket).map_err(|e| named("connect to", &programs.socket, e))
}

fn own_cgroup(programs: &Programs, pid: u32) -> Result<(), CgroupError> {
    let group = programs.hierarchies.group(&programs.cgroup)?;
    group.create()?;
    let join = group.join();
    let groups = join.tasks.iter().filter_map(|tasks| tasks.parent()).chain(join.unified.as_deref());
    for group in groups {
        let path = group.join("cgroup.procs");
        fs::write(&path, pid.to_string()).map_err(|source| CgroupError::Join { path, source })?;
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum CgroupError {
    #[error("make cgroup of supervisor")]
    Make(#[from] kernel::cgroup::Error),
    #[error("write {}", path.display())]
    Join {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Says hello and learns what the supervisor runs.
async fn greet(connection: Connection) -> Result<(Wire, Vec<Known>), SupervisorError> {
    let reach = |source| SupervisorError::Reach { operation: "speak to", source };
    let wire = Wire::new(connection).map_err(reach)?;
    let mut buffer = vec![0; MESSAGE_MAX];
    let talk = async {
        wire.send(&Request::Hello { version: VERSION }, &[]).await?;
        let (welcome, _) = wire.receive(&mut buffer).await?;
        let processes = match welcome {
            Reply::Welcome { version, processes, .. } if version == VERSION => processes,
            Reply::Welcome { version, .. } => {
                return Ok(Err(SupervisorError::Version { theirs: version, ours: VERSION }));
            }
            other => return Err(io::Error::other(format!("it answered hello with {other:?}"))),
        };
        let mut known = Vec::with_capacity(processes as usize);
        while known.len() < processes as usize {
            match wire.receive(&mut buffer).await? {
                (Reply::Known(process), descriptors) => {
                    let mut descriptors = descriptors.into_iter();
                    let pidfd = descriptors.next().map(Pidfd::from);
                    // The log pipes follow; the last one, if there are three, is standard input.
                    let stdin = descriptors.nth(2);
                    known.push(Known { process, pidfd, stdin });
                }
                (other, _) => {
                    return Err(io::Error::other(format!("it listed {other:?} among its processes")));
                }
            }
        }
        Ok(Ok(known))
    };
    match tokio::time::timeout(HELLO_DEADLINE, talk).await {
        Ok(Ok(Ok(known))) => Ok((wire, known)),
        Ok(Ok(Err(version))) => Err(version),
        Ok(Err(source)) => Err(reach(source)),
        Err(_) => Err(SupervisorError::Deadline),
    }
}

/// Exit records the supervisor left, by id; records of nobody are for the caller to remove.
pub fn exit_records(dir: &Path) -> io::Result<Vec<launch::protocol::Exit>> {
    let mut exits = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(file::TEMPORARY_PREFIX) {
            continue;
        }
        match file::read_bounded(&path, 64 * 1024).and_then(|text| Ok(serde_json::from_slice(&text)?)) {
            Ok(exit) => exits.push(exit),
            Err(error) => tracing::error!(record = %path.display(), %error, "exit record cannot be read"),
        }
    }
    Ok(exits)
}
