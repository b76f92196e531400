//! Records: what the daemon must know after it was killed, one small file per object.
//!
//! A record is written before the first effect of an object exists and changed after each effect that a restart must
//! know of. It is written to a temporary name and renamed; there is no fsync, because a reboot ends every container
//! anyway. A record that cannot be read is moved aside and never stops the daemon (RC-05).

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use cri_api::v1::{ContainerConfig, PodSandboxConfig};
use kernel::file::{self, Durable};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

mod protobuf;

/// Version of the record format. A reader accepts its own and older ones.
pub const VERSION: u32 = 1;
/// Largest record that is read back, bytes: a request of the largest size and its envelope.
const RECORD_MAX: u64 = 256 * 1024 * 1024;

/// Why a record cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("{operation} record {}", path.display())]
pub struct RecordError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// A process that must be recognised after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Process id.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: tells a process from another one that got its pid.
    pub start_time: u64,
}

/// How far a sandbox has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxStage {
    /// Being made; a daemon that finds this undoes it.
    Creating,
    /// Everything is there but the holder. If the supervisor knows that one, the sandbox is ready: its start needs no
    /// record after it, and nobody waits for one.
    Starting,
    /// Ready.
    Ready,
    /// Stopped, or its holder ended.
    NotReady,
    /// Being removed; a daemon that finds this goes on with it.
    Removing,
}

/// What a sandbox has of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The host's, or none yet.
    None,
    /// CNI ADD was begun: there may be something to undo.
    Attempted,
    /// CNI ADD succeeded.
    Attached {
        /// Addresses, the primary one first.
        ips: Vec<IpAddr>,
    },
}

/// A pod sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Sandbox id.
    pub id: String,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// Digest of the request that made it (G-10).
    pub request: String,
    /// RuntimeClass handler, empty for the default one.
    pub handler: String,
    /// The request's configuration.
    #[serde(with = "protobuf")]
    pub config: PodSandboxConfig,
    /// How far it has come.
    pub stage: SandboxStage,
    /// Its network.
    pub network: Network,
    /// The pinned network namespace, when plugins of others need a path.
    pub netns: Option<PathBuf>,
    /// The holder of its namespaces.
    pub pause: Option<ProcessId>,
    /// Group of the sandbox process.
    pub cgroup: String,
    /// Group that was made to hold the pod, when the caller named none.
    pub pod_cgroup: Option<String>,
}

/// How far a container has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerStage {
    /// Being made; a daemon that finds this undoes it.
    Creating,
    /// Made, not started: no process.
    Created,
    /// Started; whether it still runs, the supervisor knows.
    Started {
        /// Its first process.
        process: ProcessId,
        /// Nanoseconds since the epoch.
        started_at: i64,
    },
    /// Ended, or never came to run.
    Exited(Exited),
    /// Being removed; a daemon that finds this goes on with it.
    Removing,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Nanoseconds since the epoch; 0 if it never ran.
    pub started_at: i64,
    /// Nanoseconds since the epoch.
    pub finished_at: i64,
    /// As CRI reports it: 128 + n for a death by signal n.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `Unknown`.
    pub reason: String,
    /// One line.
    pub message: String,
}

/// The image of a container, as it was when the container was made: it must be told after the image is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSnapshot {
    /// Digest of the configuration.
    pub id: String,
    /// First tag, or what the user wrote.
    pub name: String,
    /// `name@digest`, or the id.
    pub reference: String,
    /// Signal that the image asks to be stopped with.
    pub stop_signal: Option<String>,
    /// Its layers, the top-most first.
    pub layers: Vec<PathBuf>,
}

/// The user a container's first process runs as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplemental group ids.
    pub groups: Vec<u32>,
}

/// A container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Container id.
    pub id: String,
    /// Id of its sandbox.
    pub sandbox: String,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// Digest of the request that made it (G-10).
    pub request: String,
    /// The request's configuration.
    #[serde(with = "protobuf")]
    pub config: ContainerConfig,
    /// Its image.
    pub image: ImageSnapshot,
    /// Its user.
    pub user: User,
    /// Its group.
    pub cgroup: String,
    /// Absolute path of its log; `None` discards the output.
    pub log: Option<PathBuf>,
    /// How far it has come.
    pub stage: ContainerStage,
}

/// The directory of records.
#[derive(Debug, Clone)]
pub struct Records {
    root: PathBuf,
}

/// Kinds of records, each in a folder of its own.
pub trait Record: Serialize + DeserializeOwned {
    /// Folder name.
    const KIND: &'static str;
    /// Which object this is.
    fn id(&self) -> &str;
    /// [`VERSION`] of the writer.
    fn version(&self) -> u32;
}

impl Record for SandboxRecord {
    const KIND: &'static str = "sandboxes";
    fn id(&self) -> &str {
        &self.id
    }
    fn version(&self) -> u32 {
        self.version
    }
}

impl Record for ContainerRecord {
    const KIND: &'static str = "containers";
    fn id(&self) -> &str {
        &self.id
    }
    fn version(&self) -> u32 {
        self.version
    }
}

impl Records {
    /// Opens the records below `root`, making the folders that are missing.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn open(root: PathBuf) -> Result<Self, RecordError> {
        for folder in [SandboxRecord::KIND, ContainerRecord::KIND, "specs", "quarantine"] {
            let path = root.join(folder);
            fs::create_dir_all(&path).map_err(|source| RecordError {
                operation: "make folder of",
                path,
                source,
            })?;
        }
        Ok(Self { root })
    }

    fn path<R: Record>(&self, id: &str) -> PathBuf {
        self.root.join(R::KIND).join(id)
    }

    /// Writes a record; the old one stays until the new one is whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put<R: Record>(&self, record: &R) -> Result<(), RecordError> {
        let fail = |source| RecordError { operation: "write", path: self.path::<R>(record.id()), source };
        let text = serde_json::to_vec(record).map_err(|e| fail(e.into()))?;
        file::write_atomic(&self.root.join(R::KIND), record.id(), &text, Durable::No).map_err(fail)
    }

    /// Removes a record, if it is there.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove<R: Record>(&self, id: &str) -> Result<(), RecordError> {
        remove_file(&self.path::<R>(id))
    }

    /// Reads every record of a kind. Those that cannot be read are moved to `quarantine/` and named in a log line.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn all<R: Record>(&self) -> Result<Vec<R>, RecordError> {
        let folder = self.root.join(R::KIND);
        let fail = |source| RecordError { operation: "list", path: folder.clone(), source };
        let mut records = Vec::new();
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(file::TEMPORARY_PREFIX) {
                // An unfinished write of a daemon that was killed; the record itself, if any, is beside it.
                remove_file(&entry.path())?;
                continue;
            }
            match self.read::<R>(name) {
                Ok(record) => records.push(record),
                Err(error) => self.quarantine(&entry.path(), &error),
            }
        }
        Ok(records)
    }

    fn read<R: Record>(&self, name: &str) -> io::Result<R> {
        let record: R = serde_json::from_slice(&file::read_bounded(&self.path::<R>(name), RECORD_MAX)?)?;
        if record.id() != name {
            return Err(io::Error::other(format!("it says it is the record of {:?}", record.id())));
        }
        if record.version() > VERSION {
            return Err(io::Error::other(format!(
                "it is of version {}, newer than {VERSION}",
                record.version()
            )));
        }
        Ok(record)
    }

    fn quarantine(&self, path: &Path, error: &io::Error) {
        let name = path.file_name().unwrap_or_default();
        let moved = fs::rename(path, self.root.join("quarantine").join(name));
        tracing::error!(
            record = %path.display(), %error, moved = moved.is_ok(),
            "record cannot be read and is left aside; what it names is cleaned up by id"
        );
    }

    /// Keeps the OCI spec of a container; it is written once and read for exec and verbose status.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put_spec(&self, id: &str, spec: &oci_spec::runtime::Spec) -> Result<(), RecordError> {
        let fail = |source| RecordError {
            operation: "write spec in",
            path: self.root.join("specs").join(id),
            source,
        };
        let text = serde_json::to_vec(spec).map_err(|e| fail(e.into()))?;
        file::write_atomic(&self.root.join("specs"), id, &text, Durable::No).map_err(fail)
    }

    /// The OCI spec of a container.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    pub fn spec(&self, id: &str) -> Result<oci_spec::runtime::Spec, RecordError> {
        let path = self.root.join("specs").join(id);
        let read = file::read_bounded(&path, RECORD_MAX).and_then(|text| Ok(serde_json::from_slice(&text)?));
        read.map_err(|source| RecordError { operation: "read spec in", path, source })
    }

    /// Removes the OCI spec of a container, if it is there.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove_spec(&self, id: &str) -> Result<(), RecordError> {
        remove_file(&self.root.join("specs").join(id))
    }

    /// Removes specs of containers that `known` does not know.
    ///
    /// # Errors
    /// The folder cannot be listed, or a file cannot be removed.
    pub fn sweep_specs(&self, known: impl Fn(&str) -> bool) -> Result<(), RecordError> {
        let folder = self.root.join("specs");
        let fail = |source| RecordError { operation: "list", path: folder.clone(), source };
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if !entry.file_name().to_str().is_some_and(&known) {
                remove_file(&entry.path())?;
            }
        }
        Ok(())
    }
}

fn remove_file(path: &Path) -> Result<(), RecordError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RecordError { operation: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
