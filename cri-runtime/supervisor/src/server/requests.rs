//! What daemons ask for.

use std::os::fd::OwnedFd;

use kernel::process::own_pid;
use launch::protocol::{Reply, Request, VERSION};

use super::{Server, TURN};
use crate::daemon::Incoming;
use crate::notice::{Level, notice};

impl Server {
    pub(super) fn serve_requests(&mut self, serial: u32) {
        for _ in 0..TURN {
            match self.daemons.receive(serial, self.pump.scratch()) {
                Incoming::Nothing => return,
                Incoming::Unreadable => self.refuse(serial, "request cannot be decoded".to_owned()),
                Incoming::Request(Request::Hello { version }, _) => self.greet(serial, version),
                Incoming::Request(request, descriptors) if self.daemons.is_in_charge(serial) => {
                    self.serve(serial, request, descriptors);
                }
                Incoming::Request(..) => self.refuse(serial, "say hello first".to_owned()),
            }
        }
    }

    fn serve(&mut self, serial: u32, request: Request, descriptors: Vec<OwnedFd>) {
        match request {
            Request::Hello { version } => self.greet(serial, version),
            Request::Launch(launch) => self.launch(launch, descriptors),
            Request::ReopenLog { id } => {
                let done = self.reopen_log(&id, descriptors);
                self.daemons.answer(&self.poll, serial, &Reply::LogReopened { id, done }, &[]);
            }
            Request::Forget { id } => self.forget(&id),
            Request::CloseStdin { id } => {
                if let Some(slot) = self.processes.find(&id)
                    && let Some(process) = self.processes.get_mut(slot)
                {
                    process.stdin = None;
                }
            }
            Request::Upgrade => {
                let reason = self.upgrade(descriptors);
                self.refuse(serial, reason);
            }
            Request::Shutdown if self.is_idle() => self.done = true,
            Request::Shutdown => self.refuse(serial, "processes are left".to_owned()),
        }
    }

    fn refuse(&mut self, serial: u32, reason: String) {
        notice(Level::Warn, "request refused", &[("reason", &reason)]);
        self.daemons.answer(&self.poll, serial, &Reply::Refused { reason }, &[]);
    }

    /// Puts a daemon in charge and tells it what it has to know, in one go: nothing else is said in between.
    fn greet(&mut self, serial: u32, version: u32) {
        notice(Level::Info, "daemon in charge", &[("version", &version)]);
        if !self.daemons.is_in_charge(serial) {
            // What the daemon before had asked for and not heard of is undone: the new one does not know of it.
            self.abandon_starts();
        }
        self.daemons.put_in_charge(serial);
        let known = self.processes.slots(|process| process.is_known());
        let processes = u32::try_from(known.len()).unwrap_or(u32::MAX);
        let welcome = Reply::Welcome { version: VERSION, pid: own_pid(), processes };
        self.daemons.answer(&self.poll, serial, &welcome, &[]);
        for process in known.into_iter().filter_map(|slot| self.processes.get(slot)) {
            let reply = Reply::Known(process.describe());
            self.daemons.answer(&self.poll, serial, &reply, &process.descriptors());
        }
    }
}
