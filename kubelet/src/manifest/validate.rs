//! The rules an API server applies to a Pod before it stores it, as far as Orlop runs what they guard.
//!
//! Owns meaning (names, ranges, references, exclusions); shape was the decoder's job. The first broken rule ends the
//! check: one mistake, one line.

mod container;
mod name;
mod security;
mod volume;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::error::Problem;
use super::node::Node;
use super::path::Path;

/// A document, so that a rule about a path can say where it stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a>(&'a Node);

impl Place<'_> {
    pub fn problem(self, path: &Path, what: impl Into<String>) -> Problem {
        Problem::new(self.0.locate(path), path, what)
    }

    /// An error unless `value` is one of `known`.
    pub fn one_of(self, path: &Path, value: &str, known: &[&str]) -> Result<(), Problem> {
        if known.contains(&value) {
            return Ok(());
        }
        let what = format!("unknown value {value:?}, expected one of {}", known.join(", "));
        Err(self.problem(path, what).with_nearest(value, known.iter().copied()))
    }

    /// An error if `name` was seen before in the same list.
    pub fn unique<'a>(
        self,
        path: &Path,
        what: &str,
        name: &'a str,
        seen: &mut BTreeSet<&'a str>,
    ) -> Result<(), Problem> {
        if seen.insert(name) {
            Ok(())
        } else {
            Err(self.problem(path, format!("the {what} {name:?} is given twice")))
        }
    }
}

/// Checks a decoded pod; `document` is where it came from.
pub(super) fn check(pod: &Pod, document: &Node) -> Result<(), Problem> {
    let place = Place(document);
    let root = Path::root();
    metadata(pod, place, &root.field("metadata"))?;
    let path = root.field("spec");
    match &pod.spec {
        Some(pod_spec) => spec(pod_spec, place, &path),
        None => Err(place.problem(&path, "is required")),
    }
}

fn metadata(pod: &Pod, place: Place<'_>, path: &Path) -> Result<(), Problem> {
    let meta = &pod.metadata;
    let name_path = path.field("name");
    match &meta.name {
        Some(name) => name::subdomain(name).map_err(|what| place.problem(&name_path, what))?,
        None if meta.generate_name.is_some() => {
            return Err(
                place.problem(&path.field("generateName"), "names are not generated; give metadata.name")
            );
        }
        None => return Err(place.problem(&name_path, "is required")),
    }
    if let Some(namespace) = &meta.namespace {
        name::label(namespace).map_err(|what| place.problem(&path.field("namespace"), what))?;
    }
    if let Some(uid) = &meta.uid {
        // The uid becomes a directory, a cgroup and part of a log path.
        let safe =
            !uid.is_empty() && uid.len() <= 63 && uid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !safe {
            let what = "must be 1 to 63 letters, digits or '-', as in a UUID";
            return Err(place.problem(&path.field("uid"), what));
        }
    }
    for (key, value) in meta.labels.iter().flatten() {
        let entry = path.field("labels").key(key);
        name::qualified(key).map_err(|what| place.problem(&entry, format!("the key {what}")))?;
        name::label_value(value).map_err(|what| place.problem(&entry, what))?;
    }
    let mut bytes = 0;
    for (key, value) in meta.annotations.iter().flatten() {
        let entry = path.field("annotations").key(key);
        name::qualified(&key.to_lowercase())
            .map_err(|what| place.problem(&entry, format!("the key {what}")))?;
        bytes += key.len() + value.len();
    }
    if bytes > 256 * 1024 {
        return Err(place.problem(&path.field("annotations"), "are larger than 256 KiB together"));
    }
    Ok(())
}

fn spec(spec: &PodSpec, place: Place<'_>, path: &Path) -> Result<(), Problem> {
    if spec.containers.is_empty() {
        return Err(place.problem(&path.field("containers"), "at least one container is required"));
    }
    if let Some(policy) = &spec.restart_policy {
        place.one_of(&path.field("restartPolicy"), policy, &["Always", "OnFailure", "Never"])?;
    }
    if spec.termination_grace_period_seconds.is_some_and(|seconds| seconds < 0) {
        return Err(place.problem(&path.field("terminationGracePeriodSeconds"), "must not be negative"));
    }
    for (field, value) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if let Some(value) = value {
            name::label(value).map_err(|what| place.problem(&path.field(field), what))?;
        }
    }
    if let Some(hostname) = &spec.hostname_override {
        let at = path.field("hostnameOverride");
        name::subdomain(hostname).map_err(|what| place.problem(&at, what))?;
        if hostname.len() > 64 {
            return Err(place.problem(&at, "must not be longer than 64 characters"));
        }
        if spec.host_network == Some(true) {
            return Err(place.problem(&at, "cannot be used with hostNetwork: true"));
        }
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let what = "cannot be used with hostPID: true; a pod shares one process namespace or the other";
        return Err(place.problem(&path.field("shareProcessNamespace"), what));
    }
    dns(spec, place, path)?;
    host_aliases(spec, place, path)?;
    security::pod(spec, place, &path.field("securityContext"))?;
    let volumes = volume::all(spec, place, path)?;
    container::all(spec, &volumes, place, path)
}

fn dns(spec: &PodSpec, place: Place<'_>, path: &Path) -> Result<(), Problem> {
    if let Some(policy) = &spec.dns_policy {
        let known = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
        place.one_of(&path.field("dnsPolicy"), policy, &known)?;
    }
    let config = path.field("dnsConfig");
    let servers = spec.dns_config.as_ref().and_then(|dns| dns.nameservers.as_ref());
    if spec.dns_policy.as_deref() == Some("None") && servers.is_none_or(Vec::is_empty) {
        let what = "at least one is required with dnsPolicy: None";
        return Err(place.problem(&config.field("nameservers"), what));
    }
    let Some(dns) = &spec.dns_config else { return Ok(()) };
    for (index, server) in dns.nameservers.iter().flatten().enumerate() {
        let at = config.field("nameservers").index(index);
        if index >= 3 {
            return Err(place.problem(&at, "at most 3 nameservers are possible"));
        }
        if server.parse::<std::net::IpAddr>().is_err() {
            return Err(place.problem(&at, format!("{server:?} is not an IP address")));
        }
    }
    for (index, search) in dns.searches.iter().flatten().enumerate() {
        let at = config.field("searches").index(index);
        if index >= 32 {
            return Err(place.problem(&at, "at most 32 search domains are possible"));
        }
        let bare = search.strip_suffix('.').unwrap_or(search);
        if search != "." {
            name::search_domain(bare).map_err(|what| place.problem(&at, what))?;
        }
    }
    for (index, option) in dns.options.iter().flatten().enumerate() {
        if option.name.as_deref().unwrap_or_default().is_empty() {
            return Err(place.problem(&config.field("options").index(index).field("name"), "is required"));
        }
    }
    Ok(())
}

fn host_aliases(spec: &PodSpec, place: Place<'_>, path: &Path) -> Result<(), Problem> {
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let at = path.field("hostAliases").index(index);
        if alias.ip.parse::<std::net::IpAddr>().is_err() {
            return Err(place.problem(&at.field("ip"), format!("{:?} is not an IP address", alias.ip)));
        }
        for (index, hostname) in alias.hostnames.iter().flatten().enumerate() {
            let at = at.field("hostnames").index(index);
            name::subdomain(hostname).map_err(|what| place.problem(&at, what))?;
        }
    }
    Ok(())
}
