//! A command inside a running container, its output and its exit code.
//!
//! The command is one more plan: it joins the container's namespaces through one descriptor and gets its user,
//! capabilities, seccomp program, limits and group. It does not go through the owner of the pod: it changes nothing of
//! it, and a probe must not wait behind a start.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use kernel::process::Pidfd;
use launch::Options;
use launch::compile::Cgroups;
use launch::plan::FdIndex;
use launch::protocol::Stdio;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::error::{Class, Failure};
use crate::id;
use crate::launching;
use crate::oci;
use crate::record::{ContainerRecord, ContainerStage};
use crate::runtime::Runtime;
use crate::sandbox::TEARDOWN_DEADLINE;
use crate::supervisor::Start;

/// Most bytes of each output that are kept; the rest is read and dropped (G-14).
const OUTPUT_MAX: usize = 16 * 1024 * 1024;
/// How long output is still read after the command ended, if a process it left behind keeps it open.
const DRAIN: Duration = Duration::from_millis(200);

/// What a command came to.
#[derive(Debug)]
pub struct Output {
    /// Standard output, cut at [`OUTPUT_MAX`].
    pub stdout: Vec<u8>,
    /// Standard error, cut at [`OUTPUT_MAX`].
    pub stderr: Vec<u8>,
    /// 128 + n for a death by signal n.
    pub exit_code: i32,
}

/// Runs `command` in the container and waits for it, at most `timeout`; zero waits without limit.
///
/// # Errors
/// The container does not run, the command cannot be executed, or it took too long: then it and everything it started
/// is dead.
pub async fn exec_sync(
    runtime: &Arc<Runtime>,
    container: &Arc<ContainerRecord>,
    command: Vec<String>,
    timeout: Duration,
) -> Result<Output, Failure> {
    if command.is_empty() {
        let text = format!("execute in container {}: the command is empty", container.id);
        return Err(Failure::new(Class::InvalidArgument, text));
    }
    let id = id::generate().map_err(|e| Failure::new(Class::Internal, format!("make an id: {e}")))?;
    let name = command.first().cloned().unwrap_or_default();
    let what = format!("execute {name:?} in container {}", container.id);
    // The group of this exec goes away whatever happens, also if the caller does.
    let mut group =
        Group { runtime: runtime.clone(), container: container.clone(), id: id.clone(), kill: true };
    let prepared = {
        let (runtime, container) = (runtime.clone(), container.clone());
        let joined = tokio::task::spawn_blocking(move || prepare(&runtime, &container, &id, command)).await;
        joined.unwrap_or_else(|e| Err(Failure::new(Class::Internal, format!("run blocking work: {e}"))))?
    };
    let pipe = |fd: OwnedFd| {
        pipe::Receiver::from_owned_fd(fd)
            .map_err(|e| Failure::new(Class::Internal, format!("{what}: read output: {e}")))
    };
    let (mut stdout, mut stderr) = (pipe(prepared.stdout)?, pipe(prepared.stderr)?);
    let (_started, exit) = match runtime.supervisor.exec(prepared.start).await {
        Ok(started) => started,
        // The container ended between the look at its record and the joining of its namespaces.
        Err(_) if !still_runs(runtime, container) => return Err(not_running(container)),
        Err(error) => return Err(launching::supervisor_failure(&what, &error)),
    };

    let (mut out, mut err) = (Vec::new(), Vec::new());
    let finished = {
        let outputs = async {
            tokio::join!(collect(&mut stdout, &mut out), collect(&mut stderr, &mut err));
        };
        tokio::pin!(outputs);
        let run = async {
            tokio::pin!(exit);
            let mut drained = false;
            let exit = loop {
                tokio::select! {
                    exit = &mut exit => break exit,
                    () = &mut outputs, if !drained => drained = true,
                }
            };
            if !drained {
                let _ = tokio::time::timeout(DRAIN, &mut outputs).await;
            }
            exit
        };
        if timeout.is_zero() { Ok(run.await) } else { tokio::time::timeout(timeout, run).await }
    };
    // A command that ended may have left a process that is meant to go on: it becomes one of the container's.
    group.kill = !matches!(finished, Ok(Ok(_)));
    if group.kill {
        group.end().await;
    }
    match finished {
        Ok(Ok(exit)) => Ok(Output { stdout: out, stderr: err, exit_code: exit.cri_code() }),
        Ok(Err(_)) => Err(Failure::new(Class::Unavailable, format!("{what}: the supervisor was lost"))),
        // The kubelet takes exactly this code for a probe that failed.
        Err(_) => Err(Failure::new(
            Class::DeadlineExceeded,
            format!("{what}: it did not end within {} s and was killed", timeout.as_secs_f64()),
        )),
    }
}

fn not_running(container: &ContainerRecord) -> Failure {
    Failure::new(
        Class::FailedPrecondition,
        format!("execute in container {}: it is not running", container.id),
    )
}

fn still_runs(runtime: &Runtime, container: &ContainerRecord) -> bool {
    let now = runtime.index.container(&container.id);
    now.is_ok_and(|container| target(&container).is_ok())
}

/// The first process of the container, by descriptor.
fn target(container: &ContainerRecord) -> Result<Pidfd, Failure> {
    let ContainerStage::Started { process, .. } = &container.stage else {
        return Err(not_running(container));
    };
    let pidfd = Pidfd::open(process.pid).map_err(|_| not_running(container))?;
    // Looked at after the opening: the pid may be somebody else's by now.
    match kernel::process::start_time(process.pid) {
        Ok(start) if start == process.start_time => Ok(pidfd),
        _ => Err(not_running(container)),
    }
}

struct Prepared {
    start: Start,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

fn prepare(
    runtime: &Runtime,
    container: &ContainerRecord,
    id: &str,
    command: Vec<String>,
) -> Result<Prepared, Failure> {
    let internal = |e: &(dyn std::error::Error + 'static)| Failure::because(Class::Internal, e);
    let target = target(container)?;
    let spec = runtime.records.spec(&container.id).map_err(|e| internal(&e))?;
    let process = oci::exec_process(&spec, command, false).map_err(|e| launching::resolve_failure(&e))?;
    let group = runtime.cgroups.group(container.cgroup.as_ref()).map_err(|e| internal(&e))?;
    let group = group.create_exec_child(&exec_group(id)).map_err(|e| internal(&e))?;
    let options = Options {
        cgroups: Cgroups::of(&group, false),
        seccomp: launching::filter(runtime, &spec)?,
        given: 1,
        environment: Some(oci::environment(&container.config, &spec)),
        ..Options::default()
    };
    let compiled = launch::compile_exec(&spec, &process, FdIndex(0), &options)
        .map_err(|e| Failure::because(Class::InvalidArgument, &e))?;
    let streams = || -> io::Result<_> {
        let null = std::fs::File::open("/dev/null")?;
        let (stdout, out) = io::pipe()?;
        let (stderr, err) = io::pipe()?;
        Ok((OwnedFd::from(stdout), OwnedFd::from(stderr), vec![null.into(), out.into(), err.into()]))
    };
    let (stdout, stderr, passed) =
        streams().map_err(|e| Failure::new(Class::Internal, format!("make pipes: {e}")))?;
    let start = launching::assemble(id, compiled, vec![target.into()], Stdio::Passed, passed, false)?;
    Ok(Prepared { start, stdout, stderr })
}

/// Reads a stream to its end, keeping the first part of it.
async fn collect(stream: &mut pipe::Receiver, into: &mut Vec<u8>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => into.extend_from_slice(&buffer[..n.min(OUTPUT_MAX.saturating_sub(into.len()))]),
        }
    }
}

fn exec_group(id: &str) -> String {
    format!("exec-{}", &id[..16])
}

/// The group of one exec, removed when it is dropped.
struct Group {
    runtime: Arc<Runtime>,
    container: Arc<ContainerRecord>,
    id: String,
    /// Whether the command and everything it started is killed. Never the container.
    kill: bool,
}

impl Group {
    /// Ends the group and waits for it.
    async fn end(&self) {
        if let Err(error) = self.spawn_end().await {
            tracing::error!(%error, "group of an exec stays");
        }
    }

    fn spawn_end(&self) -> tokio::task::JoinHandle<()> {
        let (runtime, container, name) = (self.runtime.clone(), self.container.clone(), exec_group(&self.id));
        let kill = self.kill;
        tokio::task::spawn_blocking(move || {
            let end = || -> kernel::cgroup::Result<()> {
                let group = runtime.cgroups.group(container.cgroup.as_ref())?.exec_child(&name)?;
                match (group.exists(), kill) {
                    (false, _) => Ok(()),
                    (true, false) => group.dissolve(TEARDOWN_DEADLINE),
                    (true, true) => {
                        group.kill(TEARDOWN_DEADLINE)?;
                        group.remove(TEARDOWN_DEADLINE)
                    }
                }
            };
            if let Err(error) = end() {
                tracing::warn!(container = %container.id, error = %crate::error::chain(&error), "group of an exec stays");
            }
        })
    }
}

impl Drop for Group {
    /// The command has ended, its caller went away, or it could not be started.
    fn drop(&mut self) {
        drop(self.spawn_end());
    }
}
