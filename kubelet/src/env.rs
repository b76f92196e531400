//! A container's environment: literal values, references to the pod's own fields and resources, `$(VAR)`.
//!
//! Order is the manifest's; a later variable of the same name replaces an earlier one. ConfigMaps and Secrets are not
//! here yet; a manifest that asks for them is refused when it is read.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod, ResourceFieldSelector};

use crate::expand::expand;
use crate::host::Host;
use crate::names::Identity;
use crate::quantity::Quantity;
use crate::resources;

/// What `fieldRef.fieldPath` may name, besides one label or annotation.
pub const FIELD_PATHS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// A variable that has no value.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// The field is not one a container may see.
    #[error("resolve variable {variable:?}: no field {path:?}")]
    UnknownField {
        /// The variable.
        variable: String,
        /// Its `fieldPath`.
        path: String,
    },
    /// The container a resource is asked of does not exist, or the amount is not one.
    #[error("resolve variable {variable:?}: no resource {resource:?}")]
    UnknownResource {
        /// The variable.
        variable: String,
        /// The resource asked for.
        resource: String,
    },
}

/// What variables may refer to.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its addresses, the primary one first.
    pub addresses: &'a [IpAddr],
    /// The host.
    pub host: &'a Host,
}

/// The environment of `container` in declaration order, without duplicates.
///
/// # Errors
/// A reference names something that does not exist.
pub fn environment(container: &Container, source: Source<'_>) -> Result<Vec<(String, String)>, EnvError> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(from) => referenced(&variable.name, from, container, source)?,
            None => expand(variable.value.as_deref().unwrap_or_default(), |name| lookup(&variables, name)),
        };
        variables.retain(|(name, _)| *name != variable.name);
        variables.push((variable.name.clone(), value));
    }
    Ok(variables)
}

/// A variable's value.
pub(crate) fn lookup<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn referenced(
    variable: &str,
    from: &EnvVarSource,
    container: &Container,
    source: Source<'_>,
) -> Result<String, EnvError> {
    if let Some(field) = &from.field_ref {
        return field_value(&field.field_path, source).ok_or_else(|| EnvError::UnknownField {
            variable: variable.to_owned(),
            path: field.field_path.clone(),
        });
    }
    if let Some(resource) = &from.resource_field_ref {
        return resource_value(resource, container, source).ok_or_else(|| EnvError::UnknownResource {
            variable: variable.to_owned(),
            resource: resource.resource.clone(),
        });
    }
    Err(EnvError::UnknownField { variable: variable.to_owned(), path: "valueFrom".to_owned() })
}

fn field_value(path: &str, source: Source<'_>) -> Option<String> {
    let identity = Identity::of(source.pod);
    let spec = source.pod.spec.as_ref();
    let joined =
        |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let first = |addresses: &[IpAddr]| addresses.first().map(ToString::to_string).unwrap_or_default();
    let subscript = |prefix: &str| path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']");
    if let Some(key) = subscript("metadata.labels") {
        // An absent label is an empty value, not an error, as in a kubelet.
        return Some(
            source.pod.metadata.labels.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default(),
        );
    }
    if let Some(key) = subscript("metadata.annotations") {
        let map = source.pod.metadata.annotations.as_ref();
        return Some(map.and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    Some(match path {
        "metadata.name" => identity.name,
        "metadata.namespace" => identity.namespace,
        "metadata.uid" => identity.uid,
        "spec.nodeName" => source.host.node_name.clone(),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_else(|| "default".to_owned())
        }
        "status.hostIP" => first(&source.host.addresses),
        "status.hostIPs" => joined(&source.host.addresses),
        "status.podIP" => first(source.addresses),
        "status.podIPs" => joined(source.addresses),
        _ => return None,
    })
}

/// Limits that are not set are the node's own capacity: a program sizing itself asks for what it may use.
fn resource_value(selector: &ResourceFieldSelector, own: &Container, source: Source<'_>) -> Option<String> {
    let spec = source.pod.spec.as_ref()?;
    let container = match &selector.container_name {
        None => own,
        Some(name) => {
            let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            all.into_iter().find(|container| container.name == *name)?
        }
    };
    let divisor =
        Quantity::parse(selector.divisor.as_ref().map_or("0", |divisor| divisor.0.as_str())).ok()?;
    let (list, resource) = selector.resource.split_once('.')?;
    let amount = match list {
        "limits" => resources::limit(container, resource),
        "requests" => resources::request(container, resource),
        _ => return None,
    };
    let amount = match (amount, list, resource) {
        (Some(amount), ..) => amount,
        (None, "limits", "cpu") => Quantity::parse(&format!("{}m", source.host.cpu_millis)).ok()?,
        (None, "limits", "memory") => Quantity::parse(&source.host.memory_bytes.to_string()).ok()?,
        (None, "requests", "cpu" | "memory") => Quantity::default(),
        _ => return None,
    };
    Some(amount.in_units_of(divisor).to_string())
}

#[cfg(test)]
mod tests;
