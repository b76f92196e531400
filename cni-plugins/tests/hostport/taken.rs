//! Host ports that somebody has: another pod, or a process of the host.

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};

use cni_plugins::error::{Code, Error};
use serde_json::{Value, json};

use crate::support::{HOST_IP, HOST_IP6, Host, OUTSIDE_IP, Request, WAYS, Way, can_run, with};
use crate::{nothing_left, publish};

#[test]
fn a_port_of_another_pod_is_refused_by_the_name_of_that_pod() {
    if !can_run("taken host port") {
        return;
    }
    for way in WAYS {
        let host = Host::new();
        let mapping = json!([{ "hostPort": 8080, "containerPort": 80 }]);
        let web = publish(way, &host, "web", mapping.clone()).expect("published");
        let two =
            json!([{ "hostPort": 9090, "containerPort": 80 }, { "hostPort": 8080, "containerPort": 80 }]);
        let error = publish(way, &host, "late", two).map(|p| p.result).expect_err("taken");
        assert_eq!(error.code, Code::HOST_PORT_TAKEN);
        assert!(error.msg.contains("8080/tcp") && error.msg.contains("default/web"), "{error}");
        // All or nothing: the free port of the failed pod is free for others.
        publish(way, &host, "third", json!([{ "hostPort": 9090, "containerPort": 80 }]))
            .expect("9090 is free");
        // Another protocol is another port.
        publish(way, &host, "dns", json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "UDP" }]))
            .expect("UDP");
        way.call(&host, &Request::new("portmap", "DEL", &web.pod, &web.config)).expect("DEL");
        publish(way, &host, "next", mapping).expect("free again");
    }
}

fn try_publish(way: Way, host: &Host, id: &str, mapping: Value) -> Result<(), Error> {
    let published = publish(way, host, id, json!([mapping]))?;
    way.call(host, &Request::new("portmap", "DEL", &published.pod, &published.config)).map(|_| ())
}

#[test]
fn a_port_on_which_a_process_of_the_host_listens_is_refused() {
    if !can_run("host port of a process") {
        return;
    }
    for way in WAYS {
        let host = Host::new();
        let tcp = |port| json!({ "hostPort": port, "containerPort": 80, "protocol": "tcp" });
        let udp = |port| json!({ "hostPort": port, "containerPort": 80, "protocol": "udp" });
        let at = |ip: &str, mapping: Value| with(&mapping, "hostIP", json!(ip));
        let listen = |ip: &str, port| host.run(|| TcpListener::bind((ip, port))).expect("listen on the host");
        let bind = |ip: &str, port| host.run(|| UdpSocket::bind((ip, port))).expect("bind on the host");
        let refused = |mapping: Value, port: &str| {
            let late = format!("late-{}", port.replace(['[', ']', ':', '/'], "-"));
            let error = try_publish(way, &host, &late, mapping).expect_err("taken");
            assert_eq!(error.code, Code::HOST_PORT_TAKEN, "{error}");
            assert!(error.msg.contains(port) && error.msg.contains("a process of the host"), "{error}");
            nothing_left(&host);
        };
        let (_everywhere, _both, _one) = (listen("0.0.0.0", 8080), listen("::", 8081), listen(HOST_IP, 8082));
        let (_names, _local) = (bind("0.0.0.0", 53), bind("127.0.0.1", 54));
        refused(tcp(8080), "8080/tcp");
        refused(tcp(8081), "8081/tcp");
        refused(tcp(8082), "8082/tcp");
        refused(at(HOST_IP, tcp(8080)), "192.0.2.1:8080/tcp");
        refused(at(HOST_IP, tcp(8082)), "192.0.2.1:8082/tcp");
        refused(at(HOST_IP6, tcp(8081)), "[2001:db8::1]:8081/tcp");
        refused(udp(53), "53/udp");
        refused(udp(54), "54/udp");
        // Another address, another family, another protocol, and an address the host does not have (yet).
        try_publish(way, &host, "address", at("127.0.0.1", tcp(8082))).expect("another address");
        try_publish(way, &host, "family", at(HOST_IP6, tcp(8080))).expect("another family");
        try_publish(way, &host, "protocol", udp(8080)).expect("another protocol");
        try_publish(way, &host, "later", at("192.0.2.99", tcp(8083))).expect("an address to come");
    }
}

#[test]
fn connections_the_host_opened_or_ended_do_not_have_their_port() {
    if !can_run("host port of a connection") {
        return;
    }
    for way in WAYS {
        let host = Host::new();
        let elsewhere = host.outside(|| TcpListener::bind((OUTSIDE_IP, 80))).expect("listen outside");
        // A client of the host whose own port is the one that is asked for, connected and then in TIME_WAIT.
        let client = host.run(|| TcpStream::connect((OUTSIDE_IP, 80))).expect("connected");
        let (server, _) = elsewhere.accept().expect("accepted");
        let port = client.local_addr().expect("address").port();
        let mapping = json!({ "hostPort": port, "containerPort": 80, "protocol": "tcp" });
        try_publish(way, &host, "connected", mapping.clone()).expect("nobody listens");
        client.shutdown(std::net::Shutdown::Both).expect("ended by the host");
        drop((server, client));
        try_publish(way, &host, "waiting", mapping).expect("nobody listens");
        // And a server that ended first, whose connections wait.
        let server = host.run(|| TcpListener::bind((HOST_IP, 8080))).expect("listen on the host");
        let mut client = host.outside(|| TcpStream::connect((HOST_IP, 8080))).expect("connected");
        drop((server.accept().expect("accepted"), server));
        assert_eq!(client.read(&mut [0]).expect("the end"), 0);
        drop(client);
        let mapping = json!({ "hostPort": 8080, "containerPort": 80, "protocol": "tcp" });
        try_publish(way, &host, "next", mapping).expect("nobody listens");
        // A client of UDP is no server either.
        let client = host.run(|| {
            let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("bind on the host");
            socket.connect((OUTSIDE_IP, 53)).map(|()| socket)
        });
        let client = client.expect("connected");
        let port = client.local_addr().expect("address").port();
        let mapping = json!({ "hostPort": port, "containerPort": 53, "protocol": "udp" });
        try_publish(way, &host, "datagrams", mapping).expect("nobody listens");
    }
}

#[test]
fn a_port_of_another_pod_is_named_even_if_a_process_listens_behind_it() {
    if !can_run("host port with two owners") {
        return;
    }
    let host = Host::new();
    let mapping = json!([{ "hostPort": 8080, "containerPort": 80 }]);
    publish(Way::InProcess, &host, "web", mapping.clone()).expect("published");
    let _deaf = host.run(|| TcpListener::bind(("0.0.0.0", 8080))).expect("listen on the host");
    let error = publish(Way::InProcess, &host, "late", mapping).map(|p| p.result).expect_err("taken");
    assert!(error.msg.contains("default/web"), "{error}");
}
