//! The plugins as executables: what the reference library `skel` does, and one thing it does too late.
//!
//! `skel` finds out that `CNI_NETNS` is the host's own namespace after the plugin has run in it; here it is checked
//! before anything is touched. Nothing is written to standard error unless something went wrong.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::call::{self, Arguments, Call, NetConfig, Teardown};
use crate::error::{Code, Error};
use crate::invoke::delegate::OwnBinary;
use crate::netns::Netns;
use crate::plugins::Plugin;
use crate::result::{self, SpecVersion, supported_list, version_report};

/// What an execution comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// Exit code.
    pub exit: u8,
}

/// The variables a plugin reads.
#[derive(Debug, Default)]
pub struct Variables(pub HashMap<String, String>);

impl Variables {
    /// Those of this process.
    pub fn of_process() -> Self {
        let text = |v: std::ffi::OsString| v.to_string_lossy().into_owned();
        Self(
            std::env::vars_os()
                .map(|(k, v)| (text(k), text(v)))
                .filter(|(k, _)| k.starts_with("CNI_"))
                .collect(),
        )
    }

    fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }
}

/// Runs a plugin as this process was asked to.
pub fn serve(plugin: &dyn Plugin, variables: &Variables, mut stdin: impl Read) -> Answer {
    let verb = variables.get("CNI_COMMAND");
    match verb {
        "" => return about(plugin),
        // The specification sends a configuration along; skel does not read it, and some callers send nothing.
        "VERSION" => return success(&version_report()),
        _ => {}
    }
    // All of it, also if the variables are wrong: a caller that does not ignore SIGPIPE would die of us.
    let mut input = Vec::new();
    let read = stdin.read_to_end(&mut input);
    let mut version = SpecVersion::V1_1_0;
    let outcome = check_variables(verb, variables)
        .and_then(|()| read.map_err(|e| Error::new(Code::IO, format!("failed to read standard input: {e}"))))
        .and_then(|_| NetConfig::parse(&input))
        .and_then(|config| {
            version = config.version;
            run(plugin, verb, variables, config)
        });
    match outcome {
        Ok(Some(result)) => success(&result),
        Ok(None) => Answer { stdout: String::new(), stderr: String::new(), exit: 0 },
        Err(error) => failure(&error, version),
    }
}

fn about(plugin: &dyn Plugin) -> Answer {
    let stderr = format!(
        "CNI {} plugin of Orlop {}\nCNI protocol versions supported: {}\n",
        plugin.name(),
        env!("CARGO_PKG_VERSION"),
        supported_list()
    );
    Answer { stdout: String::new(), stderr, exit: 0 }
}

fn success(value: &Value) -> Answer {
    // Printing a value that is made of text and numbers cannot fail.
    Answer { stdout: format!("{value:#}\n"), stderr: String::new(), exit: 0 }
}

fn failure(error: &Error, version: SpecVersion) -> Answer {
    let mut value = json!({ "cniVersion": version.as_str(), "code": error.code.0, "msg": error.msg });
    if !error.details.is_empty() {
        value["details"] = json!(error.details);
    }
    Answer { stdout: format!("{value:#}\n"), stderr: String::new(), exit: 1 }
}

fn check_variables(verb: &str, variables: &Variables) -> Result<(), Error> {
    let attachment = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"];
    let required: &[&str] = match verb {
        "ADD" | "CHECK" => &attachment,
        "DEL" => &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
        "GC" | "STATUS" => &["CNI_PATH"],
        other => {
            return Err(Error::new(Code::INVALID_ENVIRONMENT, format!("unknown CNI_COMMAND: {other}")));
        }
    };
    let missing: Vec<&str> = required.iter().copied().filter(|key| variables.get(key).is_empty()).collect();
    if !missing.is_empty() {
        let msg = format!("required env variables [{}] missing", missing.join(","));
        return Err(Error::new(Code::INVALID_ENVIRONMENT, msg));
    }
    if required.contains(&"CNI_CONTAINERID") {
        call::validate_container_id(variables.get("CNI_CONTAINERID"))?;
        call::validate_ifname(variables.get("CNI_IFNAME"))?;
    }
    Ok(())
}

fn run(
    plugin: &dyn Plugin,
    verb: &str,
    variables: &Variables,
    config: NetConfig,
) -> Result<Option<Value>, Error> {
    let version = config.version;
    let since = match verb {
        "CHECK" if !version.has_check() => Some("0.4.0"),
        "GC" | "STATUS" if !version.has_gc_and_status() => Some("1.1.0"),
        _ => None,
    };
    if let Some(since) = since {
        let msg = format!("config version {version} does not allow {verb}, which exists since {since}");
        return Err(Error::new(Code::INCOMPATIBLE_VERSION, msg));
    }
    let own_binary = OwnBinary::at(Path::new("/proc/self/exe"));
    let call = Call {
        container_id: variables.get("CNI_CONTAINERID").to_owned(),
        netns: open_netns(verb, variables)?,
        ifname: variables.get("CNI_IFNAME").to_owned(),
        arguments: Arguments::parse(variables.get("CNI_ARGS"))?,
        path: std::env::split_paths(variables.get("CNI_PATH")).collect::<Vec<PathBuf>>(),
        config,
        teardown: Teardown::Link,
        own_binary: &own_binary,
    };
    match verb {
        "ADD" => {
            let result = plugin.add(&call)?;
            let encoded = result::encode(&result, version);
            encoded.map(Some).map_err(|e| Error::from_source(Code::INTERNAL, &e))
        }
        "DEL" => plugin.del(&call).map(|()| None),
        "CHECK" => plugin.check(&call).map(|()| None),
        "GC" => plugin.gc(&call).map(|()| None),
        _ => plugin.status(&call).map(|()| None),
    }
}

/// The namespace of the call. On DEL it may be gone, which is what DEL is for.
fn open_netns(verb: &str, variables: &Variables) -> Result<Option<Netns>, Error> {
    let path = variables.get("CNI_NETNS");
    if path.is_empty() || matches!(verb, "GC" | "STATUS") {
        return Ok(None);
    }
    let netns = match Netns::open(path) {
        Ok(netns) => netns,
        Err(_) if verb == "DEL" => return Ok(None),
        Err(error) => {
            let msg = format!("failed to open netns {path:?}");
            return Err(Error { code: Code::UNKNOWN_CONTAINER, msg, details: error.to_string() });
        }
    };
    let override_set =
        matches!(variables.get("CNI_NETNS_OVERRIDE").to_ascii_uppercase().as_str(), "1" | "TRUE");
    let own =
        netns.is_own().map_err(|e| Error::new(Code::IO, format!("failed to compare netns {path:?}: {e}")))?;
    if own && !override_set {
        let msg = format!("plugin's netns and netns from CNI_NETNS should not be the same: {path:?}");
        return Err(Error::new(Code::INVALID_NETNS, msg));
    }
    Ok(Some(netns))
}

/// Writes the answer. An error here has nobody left to be told, except through the exit code.
pub fn deliver(answer: &Answer) -> u8 {
    let written = std::io::stderr()
        .write_all(answer.stderr.as_bytes())
        .and_then(|()| std::io::stdout().write_all(answer.stdout.as_bytes()))
        .and_then(|()| std::io::stdout().flush());
    if written.is_ok() { answer.exit } else { 1 }
}

#[cfg(test)]
mod tests;
