//! Delegation to an IPAM plugin (section 4 of the specification): same attachment, same configuration, another binary;
//! or the same process, if that binary is our own.

use std::path::Path;

use crate::call::Call;
use crate::error::{Code, Error};
use crate::invoke::delegate::{self, FindError, Target};
use crate::invoke::exec::{self, Environment};
use crate::plugins::Plugin;
use crate::result::{self, CniResult};

/// Gets the addresses.
///
/// # Errors
/// Those of the delegate.
pub fn add(call: &Call<'_>) -> Result<CniResult, Error> {
    match target(call)? {
        Target::InProcess(plugin) => plugin.add(call),
        Target::Binary(path) => {
            let output = execute(call, &path, "ADD")?;
            let value = serde_json::from_slice(&output).map_err(|e| {
                Error::new(Code::DECODE, format!("IPAM plugin {} returned no JSON: {e}", path.display()))
            })?;
            result::decode(&value, call.config.version).map_err(|e| Error::from_source(Code::DECODE, &e))
        }
    }
}

/// Releases the addresses.
///
/// # Errors
/// Those of the delegate.
pub fn del(call: &Call<'_>) -> Result<(), Error> {
    match target(call) {
        Ok(target) => run(call, target, "DEL", |plugin| plugin.del(call)),
        Err(error) => Ok(error.on_del(&call.container_id, call.netns.is_some())?),
    }
}

/// Checks the addresses.
///
/// # Errors
/// Those of the delegate.
pub fn check(call: &Call<'_>) -> Result<(), Error> {
    plain(call, "CHECK", |plugin| plugin.check(call))
}

/// Releases the addresses of nobody.
///
/// # Errors
/// Those of the delegate.
pub fn gc(call: &Call<'_>) -> Result<(), Error> {
    plain(call, "GC", |plugin| plugin.gc(call))
}

/// Whether the delegate is ready.
///
/// # Errors
/// Those of the delegate.
pub fn status(call: &Call<'_>) -> Result<(), Error> {
    plain(call, "STATUS", |plugin| plugin.status(call))
}

fn plain(
    call: &Call<'_>,
    verb: &'static str,
    in_process: impl FnOnce(&'static dyn Plugin) -> Result<(), Error>,
) -> Result<(), Error> {
    run(call, target(call)?, verb, in_process)
}

fn run(
    call: &Call<'_>,
    target: Target,
    verb: &'static str,
    in_process: impl FnOnce(&'static dyn Plugin) -> Result<(), Error>,
) -> Result<(), Error> {
    match target {
        Target::InProcess(plugin) => in_process(plugin),
        Target::Binary(path) => execute(call, &path, verb).map(|_| ()),
    }
}

fn target(call: &Call<'_>) -> Result<Target, FindError> {
    let kind = delegate::ipam_kind(&call.config.fields);
    delegate::find(kind.unwrap_or_default(), &call.path, call.own_binary)
}

fn execute(call: &Call<'_>, path: &Path, verb: &'static str) -> Result<Vec<u8>, Error> {
    let environment = Environment {
        verb,
        container_id: &call.container_id,
        netns: call.netns.as_ref().map(|netns| netns.path()),
        ifname: &call.ifname,
        arguments: &call.arguments,
        path: &call.path,
    };
    let config = serde_json::Value::Object(call.config.fields.clone()).to_string();
    Ok(exec::run(path, &environment, config.as_bytes(), exec::DEADLINE)?)
}
