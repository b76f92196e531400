//! Execution of another supervisor binary in place: same pid, same children, same descriptors.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use kernel::descriptor::{is_sealed, sealed_memory_file, set_close_on_exec};
use kernel::process::{DescriptorLimit, execute};
use kernel::socket::Listener;

use super::{ServeError, Server};
use crate::enclosure::Enclosure;
use crate::notice::{Level, notice};
use crate::process::{Phase, Process};
use crate::start::environment;
use crate::state::{self, STATE_VERSION, Saved, State, take};

impl Server {
    /// Executes the attached binary. Returns only if that is not possible, with the reason; everything is as before.
    pub(super) fn upgrade(&mut self, descriptors: Vec<OwnedFd>) -> String {
        let Some(program) = descriptors.into_iter().next() else { return "no binary is attached".to_owned() };
        // It becomes what every child is before its execve: nobody may be able to write to it (CVE-2019-5736).
        if !is_sealed(program.as_fd()) {
            return "the binary is not in a sealed memory file".to_owned();
        }
        let starting =
            |process: &Process| matches!(process.phase, Phase::Starting(_) | Phase::Failing { .. });
        if self.processes.iter().any(|(_, process)| starting(process)) {
            return "a start is under way".to_owned();
        }
        notice(Level::Info, "executing another supervisor", &[]);
        match self.execute_in_place(&program) {
            Ok(never) => match never {},
            Err(error) => format!("the binary cannot be executed: {error}"),
        }
    }

    fn execute_in_place(&self, program: &OwnedFd) -> io::Result<std::convert::Infallible> {
        let limit = self.enclosure.descriptor_limit();
        let state = State {
            version: STATE_VERSION,
            listener: self.listener.as_raw_fd(),
            exits: self.exits.as_raw_fd(),
            enclosure: self.enclosure.descriptors().map(|fd| fd.as_raw_fd()),
            descriptor_limit: [limit.soft, limit.hard],
            processes: self.processes.iter().filter_map(|(_, process)| Saved::of(process)).collect(),
        };
        let bytes = postcard::to_stdvec(&state).map_err(|_| io::ErrorKind::InvalidData)?;
        let state = sealed_memory_file(c"state", &bytes)?;
        let mut kept: Vec<BorrowedFd<'_>> = vec![self.listener.as_fd(), self.exits.as_fd(), state.as_fd()];
        kept.extend(self.enclosure.descriptors());
        for (_, process) in self.processes.iter().filter(|(_, process)| Saved::of(process).is_some()) {
            kept.push(process.pidfd.as_fd());
            kept.extend(process.stdin.as_ref().map(AsFd::as_fd));
            if let Some(log) = &process.log {
                kept.extend([
                    log.pipe(crate::logline::Stream::Stdout),
                    log.pipe(crate::logline::Stream::Stderr),
                ]);
                kept.extend(log.sink().file().map(AsFd::as_fd));
            }
        }
        let mark = |on: bool| kept.iter().try_for_each(|&fd| set_close_on_exec(fd, on));
        let error = mark(false).map_or_else(
            |error| error,
            |()| {
                // A decimal number has no NUL.
                let number = CString::new(state.as_raw_fd().to_string()).unwrap_or_default();
                let environment = environment();
                let environment: Vec<_> = environment.iter().map(CString::as_c_str).collect();
                execute(program.as_fd(), &[c"orlop-supervisor", c"--resume", &number], &environment)
            },
        );
        mark(true)?;
        Err(error)
    }

    /// Continues what the program before left under this descriptor number.
    ///
    /// # Errors
    /// [`ServeError::Resume`], [`ServeError::SetUp`].
    pub fn resume(number: i32) -> Result<Self, ServeError> {
        let state = state::read(number)?;
        let [soft, hard] = state.descriptor_limit;
        let limit = DescriptorLimit { soft, hard };
        let [proc, null, pid_namespace, procfs] = state.enclosure.map(|number| take(number, "supervisor"));
        let enclosure = Enclosure::from_descriptors([proc?, null?, pid_namespace?, procfs?], limit);
        let listener = Listener::from(take(state.listener, "supervisor")?);
        let mut server = Self::new(listener, take(state.exits, "supervisor")?, enclosure)?;
        for saved in state.processes {
            let slot = server.processes.insert(saved.restore()?);
            server.watch(slot).map_err(|source| ServeError::SetUp { what: "output", source })?;
        }
        notice(Level::Info, "resumed", &[("processes", &server.processes.iter().count())]);
        Ok(server)
    }
}
