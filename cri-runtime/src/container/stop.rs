//! Stopping a container.

use std::time::{Duration, Instant};

use super::stopping::{Do, Stopping};
use super::{shares_processes, stop_signal};
use crate::error::chain;
use crate::sandbox::worker::Worker;
use crate::sandbox::{Reply, TEARDOWN_DEADLINE};

impl Worker {
    /// Begins to stop a container, or joins the stop in progress. The reply goes out when the exit is on record.
    pub(crate) async fn stop_container(&mut self, id: &str, timeout: Duration, reply: Reply<()>) {
        let Some(container) = self.containers.get_mut(id) else {
            let _ = reply.send(Ok(()));
            return;
        };
        if !container.is_running() {
            let _ = reply.send(Ok(()));
            return;
        }
        container.stop_replies.push(reply);
        let (stopping, what) = Stopping::ask(container.stopping.take(), timeout, Instant::now());
        container.stopping = Some(stopping);
        match what {
            Do::Signal => {
                let signal = stop_signal(&container.record);
                // A process that is gone already has its exit on the way.
                if let Some(process) = &container.process
                    && let Err(error) = process.send_signal(signal)
                    && error.raw_os_error() != Some(libc::ESRCH)
                {
                    tracing::warn!(container = %id, signal, %error, "stop signal cannot be sent; the kill follows");
                }
            }
            Do::Kill => self.kill_container(id),
            Do::Wait => {}
        }
    }

    /// Kills every process of a container. Its exit is told by the supervisor; nobody waits for it here.
    pub(crate) fn kill_container(&self, id: &str) {
        let Some(container) = self.containers.get(id) else { return };
        if let Some(process) = &container.process
            && let Err(error) = process.send_signal(super::signal::SIGKILL)
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            tracing::error!(container = %id, %error, "first process of the container cannot be killed");
        }
        if !shares_processes(&container.record) {
            // Process 1 takes its namespace along.
            return;
        }
        let (runtime, group, id) = (self.runtime.clone(), container.record.cgroup.clone(), id.to_owned());
        tokio::task::spawn_blocking(move || {
            let group = runtime.cgroups.group(group.as_ref());
            if let Err(error) = group.and_then(|group| group.kill(TEARDOWN_DEADLINE)) {
                tracing::error!(container = %id, error = %chain(&error), "container cannot be killed whole");
            }
        });
    }
}
