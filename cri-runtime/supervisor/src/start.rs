//! What the supervisor does to itself before it serves anybody.
//!
//! Owns: the step from "executed by a daemon" to "a process nobody on the node has to be afraid of": a sealed
//! program, an empty environment, no foreign descriptors, a session and a mount namespace of its own, parent of every
//! orphan below it.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use kernel::descriptor::{close_inherited, is_sealed, sealed_memory_file, take_inherited};
use kernel::process::{self, execute};
use kernel::{credentials, socket::Listener};
use launch::protocol::{EXITS_FD, LISTENER_FD};
use thiserror::Error;

use crate::enclosure::Enclosure;
use crate::notice::{Level, notice};
use crate::server::{ServeError, Server};

/// The only variable that is passed on: it arms the failure points of tests.
const FAILPOINT: &str = "ORLOP_FAILPOINT";

/// Why the supervisor cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Not root.
    #[error("start as a user other than root: processes cannot be made then")]
    NotRoot,
    /// A descriptor is missing.
    #[error("take {what} from descriptor {number}: the supervisor is started by cri-runtime, not by hand")]
    Descriptor {
        /// What it should have been.
        what: &'static str,
        /// Where.
        number: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A step failed.
    #[error("{step}")]
    Step {
        /// Verb and object.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The loop cannot be set up.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

fn step(step: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Step { step, source }
}

/// The environment the next program of this process gets.
pub fn environment() -> Vec<CString> {
    let armed =
        std::env::var(FAILPOINT).ok().and_then(|value| CString::new(format!("{FAILPOINT}={value}")).ok());
    armed.into_iter().collect()
}

/// Prepares a supervisor that was just executed by a daemon.
///
/// # Errors
/// [`StartError`].
pub fn start() -> Result<Server, StartError> {
    if !process::is_root() {
        return Err(StartError::NotRoot);
    }
    be_sealed_and_clean()?;
    let take = |what, number| {
        take_inherited(number).map_err(|source| StartError::Descriptor { what, number, source })
    };
    let listener = Listener::from(take("listening socket", LISTENER_FD)?);
    let exits = take("directory of exit records", EXITS_FD)?;
    close_inherited(EXITS_FD + 1).map_err(step("close inherited descriptors"))?;
    process::new_session().map_err(step("create session"))?;
    process::become_subreaper().map_err(step("become subreaper"))?;
    let enclosure = Enclosure::open().map_err(step("take hold of /proc and /dev/null"))?;
    enclosure.spare_from_oom_killer();
    enclosure.enter().map_err(step("enter a mount namespace of its own"))?;
    settle()?;
    let server = Server::new(listener, exits, enclosure)?;
    notice(Level::Info, "started", &[("version", &env!("CARGO_PKG_VERSION")), ("pid", &process::own_pid())]);
    Ok(server)
}

/// Prepares a supervisor that was executed in place by the one before, which left its state under this number.
///
/// # Errors
/// [`StartError`].
pub fn resume(number: i32) -> Result<Server, StartError> {
    settle()?;
    Ok(Server::resume(number)?)
}

/// What `execve` resets.
fn settle() -> Result<(), StartError> {
    process::set_name(c"orlop-supervisor").map_err(step("set name"))?;
    process::ignore_sigpipe().map_err(step("ignore SIGPIPE"))?;
    // Children inherit it until their execve: a container that shares their PID namespace cannot reach into them.
    credentials::set_dumpable(false).map_err(step("forbid tracing"))?;
    Ok(())
}

/// Executes this program again from a sealed copy and without environment, unless that is how it runs.
///
/// `/proc/PID/exe` of every child is this program until its execve, and a container may get hold of that: it must not
/// lead to a file on the host (CVE-2019-5736). What is in the environment must not reach a container either (trap 23).
fn be_sealed_and_clean() -> Result<(), StartError> {
    let mut program = File::open("/proc/self/exe").map_err(step("open own program"))?;
    let clean = std::env::vars_os().all(|(name, _)| name == FAILPOINT);
    let sealed = is_sealed(program.as_fd());
    if clean && sealed {
        return Ok(());
    }
    let program: OwnedFd = if sealed {
        program.into()
    } else {
        let mut content = Vec::new();
        program.read_to_end(&mut content).map_err(step("read own program"))?;
        sealed_memory_file(c"orlop-supervisor", &content).map_err(step("copy own program"))?
    };
    let environment = environment();
    let environment: Vec<_> = environment.iter().map(CString::as_c_str).collect();
    Err(step("execute own program")(execute(program.as_fd(), &[c"orlop-supervisor"], &environment)))
}
