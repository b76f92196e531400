//! Where a pod's files lie on the host.

use std::path::{Path, PathBuf};

use crate::names::Identity;

/// The two directories everything is under; passed in, so that tests run in a temporary one.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The kubelet's own directory, `/var/lib/orlop/kubelet`.
    pub root: PathBuf,
    /// Logs of containers, `/var/log/pods`.
    pub logs: PathBuf,
}

impl Layout {
    /// `<root>/pods/<uid>`.
    #[must_use]
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// The managed hosts file.
    #[must_use]
    pub fn etc_hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }

    /// Where the termination message of one instance is written, on the host.
    #[must_use]
    pub fn termination_log(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod(uid).join("containers").join(container).join(format!("{attempt:08x}"))
    }

    /// Seccomp profiles of type Localhost are relative to this.
    #[must_use]
    pub fn seccomp(&self) -> PathBuf {
        self.root.join("seccomp")
    }

    /// `<logs>/<namespace>_<name>_<uid>` (K-CTR-4).
    #[must_use]
    pub fn pod_logs(&self, pod: &Identity) -> PathBuf {
        self.logs.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
    }

    /// A container's log, relative to the pod's log directory. Never empty: some runtimes' clients delete
    /// `log_path + "*"`, which with an empty path is everything in their working directory.
    #[must_use]
    pub fn log_file(container: &str, attempt: u32) -> PathBuf {
        Path::new(container).join(format!("{attempt}.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_other_tools_expect() {
        let layout = Layout { root: "/r".into(), logs: "/var/log/pods".into() };
        let pod = Identity { name: "web".into(), namespace: "default".into(), uid: "u1".into() };
        assert_eq!(
            layout.pod_logs(&pod).join(Layout::log_file("c", 2)),
            Path::new("/var/log/pods/default_web_u1/c/2.log")
        );
    }
}
