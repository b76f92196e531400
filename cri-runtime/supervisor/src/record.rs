//! Exit records: how a process ended, in a file that outlives everybody who could have been told (RC-03).
//!
//! Owns: their JSON and how they come to be, whole or not at all. Does not own: when one is written
//! ([`crate::process`]). They are not synced to disk: a reboot ends every process anyway, and the record has to
//! survive crashes of programs, not of the machine.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::BorrowedFd;
use std::path::Path;

use kernel::descriptor::{remove_at, rename_at};
use kernel::failpoint;
use kernel::file::TEMPORARY_PREFIX;
use launch::protocol::Exit;

/// Longest identity of a process, bytes.
const ID_MAX: usize = 128;

/// Whether an identity can be the name of a file, and of nothing else: letters, digits, `-`, `_` and `.`, not at the
/// start.
pub fn is_valid_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with('.')
}

/// Writes the record of an exit into the directory `exits`, under the identity of the process.
///
/// # Errors
/// Whatever the filesystem returns; nothing is left behind then.
pub fn write(exits: BorrowedFd<'_>, exit: &Exit) -> io::Result<()> {
    let temporary = format!("{TEMPORARY_PREFIX}{}", exit.id);
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
    failpoint::hit("supervisor.record.begin");
    let written = kernel::path::open_beneath(exits, Path::new(&temporary), flags, 0o600)
        .and_then(|file| File::from(file).write_all(encode(exit).as_bytes()))
        .and_then(|()| {
            failpoint::hit("supervisor.record.rename");
            rename_at(exits, &temporary, &exit.id)
        });
    if written.is_err() {
        // The error to report is the first one; a temporary file that stays is overwritten by the next attempt.
        let _ = remove_at(exits, &temporary);
    }
    failpoint::hit("supervisor.record.end");
    written
}

/// The record as JSON, as `serde` would write [`Exit`]. A dependency less in a program of a few hundred kilobytes.
fn encode(exit: &Exit) -> String {
    let Exit { id, pid, code, signal, started_at, finished_at, log_bytes_dropped } = exit;
    let mut json = String::from("{\"id\":\"");
    for character in id.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            // Writing to a string cannot fail.
            control if control < ' ' => drop(write!(json, "\\u{:04x}", control as u32)),
            plain => json.push(plain),
        }
    }
    let numbers = format!(
        "\",\"pid\":{pid},\"code\":{code},\"signal\":{signal},\"started_at\":{started_at},\
         \"finished_at\":{finished_at},\"log_bytes_dropped\":{log_bytes_dropped}}}\n"
    );
    json + &numbers
}
