//! A chain of plugins: what each is told, called in process or as an executable, its result handed to the next.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::capabilities::select;
use super::conflist::Conflist;
use super::delegate::{self, FindError, OwnBinary, Target};
use super::exec::{self, Environment};
use crate::call::{Arguments, Call, NetConfig, Teardown, ValidAttachment};
use crate::error::{Code, Error as CniError};
use crate::netns::Netns;
use crate::plugins::Plugin;
use crate::result::{self, CniResult};

/// A plugin of the chain failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} of network {network} failed ({verb})")]
pub struct ChainError {
    /// Which plugin.
    pub plugin: String,
    /// Which network.
    pub network: String,
    /// Which verb.
    pub verb: &'static str,
    /// Its error.
    #[source]
    pub source: CniError,
}

/// What the verbs of one attachment share.
#[derive(Debug)]
pub struct Subject<'a> {
    /// Container.
    pub container_id: &'a str,
    /// Namespace and its path; `None` if it is gone.
    pub netns: Option<(BorrowedFd<'a>, &'a str)>,
    /// Interface.
    pub ifname: &'a str,
    /// `CNI_ARGS`.
    pub arguments: &'a Arguments,
    /// Capabilities by name.
    pub capabilities: &'a Map<String, Value>,
    /// What becomes of links on DEL.
    pub teardown: Teardown,
}

/// A configuration list and where its plugins are.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a> {
    /// The list.
    pub list: &'a Conflist,
    /// Where plugins are; none for the built-in network.
    pub directories: &'a [PathBuf],
    /// Which file is ourselves.
    pub own: &'a OwnBinary,
    /// How long one executed plugin may take.
    pub deadline: Duration,
}

impl<'a> Subject<'a> {
    /// Verbs that concern no attachment.
    pub fn none(arguments: &'a Arguments, capabilities: &'a Map<String, Value>) -> Self {
        let teardown = Teardown::Link;
        Self { container_id: "", netns: None, ifname: "", arguments, capabilities, teardown }
    }
}

impl Chain<'_> {
    /// Whether every plugin can be called: asked before ADD, because what was begun can only be undone by all of them.
    /// An executable has delegates of its own, of which nothing is known here.
    ///
    /// # Errors
    /// Of the first plugin that is missing.
    pub fn locate(&self) -> Result<(), ChainError> {
        for plugin in &self.list.plugins {
            let missing = |source: FindError| self.error(plugin, "ADD", source.into());
            let target = self.find(kind(plugin)).map_err(missing)?;
            if let (Target::InProcess(_), Some(ipam)) = (target, delegate::ipam_kind(plugin)) {
                self.find(ipam).map_err(missing)?;
            }
        }
        Ok(())
    }

    fn find(&self, kind: &str) -> Result<Target, FindError> {
        delegate::find(kind, self.directories, self.own)
    }

    /// ADD of every plugin in order. The result is that of the last, in the version of the list.
    ///
    /// # Errors
    /// Of the first plugin that fails; the caller runs [`Self::del`].
    pub fn add(
        &self,
        subject: &Subject<'_>,
        stages: &mut Vec<(String, Duration)>,
    ) -> Result<Value, ChainError> {
        let mut previous = None;
        for plugin in &self.list.plugins {
            let started = Instant::now();
            let added = self.call(plugin, subject, "ADD", previous.as_ref(), Map::new());
            stages.push((kind(plugin).to_owned(), started.elapsed()));
            previous = added?;
        }
        Ok(previous.unwrap_or(Value::Null))
    }

    /// DEL of every plugin in reverse order, with the result of ADD where the version has it. Every plugin is called,
    /// whatever the others say.
    ///
    /// # Errors
    /// The first of those met.
    pub fn del(&self, subject: &Subject<'_>, result: Option<&Value>) -> Result<(), ChainError> {
        let previous = result.filter(|_| self.list.version.has_check());
        let mut first = None;
        for plugin in self.list.plugins.iter().rev() {
            if let Err(error) = self.call(plugin, subject, "DEL", previous, Map::new()) {
                first = first.or(Some(error));
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// CHECK of every plugin in order.
    ///
    /// # Errors
    /// Of the first plugin that fails.
    pub fn check(&self, subject: &Subject<'_>, result: &Value) -> Result<(), ChainError> {
        if self.list.disable_check || !self.list.version.has_check() {
            return Ok(());
        }
        let mut plugins = self.list.plugins.iter();
        plugins.try_for_each(|p| self.call(p, subject, "CHECK", Some(result), Map::new()).map(|_| ()))
    }

    /// STATUS of every plugin; where the version has no such verb, whether the plugins are there at all.
    ///
    /// # Errors
    /// Of the first plugin that is not ready.
    pub fn status(&self, subject: &Subject<'_>) -> Result<(), ChainError> {
        for plugin in &self.list.plugins {
            if self.list.version.has_gc_and_status() {
                self.call(plugin, subject, "STATUS", None, Map::new())?;
            } else {
                self.find(kind(plugin)).map_err(|source| self.error(plugin, "STATUS", source.into()))?;
            }
        }
        Ok(())
    }

    /// GC of every plugin, if the version has it.
    ///
    /// # Errors
    /// The first of those met.
    pub fn gc(&self, subject: &Subject<'_>, valid: &[ValidAttachment]) -> Result<(), ChainError> {
        if self.list.disable_gc || !self.list.version.has_gc_and_status() {
            return Ok(());
        }
        let mut first = None;
        for plugin in &self.list.plugins {
            let mut extra = Map::new();
            for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
                extra.insert(key.to_owned(), json!(valid));
            }
            if let Err(error) = self.call(plugin, subject, "GC", None, extra) {
                first = first.or(Some(error));
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn error(&self, plugin: &Map<String, Value>, verb: &'static str, source: CniError) -> ChainError {
        ChainError { plugin: kind(plugin).to_owned(), network: self.list.name.clone(), verb, source }
    }

    /// Calls one plugin; its result for ADD, nothing otherwise.
    fn call(
        &self,
        plugin: &Map<String, Value>,
        subject: &Subject<'_>,
        verb: &'static str,
        previous: Option<&Value>,
        extra: Map<String, Value>,
    ) -> Result<Option<Value>, ChainError> {
        let fields = self.told(plugin, subject, previous, extra);
        let outcome = match self.find(kind(plugin)) {
            Ok(Target::InProcess(built_in)) => self.in_process(built_in, subject, verb, fields),
            Ok(Target::Binary(path)) => self.execute(&path, subject, verb, fields),
            Err(error) if verb == "DEL" => {
                let done = error.on_del(subject.container_id, subject.netns.is_some());
                done.map(|()| None).map_err(Into::into)
            }
            Err(error) => Err(error.into()),
        };
        outcome.map_err(|source| self.error(plugin, verb, source))
    }

    /// The configuration a plugin gets: its own, plus what the runtime adds (section 3 of the specification).
    fn told(
        &self,
        plugin: &Map<String, Value>,
        subject: &Subject<'_>,
        previous: Option<&Value>,
        extra: Map<String, Value>,
    ) -> Map<String, Value> {
        let mut fields = plugin.clone();
        fields.insert("name".to_owned(), json!(self.list.name));
        fields.insert("cniVersion".to_owned(), json!(self.list.version.as_str()));
        let runtime = select(plugin, subject.capabilities);
        if !runtime.is_empty() {
            fields.insert("runtimeConfig".to_owned(), Value::Object(runtime));
        }
        if let Some(previous) = previous {
            fields.insert("prevResult".to_owned(), previous.clone());
        }
        fields.extend(extra);
        fields
    }

    fn in_process(
        &self,
        plugin: &dyn Plugin,
        subject: &Subject<'_>,
        verb: &'static str,
        fields: Map<String, Value>,
    ) -> Result<Option<Value>, CniError> {
        let netns = subject.netns.map(|(fd, path)| Netns::from_fd(fd, path)).transpose();
        let call = Call {
            container_id: subject.container_id.to_owned(),
            netns: netns
                .map_err(|e| CniError::new(Code::IO, format!("duplicate descriptor of netns: {e}")))?,
            ifname: subject.ifname.to_owned(),
            arguments: subject.arguments.clone(),
            path: self.directories.to_vec(),
            config: NetConfig::from_fields(fields)?,
            teardown: subject.teardown,
            own_binary: self.own,
        };
        match verb {
            "ADD" => {
                let added = plugin.add(&call)?;
                let encoded = result::encode(&added, self.list.version);
                encoded.map(Some).map_err(|e| CniError::from_source(Code::INTERNAL, &e))
            }
            "DEL" => plugin.del(&call).map(|()| None),
            "CHECK" => plugin.check(&call).map(|()| None),
            "GC" => plugin.gc(&call).map(|()| None),
            _ => plugin.status(&call).map(|()| None),
        }
    }

    fn execute(
        &self,
        path: &std::path::Path,
        subject: &Subject<'_>,
        verb: &'static str,
        fields: Map<String, Value>,
    ) -> Result<Option<Value>, CniError> {
        let environment = Environment {
            verb,
            container_id: subject.container_id,
            netns: subject.netns.map(|(_, path)| path),
            ifname: subject.ifname,
            arguments: subject.arguments,
            path: self.directories,
        };
        let input = Value::Object(fields).to_string();
        let output = exec::run(path, &environment, input.as_bytes(), self.deadline)?;
        if verb != "ADD" {
            return Ok(None);
        }
        let broken = |e: String| CniError::new(Code::DECODE, format!("result of {}: {e}", path.display()));
        let mut value: Value = serde_json::from_slice(&output).map_err(|e| broken(e.to_string()))?;
        if let Value::Object(fields) = &mut value {
            // A plugin may leave it out; whoever reads the result later has only the result.
            fields.entry("cniVersion").or_insert_with(|| json!(self.list.version.as_str()));
        }
        self.decode(&value).map_err(|e| broken(e.to_string()))?;
        Ok(Some(value))
    }

    /// Reads a result of this chain.
    ///
    /// # Errors
    /// If it is not of its version's shape.
    pub fn decode(&self, value: &Value) -> Result<CniResult, result::ConvertError> {
        result::decode(value, self.list.version)
    }
}

/// The `type` of a plugin; [`super::conflist::parse`] made sure that there is one.
fn kind(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}
