//! What this process was given, what it may do, and who else is here: everything from `/proc` and the environment.

use std::fs;

use crate::{Failure, Outcome, doing, print};

pub(crate) fn folder(path: &str) -> Outcome {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(doing(format_args!("open folder {path}")))? {
        let entry = entry.map_err(doing(format_args!("read folder {path}")))?;
        names.push(entry.file_name().to_string_lossy().into_owned() + "\n");
    }
    names.sort();
    print(&names.concat())
}

pub(crate) fn environment() -> Outcome {
    let mut lines: Vec<String> = std::env::vars_os()
        .map(|(name, value)| format!("{}={}\n", name.to_string_lossy(), value.to_string_lossy()))
        .collect();
    lines.sort();
    print(&lines.concat())
}

pub(crate) fn working_directory() -> Outcome {
    let path = std::env::current_dir().map_err(doing("find the working directory"))?;
    print(&format!("{}\n", path.display()))
}

/// The lines of `/proc/self/status` that say who a process is and what it may do.
pub(crate) fn identity() -> Outcome {
    const SHOWN: [&str; 11] = [
        "Uid:",
        "Gid:",
        "Groups:",
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapBnd:",
        "CapAmb:",
        "NoNewPrivs:",
        "Seccomp:",
        "Umask:",
    ];
    let status = fs::read_to_string("/proc/self/status").map_err(doing("read /proc/self/status"))?;
    let lines: String = status
        .lines()
        .filter(|line| SHOWN.iter().any(|name| line.starts_with(name)))
        .map(|line| line.to_owned() + "\n")
        .collect();
    print(&lines)
}

/// Open descriptors and what they are, without the one that reads the folder.
pub(crate) fn descriptors() -> Outcome {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").map_err(doing("open /proc/self/fd"))?.flatten() {
        if let Ok(number) = entry.file_name().to_string_lossy().parse::<u32>() {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    // The folder is closed by now: its own descriptor no longer resolves and falls out.
    let lines: String = numbers
        .into_iter()
        .filter_map(|number| {
            let target = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
            Some(format!("{number} {}\n", target.display()))
        })
        .collect();
    print(&lines)
}

/// One line per process of the pid namespace: pid, parent, state, command.
pub(crate) fn processes() -> Outcome {
    let mut rows = Vec::new();
    for entry in fs::read_dir("/proc").map_err(doing("open /proc"))?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process may end while it is being looked at.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        rows.push((pid, row(pid, &stat, &fs::read(entry.path().join("cmdline")).unwrap_or_default())?));
    }
    rows.sort();
    print(&rows.into_iter().map(|(_, row)| row).collect::<String>())
}

/// `stat` is `pid (name) state parent ...`, and the name may hold anything, also a parenthesis (proc_pid_stat(5)).
fn row(pid: u32, stat: &str, command_line: &[u8]) -> Result<String, Failure> {
    let broken = || Failure::Failed(format!("read /proc/{pid}/stat: not understood"));
    let (before, after) = stat.rsplit_once(')').ok_or_else(broken)?;
    let name = before.split_once('(').ok_or_else(broken)?.1;
    let mut fields = after.split_whitespace();
    let (state, parent) = (fields.next().ok_or_else(broken)?, fields.next().ok_or_else(broken)?);
    let command = String::from_utf8_lossy(command_line).trim_end_matches('\0').replace('\0', " ");
    let command = if command.is_empty() { format!("[{name}]") } else { command };
    Ok(format!("{pid} {parent} {state} {command}\n"))
}
