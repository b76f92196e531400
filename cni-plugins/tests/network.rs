//! The runtime side: what the daemon calls.

mod support;

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use cni_plugins::error::Code;
use cni_plugins::invoke::capabilities::{Capabilities, PortMapping};
use cni_plugins::invoke::{
    Attached, Attachment, Builtin, Network, NetworkConfig, NetworkError, pod_arguments,
};
use cni_plugins::plugins::portmap;
use serde_json::{Value, json};
use support::{Host, Pod, binary, can_run};

fn config(host: &Host) -> NetworkConfig {
    NetworkConfig {
        conf_dir: host.path("net.d"),
        bin_dirs: vec![host.path("bin")],
        cache_dir: host.path("cache"),
        state_dir: host.path("state"),
        builtin: Some(Builtin { bridge: "orlop0".into(), ..Builtin::default() }),
        own_binary: Some(binary().to_owned()),
        deadline: Duration::from_secs(30),
    }
}

fn add(network: &Network, pod: &Pod, ports: &[u16]) -> Result<Attached, NetworkError> {
    let mapping = |port: &u16| PortMapping {
        host_port: *port,
        container_port: 80,
        protocol: "tcp".into(),
        host_ip: None,
    };
    let path = pod.path();
    network.add(&Attachment {
        container_id: &pod.id,
        netns: pod.net.as_fd(),
        netns_path: &path,
        ifname: "eth0",
        arguments: pod_arguments("default", &pod.id, "uid", &pod.id),
        capabilities: Capabilities {
            port_mappings: ports.iter().map(mapping).collect(),
            ..Capabilities::default()
        },
    })
}

fn del(network: &Network, pod: &Pod) -> Result<(), NetworkError> {
    let path = pod.path();
    network.del(&pod.id, Some((pod.net.as_fd(), &path)))
}

fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect()
}

fn leases(host: &Host, network: &str) -> usize {
    let names = entries(&host.path("state/networks").join(network));
    names.iter().filter(|name| name.parse::<std::net::IpAddr>().is_ok()).count()
}

#[test]
fn without_a_configuration_there_is_a_network_and_it_leaves_nothing() {
    if !can_run("built-in network") {
        return;
    }
    let host = Host::new();
    let before = host.links();
    let network = Network::new(config(&host));
    host.run(|| {
        network.status().expect("ready");
        assert!(!network.uses_external_plugins());
        let pod = Pod::new("web");
        let attached = add(&network, &pod, &[8080]).expect("attached");
        assert_eq!(attached.ips, ["10.85.0.2".parse::<std::net::IpAddr>().expect("IP")]);
        assert_eq!(
            attached.stages.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["bridge", "portmap"]
        );
        assert_eq!(attached.result["interfaces"][2]["sandbox"], json!(pod.path()));
        // The uplink has the default route's MTU only if there is one; here there is none.
        network.check("web", (pod.net.as_fd(), &pod.path())).expect("as it was made");
        let again = add(&network, &pod, &[8080]).expect_err("attached already");
        assert!(matches!(again, NetworkError::Attached { .. }), "{again}");
        network.check("web", (pod.net.as_fd(), &pod.path())).expect("still there");

        del(&network, &pod).expect("detached");
        assert_eq!(leases(&host, "orlop"), 0);
        assert_eq!(entries(&host.path("cache/results")), [""; 0]);
        drop(pod);
        del(&network, &Pod::new("web")).expect("detached twice");
        network.del("never", None).expect("never attached");
        // The next pod gets another address, although the last one is free.
        let next = Pod::new("next");
        assert_eq!(add(&network, &next, &[8080]).expect("attached").ips[0].to_string(), "10.85.0.3");
        network.del("next", None).expect("detached without a namespace");
        network.take_down_builtin().expect("taken down");
        network.take_down_builtin().expect("taken down twice");
    });
    assert_eq!(host.links(), before);
    assert!(!host.path("state/networks/orlop").exists());
    if let Some(ruleset) = host.ruleset() {
        assert_eq!(ruleset.trim(), "");
    }
}

#[test]
fn a_taken_port_undoes_the_whole_attachment() {
    if !can_run("undo") {
        return;
    }
    let host = Host::new();
    let network = Network::new(config(&host));
    host.run(|| {
        let (web, late) = (Pod::new("web"), Pod::new("late"));
        add(&network, &web, &[8080]).expect("attached");
        let error = add(&network, &late, &[9090, 8080]).expect_err("taken");
        let plugin = error.plugin().expect("a plugin failed");
        assert_eq!((plugin.plugin.as_str(), plugin.source.code), ("portmap", Code::HOST_PORT_TAKEN));
        assert!(plugin.source.msg.contains("default/web"), "{}", plugin.source);
        assert_eq!(leases(&host, "orlop"), 1);
        assert_eq!(entries(&host.path("cache/results")).len(), 1);
        assert_eq!(host.links().iter().filter(|name| name.starts_with("veth")).count(), 1);
        add(&network, &late, &[9090]).expect("the same pod can be attached now");
    });
}

#[test]
fn a_lost_daemon_finds_its_attachments_again_and_collects_the_rest() {
    if !can_run("GC of the runtime") {
        return;
    }
    let host = Host::new();
    host.run(|| {
        let (alive, dead) = (Pod::new("alive"), Pod::new("dead"));
        let network = Network::new(config(&host));
        add(&network, &alive, &[8080]).expect("attached");
        add(&network, &dead, &[8081]).expect("attached");
        // A lease whose owner nobody remembers.
        fs::write(host.path("state/networks/orlop/10.85.9.9"), "ghost\r\neth0").expect("lease");
        let restarted = Network::new(config(&host));
        restarted.gc(&["alive"]).expect("collected");
        assert_eq!(leases(&host, "orlop"), 1);
        restarted.check("alive", (alive.net.as_fd(), &alive.path())).expect("untouched");
        let other = Pod::new("other");
        add(&restarted, &other, &[8081]).expect("the port of the dead is free");
        restarted.gc(&[]).expect("collected");
        assert_eq!(leases(&host, "orlop"), 0);
        portmap::delete_if_unused().expect("deleted");
    });
    assert!(host.ruleset().is_none_or(|ruleset| !ruleset.contains("orlop_hostports")));
}

fn write_conflist(host: &Host, name: &str, list: &Value) {
    let directory = host.path("net.d");
    fs::create_dir_all(&directory).expect("directory");
    fs::write(directory.join(name), list.to_string()).expect("configuration");
}

fn conflist(host: &Host, name: &str, version: &str) -> Value {
    json!({ "cniVersion": version, "name": name, "plugins": [
        { "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
          "ipam": { "type": "host-local", "dataDir": host.path("leases"), "ranges": [[{ "subnet": "10.1.0.0/16" }]] } },
        { "type": "portmap", "capabilities": { "portMappings": true } } ] })
}

#[test]
fn a_conflist_is_honoured_and_our_own_binary_is_not_executed() {
    if !can_run("conflist") {
        return;
    }
    let host = Host::new();
    let network = Network::new(NetworkConfig { builtin: None, ..config(&host) });
    host.run(|| {
        assert!(network.status().expect_err("nothing yet").0.contains("no network configuration"));
        for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            write_conflist(&host, "10-test.conflist", &conflist(&host, "test", version));
            host.plugin_dir();
            network.status().unwrap_or_else(|e| panic!("{version}: {e}"));
            assert!(!network.uses_external_plugins(), "links to our binary are ourselves");
            let pod = Pod::new("web");
            let attached = add(&network, &pod, &[8080]).expect("attached");
            assert_eq!(attached.result["cniVersion"], json!(version));
            // The configuration is gone when the pod is: the cached one counts.
            fs::remove_file(host.path("net.d/10-test.conflist")).expect("removed");
            assert!(network.status().is_err());
            del(&network, &pod).expect("detached");
            assert_eq!(host.leases("test"), [""; 0]);
        }
        // Copies are other files, and are executed.
        fs::remove_dir_all(host.path("bin")).expect("removed");
        fs::create_dir(host.path("bin")).expect("directory");
        for name in ["bridge", "host-local", "portmap"] {
            fs::copy(binary(), host.path("bin").join(name)).expect("copy");
        }
        write_conflist(&host, "10-test.conflist", &conflist(&host, "test", "1.1.0"));
        assert!(network.uses_external_plugins());
        network.status().expect("ready");
        let pod = Pod::new("copied");
        add(&network, &pod, &[8080]).expect("attached");
        network.check("copied", (pod.net.as_fd(), &pod.path())).expect("as it was made");
        network.gc(&["copied"]).expect("collected");
        del(&network, &pod).expect("detached");
        assert_eq!(host.leases("test"), [""; 0]);
        assert!(!host.has_veth_of_pods(), "an executed DEL deletes the link");
    });
}

#[test]
fn unusable_configurations_are_named() {
    let directory = tempfile::TempDir::new().expect("directory");
    let path = |name: &str| directory.path().join(name);
    let network = Network::new(NetworkConfig {
        conf_dir: path("net.d"),
        bin_dirs: vec![path("bin")],
        builtin: None,
        ..NetworkConfig::new(path("state"))
    });
    fs::create_dir(path("net.d")).expect("directory");
    for (content, said) in [
        ("{", "parse network configuration"),
        (r#"{"name":"a","cniVersion":"1.1.0","plugins":[]}"#, "empty"),
        (r#"{"cniVersion":"1.1.0","plugins":[{"type":"bridge"}]}"#, "missing network name"),
        (r#"{"name":"a","cniVersion":"9.0.0","plugins":[{"type":"bridge"}]}"#, "9.0.0"),
        (r#"{"name":"a","cniVersion":"1.0.0","plugins":[{"type":"magic"}]}"#, "magic"),
    ] {
        fs::write(path("net.d/10.conflist"), content).expect("configuration");
        let reason = network.status().expect_err(said).0;
        assert!(reason.contains(said), "{content}: {reason}");
    }
}

#[test]
fn a_plugin_that_hangs_is_killed_and_one_that_fails_is_quoted() {
    if !can_run("foreign plugins") {
        return;
    }
    let host = Host::new();
    let network =
        Network::new(NetworkConfig { builtin: None, deadline: Duration::from_millis(300), ..config(&host) });
    fs::create_dir(host.path("bin")).expect("directory");
    let script = |name: &str, body: &str| {
        let path = host.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
    };
    write_conflist(
        &host,
        "10.conflist",
        &json!({ "cniVersion": "1.0.0", "name": "foreign", "plugins": [{ "type": "foreign" }] }),
    );
    let attempt = |body: &str| {
        script("foreign", body);
        host.run(|| add(&network, &Pod::new("pod"), &[]).expect_err(body))
    };
    let started = Instant::now();
    let error = attempt("[ $CNI_COMMAND = DEL ] && exit 0; exec sleep 600");
    assert!(error.plugin().expect("plugin").source.msg.contains("did not end"), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(60));
    let error = attempt(
        r#"[ $CNI_COMMAND = DEL ] && exit 0; echo '{"cniVersion":"1.0.0","code":11,"msg":"agent not ready","details":"wait"}'; exit 1"#,
    );
    assert_eq!(error.plugin().expect("plugin").source.code, Code::TRY_AGAIN);
    let error = attempt("[ $CNI_COMMAND = DEL ] && exit 0; echo half; echo why >&2; exit 3");
    let said = error.plugin().expect("plugin").source.to_string();
    assert!(said.contains("exit code 3") && said.contains("why"), "{said}");
    let error = attempt("[ $CNI_COMMAND = DEL ] && exit 0; echo not-json");
    assert_eq!(error.plugin().expect("plugin").source.code, Code::DECODE);
    let error = attempt(r#"[ $CNI_COMMAND = DEL ] && exit 0; echo '{"cniVersion":"1.0.0"}'"#);
    assert!(matches!(error, NetworkError::NoAddress { .. }), "{error:?}");
    assert_eq!(entries(&host.path("cache/results")), [""; 0], "nothing is remembered of what failed");

    // A DEL that fails keeps the attachment remembered until it succeeds.
    let ok = r#"{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}"#;
    script("foreign", &format!("[ $CNI_COMMAND = DEL ] && exit 4; echo '{ok}'"));
    let pod = Pod::new("stuck");
    host.run(|| {
        add(&network, &pod, &[]).expect("attached");
        del(&network, &pod).expect_err("DEL fails");
        assert_eq!(entries(&host.path("cache/results")).len(), 1);
        script("foreign", "exit 0");
        del(&network, &pod).expect("DEL succeeds");
    });
    assert_eq!(entries(&host.path("cache/results")), [""; 0]);
}

#[test]
fn a_pod_whose_plugin_is_not_installed_is_not_begun() {
    if !can_run("missing plugin at ADD") {
        return;
    }
    let host = Host::new();
    let network = Network::new(NetworkConfig { builtin: None, ..config(&host) });
    let before = host.links();
    let bin = host.plugin_dir();
    write_conflist(&host, "10-test.conflist", &conflist(&host, "test", "1.0.0"));
    host.run(|| {
        for missing in ["bridge", "host-local", "portmap"] {
            fs::remove_file(bin.join(missing)).expect("removed");
            let pod = Pod::new("web");
            let error = add(&network, &pod, &[8080]).expect_err("nobody can attach it");
            let plugin = error.plugin().expect("of a plugin");
            assert!(plugin.source.msg.contains(&format!("failed to find plugin {missing:?}")), "{error:?}");
            assert_eq!(
                entries(&host.path("cache/results")),
                [""; 0],
                "nothing is remembered without {missing}"
            );
            del(&network, &pod).unwrap_or_else(|error| panic!("without {missing}: {error:?}"));
            std::os::unix::fs::symlink(binary(), bin.join(missing)).expect("installed again");
        }
    });
    assert_eq!(host.leases("test"), [""; 0]);
    assert_eq!(host.links(), before);
}

#[test]
fn a_plugin_that_was_uninstalled_holds_a_pod_only_while_its_namespace_is_there() {
    if !can_run("missing plugin at DEL") {
        return;
    }
    for missing in ["bridge", "host-local", "portmap"] {
        let host = Host::new();
        let network = Network::new(NetworkConfig { builtin: None, ..config(&host) });
        let bin = host.plugin_dir();
        write_conflist(&host, "10-test.conflist", &conflist(&host, "test", "1.0.0"));
        host.run(|| {
            let pod = Pod::new("web");
            add(&network, &pod, &[8080]).expect("attached");
            fs::remove_file(bin.join(missing)).expect("removed");
            let error = del(&network, &pod).expect_err("it may come back");
            assert!(error.plugin().is_some_and(|e| e.source.msg.contains(missing)), "{error:?}");
            assert_eq!(entries(&host.path("cache/results")).len(), 1, "remembered without {missing}");
            drop(pod);
            network.del("web", None).unwrap_or_else(|error| panic!("without {missing}: {error:?}"));
            assert_eq!(entries(&host.path("cache/results")), [""; 0]);
        });
    }
}

#[test]
fn debians_plugins_run_under_our_hand_and_hand_over_to_ours() {
    let theirs = Path::new("/usr/lib/cni");
    if !theirs.join("bridge").exists() {
        eprintln!("SKIPPED Debian's plugins: containernetworking-plugins is not installed");
        return;
    }
    if !can_run("Debian's plugins") {
        return;
    }
    let host = Host::new();
    let foreign = NetworkConfig { bin_dirs: vec![theirs.to_owned()], builtin: None, ..config(&host) };
    let network = Network::new(foreign);
    let mut list = conflist(&host, "test", "1.0.0");
    // Their DEL fails if an iptables chain of the pod is missing, which a pod of ours never has.
    list["plugins"][0]["ipMasq"] = json!(false);
    write_conflist(&host, "10-test.conflist", &list);
    host.run(|| {
        network.status().expect("the plugins are there");
        assert!(network.uses_external_plugins());
        let (web, moved) = (Pod::new("web"), Pod::new("moved"));
        let attached = add(&network, &web, &[8080]).expect("attached");
        assert_eq!(attached.ips[0].to_string(), "10.1.0.2");
        // No CHECK here: portmap 1.1.1 looks for a rule of IPv6 that a pod without IPv6 never got.
        del(&network, &web).expect("detached");
        assert_eq!(host.leases("test"), [""; 0]);
        assert!(!host.has_veth_of_pods());

        // A node that changes from theirs to ours with pods running, and back.
        add(&network, &moved, &[]).expect("attached by theirs");
        network.check("moved", (moved.net.as_fd(), &moved.path())).expect("theirs finds it in order");
        let ours =
            Network::new(NetworkConfig { bin_dirs: vec![host.plugin_dir()], builtin: None, ..config(&host) });
        let next = Pod::new("next");
        assert_eq!(add(&ours, &next, &[]).expect("attached by ours").ips[0].to_string(), "10.1.0.4");
        ours.check("moved", (moved.net.as_fd(), &moved.path())).expect("ours finds it in order");
        ours.del("moved", None).expect("detached by ours");
        assert_eq!(host.leases("test"), ["10.1.0.4"]);
        del(&network, &next).expect("detached by theirs");
        assert_eq!(host.leases("test"), [""; 0]);
    });
}
