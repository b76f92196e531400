//! A pod's resolver configuration: policy, the pod's own settings, and the limits of resolvers.

use cri_api::v1::DnsConfig;
use k8s_openapi::api::core::v1::{Pod, PodDNSConfigOption};

use crate::host::Host;
use crate::names::Identity;

/// What resolvers read at most (glibc): more is dropped, as a kubelet does.
const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
const MAX_SEARCH_ENTRY: usize = 253;

/// A parsed `resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// The last `search` or `domain` line.
    pub searches: Vec<String>,
    /// All `options`.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Parses the format of resolv.conf(5); what it does not know is skipped, as resolvers do.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => conf.servers.extend(words.next()),
                Some("search") => conf.searches = words.filter(|word| word != ".").collect(),
                Some("domain") => conf.searches = words.take(1).collect(),
                Some("options") => conf.options.extend(words),
                _ => {}
            }
        }
        conf
    }
}

/// The configuration of `pod`, and what had to be left out of it, in words for a warning.
#[must_use]
pub fn dns_config(pod: &Pod, host: &Host) -> (DnsConfig, Vec<String>) {
    let spec = pod.spec.as_ref();
    let policy = spec.and_then(|spec| spec.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let host_network = spec.and_then(|spec| spec.host_network) == Some(true);
    let mut dropped = Vec::new();
    let cluster = match policy {
        "ClusterFirst" => !host_network,
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut conf = match policy {
        "None" => ResolvConf::default(),
        _ if cluster && !host.cluster_dns.is_empty() => cluster_first(pod, host),
        // Without a cluster's name servers the policy falls back to the host's (event MissingClusterDNS upstream).
        _ => host.resolv_conf.clone(),
    };
    if let Some(own) = spec.and_then(|spec| spec.dns_config.as_ref()) {
        append(&mut conf.servers, own.nameservers.iter().flatten());
        append(&mut conf.searches, own.searches.iter().flatten());
        merge_options(&mut conf.options, own.options.iter().flatten());
    }
    limit(&mut conf, &mut dropped);
    (DnsConfig { servers: conf.servers, searches: conf.searches, options: conf.options }, dropped)
}

fn cluster_first(pod: &Pod, host: &Host) -> ResolvConf {
    let namespace = Identity::of(pod).namespace;
    let domain = &host.cluster_domain;
    let mut searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
    append(&mut searches, host.resolv_conf.searches.iter());
    ResolvConf { servers: host.cluster_dns.clone(), searches, options: vec!["ndots:5".to_owned()] }
}

fn append<'a>(list: &mut Vec<String>, more: impl Iterator<Item = &'a String>) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// An option of the pod replaces one of the same name.
fn merge_options<'a>(options: &mut Vec<String>, own: impl Iterator<Item = &'a PodDNSConfigOption>) {
    for option in own {
        let name = option.name.as_deref().unwrap_or_default();
        let text = match option.value.as_deref().filter(|value| !value.is_empty()) {
            Some(value) => format!("{name}:{value}"),
            None => name.to_owned(),
        };
        options.retain(|existing| existing.split(':').next() != Some(name));
        options.push(text);
    }
}

fn limit(conf: &mut ResolvConf, dropped: &mut Vec<String>) {
    if conf.servers.len() > MAX_SERVERS {
        let rest = conf.servers.split_off(MAX_SERVERS);
        dropped.push(format!("name servers beyond {MAX_SERVERS}: {}", rest.join(" ")));
    }
    let mut chars = 0;
    let fitting = |search: &&String| {
        chars += search.len() + 1;
        search.len() <= MAX_SEARCH_ENTRY && chars <= MAX_SEARCH_CHARS + 1
    };
    let kept: Vec<String> = conf.searches.iter().take(MAX_SEARCHES).take_while(fitting).cloned().collect();
    if kept.len() < conf.searches.len() {
        let rest = conf.searches[kept.len()..].join(" ");
        dropped.push(format!("search domains beyond the limits of resolvers: {rest}"));
        conf.searches = kept;
    }
}

#[cfg(test)]
mod tests;
