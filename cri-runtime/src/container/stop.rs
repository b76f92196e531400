//! Stopping a container.

use std::time::{Duration, Instant};

use super::stop_signal;
use super::stopping::{Do, Stopping};
use crate::error::{Class, Failure};
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
            Do::Kill => self.kill_container(id).await,
            Do::Wait => {}
        }
    }

    /// Kills every process of a container: those of its group, not only the first (critical for host-pid containers).
    /// Its exit is told by the supervisor.
    pub(crate) async fn kill_container(&mut self, id: &str) {
        let Some(container) = self.containers.get(id) else { return };
        let group = container.record.cgroup.clone();
        let process = container.process.as_ref().and_then(|p| p.try_clone().ok());
        let killed = self.blocking(move |runtime| {
            if let Some(process) = process {
                // Its pid namespace dies with it, even if the group cannot be read.
                let _ = process.send_signal(super::signal::SIGKILL);
            }
            let group =
                runtime.cgroups.group(group.as_ref()).map_err(|e| Failure::because(Class::Internal, &e))?;
            group.kill(TEARDOWN_DEADLINE).map_err(|e| Failure::because(Class::Internal, &e))
        });
        if let Err(failure) = killed.await {
            tracing::error!(container = %id, error = %failure, "container cannot be killed whole");
        }
    }
}
