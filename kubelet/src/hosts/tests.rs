use k8s_openapi::api::core::v1::{HostAlias, Pod, PodSpec};

use super::hosts_file;
use crate::host::Host;

fn pod(spec: PodSpec) -> Pod {
    let mut pod = Pod { spec: Some(spec), ..Pod::default() };
    pod.metadata.name = Some("web".to_owned());
    pod
}

#[test]
fn a_pod_finds_itself_and_its_aliases() {
    let alias =
        HostAlias { ip: "10.0.0.9".to_owned(), hostnames: Some(vec!["a".to_owned(), "b".to_owned()]) };
    let spec =
        PodSpec { subdomain: Some("sub".to_owned()), host_aliases: Some(vec![alias]), ..PodSpec::default() };
    let host = Host { cluster_domain: "cluster.local".to_owned(), ..Host::default() };
    let text = hosts_file(&pod(spec), &["10.1.0.5".parse().unwrap()], &host);
    let expected = "# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
10.1.0.5\tweb.sub.default.svc.cluster.local\tweb

# Entries added by HostAliases.
10.0.0.9\ta\tb
";
    assert_eq!(text, expected);
}

#[test]
fn in_the_hosts_network_the_hosts_file_is_kept() {
    let spec = PodSpec { host_network: Some(true), ..PodSpec::default() };
    let host = Host { hosts_file: "127.0.0.1 localhost\n192.168.1.2 printer".to_owned(), ..Host::default() };
    let text = hosts_file(&pod(spec), &["10.1.0.5".parse().unwrap()], &host);
    assert_eq!(
        text,
        "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n192.168.1.2 printer\n"
    );
}
