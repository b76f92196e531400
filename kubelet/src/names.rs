//! The names under which other tools find our pods: CRI labels and annotations (K-CTR-1), hostnames.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::Pod;

/// Label: the pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Label: the pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Label: the pod's uid.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Label: the container's name.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Annotation: see [`crate::hash`].
pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
/// Annotation: how often the container was restarted before this instance.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Annotation: where in the container the termination message is written.
pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Annotation: `File` or `FallbackToLogsOnError`.
pub const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Annotation: the container's ports as JSON.
pub const CONTAINER_PORTS: &str = "io.kubernetes.container.ports";
/// Annotation: the grace period of the spec, in seconds.
pub const TERMINATION_GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// Who a pod is, with defaults applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// Namespace, `default` if the manifest has none.
    pub namespace: String,
    /// Uid; the caller gives one to a manifest without.
    pub uid: String,
}

impl Identity {
    /// The identity of a pod whose manifest was validated and whose uid was set.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let meta = &pod.metadata;
        Self {
            name: meta.name.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            uid: meta.uid.clone().unwrap_or_default(),
        }
    }

    /// The labels by which the pod's sandboxes are found.
    #[must_use]
    pub fn labels(&self) -> HashMap<String, String> {
        HashMap::from([
            (POD_NAME.to_owned(), self.name.clone()),
            (POD_NAMESPACE.to_owned(), self.namespace.clone()),
            (POD_UID.to_owned(), self.uid.clone()),
        ])
    }
}

/// The pod's own labels and those of its identity, which win.
#[must_use]
pub fn sandbox_labels(pod: &Pod) -> HashMap<String, String> {
    let mut labels = to_map(pod.metadata.labels.as_ref());
    labels.extend(Identity::of(pod).labels());
    labels
}

pub(crate) fn to_map(map: Option<&BTreeMap<String, String>>) -> HashMap<String, String> {
    map.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The pod's host name: `hostnameOverride`, `hostname` or its name, cut to what a host name may be (63).
#[must_use]
pub fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    let chosen = spec
        .and_then(|spec| spec.hostname_override.clone().or_else(|| spec.hostname.clone()))
        .or_else(|| pod.metadata.name.clone())
        .unwrap_or_default();
    let longest = if spec.is_some_and(|spec| spec.hostname_override.is_some()) { 64 } else { 63 };
    // Cutting may leave "web-" or "web.", which no resolver accepts as a name.
    let cut: String = chosen.chars().take(longest).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// `hostname.subdomain.namespace.svc.domain`, for a pod that names a subdomain.
#[must_use]
pub fn fully_qualified(pod: &Pod, cluster_domain: &str) -> Option<String> {
    let subdomain = pod.spec.as_ref()?.subdomain.as_deref().filter(|name| !name.is_empty())?;
    let namespace = Identity::of(pod).namespace;
    Some(format!("{}.{subdomain}.{namespace}.svc.{cluster_domain}", hostname(pod)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod
    }

    #[test]
    fn a_long_name_is_cut_and_does_not_end_in_a_dash_or_dot() {
        let name = format!("{}-{}", "a".repeat(62), "b");
        assert_eq!(hostname(&pod(&name)), "a".repeat(62));
        assert_eq!(hostname(&pod("web")), "web");
    }

    #[test]
    fn a_label_of_the_manifest_cannot_pose_as_another_pod() {
        let mut pod = pod("web");
        pod.metadata.uid = Some("u1".to_owned());
        pod.metadata.labels = Some(BTreeMap::from([
            (POD_UID.to_owned(), "other".to_owned()),
            ("app".to_owned(), "web".to_owned()),
        ]));
        let labels = sandbox_labels(&pod);
        assert_eq!((labels[POD_UID].as_str(), labels["app"].as_str()), ("u1", "web"));
    }
}
