//! The managed `/etc/hosts` of a pod (K-HOSTS).

use std::fmt::Write;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, Pod};

use crate::host::Host;
use crate::names;

const LOOPBACK: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";

/// The file's content for a pod with these addresses.
#[must_use]
pub fn hosts_file(pod: &Pod, addresses: &[IpAddr], host: &Host) -> String {
    let spec = pod.spec.as_ref();
    let mut text = String::new();
    if spec.and_then(|spec| spec.host_network) == Some(true) {
        text.push_str("# Kubernetes-managed hosts file (host network).\n");
        text.push_str(&host.hosts_file);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    } else {
        text.push_str("# Kubernetes-managed hosts file.\n");
        text.push_str(LOOPBACK);
        let hostname = names::hostname(pod);
        let full = names::fully_qualified(pod, &host.cluster_domain);
        for address in addresses {
            // Writing to a String cannot fail.
            let _ = match &full {
                Some(full) => writeln!(text, "{address}\t{full}\t{hostname}"),
                None => writeln!(text, "{address}\t{hostname}"),
            };
        }
    }
    let aliases: &[HostAlias] = spec.and_then(|spec| spec.host_aliases.as_deref()).unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        let _ = writeln!(text, "{}\t{names}", alias.ip);
    }
    text
}

#[cfg(test)]
mod tests;
