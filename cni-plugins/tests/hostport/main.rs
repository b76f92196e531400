//! Host ports, proven by connections.

#[path = "../support/mod.rs"]
mod support;
mod taken;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cni_plugins::error::Code;
use cni_plugins::netlink::{Protocol, Socket, address, link};
use cni_plugins::plugins::portmap;
use serde_json::{Value, json};
use support::{
    HOST_IP, HOST_IP6, Host, OUTSIDE_IP, Pod, Request, WAYS, Way, bridge_config, can_run, ip_of,
    socket_address, with,
};

/// Long enough for a loaded machine; nothing here waits that long unless it fails.
const PATIENCE: Duration = Duration::from_secs(5);
/// For what has to fail: a packet that is dropped.
const IMPATIENCE: Duration = Duration::from_millis(300);

fn portmap_config(bridge: &Value, result: &Value, mappings: Value) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": bridge["name"], "type": "portmap",
        "prevResult": result, "runtimeConfig": { "portMappings": mappings },
    })
}

struct Published {
    pod: Pod,
    result: Value,
    config: Value,
}

fn publish(way: Way, host: &Host, id: &str, mappings: Value) -> Result<Published, cni_plugins::error::Error> {
    let bridge = bridge_config(host, &["10.1.0.0/16", "fd00:1::/64"]);
    let pod = Pod::new(id);
    let result = way.call(host, &Request::new("bridge", "ADD", &pod, &bridge)).expect("bridge ADD");
    let config = portmap_config(&bridge, &result, mappings);
    let arguments = format!("K8S_POD_NAMESPACE=default;K8S_POD_NAME={id}");
    let request = Request { arguments: &arguments, ..Request::new("portmap", "ADD", &pod, &config) };
    let passed_on = way.call(host, &request)?;
    assert_eq!(passed_on["ips"], result["ips"], "the result is passed on");
    Ok(Published { pod, result, config })
}

/// A server in a pod that answers every connection with its name and the address the peer seems to have.
fn serve_tcp(pod: &Pod, port: u16) {
    let name = pod.id.clone();
    // Dual stack: v4 peers come mapped.
    let listener = pod.run(|| TcpListener::bind(("::", port))).expect("listen in the pod");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let peer = stream.peer_addr().map(|a| a.ip().to_canonical().to_string()).unwrap_or_default();
            let _ = stream.write_all(format!("{name} {peer}").as_bytes());
        }
    });
}

fn ask_tcp(to: SocketAddr, patience: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn asked(answer: io::Result<String>) -> (String, String) {
    let answer = answer.expect("answer");
    let (name, peer) = answer.split_once(' ').expect("name and peer");
    (name.to_owned(), peer.to_owned())
}

#[test]
fn a_tcp_port_is_reached_from_everywhere_and_only_where_it_is_meant() {
    if !can_run("host port over TCP") {
        return;
    }
    // With br_netfilter (Docker and kubeadm load it) frames between pods pass the rules too, in another way.
    let bridged_filter = |host: &Host, on: &str| {
        let files = ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"];
        let write = |file| std::fs::write(format!("/proc/sys/net/bridge/{file}"), on);
        let written = host.run(|| files.map(write));
        if on == "1" && written.iter().any(Result::is_err) {
            eprintln!("SKIPPED host ports with br_netfilter: the module is not loaded");
            return false;
        }
        true
    };
    for (way, filter) in WAYS.into_iter().flat_map(|way| [(way, "0"), (way, "1")]) {
        let host = Host::new();
        if !bridged_filter(&host, filter) {
            continue;
        }
        let web =
            publish(way, &host, "web", json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" }]))
                .expect("published");
        let other = publish(way, &host, "other", json!([])).expect("no ports");
        serve_tcp(&web.pod, 80);
        let port = |ip: &str| socket_address(ip, 8080);

        // From outside the client's address is kept; v6 as well.
        assert_eq!(
            asked(host.outside(|| ask_tcp(port(HOST_IP), PATIENCE))),
            ("web".into(), OUTSIDE_IP.into())
        );
        assert_eq!(asked(host.outside(|| ask_tcp(port(HOST_IP6), PATIENCE))).0, "web");
        // From the host, by its own address and through localhost.
        assert_eq!(asked(host.run(|| ask_tcp(port(HOST_IP), PATIENCE))).0, "web");
        assert_eq!(asked(host.run(|| ask_tcp(port("127.0.0.1"), PATIENCE))).0, "web");
        assert_eq!(asked(host.run(|| ask_tcp(port("127.1.2.3"), PATIENCE))).0, "web");
        assert_eq!(asked(host.run(|| ask_tcp(port(HOST_IP6), PATIENCE))).0, "web");
        // From the pod to itself, and from its neighbour on the bridge.
        for from in [&web.pod, &other.pod] {
            for ip in [HOST_IP, "10.1.0.1", HOST_IP6] {
                let answer = from.run(|| ask_tcp(port(ip), PATIENCE));
                let answer = answer.unwrap_or_else(|e| panic!("{} to {ip}: {e}", from.id));
                assert!(answer.starts_with("web "), "{} to {ip}: {answer}", from.id);
            }
        }

        // CVE-2019-9946: the same port of another machine is none of our business.
        let elsewhere = host.outside(|| TcpListener::bind((OUTSIDE_IP, 8080))).expect("listen outside");
        let through = other.pod.run(|| TcpStream::connect_timeout(&port(OUTSIDE_IP), PATIENCE));
        drop(through.expect("connected to the outside"));
        let (_, peer) = elsewhere.accept().expect("connection outside");
        assert_eq!(peer.ip().to_string(), HOST_IP, "and masqueraded");

        let check = Request::new("portmap", "CHECK", &web.pod, &web.config);
        way.call(&host, &check).expect("CHECK");
        way.call(&host, &Request { verb: "DEL", ..check }).expect("DEL");
        let refused = host.outside(|| ask_tcp(port(HOST_IP), PATIENCE)).expect_err("unpublished");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let error =
            way.call(&host, &Request::new("portmap", "CHECK", &web.pod, &web.config)).expect_err("CHECK");
        assert_eq!(error.code, Code::CHECK_FAILED);
        nothing_left(&host);
    }
}

fn nothing_left(host: &Host) {
    if let Some(ruleset) = host.ruleset() {
        assert!(
            !ruleset.contains("elements")
                || !ruleset.contains("orlop_hostports")
                || !hostports(&ruleset).contains("elements"),
            "{ruleset}"
        );
    }
    host.run(portmap::delete_if_unused).expect("deleted");
    if let Some(ruleset) = host.ruleset() {
        assert!(!ruleset.contains("orlop_hostports"), "{ruleset}");
    }
}

/// The part of a ruleset that is our table.
fn hostports(ruleset: &str) -> String {
    let lines = ruleset.lines().skip_while(|line| !line.contains("orlop_hostports"));
    lines.take_while(|line| *line != "}").collect::<Vec<_>>().join("\n")
}

#[test]
fn a_host_ip_binds_the_port_to_that_address() {
    if !can_run("hostIP") {
        return;
    }
    for way in WAYS {
        let host = Host::new();
        let extra: ipnet::IpNet = "192.0.2.77/24".parse().expect("address");
        host.run(|| {
            let mut socket = Socket::open(Protocol::Route).expect("socket");
            let uplink = link::find(&mut socket, "uplink").expect("link").expect("uplink");
            socket.request(address::add(uplink.index, extra, false)).expect("second address");
        });
        let one = json!([{ "hostPort": 80, "containerPort": 8000, "hostIP": "192.0.2.77" }]);
        let all = json!([{ "hostPort": 80, "containerPort": 8000 }]);
        let zero = json!([{ "hostPort": 81, "containerPort": 8000, "hostIP": "0.0.0.0" }]);
        let one = publish(way, &host, "one", one).expect("one address");
        let ask = |ip: &str, port| host.outside(|| ask_tcp(socket_address(ip, port), PATIENCE));
        serve_tcp(&one.pod, 8000);
        assert_eq!(asked(ask("192.0.2.77", 80)).0, "one");
        assert_eq!(ask(HOST_IP, 80).expect_err("other address").kind(), io::ErrorKind::ConnectionRefused);
        let all = publish(way, &host, "all", all).expect("every other address");
        serve_tcp(&all.pod, 8000);
        assert_eq!(asked(ask(HOST_IP, 80)).0, "all");
        assert_eq!(asked(ask("192.0.2.77", 80)).0, "one", "the more specific one wins");
        let zero = publish(way, &host, "zero", zero).expect("0.0.0.0");
        serve_tcp(&zero.pod, 8000);
        assert_eq!(asked(ask(HOST_IP, 81)).0, "zero");
        assert!(ask(HOST_IP6, 81).is_err(), "0.0.0.0 is IPv4 only");
    }
}

/// Answers every datagram with the pod's name and what the datagram said.
fn echo_udp(pod: &Pod, port: u16) {
    let name = pod.id.clone();
    let socket = pod.run(|| UdpSocket::bind(("0.0.0.0", port))).expect("bind in the pod");
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let answer = format!("{name} {}", String::from_utf8_lossy(&buffer[..length]));
            let _ = socket.send_to(answer.as_bytes(), peer);
        }
    });
}

/// The name in the answer to this very question: one that waited for ARP may be answered long after its time.
fn ask_udp(socket: &UdpSocket, to: SocketAddr, patience: Duration) -> io::Result<String> {
    static QUESTIONS: AtomicU32 = AtomicU32::new(0);
    let question = QUESTIONS.fetch_add(1, Ordering::Relaxed).to_string();
    socket.set_read_timeout(Some(patience))?;
    socket.send_to(question.as_bytes(), to)?;
    let mut buffer = [0; 64];
    loop {
        let (length, _) = socket.recv_from(&mut buffer)?;
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        match answer.split_once(' ') {
            Some((name, answered)) if answered == question => return Ok(name.to_owned()),
            _ => {}
        }
    }
}

#[test]
fn a_udp_client_that_never_stops_is_moved_to_the_next_pod() {
    if !can_run("host port over UDP") {
        return;
    }
    for way in WAYS {
        let host = Host::new();
        let mapping = json!([{ "hostPort": 5353, "containerPort": 53, "protocol": "udp" }]);
        let client = host.outside(|| UdpSocket::bind((OUTSIDE_IP, 40000))).expect("client");
        let to = socket_address(HOST_IP, 5353);
        // A datagram before there is a port: conntrack remembers that it went to the host itself.
        assert!(ask_udp(&client, to, IMPATIENCE).is_err(), "nobody there yet");
        let first = publish(way, &host, "first", mapping.clone()).expect("published");
        echo_udp(&first.pod, 53);
        assert_eq!(ask_udp(&client, to, PATIENCE).expect("first"), "first");
        // From the host and through localhost.
        let local = host.run(|| UdpSocket::bind("127.0.0.1:0")).expect("local client");
        assert_eq!(ask_udp(&local, socket_address("127.0.0.1", 5353), PATIENCE).expect("localhost"), "first");

        way.call(&host, &Request::new("portmap", "DEL", &first.pod, &first.config)).expect("DEL");
        assert!(ask_udp(&client, to, IMPATIENCE).is_err(), "the connection of before is forgotten");
        let second = publish(way, &host, "second", mapping).expect("published again");
        echo_udp(&second.pod, 53);
        assert_eq!(ask_udp(&client, to, PATIENCE).expect("second"), "second");
    }
}

#[test]
fn garbage_collection_keeps_the_ports_of_the_living() {
    if !can_run("GC of host ports") {
        return;
    }
    for way in WAYS {
        let host = Host::new();
        let keep =
            publish(way, &host, "keep", json!([{ "hostPort": 1001, "containerPort": 80 }])).expect("keep");
        let lose =
            publish(way, &host, "lose", json!([{ "hostPort": 1002, "containerPort": 80 }])).expect("lose");
        let valid = json!([{ "containerID": "keep", "ifname": "eth0" }]);
        let foreign =
            with(&with(&keep.config, "name", json!("elsewhere")), "cni.dev/valid-attachments", json!([]));
        way.call(&host, &Request::new("portmap", "GC", &keep.pod, &foreign)).expect("GC of another network");
        way.call(&host, &Request::new("portmap", "CHECK", &lose.pod, &lose.config)).expect("still there");
        let config = with(&keep.config, "cni.dev/valid-attachments", valid);
        way.call(&host, &Request::new("portmap", "GC", &keep.pod, &config)).expect("GC");
        way.call(&host, &Request::new("portmap", "CHECK", &keep.pod, &keep.config)).expect("kept");
        way.call(&host, &Request::new("portmap", "CHECK", &lose.pod, &lose.config)).expect_err("lost");
    }
}

#[test]
fn removal_needs_neither_ports_nor_result_nor_the_networks_old_name() {
    if !can_run("DEL of host ports") {
        return;
    }
    for way in WAYS {
        let host = Host::new();
        let web = publish(way, &host, "web", json!([{ "hostPort": 8080, "containerPort": 80 }]))
            .expect("published");
        let renamed = json!({ "cniVersion": "0.3.1", "name": "renamed", "type": "portmap" });
        let request = Request { netns: None, ..Request::new("portmap", "DEL", &web.pod, &renamed) };
        way.call(&host, &request).expect("DEL");
        way.call(&host, &Request::new("portmap", "CHECK", &web.pod, &web.config)).expect_err("gone");
        nothing_left(&host);
    }
}

#[test]
fn ports_come_back_after_the_ruleset_was_flushed() {
    if !can_run("flushed ruleset") || Command::new("nft").arg("--version").output().is_err() {
        eprintln!("SKIPPED flushed ruleset: it needs nft");
        return;
    }
    let host = Host::new();
    let way = Way::InProcess;
    let one =
        publish(way, &host, "one", json!([{ "hostPort": 8080, "containerPort": 80 }])).expect("published");
    let flushed = host.run(|| Command::new("nft").args(["flush", "ruleset"]).status()).expect("nft");
    assert!(flushed.success());
    way.call(&host, &Request::new("portmap", "DEL", &one.pod, &one.config)).expect("nothing to delete");
    let two =
        publish(way, &host, "two", json!([{ "hostPort": 8080, "containerPort": 80 }])).expect("published");
    serve_tcp(&two.pod, 80);
    assert_eq!(asked(host.outside(|| ask_tcp(socket_address(HOST_IP, 8080), PATIENCE))).0, "two");
    assert!(host.ruleset().expect("nft").contains("default/two"), "people see whose port it is");
}

#[test]
fn pods_cannot_reach_the_hosts_own_localhost() {
    if !can_run("route_localnet guard") {
        return;
    }
    let host = Host::new();
    let web = publish(Way::InProcess, &host, "web", json!([{ "hostPort": 8080, "containerPort": 80 }]))
        .expect("published");
    // A service of the host that trusts 127.0.0.1 (CVE-2020-8558): route_localnet is on for the bridge.
    let _service = host.run(|| TcpListener::bind("127.0.0.1:7000")).expect("service");
    let gateway = ip_of(&web.result, true);
    assert!(gateway.is_ipv4());
    web.pod.run(|| {
        let run = |args: &[&str]| Command::new("ip").args(args).status().is_ok_and(|s| s.success());
        // What an attacker with CAP_NET_ADMIN in a pod does: route 127/8 to the gateway.
        std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").expect("sysctl");
        assert!(run(&["link", "set", "lo", "down"]), "ip");
        assert!(run(&["route", "add", "127.0.0.0/8", "via", "10.1.0.1", "dev", "eth0"]), "ip");
        let reached = TcpStream::connect_timeout(&socket_address("127.0.0.1", 7000), IMPATIENCE);
        assert!(reached.is_err(), "the pod reached a service on the host's loopback");
    });
}

#[test]
fn bad_mappings_are_refused_before_anything_changes() {
    if !can_run("bad mappings") {
        return;
    }
    for way in WAYS {
        let host = Host::new();
        for (mapping, said) in [
            (json!([{ "hostPort": 70000, "containerPort": 80 }]), "70000"),
            (json!([{ "hostPort": 80, "containerPort": 0 }]), "containerPort 0"),
            (json!([{ "hostPort": 80, "containerPort": 80, "protocol": "icmp" }]), "icmp"),
            (json!([{ "hostPort": 80, "containerPort": 80, "hostIP": "localhost" }]), "localhost"),
        ] {
            let error =
                publish(way, &host, &format!("p{}", said.len()), mapping).map(|p| p.result).expect_err(said);
            assert_eq!(error.code, Code::INVALID_CONFIG, "{error}");
            assert!(error.msg.contains(said), "{error}");
        }
        // A hostPort of 0 is not published (F-05).
        publish(way, &host, "zero", json!([{ "hostPort": 0, "containerPort": 80 }])).expect("nothing to do");
        if let Some(ruleset) = host.ruleset() {
            assert!(!ruleset.contains("orlop_hostports"), "{ruleset}");
        }
    }
}
