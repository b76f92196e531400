//! One table of stories, told to every plugin in process and as an executable, with the same answers demanded.

mod support;

use cni_plugins::error::Code;
use cni_plugins::netlink::{Protocol, Socket, address, link, route};
use serde_json::{Value, json};
use support::{Host, Pod, Request, WAYS, Way, bridge_config, can_run, ip_of, normalized, with};

const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// Runs a story both ways on hosts of their own, and demands the same answers.
fn both_ways(name: &str, story: impl Fn(Way, &Host) -> Vec<Value>) {
    if !can_run(name) {
        return;
    }
    let [in_process, executable] = WAYS.map(|way| story(way, &Host::new()));
    assert_eq!(in_process, executable, "{name}: in process and executed differ");
}

#[test]
fn a_pod_gets_an_interface_in_every_version_and_loses_it_again() {
    both_ways("bridge", |way, host| {
        let mut answers = Vec::new();
        for (index, version) in VERSIONS.iter().enumerate() {
            let config = with(&bridge_config(host, &["10.1.0.0/16"]), "cniVersion", json!(version));
            let pod = Pod::new(&format!("pod{index}"));
            let result = way.call(host, &Request::new("bridge", "ADD", &pod, &config)).expect("ADD");
            assert_eq!(result["cniVersion"], json!(version));
            inspect(&pod, index);
            if *version >= "0.4.0" {
                let checked = with(&config, "prevResult", result.clone());
                way.call(host, &Request::new("bridge", "CHECK", &pod, &checked)).expect("CHECK");
            }
            way.call(host, &Request::new("bridge", "DEL", &pod, &config)).expect("DEL");
            assert!(!host.has_veth_of_pods(), "{:?}", host.links());
            assert_eq!(host.leases("test"), [""; 0]);
            answers.push(normalized(&result));
        }
        answers
    });
}

/// What the container sees of itself.
fn inspect(pod: &Pod, index: usize) {
    pod.run(|| {
        let mut socket = Socket::open(Protocol::Route).expect("socket");
        let eth0 = link::find(&mut socket, "eth0").expect("link").expect("eth0");
        assert!(eth0.up && link::find(&mut socket, "lo").expect("link").expect("lo").up);
        let addresses = address::list(&mut socket, Some(eth0.index)).expect("addresses");
        let wanted = format!("10.1.0.{}/16", index + 2).parse().expect("address");
        assert!(addresses.iter().any(|a| a.net == wanted), "{addresses:?}");
        let routes = route::list(&mut socket).expect("routes");
        let default =
            routes.iter().find(|r| r.to.prefix_len() == 0 && r.to.addr().is_ipv4()).expect("default");
        assert_eq!(default.via, Some("10.1.0.1".parse().expect("gateway")));
    });
}

#[test]
fn dual_stack_addresses_are_usable_at_once() {
    both_ways("dual stack", |way, host| {
        let config = bridge_config(host, &["10.1.0.0/24", "fd00:1::/64"]);
        let pod = Pod::new("dual");
        let result = way.call(host, &Request::new("bridge", "ADD", &pod, &config)).expect("ADD");
        let v6 = ip_of(&result, false);
        // A tentative address cannot be bound.
        pod.run(|| std::net::TcpListener::bind((v6, 80)).map(|_| ())).expect("bind the IPv6 address");
        let checked = with(&config, "prevResult", result.clone());
        way.call(host, &Request::new("bridge", "CHECK", &pod, &checked)).expect("CHECK");
        way.call(host, &Request::new("bridge", "DEL", &pod, &config)).expect("DEL");
        vec![normalized(&result)]
    });
}

#[test]
fn removal_succeeds_before_add_without_a_namespace_and_three_times() {
    both_ways("DEL", |way, host| {
        let config = bridge_config(host, &["10.1.0.0/16"]);
        let chained = with(&with(&config, "type", json!("portmap")), "prevResult", Value::Null);
        let pod = Pod::new("gone");
        for plugin in ["bridge", "portmap", "loopback"] {
            let config = if plugin == "portmap" { &chained } else { &config };
            way.call(host, &Request::new(plugin, "DEL", &pod, config)).expect("DEL before ADD");
        }
        way.call(host, &Request::new("bridge", "ADD", &pod, &config)).expect("ADD");
        let without = Request { netns: None, ..Request::new("bridge", "DEL", &pod, &config) };
        way.call(host, &without).expect("DEL without a namespace");
        assert!(!host.has_veth_of_pods(), "the host end is found by its name");
        assert_eq!(host.leases("test"), [""; 0]);
        let vanished = Request {
            netns: Some("/run/netns/never".into()),
            ..Request::new("bridge", "DEL", &pod, &config)
        };
        way.call(host, &vanished).expect("DEL with a path that is gone");
        way.call(host, &Request::new("bridge", "DEL", &pod, &config)).expect("third DEL");
        vec![]
    });
}

#[test]
fn a_second_add_is_an_error_and_changes_nothing() {
    both_ways("ADD twice", |way, host| {
        let config = bridge_config(host, &["10.1.0.0/16"]);
        let pod = Pod::new("twice");
        let result = way.call(host, &Request::new("bridge", "ADD", &pod, &config)).expect("ADD");
        let error = way.call(host, &Request::new("bridge", "ADD", &pod, &config)).expect_err("second ADD");
        assert!(error.msg.contains("duplicate allocation"), "{error}");
        let checked = with(&config, "prevResult", result);
        way.call(host, &Request::new("bridge", "CHECK", &pod, &checked)).expect("still there");
        assert_eq!(host.leases("test"), ["10.1.0.2"]);

        // With another IPAM network the address is no obstacle, but the interface is.
        let other = with(&config, "name", json!("other"));
        let error = way.call(host, &Request::new("bridge", "ADD", &pod, &other)).expect_err("same interface");
        assert!(error.msg.contains("exists already"), "{error}");
        assert_eq!(host.leases("other"), [""; 0], "the address of the failed ADD is released");
        way.call(host, &Request::new("bridge", "CHECK", &pod, &checked)).expect("still there");
        vec![json!(error.code)]
    });
}

#[test]
fn exhausted_addresses_say_how_many_there_are() {
    both_ways("exhaustion", |way, host| {
        // 10.1.0.2 and up to .6; .1 is the gateway.
        let config = bridge_config(host, &["10.1.0.0/29"]);
        let pods: Vec<Pod> = (0..6).map(|i| Pod::new(&format!("pod{i}"))).collect();
        for pod in &pods[..5] {
            way.call(host, &Request::new("bridge", "ADD", pod, &config)).expect("ADD");
        }
        let error = way.call(host, &Request::new("bridge", "ADD", &pods[5], &config)).expect_err("exhausted");
        assert_eq!(error.code, Code::TRY_AGAIN);
        assert!(error.msg.contains("5 of 5") && error.msg.contains("10.1.0.1-10.1.0.6"), "{error}");
        way.call(host, &Request::new("bridge", "DEL", &pods[2], &config)).expect("DEL");
        let result = way.call(host, &Request::new("bridge", "ADD", &pods[5], &config)).expect("ADD");
        assert_eq!(ip_of(&result, true).to_string(), "10.1.0.4");
        vec![json!(error.msg)]
    });
}

#[test]
fn a_failed_add_leaves_nothing() {
    both_ways("failed ADD", |way, host| {
        let config = with(&bridge_config(host, &["10.1.0.0/16"]), "bridge", json!("uplink2"));
        // The bridge has an address of another network: found out after the lease was taken.
        let pod = Pod::new("first");
        way.call(host, &Request::new("bridge", "ADD", &pod, &config)).expect("ADD");
        let mut moved = with(&config, "name", json!("moved"));
        moved["ipam"]["ranges"] = json!([[{ "subnet": "10.9.0.0/16" }]]);
        let other = Pod::new("second");
        let error =
            way.call(host, &Request::new("bridge", "ADD", &other, &moved)).expect_err("other address");
        assert!(error.msg.contains("10.1.0.1/16") && error.msg.contains("10.9.0.1/16"), "{error}");
        assert_eq!(host.leases("moved"), [""; 0]);
        assert_eq!(host.links().iter().filter(|name| name.starts_with("veth")).count(), 1);
        let forced = with(&moved, "forceAddress", json!(true));
        way.call(host, &Request::new("bridge", "ADD", &other, &forced)).expect("forced");
        vec![json!(error)]
    });
}

#[test]
fn garbage_collection_removes_what_is_nobodys_and_nothing_else() {
    both_ways("GC", |way, host| {
        let config = bridge_config(host, &["10.1.0.0/16"]);
        let (keep, lose) = (Pod::new("keep"), Pod::new("lose"));
        let result = way.call(host, &Request::new("bridge", "ADD", &keep, &config)).expect("ADD");
        way.call(host, &Request::new("bridge", "ADD", &lose, &config)).expect("ADD");
        // What a writer leaves that is killed between creating and writing a lease.
        std::fs::write(host.path("leases/test/10.1.0.77"), "").expect("empty lease");
        let valid = json!([{ "containerID": "keep", "ifname": "eth0" }]);
        let request = with(&config, "cni.dev/valid-attachments", valid);
        way.call(host, &Request::new("bridge", "GC", &keep, &request)).expect("GC");
        assert_eq!(host.leases("test"), ["10.1.0.2"]);
        assert_eq!(host.links().iter().filter(|name| name.starts_with("veth")).count(), 1);
        let checked = with(&config, "prevResult", result);
        way.call(host, &Request::new("bridge", "CHECK", &keep, &checked)).expect("CHECK");
        let error = way.call(host, &Request::new("bridge", "GC", &keep, &config)).expect_err("no list");
        vec![json!(error)]
    });
}

#[test]
fn check_names_the_difference() {
    both_ways("CHECK", |way, host| {
        let config = bridge_config(host, &["10.1.0.0/16"]);
        let pod = Pod::new("drift");
        let result = way.call(host, &Request::new("bridge", "ADD", &pod, &config)).expect("ADD");
        let checked = with(&config, "prevResult", result);
        let check = || way.call(host, &Request::new("bridge", "CHECK", &pod, &checked));
        check().expect("as it was left");
        pod.run(|| {
            let mut socket = Socket::open(Protocol::Route).expect("socket");
            let eth0 = link::find(&mut socket, "eth0").expect("link").expect("eth0");
            socket
                .request(address::remove(eth0.index, "10.1.0.2/16".parse().expect("address")))
                .expect("removed");
        });
        let error = check().expect_err("address is gone");
        assert_eq!(error.code, Code::CHECK_FAILED);
        assert!(error.msg.contains("10.1.0.2/16"), "{error}");
        vec![json!(error)]
    });
}

#[test]
fn loopback_reports_the_addresses_of_the_kernel() {
    both_ways("loopback", |way, host| {
        let config = json!({ "cniVersion": "1.1.0", "name": "lo", "type": "loopback" });
        let pod = Pod::new("lo");
        let result = way.call(host, &Request::new("loopback", "ADD", &pod, &config)).expect("ADD");
        let addresses: Vec<&str> =
            result["ips"].as_array().expect("ips").iter().filter_map(|ip| ip["address"].as_str()).collect();
        assert_eq!(addresses, ["127.0.0.1/8", "::1/128"]);
        let checked = with(&config, "prevResult", result.clone());
        way.call(host, &Request::new("loopback", "CHECK", &pod, &checked)).expect("CHECK");
        way.call(host, &Request::new("loopback", "DEL", &pod, &config)).expect("DEL");
        way.call(host, &Request::new("loopback", "CHECK", &pod, &checked)).expect_err("down");
        vec![normalized(&result)]
    });
}

#[test]
fn a_requested_address_and_mac_are_given_or_refused() {
    both_ways("requests", |way, host| {
        let config = bridge_config(host, &["10.1.0.0/24"]);
        let pod = Pod::new("asks");
        let asks = Request {
            arguments: "IgnoreUnknown=1;IP=10.1.0.99;MAC=02:00:00:00:00:99",
            ..Request::new("bridge", "ADD", &pod, &config)
        };
        let result = way.call(host, &asks).expect("ADD");
        assert_eq!(ip_of(&result, true).to_string(), "10.1.0.99");
        assert_eq!(result["interfaces"][2]["mac"], json!("02:00:00:00:00:99"));
        let other = Pod::new("late");
        let late = Request { arguments: "IP=10.1.0.99", ..Request::new("bridge", "ADD", &other, &config) };
        let taken = way.call(host, &late).expect_err("taken");
        assert!(taken.msg.contains("asks"), "{taken}");
        let outside = Request { arguments: "IP=10.2.0.9", ..Request::new("bridge", "ADD", &other, &config) };
        let outside = way.call(host, &outside).expect_err("outside");
        assert_eq!(outside.code, Code::INVALID_CONFIG);
        vec![json!(taken), json!(outside)]
    });
}

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    both_ways("unsupported", |way, host| {
        let pod = Pod::new("asks");
        let mut answers = Vec::new();
        for (field, value) in
            [("vlan", json!(7)), ("macspoofchk", json!(true)), ("ipMasqBackend", json!("iptables"))]
        {
            let config = with(&bridge_config(host, &["10.1.0.0/24"]), field, value);
            let error = way.call(host, &Request::new("bridge", "ADD", &pod, &config)).expect_err(field);
            assert_eq!(error.code, Code::UNSUPPORTED_FIELD);
            assert!(error.msg.contains(field), "{error}");
            answers.push(json!(error));
        }
        assert_eq!(host.leases("test"), [""; 0]);
        answers
    });
}

#[test]
fn fifty_pods_at_once_on_a_fresh_bridge() {
    both_ways("parallel", |way, host| {
        let config = bridge_config(host, &["10.1.0.0/16"]);
        let pods: Vec<Pod> = (0..50).map(|i| Pod::new(&format!("pod{i}"))).collect();
        let results: Vec<Value> = std::thread::scope(|scope| {
            let add = |pod| way.call(host, &Request::new("bridge", "ADD", pod, &config)).expect("ADD");
            let threads: Vec<_> = pods.iter().map(|pod| scope.spawn(move || add(pod))).collect();
            threads.into_iter().map(|thread| thread.join().expect("thread")).collect()
        });
        let mut ips: Vec<_> = results.iter().map(|result| ip_of(result, true)).collect();
        ips.sort();
        ips.dedup();
        assert_eq!(ips.len(), 50, "no address twice");
        let macs: std::collections::HashSet<String> =
            results.iter().map(|result| result["interfaces"][0]["mac"].to_string()).collect();
        assert_eq!(macs.len(), 1, "one bridge with one address");
        std::thread::scope(|scope| {
            let del = |pod| way.call(host, &Request::new("bridge", "DEL", pod, &config)).expect("DEL");
            for pod in &pods {
                scope.spawn(move || del(pod));
            }
        });
        assert_eq!(host.leases("test"), [""; 0]);
        assert!(!host.has_veth_of_pods());
        vec![]
    });
}
