//! Fields that are correct Kubernetes and that Orlop does not implement yet: refused by name, never ignored.
//!
//! One table. A row disappears when its feature is built. Fields that only a scheduler or an API server reads
//! (`tolerations`, `schedulerName`, `priorityClassName`, ...) are accepted, since a kubelet does nothing with them
//! either.

use super::error::Problem;
use super::node::{Kind, Node};
use super::path::Path;
use super::scalar::Scalar;

/// What of a field is refused.
enum Refused {
    /// Any value but null, an empty list or an empty mapping.
    Present,
    /// A value other than this one, which is the default and so changes nothing.
    Unless(&'static str),
    /// Exactly this value.
    Value(&'static str),
}

use Refused::{Present, Unless, Value};

/// `*` stands for every element of a list; `containers` rows hold for init containers too.
const TABLE: &[(&str, Refused)] = &[
    ("spec.activeDeadlineSeconds", Present),
    ("spec.affinity", Present),
    ("spec.automountServiceAccountToken", Unless("false")),
    ("spec.ephemeralContainers", Present),
    ("spec.hostUsers", Unless("true")),
    ("spec.imagePullSecrets", Present),
    ("spec.nodeSelector", Present),
    ("spec.overhead", Present),
    ("spec.os.name", Unless("linux")),
    ("spec.readinessGates", Present),
    ("spec.resourceClaims", Present),
    ("spec.resources", Present),
    ("spec.runtimeClassName", Present),
    ("spec.schedulingGates", Present),
    ("spec.schedulingGroup", Present),
    ("spec.securityContext.windowsOptions", Present),
    ("spec.serviceAccount", Unless("default")),
    ("spec.serviceAccountName", Unless("default")),
    ("spec.setHostnameAsFQDN", Unless("false")),
    ("spec.containers.*.envFrom", Present),
    ("spec.containers.*.env.*.valueFrom.configMapKeyRef", Present),
    ("spec.containers.*.env.*.valueFrom.fileKeyRef", Present),
    ("spec.containers.*.env.*.valueFrom.secretKeyRef", Present),
    ("spec.containers.*.lifecycle", Present),
    ("spec.containers.*.livenessProbe", Present),
    ("spec.containers.*.readinessProbe", Present),
    ("spec.containers.*.startupProbe", Present),
    ("spec.containers.*.resizePolicy", Present),
    ("spec.containers.*.resources.claims", Present),
    ("spec.containers.*.restartPolicyRules", Present),
    ("spec.containers.*.securityContext.procMount", Unless("Default")),
    ("spec.containers.*.securityContext.windowsOptions", Present),
    ("spec.containers.*.volumeDevices", Present),
    ("spec.containers.*.volumeMounts.*.subPath", Present),
    ("spec.containers.*.volumeMounts.*.subPathExpr", Present),
    ("spec.volumes.*.awsElasticBlockStore", Present),
    ("spec.volumes.*.azureDisk", Present),
    ("spec.volumes.*.azureFile", Present),
    ("spec.volumes.*.cephfs", Present),
    ("spec.volumes.*.cinder", Present),
    ("spec.volumes.*.configMap", Present),
    ("spec.volumes.*.csi", Present),
    ("spec.volumes.*.downwardAPI", Present),
    ("spec.volumes.*.ephemeral", Present),
    ("spec.volumes.*.fc", Present),
    ("spec.volumes.*.flexVolume", Present),
    ("spec.volumes.*.flocker", Present),
    ("spec.volumes.*.gcePersistentDisk", Present),
    ("spec.volumes.*.gitRepo", Present),
    ("spec.volumes.*.glusterfs", Present),
    ("spec.volumes.*.image", Present),
    ("spec.volumes.*.iscsi", Present),
    ("spec.volumes.*.nfs", Present),
    ("spec.volumes.*.persistentVolumeClaim", Present),
    ("spec.volumes.*.photonPersistentDisk", Present),
    ("spec.volumes.*.portworxVolume", Present),
    ("spec.volumes.*.projected", Present),
    ("spec.volumes.*.quobyte", Present),
    ("spec.volumes.*.rbd", Present),
    ("spec.volumes.*.scaleIO", Present),
    ("spec.volumes.*.secret", Present),
    ("spec.volumes.*.storageos", Present),
    ("spec.volumes.*.vsphereVolume", Present),
    ("spec.volumes.*.emptyDir.medium", Value("HugePages")),
];

/// Checks a document against the table; the first refused field of the table's order is the error.
pub(super) fn check(document: &Node) -> Result<(), Problem> {
    for (pattern, refused) in TABLE {
        walk(document, &Path::root(), pattern, refused)?;
        if let Some(rest) = pattern.strip_prefix("spec.containers.") {
            walk(document, &Path::root(), &format!("spec.initContainers.{rest}"), refused)?;
        }
    }
    Ok(())
}

fn walk(node: &Node, path: &Path, pattern: &str, refused: &Refused) -> Result<(), Problem> {
    if pattern.is_empty() {
        return if hits(node, refused) { Err(refusal(node, path)) } else { Ok(()) };
    }
    let (first, rest) = pattern.split_once('.').unwrap_or((pattern, ""));
    match &node.kind {
        Kind::Sequence(items) if first == "*" => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| walk(item, &path.index(index), rest, refused)),
        Kind::Mapping(_) => match node.get(first) {
            Some(child) => walk(child, &path.field(first), rest, refused),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn hits(node: &Node, refused: &Refused) -> bool {
    let text = match &node.kind {
        Kind::Scalar(Scalar::Null) => return false,
        Kind::Sequence(items) => return !items.is_empty(),
        // `emptyDir: {}` of a kind we do not have is as much a wish as a filled one; only lists may be empty.
        Kind::Mapping(_) => return true,
        Kind::Scalar(Scalar::String(text)) => text.as_str(),
        Kind::Scalar(Scalar::Bool { value, .. }) => {
            if *value {
                "true"
            } else {
                "false"
            }
        }
        Kind::Scalar(Scalar::Int { text, .. } | Scalar::Float { text, .. }) => text.as_str(),
    };
    match refused {
        Present => !text.is_empty(),
        Unless(default) => text != *default,
        // HugePages-2Mi is the same feature with a page size behind it.
        Value(value) => text == *value || text.strip_prefix(value).is_some_and(|rest| rest.starts_with('-')),
    }
}

fn refusal(node: &Node, path: &Path) -> Problem {
    let what = match &node.kind {
        Kind::Scalar(scalar) => format!("Orlop does not support {scalar} here yet; remove the field"),
        _ => "Orlop does not support this field yet; remove it".to_owned(),
    };
    Problem::new(node.at, path, what)
}
