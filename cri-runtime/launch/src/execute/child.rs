//! The child: one loop over the steps of a plan, then the program.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process;
use std::time::Instant;

use kernel::{credentials, mount, namespace};

use super::fault::{On, Result};
use super::program::Prepared;
use super::{clock, descriptors, process as own, program};
use crate::plan::{Failure, FdIndex, Plan, Step};
use crate::protocol::StepTime;
use crate::report::{Record, Report};

/// State of the child between `clone3` and `execve`.
pub(super) struct Child<'a> {
    fds: &'a [BorrowedFd<'a>],
    proc: BorrowedFd<'a>,
    /// Root directory, once there is one to stay in.
    pub(super) root: Option<OwnedFd>,
    report: File,
    done: Vec<u8>,
    /// When the step in progress began.
    since: Instant,
}

/// Ends the process when unwinding reaches it: a panic must not return into the supervisor's code, of which this is a
/// copy.
struct NoReturn;

impl Drop for NoReturn {
    fn drop(&mut self) {
        process::abort();
    }
}

/// Carries `plan` out and executes its program. Called in a child of a single-threaded process; what fails is written
/// to `report`, and the process exits.
///
/// `proc` is a proven procfs of a PID namespace in which this process has a number.
pub fn run(
    plan: &Plan,
    fds: &[BorrowedFd<'_>],
    proc: BorrowedFd<'_>,
    report: OwnedFd,
    stdio: [BorrowedFd<'_>; 3],
) -> ! {
    let _guard = NoReturn;
    let mut child = Child {
        fds,
        proc,
        root: None,
        report: report.into(),
        done: Vec::with_capacity(2048),
        since: Instant::now(),
    };
    let failure = child.start(plan, stdio);
    child.tell(&Record::Failed(failure));
    // Without the C library's exit handlers, which are the supervisor's.
    // SAFETY: ends the process; takes no pointers.
    unsafe { libc::_exit(1) }
}

impl<'a> Child<'a> {
    /// The descriptor a plan refers to.
    pub(super) fn fd(&self, index: FdIndex) -> io::Result<BorrowedFd<'a>> {
        descriptors::get(self.fds, index)
    }

    fn start(&mut self, plan: &Plan, stdio: [BorrowedFd<'_>; 3]) -> Failure {
        if let Err(failure) = self.prepare(plan, stdio) {
            return failure;
        }
        let program = match Prepared::new(&plan.program, self.fds) {
            Ok(program) => program,
            Err(error) => return execute_failure(plan, &error),
        };
        let filter = plan.steps.iter().position(|step| matches!(step, Step::Seccomp(_)));
        let (timed, untimed) = plan.steps.split_at(filter.unwrap_or(plan.steps.len()));
        for step in timed {
            if let Err(failure) = self.timed(step.verb(), || step.object(), |child| child.carry_out(step)) {
                return failure;
            }
        }
        let finish = |_: &mut Self| {
            program::reset_signals(plan.program.signals)?;
            Ok(descriptors::close_on_exec()?)
        };
        if let Err(failure) = self.timed("close descriptors", String::new, finish) {
            return failure;
        }
        // From here on a filter may forbid even to write, so what was done is told now.
        self.flush();
        for step in untimed {
            if let Err(fault) = self.carry_out(step) {
                let object = fault.object.unwrap_or_else(|| step.object());
                return Failure::new(step.verb(), object, &fault.error);
            }
        }
        execute_failure(plan, &program.execute())
    }

    /// What comes before the first step: streams, cgroups, namespaces.
    fn prepare(&mut self, plan: &Plan, stdio: [BorrowedFd<'_>; 3]) -> std::result::Result<(), Failure> {
        // Before any namespace is joined: whoever is root in there must not get at this process, which still is the
        // supervisor's image with its descriptors (CVE-2019-5736, CVE-2016-9962).
        let streams = |_: &mut Self| {
            credentials::set_dumpable(false)?;
            own::set_umask(0);
            Ok(descriptors::standard_streams(stdio)?)
        };
        self.timed("connect streams", String::new, streams)?;
        if !plan.cgroup.tasks.is_empty() {
            let join = |child: &mut Self| {
                plan.cgroup.tasks.iter().try_for_each(|&tasks| Ok(own::join_cgroup(child.fd(tasks)?)?))
            };
            self.timed("join cgroups", String::new, join)?;
        }
        if !plan.join.is_empty() {
            let join = |child: &mut Self| {
                plan.join.iter().try_for_each(|join| {
                    namespace::join(child.fd(join.fd)?, join.namespaces).on(namespace_names(join.namespaces))
                })
            };
            self.timed("join namespaces", String::new, join)?;
        }
        Ok(())
    }

    /// Runs one step and notes its duration.
    fn timed(
        &mut self,
        verb: &str,
        object: impl Fn() -> String,
        step: impl FnOnce(&mut Self) -> Result,
    ) -> std::result::Result<(), Failure> {
        step(self).map_err(|fault| Failure::new(verb, fault.object.unwrap_or_else(&object), &fault.error))?;
        let now = Instant::now();
        let nanos = u64::try_from((now - self.since).as_nanos()).unwrap_or(u64::MAX);
        self.since = now;
        let mut name = verb.to_owned();
        let object = object();
        if !object.is_empty() {
            name.push(' ');
            name.push_str(&object);
        }
        self.note(&Record::Done(StepTime { name, nanos }));
        Ok(())
    }

    fn carry_out(&mut self, step: &Step) -> Result {
        match step {
            Step::CgroupNamespace => namespace::unshare(namespace::Kind::Cgroup.flag())?,
            Step::Root(root) => self.enter_root(*root)?,
            Step::Propagation(kind) => mount::set_attr(self.root()?, false, 0, 0, *kind)?,
            Step::Attach { target, tree, resolve } => self.attach(target, *tree, *resolve)?,
            Step::Mount(fresh) => self.mount(fresh)?,
            Step::Remount { target, attributes } => self.remount(target, *attributes)?,
            Step::Devices(devices) => self.make_devices(devices)?,
            Step::Links(links) => self.make_links(links)?,
            Step::Sysctls(sysctls) => own::set_sysctls(self.proc, sysctls)?,
            Step::ReadOnlyPaths(paths) => self.make_read_only(paths)?,
            Step::MaskedPaths { paths, null } => self.mask(paths, *null)?,
            Step::Hostname(name) => namespace::set_hostname(name)?,
            Step::Domainname(name) => namespace::set_domainname(name)?,
            Step::Keyring => own::join_keyring()?,
            Step::Session => own::create_session()?,
            Step::Terminal => own::set_terminal()?,
            Step::OomScore(score) => own::set_oom_score(self.proc, *score)?,
            Step::Rlimits(limits) => own::set_rlimits(limits)?,
            Step::Umask(mask) => own::set_umask(*mask),
            Step::WorkingDirectory(path) => self.change_directory(path)?,
            Step::SecurityLabel(label) => own::set_label(self.proc, label)?,
            Step::BoundingSet(keep) => credentials::limit_bounding(*keep)?,
            Step::Groups(groups) => credentials::set_groups(groups)?,
            Step::Ids { uid, gid } => own::set_ids(*uid, *gid)?,
            Step::Capabilities(sets) => own::set_capabilities(sets)?,
            Step::NoNewPrivileges => credentials::set_no_new_privileges()?,
            Step::Seccomp(filter) => own::load_filter(filter)?,
        }
        Ok(())
    }

    fn note(&mut self, record: &Record) {
        // Encoding into memory fails only for types that cannot be encoded at all; the reader of a report without the
        // record would take the start for failed, so nothing is hidden.
        if Report::encode(record, &mut self.done).is_err() {
            process::abort();
        }
    }

    /// Writes what was noted and that the program comes next.
    fn flush(&mut self) {
        self.note(&Record::Executing { at: clock::monotonic_nanos() });
        self.write();
    }

    fn tell(&mut self, record: &Record) {
        self.note(record);
        self.write();
    }

    fn write(&mut self) {
        let done = std::mem::take(&mut self.done);
        // Nobody listens any more: then the supervisor is gone, and with it whoever wanted this process.
        if self.report.write_all(&done).is_err() {
            // SAFETY: ends the process; takes no pointers.
            unsafe { libc::_exit(1) }
        }
    }
}

fn execute_failure(plan: &Plan, error: &io::Error) -> Failure {
    let name = plan.program.arguments.first().map(|name| String::from_utf8_lossy(name));
    Failure::new("execute", name.unwrap_or_default(), error)
}

fn namespace_names(flags: u64) -> String {
    use namespace::Kind;
    let kinds = [Kind::User, Kind::Mount, Kind::Cgroup, Kind::Uts, Kind::Ipc, Kind::Net, Kind::Pid];
    let names = kinds.iter().filter(|kind| flags & kind.flag() != 0).map(|kind| kind.file_name());
    names.collect::<Vec<_>>().join(",")
}
