//! Network configuration lists: found, read, checked.
//!
//! The first file of the configuration directory in lexicographic order is the node's network, as containerd has it
//! (`max_conf_num = 1`). A broken first file is an error and not a reason to take the second: the operator would not
//! see why the pods are elsewhere.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::call::validate_network_name;
use crate::error::Error as CniError;
use crate::result::{SpecVersion, UnknownVersion};

/// A list of plugins, called in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflist {
    /// Name of the network.
    pub name: String,
    /// Version of the specification.
    pub version: SpecVersion,
    /// CHECK is not to be called.
    pub disable_check: bool,
    /// GC is not to be called.
    pub disable_gc: bool,
    /// Every plugin is one of ours and called in process, whatever is on disk: the built-in network.
    pub built_in: bool,
    /// The configurations of the plugins.
    pub plugins: Vec<Map<String, Value>>,
    /// The text it was read from, for the cache.
    pub source: Vec<u8>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConflistError {
    /// No file, or no directory.
    #[error("no network configuration in {}", directory.display())]
    None {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A file or directory cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// File or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is no JSON.
    #[error("parse network configuration {}", path.display())]
    Json {
        /// File.
        path: PathBuf,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
    /// A file lacks something.
    #[error("network configuration {}: {problem}", path.display())]
    Invalid {
        /// File.
        path: PathBuf,
        /// What.
        problem: String,
    },
    /// A version nobody here speaks.
    #[error("network configuration {}", path.display())]
    Version {
        /// File.
        path: PathBuf,
        /// Which.
        #[source]
        source: UnknownVersion,
    },
}

/// Field that marks the built-in network in the cache.
pub const BUILT_IN: &str = "orlop.builtIn";
/// Configurations are written by hand.
const MAX: u64 = 1 << 20;

/// The first configuration file of a directory.
///
/// # Errors
/// [`ConflistError::None`] or [`ConflistError::Read`].
pub fn first_file(directory: &Path) -> Result<PathBuf, ConflistError> {
    let none = || ConflistError::None { directory: directory.to_owned() };
    let failed = |source| ConflistError::Read { path: directory.to_owned(), source };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none()),
        Err(error) => return Err(failed(error)),
    };
    let mut first: Option<PathBuf> = None;
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let is_config =
            path.extension().is_some_and(|e| e == "conflist" || e == "conf" || e == "json") && path.is_file();
        if is_config && first.as_ref().is_none_or(|first| path < *first) {
            first = Some(path);
        }
    }
    first.ok_or_else(none)
}

/// Reads a file: a list, or (unless it is named `.conflist`) a single plugin.
///
/// # Errors
/// [`ConflistError`].
pub fn read(path: &Path) -> Result<Conflist, ConflistError> {
    let bytes = kernel::file::read_bounded(path, MAX)
        .map_err(|source| ConflistError::Read { path: path.to_owned(), source })?;
    let mut list = parse(path, &bytes)?;
    load_separate_plugins(path, &mut list)?;
    Ok(list)
}

/// Reads the text of a configuration; `path` is for messages and tells a list from a single plugin.
///
/// # Errors
/// [`ConflistError`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Conflist, ConflistError> {
    let invalid = |problem: String| ConflistError::Invalid { path: path.to_owned(), problem };
    let value: Value = serde_json::from_slice(bytes)
        .map_err(|source| ConflistError::Json { path: path.to_owned(), source })?;
    let Value::Object(fields) = value else { return Err(invalid("it is no JSON object".to_owned())) };
    let name = fields.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    validate_network_name(&name).map_err(|e: CniError| invalid(e.msg))?;
    let flag = |key: &str| match fields.get(key) {
        Some(Value::Bool(on)) => *on,
        // libcni accepts the words too.
        Some(Value::String(word)) => word.eq_ignore_ascii_case("true"),
        _ => false,
    };
    let is_list = fields.contains_key("plugins") || path.extension().is_some_and(|e| e == "conflist");
    let plugins = if is_list { listed(&fields).map_err(invalid)? } else { vec![fields.clone()] };
    let untyped =
        plugins.iter().position(|p| p.get("type").and_then(Value::as_str).is_none_or(str::is_empty));
    if let Some(index) = untyped {
        return Err(invalid(format!("plugin {index} has no type")));
    }
    Ok(Conflist {
        version: version(&fields)
            .map_err(|source| ConflistError::Version { path: path.to_owned(), source })?,
        disable_check: flag("disableCheck"),
        disable_gc: flag("disableGC"),
        built_in: flag(BUILT_IN),
        name,
        plugins,
        source: bytes.to_vec(),
    })
}

fn listed(fields: &Map<String, Value>) -> Result<Vec<Map<String, Value>>, String> {
    let Some(list) = fields.get("plugins").and_then(Value::as_array) else {
        return match fields.get("loadOnlyInlinedPlugins") {
            Some(Value::Bool(false)) => Ok(Vec::new()),
            _ => Err("it has no list of plugins".to_owned()),
        };
    };
    let objects =
        list.iter().map(|p| p.as_object().cloned().ok_or_else(|| "a plugin is no object".to_owned()));
    let plugins: Vec<_> = objects.collect::<Result<_, _>>()?;
    if plugins.is_empty() { Err("its list of plugins is empty".to_owned()) } else { Ok(plugins) }
}

/// The newest version of `cniVersions` that is spoken here, else `cniVersion`.
fn version(fields: &Map<String, Value>) -> Result<SpecVersion, UnknownVersion> {
    let list = fields.get("cniVersions").and_then(Value::as_array);
    let newest = list.into_iter().flatten().filter_map(|v| v.as_str()?.parse::<SpecVersion>().ok()).max();
    match newest {
        Some(version) => Ok(version),
        None => fields.get("cniVersion").and_then(Value::as_str).unwrap_or_default().parse(),
    }
}

/// With `loadOnlyInlinedPlugins: false`, more plugins come from files of a directory named like the network.
fn load_separate_plugins(path: &Path, list: &mut Conflist) -> Result<(), ConflistError> {
    let fields: Value = serde_json::from_slice(&list.source)
        .map_err(|source| ConflistError::Json { path: path.to_owned(), source })?;
    if fields.get("loadOnlyInlinedPlugins") != Some(&Value::Bool(false)) {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(Path::new("/")).join(&list.name);
    let failed = |source| ConflistError::Read { path: directory.clone(), source };
    let mut files = Vec::new();
    match std::fs::read_dir(&directory) {
        Ok(entries) => {
            for entry in entries {
                files.push(entry.map_err(failed)?.path());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    files.retain(|file| file.extension().is_some_and(|e| e == "conf"));
    files.sort();
    for file in files {
        let bytes = kernel::file::read_bounded(&file, MAX)
            .map_err(|source| ConflistError::Read { path: file.clone(), source })?;
        let plugin: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|source| ConflistError::Json { path: file.clone(), source })?;
        if plugin.get("type").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(ConflistError::Invalid { path: file, problem: "it has no type".to_owned() });
        }
        list.plugins.push(plugin);
    }
    if list.plugins.is_empty() {
        return Err(ConflistError::Invalid { path: path.to_owned(), problem: "it has no plugin".to_owned() });
    }
    // DEL gets the list that ADD had, whatever the directory holds by then.
    if let Value::Object(mut whole) = fields {
        whole.insert("plugins".to_owned(), list.plugins.iter().cloned().map(Value::Object).collect());
        whole.remove("loadOnlyInlinedPlugins");
        list.source = Value::Object(whole).to_string().into_bytes();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
