//! `process`: command, environment, working directory (F-22, F-23, F-24).

use std::path::{Component, Path, PathBuf};

use cri_api::v1::{ContainerConfig, KeyValue};
use oci_spec::image::Config;
use oci_spec::runtime::{Process, Spec};

use super::ResolveError;

/// What a container gets if neither image nor pod say otherwise.
pub(super) const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const TERM: &str = "xterm";

/// The command line: a command replaces the image's entry point and with it the image's arguments; arguments alone
/// replace the image's arguments.
///
/// # Errors
/// Nothing to execute; a NUL.
pub(super) fn arguments(
    config: &ContainerConfig,
    image: Option<&Config>,
) -> Result<Vec<String>, ResolveError> {
    let entrypoint = image.and_then(|image| image.entrypoint().as_ref()).into_iter().flatten();
    let cmd = image.and_then(|image| image.cmd().as_ref()).into_iter().flatten();
    let list: Vec<String> = if !config.command.is_empty() {
        config.command.iter().chain(&config.args).cloned().collect()
    } else if !config.args.is_empty() {
        entrypoint.chain(&config.args).cloned().collect()
    } else {
        entrypoint.chain(cmd).cloned().collect()
    };
    check_arguments(&list)?;
    Ok(list)
}

fn check_arguments(list: &[String]) -> Result<(), ResolveError> {
    if list.first().is_none_or(String::is_empty) {
        return Err(ResolveError::Missing {
            field: "command: neither the container nor its image names one",
        });
    }
    match list.iter().find(|argument| argument.contains('\0')) {
        Some(argument) => Err(ResolveError::invalid("command", argument, "it has a NUL")),
        None => Ok(()),
    }
}

/// The working directory, absolute and without `.` and `..`: the container's, else the image's, else the root.
///
/// # Errors
/// A path that climbs, or with a NUL.
pub(super) fn working_directory(
    config: &ContainerConfig,
    image: Option<&Config>,
) -> Result<PathBuf, ResolveError> {
    let of_image = image.and_then(|image| image.working_dir().as_deref()).unwrap_or_default();
    let named = if config.working_dir.is_empty() { of_image } else { &config.working_dir };
    absolute("working_dir", Path::new(named))
}

/// A path in the container from its root on.
pub(super) fn absolute(field: &'static str, path: &Path) -> Result<PathBuf, ResolveError> {
    let mut absolute = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => absolute.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(ResolveError::invalid(field, path.display(), "it has a `..`"));
            }
        }
    }
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(ResolveError::invalid(field, path.display(), "it has a NUL"));
    }
    Ok(absolute)
}

/// One variable; values are bytes.
type Variable = (String, Vec<u8>);

/// The environment, in order: the host name, the image's variables, those of the container, each in the place of one
/// with the same name that is there. What is missing then is added: `PATH`, for a terminal `TERM`, `HOME`.
///
/// # Errors
/// A name that is empty or has a `=`; a NUL; a home directory that would be two lines of `/etc/passwd` for a program
/// that writes it there (CVE-2026-15809).
pub(super) fn variables(
    config: &ContainerConfig,
    image: Option<&Config>,
    hostname: &str,
    home: Option<&str>,
) -> Result<Vec<Variable>, ResolveError> {
    let mut list: Vec<Variable> = vec![("HOSTNAME".to_owned(), hostname.as_bytes().to_owned())];
    for entry in image.and_then(|image| image.env().as_ref()).into_iter().flatten() {
        // An entry without a value unsets nothing and sets nothing.
        if let Some((name, value)) = entry.split_once('=') {
            set(&mut list, name, value.as_bytes());
        }
    }
    for KeyValue { key, value } in &config.envs {
        if key.is_empty() || key.contains('=') {
            return Err(ResolveError::invalid("envs", key, "a name is not empty and has no `=`"));
        }
        set(&mut list, key, value);
    }
    let mut default = |name: &str, value: &str| {
        if !list.iter().any(|(known, _)| known == name) {
            list.push((name.to_owned(), value.as_bytes().to_owned()));
        }
    };
    default("PATH", &DEFAULT_PATH["PATH=".len()..]);
    if config.tty {
        default("TERM", TERM);
    }
    default("HOME", home.unwrap_or("/"));
    for (name, value) in &list {
        if name.contains('\0') || value.contains(&0) {
            return Err(ResolveError::invalid("envs", name, "it has a NUL"));
        }
        if name == "HOME" && value.contains(&b'\n') {
            return Err(ResolveError::invalid("envs", name, "a home directory is one line"));
        }
    }
    Ok(list)
}

fn set(list: &mut Vec<Variable>, name: &str, value: &[u8]) {
    match list.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value.to_owned(),
        None => list.push((name.to_owned(), value.to_owned())),
    }
}

/// Variables as the specification's text: a value that is not UTF-8 appears with replacement characters there.
pub(super) fn text(variables: &[Variable]) -> Vec<String> {
    variables.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect()
}

/// The environment of a container's processes as bytes: the specification's, with the container's own bytes in the
/// place of a value that is no text. Between the two it is whole, so that a record needs no third copy.
pub fn environment(config: &ContainerConfig, spec: &Spec) -> Vec<Vec<u8>> {
    let listed = spec.process().as_ref().and_then(|process| process.env().as_ref()).into_iter().flatten();
    listed
        .map(|entry| {
            let (name, text) = entry.split_once('=').unwrap_or((entry, ""));
            let last = config.envs.iter().rev().find(|variable| variable.key == name);
            match last {
                Some(own) if String::from_utf8_lossy(&own.value) == text => {
                    [name.as_bytes(), b"=", &own.value].concat()
                }
                _ => entry.clone().into_bytes(),
            }
        })
        .collect()
}

/// The process of an exec: everything as the container's own, with this command (ExecSync).
///
/// # Errors
/// Nothing to execute; a NUL.
pub fn exec_process(spec: &Spec, command: Vec<String>, tty: bool) -> Result<Process, ResolveError> {
    check_arguments(&command)?;
    let process =
        spec.process().as_ref().ok_or(ResolveError::Missing { field: "process of the container" })?;
    let mut process = process.clone();
    if tty
        && let Some(variables) = process.env_mut()
        && !variables.iter().any(|entry| entry.starts_with("TERM="))
    {
        variables.push(format!("TERM={TERM}"));
    }
    process.set_args(Some(command)).set_terminal(Some(tty)).set_console_size(None);
    Ok(process)
}

#[cfg(test)]
mod tests;
