//! The `orlop run` that holds a pod. It makes whatever the pod is short of, so a pod cannot be stopped behind its back:
//! it has to be asked to end the pod itself, in the pod's own order and with the pod's own grace.
//!
//! Who it is stands in an annotation of the sandbox: a process id, and when that process started, because ids come
//! again.

use std::time::Duration;

use cri_api::v1::PodSandbox;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use crate::error::{Error, Result};

/// The annotation.
pub const ANNOTATION: &str = "orlop.local/held-by";
const PAUSE: Duration = Duration::from_millis(50);

/// A process that holds a pod and lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pid: i32,
    /// Clock ticks after the boot (`starttime` of proc(5)).
    started: u64,
}

impl Holder {
    /// This process.
    pub fn this() -> Result<Self> {
        let own = i32::try_from(std::process::id()).ok();
        let found = own.and_then(|pid| Some(Self { pid, started: started(pid)? }));
        found.ok_or_else(|| {
            let source = std::io::Error::other("it has no start time");
            Error::io("read", "/proc/self/stat", source)
        })
    }

    /// The value of the annotation.
    pub fn mark(self) -> String {
        format!("{} {}", self.pid, self.started)
    }

    /// Who holds a pod. Nobody if the holder has ended, or is not to be seen from here.
    pub fn of(sandbox: &PodSandbox) -> Option<Self> {
        let holder = Self::parse(sandbox.annotations.get(ANNOTATION)?)?;
        holder.lives().then_some(holder)
    }

    fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.split_once(' ')?;
        let holder = Self { pid: pid.parse().ok()?, started: started.parse().ok()? };
        // Zero and below mean groups of processes to kill(2).
        (holder.pid > 0).then_some(holder)
    }

    fn lives(self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// Asks it to end its pod; whether it has ended within the time.
    pub async fn end(self, within: Duration) -> Result<bool> {
        let deadline = Instant::now() + within;
        if !self.lives() {
            return Ok(true);
        }
        match kill(Pid::from_raw(self.pid), Signal::SIGTERM) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(source) => {
                let what = format!("`orlop run` with pid {}", self.pid);
                return Err(Error::io("end", what, source.into()));
            }
        }
        while self.lives() {
            if Instant::now() > deadline {
                return Ok(false);
            }
            sleep(PAUSE).await;
        }
        Ok(true)
    }
}

/// When a process started; `None` if there is none, or it has ended and nobody has waited for it.
fn started(pid: i32) -> Option<u64> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name may hold anything, so fields are counted from behind its bracket (proc(5)).
fn parse_stat(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(mark: &str) -> PodSandbox {
        let annotations = [(ANNOTATION.to_owned(), mark.to_owned())].into();
        PodSandbox { annotations, ..PodSandbox::default() }
    }

    #[test]
    fn a_holder_is_known_by_its_start_too() {
        let this = Holder::this().unwrap();
        assert_eq!(Holder::of(&sandbox(&this.mark())), Some(this));
        let reused = Holder { started: this.started + 1, ..this };
        assert_eq!(Holder::of(&sandbox(&reused.mark())), None);
        assert_eq!(Holder::of(&PodSandbox::default()), None);
    }

    #[test]
    fn what_is_no_holder_is_nobody() {
        for mark in ["", "1", "1 x", "x 1", "-1 5", "0 5", "1  5"] {
            assert_eq!(Holder::parse(mark), None, "{mark:?}");
        }
    }

    #[test]
    fn a_name_with_brackets_and_an_ended_process_are_read_right() {
        let rest = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(parse_stat(&format!("7 (a) S 9) (b)) S {rest}")), Some(4242));
        assert_eq!(parse_stat(&format!("7 (a) Z {rest}")), None);
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[tokio::test]
    async fn a_process_that_is_asked_to_end_has_ended_or_is_told_to_live_on() {
        let spawn = |script: &str| {
            let mut command = tokio::process::Command::new("/bin/sh");
            command.args(["-c", script]).stdout(std::process::Stdio::piped()).kill_on_drop(true);
            command.spawn().unwrap()
        };
        let holder = |child: &tokio::process::Child| {
            let pid = i32::try_from(child.id().unwrap()).unwrap();
            Holder { pid, started: started(pid).unwrap() }
        };
        let obedient = spawn("exec sleep 600");
        assert!(holder(&obedient).end(Duration::from_secs(60)).await.unwrap());
        let mut deaf = spawn("trap '' TERM; echo ready; exec sleep 600");
        let mut ready = [0; 6];
        let output = deaf.stdout.as_mut().unwrap();
        tokio::io::AsyncReadExt::read_exact(output, &mut ready).await.unwrap();
        assert!(!holder(&deaf).end(Duration::from_millis(200)).await.unwrap());
    }
}
