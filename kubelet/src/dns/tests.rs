use k8s_openapi::api::core::v1::{Pod, PodDNSConfig, PodDNSConfigOption, PodSpec};

use super::{ResolvConf, dns_config};
use crate::host::Host;

fn host(cluster_dns: &[&str]) -> Host {
    Host {
        resolv_conf: ResolvConf::parse(
            "# host\nnameserver 10.0.0.2\nsearch lan lan2\noptions rotate ndots:1\n",
        ),
        cluster_dns: cluster_dns.iter().map(|&server| server.to_owned()).collect(),
        cluster_domain: "cluster.local".to_owned(),
        ..Host::default()
    }
}

fn pod(policy: Option<&str>, own: Option<PodDNSConfig>) -> Pod {
    let spec = PodSpec { dns_policy: policy.map(str::to_owned), dns_config: own, ..PodSpec::default() };
    Pod { spec: Some(spec), ..Pod::default() }
}

#[test]
fn cluster_first_uses_the_cluster_and_searches_the_hosts_domains_last() {
    let (dns, dropped) = dns_config(&pod(None, None), &host(&["10.96.0.10"]));
    assert_eq!(dns.servers, ["10.96.0.10"]);
    assert_eq!(
        dns.searches,
        ["default.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan", "lan2"]
    );
    assert_eq!(dns.options, ["ndots:5"]);
    assert!(dropped.is_empty());
}

#[test]
fn without_a_cluster_or_with_default_the_hosts_configuration_is_used() {
    for policy in [None, Some("Default")] {
        let (dns, _) = dns_config(&pod(policy, None), &host(&[]));
        assert_eq!(
            (dns.servers, dns.options),
            (vec!["10.0.0.2".to_owned()], vec!["rotate".to_owned(), "ndots:1".to_owned()])
        );
    }
}

#[test]
fn the_pods_own_settings_are_added_and_its_options_win() {
    let option = |name: &str, value: Option<&str>| PodDNSConfigOption {
        name: Some(name.to_owned()),
        value: value.map(str::to_owned),
    };
    let own = PodDNSConfig {
        nameservers: Some(vec!["1.1.1.1".to_owned(), "10.0.0.2".to_owned()]),
        searches: Some(vec!["mine".to_owned()]),
        options: Some(vec![option("ndots", Some("2")), option("edns0", None)]),
    };
    let (dns, _) = dns_config(&pod(Some("Default"), Some(own.clone())), &host(&[]));
    assert_eq!(dns.servers, ["10.0.0.2", "1.1.1.1"]);
    assert_eq!(dns.searches, ["lan", "lan2", "mine"]);
    assert_eq!(dns.options, ["rotate", "ndots:2", "edns0"]);
    let (dns, _) = dns_config(&pod(Some("None"), Some(own)), &host(&[]));
    assert_eq!(dns.searches, ["mine"]);
}

#[test]
fn what_no_resolver_would_read_is_dropped_aloud() {
    let own = PodDNSConfig {
        nameservers: Some((1..=4).map(|n| format!("10.1.1.{n}")).collect()),
        searches: Some((0..20).map(|n| format!("{}{n}", "a".repeat(200))).collect()),
        options: None,
    };
    let (dns, dropped) = dns_config(&pod(Some("None"), Some(own)), &host(&[]));
    assert_eq!(dns.servers.len(), 3);
    assert!(dns.searches.join(" ").len() <= 2048 && dns.searches.len() == 10);
    assert_eq!(dropped.len(), 2);
}
