//! Rules for containers and init containers.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, VolumeMount};

use super::super::error::Problem;
use super::super::path::Path;
use super::{Place, name, security};
use crate::env::FIELD_PATHS;
use crate::quantity::Quantity;

/// Checks every container of the pod; `volumes` are the names their mounts may use.
pub(super) fn all(
    spec: &PodSpec,
    volumes: &BTreeSet<&str>,
    place: Place<'_>,
    path: &Path,
) -> Result<(), Problem> {
    let mut names = BTreeSet::new();
    let mut host_ports = BTreeSet::new();
    let init = spec.init_containers.iter().flatten().map(|container| ("initContainers", container));
    let regular = spec.containers.iter().map(|container| ("containers", container));
    let mut index = BTreeMap::<&str, usize>::new();
    for (list, container) in init.chain(regular) {
        let position = index.entry(list).or_default();
        let at = path.field(list).index(*position);
        *position += 1;
        name::label(&container.name).map_err(|what| place.problem(&at.field("name"), what))?;
        place.unique(&at.field("name"), "container name", &container.name, &mut names)?;
        one(spec, container, volumes, place, &at)?;
        ports(spec, container, &mut host_ports, place, &at)?;
    }
    Ok(())
}

fn one(
    spec: &PodSpec,
    container: &Container,
    volumes: &BTreeSet<&str>,
    place: Place<'_>,
    at: &Path,
) -> Result<(), Problem> {
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        return Err(place.problem(&at.field("image"), "is required"));
    }
    if image.trim() != image {
        return Err(
            place.problem(&at.field("image"), format!("{image:?} must not begin or end with a space"))
        );
    }
    if let Some(policy) = &container.image_pull_policy {
        place.one_of(&at.field("imagePullPolicy"), policy, &["Always", "IfNotPresent", "Never"])?;
    }
    if let Some(policy) = &container.restart_policy {
        place.one_of(&at.field("restartPolicy"), policy, &["Always", "OnFailure", "Never"])?;
    }
    if let Some(policy) = &container.termination_message_policy {
        place.one_of(&at.field("terminationMessagePolicy"), policy, &["File", "FallbackToLogsOnError"])?;
    }
    for (position, variable) in container.env.iter().flatten().enumerate() {
        env(spec, variable, place, &at.field("env").index(position))?;
    }
    mounts(container, volumes, place, at)?;
    resources(container, place, &at.field("resources"))?;
    match &container.security_context {
        Some(context) => security::container(context, place, &at.field("securityContext")),
        None => Ok(()),
    }
}

fn env(spec: &PodSpec, variable: &EnvVar, place: Place<'_>, at: &Path) -> Result<(), Problem> {
    name::variable(&variable.name).map_err(|what| place.problem(&at.field("name"), what))?;
    let Some(source) = &variable.value_from else { return Ok(()) };
    let from = at.field("valueFrom");
    if variable.value.as_ref().is_some_and(|value| !value.is_empty()) {
        return Err(place.problem(&from, "cannot be given together with value"));
    }
    match (&source.field_ref, &source.resource_field_ref) {
        (Some(_), Some(_)) => Err(place.problem(&from, "exactly one source is possible, and there are two")),
        (None, None) => Err(place.problem(&from, "a source is required: fieldRef or resourceFieldRef")),
        (Some(field), None) => {
            let path = from.field("fieldRef").field("fieldPath");
            let subscripted = ["metadata.labels['", "metadata.annotations['"];
            if subscripted.iter().any(|prefix| field.field_path.starts_with(prefix))
                && field.field_path.ends_with("']")
            {
                return Ok(());
            }
            place.one_of(&path, &field.field_path, FIELD_PATHS)
        }
        (None, Some(resource)) => {
            let path = from.field("resourceFieldRef");
            let known = ["limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
            place.one_of(&path.field("resource"), &resource.resource, &known)?;
            let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
            if let Some(named) = &resource.container_name {
                let names: Vec<&str> = containers.map(|container| container.name.as_str()).collect();
                place.one_of(&path.field("containerName"), named, &names)?;
            }
            let Some(divisor) = &resource.divisor else { return Ok(()) };
            let at = path.field("divisor");
            let known: &[&str] = if resource.resource.ends_with("cpu") {
                &["0", "1", "1m"]
            } else {
                &["0", "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"]
            };
            place.one_of(&at, &divisor.0, known)
        }
    }
}

fn mounts(
    container: &Container,
    volumes: &BTreeSet<&str>,
    place: Place<'_>,
    at: &Path,
) -> Result<(), Problem> {
    let mut paths = BTreeSet::new();
    for (position, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let at = at.field("volumeMounts").index(position);
        if !volumes.contains(mount.name.as_str()) {
            let problem = place.problem(&at.field("name"), format!("there is no volume {:?}", mount.name));
            return Err(problem.with_nearest(&mount.name, volumes.iter().copied()));
        }
        if mount.mount_path.is_empty() {
            return Err(place.problem(&at.field("mountPath"), "is required"));
        }
        place.unique(&at.field("mountPath"), "mount path", &mount.mount_path, &mut paths)?;
        propagation(container, mount, place, &at)?;
    }
    Ok(())
}

fn propagation(
    container: &Container,
    mount: &VolumeMount,
    place: Place<'_>,
    at: &Path,
) -> Result<(), Problem> {
    let path = at.field("mountPropagation");
    let mode = mount.mount_propagation.as_deref().unwrap_or("None");
    place.one_of(&path, mode, &["None", "HostToContainer", "Bidirectional"])?;
    let privileged = container.security_context.as_ref().and_then(|context| context.privileged) == Some(true);
    if mode == "Bidirectional" && !privileged {
        return Err(place.problem(&path, "Bidirectional needs a privileged container"));
    }
    let Some(recursive) = &mount.recursive_read_only else { return Ok(()) };
    let path = at.field("recursiveReadOnly");
    place.one_of(&path, recursive, &["Disabled", "IfPossible", "Enabled"])?;
    if recursive != "Disabled" && mount.read_only != Some(true) {
        return Err(place.problem(&path, format!("{recursive} needs readOnly: true")));
    }
    if recursive != "Disabled" && mode != "None" {
        return Err(place.problem(&path, format!("{recursive} needs mountPropagation: None")));
    }
    Ok(())
}

fn resources(container: &Container, place: Place<'_>, at: &Path) -> Result<(), Problem> {
    let Some(resources) = &container.resources else { return Ok(()) };
    let mut amounts = BTreeMap::new();
    for (list, quantities) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for (name, quantity) in quantities.iter().flatten() {
            let path = at.field(list).key(name);
            place.one_of(&path, name, &["cpu", "memory", "ephemeral-storage"])?;
            if name == "ephemeral-storage" {
                return Err(place.problem(&path, "Orlop does not enforce this yet; remove it"));
            }
            let amount =
                Quantity::parse(&quantity.0).map_err(|error| place.problem(&path, error.to_string()))?;
            if amount.is_negative() {
                return Err(place.problem(&path, format!("{:?} must not be negative", quantity.0)));
            }
            if list == "requests" && amounts.get(name).is_some_and(|limit| amount > *limit) {
                return Err(place.problem(&path, format!("{:?} must not be above the limit", quantity.0)));
            }
            if list == "limits" {
                amounts.insert(name, amount);
            }
        }
    }
    Ok(())
}

fn ports(
    spec: &PodSpec,
    container: &Container,
    host_ports: &mut BTreeSet<(String, String, i32)>,
    place: Place<'_>,
    at: &Path,
) -> Result<(), Problem> {
    let mut names = BTreeSet::new();
    for (position, port) in container.ports.iter().flatten().enumerate() {
        let at = at.field("ports").index(position);
        let range = |number: i32| (1..=65535).contains(&number);
        if !range(port.container_port) {
            let what = format!("{} must be between 1 and 65535", port.container_port);
            return Err(place.problem(&at.field("containerPort"), what));
        }
        if let Some(name) = &port.name {
            name::port(name).map_err(|what| place.problem(&at.field("name"), what))?;
            place.unique(&at.field("name"), "port name", name, &mut names)?;
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        place.one_of(&at.field("protocol"), protocol, &["TCP", "UDP", "SCTP"])?;
        let host_ip = port.host_ip.clone().unwrap_or_default();
        if !host_ip.is_empty() && host_ip.parse::<std::net::IpAddr>().is_err() {
            return Err(place.problem(&at.field("hostIP"), format!("{host_ip:?} is not an IP address")));
        }
        let Some(host_port) = port.host_port.filter(|number| *number != 0) else { continue };
        let path = at.field("hostPort");
        if !range(host_port) {
            return Err(place.problem(&path, format!("{host_port} must be between 1 and 65535")));
        }
        if spec.host_network == Some(true) && host_port != port.container_port {
            return Err(place.problem(&path, "must equal containerPort with hostNetwork: true"));
        }
        if !host_ports.insert((protocol.to_owned(), host_ip, host_port)) {
            return Err(place.problem(&path, format!("the host port {host_port}/{protocol} is given twice")));
        }
    }
    Ok(())
}
