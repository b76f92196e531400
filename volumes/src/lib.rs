//! What appears inside a container's mounts.
//!
//! Owns the host side of a pod's volumes: making them before the pod starts and removing them after it ended. Does not
//! own the mount into the container (the runtime's), nor where a volume's data comes from in a cluster. One file per
//! kind. Everything here blocks; an async caller uses a thread for it.
#![forbid(unsafe_code)]

mod empty_dir;
mod host_path;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{PodSpec, Volume as VolumeSpec};

pub use empty_dir::{EmptyDir, Medium};
pub use host_path::{HostPath, HostPathType};

/// What a volume uses on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes in use.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

/// One volume of one pod.
pub trait Volume: Send + Sync {
    /// Makes the volume and answers where on the host it is. Doing it again changes nothing that is already right.
    ///
    /// # Errors
    /// The volume cannot be made, or what should be there is not.
    fn prepare(&self) -> Result<PathBuf, VolumeError>;

    /// Removes what [`Volume::prepare`] made. A volume that is not there is a success.
    ///
    /// # Errors
    /// Something of it is left.
    fn teardown(&self) -> Result<(), VolumeError>;

    /// What it uses; `None` for a kind that is not the pod's own.
    ///
    /// # Errors
    /// It cannot be measured.
    fn stats(&self) -> Result<Option<Stats>, VolumeError>;
}

/// Why a volume is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Making the directory of an emptyDir.
    #[error("make {}", path.display())]
    Make {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Mounting the memory of an emptyDir.
    #[error("mount tmpfs on {}", path.display())]
    Mount {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Giving it to the pod's group.
    #[error("give {} to group {gid}", path.display())]
    Group {
        /// Its directory.
        path: PathBuf,
        /// The pod's `fsGroup`.
        gid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Taking it away.
    #[error("remove {}", path.display())]
    Remove {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Measuring it.
    #[error("measure {}", path.display())]
    Measure {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A host path is something else than the manifest says.
    #[error("hostPath type check failed: {} is not {expected}", path.display())]
    HostPathType {
        /// The path on the host.
        path: PathBuf,
        /// What it should be, `a directory`.
        expected: &'static str,
    },
    /// Looking at a host path.
    #[error("look at host path {}", path.display())]
    HostPath {
        /// The path on the host.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A kind that is not built; manifests that have one are refused before.
    #[error("volume {name:?} is of a kind that is not supported")]
    Kind {
        /// Its name in the manifest.
        name: String,
    },
}

/// What the volumes of one pod have in common.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The pod's own directory, `<root>/pods/<uid>`.
    pub directory: PathBuf,
    /// `fsGroup`: who else than the owner may write.
    pub group: Option<u32>,
    /// The most memory the pod may use, bytes; volumes in memory count against it.
    pub memory_bytes: Option<u64>,
}

impl Pod {
    /// `<directory>/volumes/kubernetes.io~<kind>/<name>` (K-VOL-1).
    #[must_use]
    pub fn volume_directory(&self, kind: &str, name: &str) -> PathBuf {
        self.directory.join("volumes").join(format!("kubernetes.io~{kind}")).join(name)
    }
}

/// The volumes of a manifest by name. `bytes` turns the text of a `sizeLimit` into bytes.
///
/// # Errors
/// [`VolumeError::Kind`].
pub fn of_spec(
    spec: &PodSpec,
    pod: &Pod,
    bytes: impl Fn(&str) -> Option<u64>,
) -> Result<BTreeMap<String, Box<dyn Volume>>, VolumeError> {
    let mut volumes = BTreeMap::new();
    for volume in spec.volumes.iter().flatten() {
        volumes.insert(volume.name.clone(), one(volume, pod, &bytes)?);
    }
    Ok(volumes)
}

fn one(
    volume: &VolumeSpec,
    pod: &Pod,
    bytes: impl Fn(&str) -> Option<u64>,
) -> Result<Box<dyn Volume>, VolumeError> {
    if let Some(source) = &volume.empty_dir {
        let limit = source.size_limit.as_ref().and_then(|limit| bytes(&limit.0)).filter(|limit| *limit > 0);
        let medium = match source.medium.as_deref() {
            Some("Memory") => Medium::Memory { limit_bytes: limit.into_iter().chain(pod.memory_bytes).min() },
            _ => Medium::Disk,
        };
        return Ok(Box::new(EmptyDir::new(pod, &volume.name, medium)));
    }
    if let Some(source) = &volume.host_path {
        let kind = HostPathType::parse(source.type_.as_deref().unwrap_or_default());
        return Ok(Box::new(HostPath::new(Path::new(&source.path), kind)));
    }
    Err(VolumeError::Kind { name: volume.name.clone() })
}
