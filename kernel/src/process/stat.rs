//! `/proc/PID/stat` and the identity of the running system.

use std::io;

use super::wait::ExitStatus;

/// The fields of `/proc/PID/stat` that a node needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// State letter: `R`, `S`, `D`, `Z`, ...
    pub state: u8,
    /// Field 22: clock ticks since boot.
    pub start_time: u64,
    /// Field 52: wait status, meaningful for a zombie; 0 for readers who may not trace the process.
    pub exit_code: i32,
}

impl Stat {
    /// Parses the content of the file.
    ///
    /// The second field is the name of the program in parentheses, and that name may hold spaces and parentheses of
    /// its own: fields are counted from the last closing one.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] if fields are missing.
    pub fn parse(text: &[u8]) -> io::Result<Self> {
        let parse = || {
            let after_name = text.iter().rposition(|&byte| byte == b')')? + 2;
            let fields = std::str::from_utf8(text.get(after_name..)?).ok()?;
            let mut fields = fields.split_ascii_whitespace();
            let state = *fields.next()?.as_bytes().first()?;
            let start_time = fields.nth(18)?.parse().ok()?;
            let exit_code = fields.nth(29)?.parse().ok()?;
            Some(Self { state, start_time, exit_code })
        };
        parse().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "malformed process status"))
    }

    fn read(pid: i32) -> io::Result<Self> {
        let path = format!("/proc/{pid}/stat");
        match std::fs::read(path) {
            Ok(text) => Self::parse(&text),
            // The process can end between open and read.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(error),
        }
    }
}

/// Clock ticks since boot at which this process started: with the pid, an identity that survives pid reuse.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if there is no such process.
pub fn start_time(pid: i32) -> io::Result<u64> {
    Ok(Stat::read(pid)?.start_time)
}

/// Whether the process with this pid and start time still runs. A zombie does not.
pub fn is_alive(pid: i32, start_time: u64) -> bool {
    Stat::read(pid).is_ok_and(|stat| stat.start_time == start_time && !matches!(stat.state, b'Z' | b'X'))
}

/// How a process ended that nobody has reaped yet; `None` if it is not a zombie.
///
/// Works without being its parent, on every kernel, for a reader who may trace it.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if there is no such process.
pub fn zombie_exit(pid: i32) -> io::Result<Option<ExitStatus>> {
    let stat = Stat::read(pid)?;
    Ok((stat.state == b'Z').then(|| ExitStatus::from_wait_status(stat.exit_code)))
}

/// Identity of this boot of the system; another value means that every process of before is gone.
///
/// # Errors
/// Whatever reading `/proc` returns.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}
