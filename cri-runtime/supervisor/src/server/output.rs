//! What processes write.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use super::Server;
use crate::log::Progress;
use crate::logline::Stream;
use crate::notice::{Level, notice};
use crate::process::Phase;

impl Server {
    /// Carries over one portion of the output of a process.
    pub(super) fn pump_output(&mut self, slot: usize, stream: Stream) {
        let Some(process) = self.processes.get_mut(slot) else { return };
        let Some(log) = &mut process.log else { return };
        if log.has_ended(stream) {
            return;
        }
        let before = log.sink().failure();
        let progress = self.pump.turn(log, stream);
        let (after, dropped) = (log.sink().failure(), log.sink().dropped());
        if progress == Progress::Ended {
            // An ended pipe is always ready; it stays open for the daemon.
            let _ = self.poll.remove(log.pipe(stream));
        }
        match (before, after) {
            (None, Some(errno)) => {
                let error = io::Error::from_raw_os_error(errno);
                notice(Level::Error, "log not written", &[("id", &process.id), ("error", &error)]);
            }
            (Some(_), None) => {
                notice(Level::Warn, "log written again", &[("id", &process.id), ("dropped", &dropped)]);
            }
            _ => {}
        }
        if progress == Progress::Ended {
            if matches!(process.phase, Phase::Ended { .. }) && !process.is_logging() {
                process.log = None;
            }
            self.remove_if_over(slot);
        }
    }

    /// Switches the log of a process to another file; false if it has none.
    pub(super) fn reopen_log(&mut self, id: &str, descriptors: Vec<OwnedFd>) -> bool {
        let Some(file) = descriptors.into_iter().next().map(File::from) else { return false };
        let Some(process) = self.processes.find(id).and_then(|slot| self.processes.get_mut(slot)) else {
            return false;
        };
        let Some(log) = &mut process.log else { return false };
        log.sink_mut().reopen(file);
        true
    }
}
