//! From a request to a process that executes its program, or to a reason why not.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use kernel::descriptor::{pipe, set_nonblocking};
use kernel::event::Interest;
use kernel::process::{DescriptorLimit, Pidfd, wall_clock};
use launch::execute::Spawned;
use launch::plan::{Failure, Plan, Rlimit, Step};
use launch::protocol::{Launch, Reply, Stdio, StepTime};
use launch::report::Report;

use super::Server;
use crate::log::{Log, Sink};
use crate::logline::Stream;
use crate::notice::{Level, notice};
use crate::process::{Phase, Process, Starting};
use crate::record::is_valid_id;
use crate::token::Token;

/// How long a child may take from clone to execve.
const DEADLINE: Duration = Duration::from_secs(30);
/// Largest plan. The largest part of one is a system call filter of at most 32 KiB.
const PLAN_MAX: u64 = 16 << 20;
/// Largest report: a few dozen bytes per step.
const REPORT_MAX: usize = 1 << 20;

/// The resource, which is signed in one C library and unsigned in the other.
#[allow(clippy::unnecessary_cast, reason = "necessary with musl")]
const DESCRIPTORS: u32 = libc::RLIMIT_NOFILE as u32;

/// What a process is given as its standard streams, and what the supervisor keeps of them.
struct Streams {
    given: [OwnedFd; 3],
    log: Option<Log>,
    stdin: Option<OwnedFd>,
}

fn refusal(object: &str, errno: i32) -> Failure {
    Failure::new("accept", object, &io::Error::from_raw_os_error(errno))
}

impl Server {
    /// Starts a process. The answer comes when it executes its program, or could not.
    pub(super) fn launch(&mut self, launch: Launch, descriptors: Vec<OwnedFd>) {
        let token = launch.token;
        if let Err(failure) = self.clone_process(launch, descriptors) {
            self.daemons.tell(&self.poll, &Reply::Failed { token, failure }, &[]);
        }
    }

    fn clone_process(&mut self, launch: Launch, mut descriptors: Vec<OwnedFd>) -> Result<(), Failure> {
        let Launch { token, id, plan, stdio, record } = launch;
        if !is_valid_id(&id) {
            return Err(refusal("id", libc::EINVAL));
        }
        if self.processes.find(&id).is_some() {
            return Err(refusal(&id, libc::EEXIST));
        }
        let mut plan = take_plan(&plan, &mut descriptors)?;
        limit_descriptors(&mut plan, self.enclosure.descriptor_limit());
        let streams = self.make_streams(stdio, &mut descriptors)?;
        let failed = |verb: &str, error: &io::Error| Failure::new(verb, "", error);
        let (report, report_end) = pipe().map_err(|e| failed("make report pipe", &e))?;
        set_nonblocking(report.as_fd(), true).map_err(|e| failed("make report pipe", &e))?;
        let fds: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let given = streams.given.each_ref().map(AsFd::as_fd);
        let Spawned { pid, pidfd, clone } =
            self.enclosure.launcher().spawn(&plan, &fds, report_end, given)?;
        let (report, deadline) = (File::from(report), Instant::now() + DEADLINE);
        let starting = Starting { token, clone, report, received: Vec::new(), deadline };
        let slot = self.processes.insert(Process {
            id,
            pid,
            pidfd: Pidfd::from(pidfd),
            start_time: 0,
            started_at: 0,
            record,
            forgotten: false,
            phase: Phase::Starting(starting),
            log: streams.log,
            stdin: streams.stdin,
        });
        if let Err(error) = self.watch(slot) {
            self.fail_start(slot, failed("watch", &error));
        }
        Ok(())
    }

    fn make_streams(&self, stdio: Stdio, descriptors: &mut Vec<OwnedFd>) -> Result<Streams, Failure> {
        let failed = |error: io::Error| Failure::new("make standard streams", "", &error);
        let expected = match stdio {
            Stdio::Null => 0,
            Stdio::Passed => 3,
            Stdio::Logged { log, .. } => usize::from(log),
        };
        let first =
            descriptors.len().checked_sub(expected).ok_or_else(|| refusal("descriptors", libc::EINVAL))?;
        let mut passed = descriptors.drain(first..);
        let null = || self.enclosure.null().map_err(failed);
        match stdio {
            Stdio::Null => Ok(Streams { given: [null()?, null()?, null()?], log: None, stdin: None }),
            Stdio::Passed => match (passed.next(), passed.next(), passed.next()) {
                (Some(stdin), Some(stdout), Some(stderr)) => {
                    Ok(Streams { given: [stdin, stdout, stderr], log: None, stdin: None })
                }
                _ => Err(refusal("descriptors", libc::EINVAL)),
            },
            Stdio::Logged { max_line, stdin, .. } => {
                let (out, out_end) = pipe().map_err(failed)?;
                let (err, err_end) = pipe().map_err(failed)?;
                let sink = Sink::new(passed.next().map(File::from));
                let log = Log::new([out, err], sink, max_line).map_err(failed)?;
                let (input, stdin) = match stdin {
                    true => pipe().map(|(input, stdin)| (input, Some(stdin))).map_err(failed)?,
                    false => (null()?, None),
                };
                Ok(Streams { given: [input, out_end, err_end], log: Some(log), stdin })
            }
        }
    }

    /// Registers the report and the output of a process.
    pub(super) fn watch(&mut self, slot: usize) -> io::Result<()> {
        let number = slot as u32;
        let Some(process) = self.processes.get(slot) else { return Ok(()) };
        if let Phase::Starting(starting) = &process.phase {
            self.poll.add(starting.report.as_fd(), Token::Report(number).encode(), Interest::Read)?;
        }
        if let Some(log) = &process.log {
            for stream in
                [Stream::Stdout, Stream::Stderr].into_iter().filter(|&stream| !log.has_ended(stream))
            {
                self.poll.add(log.pipe(stream), Token::Output(number, stream).encode(), Interest::Read)?;
            }
        }
        Ok(())
    }

    /// Reads what the child reports; its end means that the program runs, or that the child gave up.
    pub(super) fn read_report(&mut self, slot: usize) {
        let Some(process) = self.processes.get_mut(slot) else { return };
        let Phase::Starting(starting) = &mut process.phase else { return };
        let mut part = [0; 2048];
        let end = loop {
            match starting.report.read(&mut part) {
                Ok(0) => break Ok(()),
                Ok(read) => starting.received.extend_from_slice(&part[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if starting.received.len() > REPORT_MAX {
                break Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
            }
        };
        let outcome = match end {
            Ok(()) => {
                Report::decode(&starting.received).map_err(|_| io::Error::from_raw_os_error(libc::EPROTO))
            }
            Err(error) => Err(error),
        };
        match outcome.map_err(|error| Failure::new("read report", "", &error)).and_then(|o| o.into_result()) {
            Ok(steps) => self.run_process(slot, steps),
            Err(failure) => self.fail_start(slot, failure),
        }
    }

    fn run_process(&mut self, slot: usize, mut steps: Vec<StepTime>) {
        let Some(process) = self.processes.get_mut(slot) else { return };
        let Phase::Starting(Starting { token, clone, report, .. }) = &process.phase else { return };
        let token = *token;
        steps.insert(0, clone.clone());
        // Closing takes it out of the set as well.
        let _ = self.poll.remove(report.as_fd());
        process.started_at = wall_clock();
        process.start_time = self.enclosure.start_time(process.pid).unwrap_or_else(|error| {
            notice(Level::Error, "start time not read", &[("id", &process.id), ("error", &error)]);
            0
        });
        process.phase = Phase::Running;
        let Process { pid, start_time, started_at, .. } = *process;
        let reply = Reply::Started { token, pid, start_time, started_at, steps };
        self.daemons.tell(&self.poll, &reply, &process.descriptors());
    }

    /// Ends a child that did not get to its program. The daemon hears of it when nothing of the child is left.
    fn fail_start(&mut self, slot: usize, failure: Failure) {
        let Some(process) = self.processes.get_mut(slot) else { return };
        if let Phase::Starting(starting) = &process.phase {
            let token = starting.token;
            let _ = self.poll.remove(starting.report.as_fd());
            process.phase = Phase::Failing { token, failure };
            kill(process);
        }
    }

    /// Gives up children that take too long.
    pub(super) fn give_up_starts(&mut self, now: Instant) {
        let overdue =
            |process: &Process| matches!(&process.phase, Phase::Starting(start) if start.deadline <= now);
        for slot in self.processes.slots(overdue) {
            let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
            self.fail_start(slot, Failure::new("reach execve", "", &error));
        }
    }

    /// Undoes what a daemon had asked for that went away, unless its program runs by now.
    pub(super) fn abandon_starts(&mut self) {
        for slot in self.processes.slots(|process| matches!(process.phase, Phase::Starting(_))) {
            self.read_report(slot);
        }
        let unanswered =
            |process: &Process| matches!(process.phase, Phase::Starting(_) | Phase::Failing { .. });
        for slot in self.processes.slots(unanswered) {
            let Some(process) = self.processes.get_mut(slot) else { continue };
            if let Phase::Starting(starting) = &process.phase {
                let _ = self.poll.remove(starting.report.as_fd());
            }
            process.phase = Phase::Abandoned;
            kill(process);
        }
    }
}

/// Kills a child that has not executed its program. One that has ended already cannot be killed and need not be.
fn kill(process: &Process) {
    if let Err(error) = process.pidfd.send_signal(libc::SIGKILL)
        && error.raw_os_error() != Some(libc::ESRCH)
    {
        notice(Level::Error, "child not killed", &[("id", &process.id), ("error", &error)]);
    }
}

/// The plan of a launch: in the request, or in its first descriptor.
fn take_plan(inline: &[u8], descriptors: &mut Vec<OwnedFd>) -> Result<Plan, Failure> {
    let decode = |bytes: &[u8]| Plan::decode(bytes).map_err(|_| refusal("plan", libc::EPROTO));
    if !inline.is_empty() {
        return decode(inline);
    }
    if descriptors.is_empty() {
        return Err(refusal("plan", libc::EINVAL));
    }
    let file = File::from(descriptors.remove(0));
    let read = || -> io::Result<Vec<u8>> {
        let size = file.metadata()?.len();
        if size > PLAN_MAX {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    decode(&read().map_err(|error| Failure::new("read plan", "", &error))?)
}

/// Gives a program that was not given a limit of open descriptors the one this supervisor was started with, not the one
/// it has.
///
/// Late, because the child opens descriptors on the way and may have inherited more than the limit allows; but before a
/// filter, which may forbid it.
fn limit_descriptors(plan: &mut Plan, limit: DescriptorLimit) {
    let is_limited = |step: &Step| match step {
        Step::Rlimits(limits) => limits.iter().any(|limit| limit.resource == DESCRIPTORS),
        _ => false,
    };
    if !plan.steps.iter().any(is_limited) {
        let filter = plan.steps.iter().position(|step| matches!(step, Step::Seccomp(_)));
        let DescriptorLimit { soft, hard } = limit;
        let limit = Rlimit { resource: DESCRIPTORS, soft, hard };
        plan.steps.insert(filter.unwrap_or(plan.steps.len()), Step::Rlimits(vec![limit]));
    }
}
