//! The group of a pod (F-07).

use std::path::{Path, PathBuf};

use cri_api::v1::PodSandboxConfig;

use crate::error::{Class, Failure};

/// Where the groups of a pod's processes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodCgroup {
    /// Holds one group for each process of the pod.
    pub parent: String,
    /// Whether the parent was made for this pod and is removed with it.
    pub own: bool,
}

impl PodCgroup {
    /// The group of the pod `id`: below the parent the caller names (the kubelet owns that one), or a group of its own
    /// below `default_parent`.
    ///
    /// # Errors
    /// The parent climbs out of the hierarchy, or is written for the systemd driver.
    pub fn of(config: &PodSandboxConfig, id: &str, default_parent: &str) -> Result<Self, Failure> {
        let named = config.linux.as_ref().map_or("", |linux| linux.cgroup_parent.as_str());
        let refuse = |why: &str| {
            let text = format!("use cgroup parent {named:?} of pod {id}: {why}");
            Failure::new(Class::InvalidArgument, text)
        };
        if named.trim_matches('/').is_empty() {
            return Ok(Self { parent: format!("{default_parent}/{id}"), own: true });
        }
        if named.ends_with(".slice") {
            return Err(refuse("it is a systemd slice, and this runtime uses the cgroupfs driver"));
        }
        if Path::new(named).components().any(|c| matches!(c, std::path::Component::ParentDir)) {
            return Err(refuse("it has a \"..\""));
        }
        Ok(Self { parent: format!("/{}", named.trim_matches('/')), own: false })
    }

    /// The group of one process of the pod, by the id of its container or sandbox.
    pub fn process(&self, id: &str) -> String {
        format!("{}/{id}", self.parent)
    }
}

/// A group's path as `kernel` takes it.
pub fn path(group: &str) -> PathBuf {
    PathBuf::from(group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cri_api::v1::LinuxPodSandboxConfig;

    fn config(parent: &str) -> PodSandboxConfig {
        let linux = LinuxPodSandboxConfig { cgroup_parent: parent.to_owned(), ..Default::default() };
        PodSandboxConfig { linux: Some(linux), ..Default::default() }
    }

    #[test]
    fn a_named_parent_is_used_and_an_unnamed_one_is_made() {
        let pod = PodCgroup::of(&config("/kubepods/burstable/pod1/"), "aa", "/orlop").unwrap();
        assert_eq!((pod.process("c1").as_str(), pod.own), ("/kubepods/burstable/pod1/c1", false));
        for none in ["", "/"] {
            let pod = PodCgroup::of(&config(none), "aa", "/orlop").unwrap();
            assert_eq!((pod.process("c1").as_str(), pod.own), ("/orlop/aa/c1", true));
        }
        for bad in ["/a/../../b", "kubepods.slice"] {
            assert_eq!(
                PodCgroup::of(&config(bad), "aa", "/orlop").unwrap_err().class,
                Class::InvalidArgument
            );
        }
    }
}
