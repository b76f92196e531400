//! Pods have addresses, reach each other, and are reached.

use std::io::Read;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use cri_api::v1::{NamespaceMode, PodSandboxConfig, PortMapping, Protocol};
use tests::runtime::{DEMO, Runtime};

use crate::story;

fn fetch(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET / HTTP/1.1\r\nhost: story\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("read from {address}"))?;
    Ok(answer)
}

async fn web(runtime: &Runtime, sandbox: &PodSandboxConfig) -> Result<String> {
    let pod = runtime.run_pod(sandbox).await?;
    runtime.run_container(&pod, sandbox, runtime.container("web", &["web", "8080"])).await?;
    runtime.wait_line(sandbox, "web", "listening").await?;
    Ok(pod)
}

#[tokio::test]
async fn pods_reach_each_other_and_the_host_reaches_them() -> Result<()> {
    story!("pods reach each other");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let server = runtime.pod("server");
    let pod = web(&runtime, &server).await?;
    let address = runtime.pod_address(&pod).await?;
    assert!(fetch(&format!("{address}:8080"))?.contains("Hello from a pod"));

    let client = runtime.pod("client");
    let other = runtime.run_pod(&client).await?;
    let id = runtime.run_container(&other, &client, runtime.container("main", &["sleep"])).await?;
    let page = runtime.output(&id, &["/bin/demo", "fetch", &format!("http://{address}:8080/")]).await?;
    let own = runtime.pod_address(&other).await?;
    assert!(page.contains("host      server") && page.contains(&own), "it sees who asks: {page}");
    runtime.remove_pod(&pod).await?;
    runtime.remove_pod(&other).await?;
    Ok(())
}

#[tokio::test]
async fn a_host_port_works_through_localhost_and_through_the_host_s_address() -> Result<()> {
    story!("host ports");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let free = TcpListener::bind(("0.0.0.0", 0)).context("find a free port")?;
    let port = free.local_addr()?.port();
    drop(free);
    let mut sandbox = runtime.pod("published");
    sandbox.port_mappings = vec![PortMapping {
        protocol: Protocol::Tcp.into(),
        container_port: 8080,
        host_port: i32::from(port),
        host_ip: String::new(),
    }];
    let pod = web(&runtime, &sandbox).await?;
    assert!(fetch(&format!("127.0.0.1:{port}"))?.contains("host      published"));
    // The bridge's address is the host's, as every pod sees it.
    let gateway = runtime.subnet()?.replace(".0/24", ".1");
    assert!(fetch(&format!("{gateway}:{port}"))?.contains("host      published"));
    // And from a pod, also from the one that is published: the answer has to find its way back (hairpin).
    let client = runtime.pod("client");
    let other = runtime.run_pod(&client).await?;
    for (pod, sandbox) in [(&other, &client), (&pod, &sandbox)] {
        let id = runtime.run_container(pod, sandbox, runtime.container("asks", &["sleep"])).await?;
        let page = runtime.output(&id, &["/bin/demo", "fetch", &format!("http://{gateway}:{port}/")]).await?;
        assert!(page.contains("host      published"), "{page}");
    }
    runtime.remove_all_pods().await?;
    assert!(fetch(&format!("127.0.0.1:{port}")).is_err(), "the port goes with its pod");
    Ok(())
}

#[tokio::test]
async fn a_pod_on_the_host_s_network_has_no_address_of_its_own() -> Result<()> {
    story!("host network");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let mut sandbox = runtime.pod("onhost");
    let options = sandbox
        .linux
        .as_mut()
        .and_then(|linux| linux.security_context.as_mut())
        .and_then(|context| context.namespace_options.as_mut())
        .context("the pod has no namespace options")?;
    options.network = NamespaceMode::Node.into();
    let pod = runtime.run_pod(&sandbox).await?;
    let status = runtime.pod_status(&pod).await?;
    assert!(status.network.is_none_or(|network| network.ip.is_empty()));
    let echoed = status
        .linux
        .and_then(|linux| linux.namespaces)
        .and_then(|namespaces| namespaces.options)
        .context("the status echoes the modes")?;
    assert_eq!(echoed.network(), NamespaceMode::Node, "or a kubelet recreates the pod every second");
    let id = runtime.run_container(&pod, &sandbox, runtime.container("main", &["sleep"])).await?;
    let pid = runtime.container_pid(&id).await?;
    let host = std::fs::read_link("/proc/self/ns/net")?;
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/ns/net"))?, host);
    runtime.remove_pod(&pod).await?;
    Ok(())
}
