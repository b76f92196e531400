//! Things that go wrong on an ordinary day: each has a clear error, the right code, and leaves nothing behind.

use std::net::TcpListener;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cri_api::v1::{ContainerState, Mount, PortMapping, Protocol};
use tests::audit::{Marks, Snapshot};
use tests::host;
use tests::image::{Builder, Layer};
use tests::runtime::{DEMO, Runtime};
use tonic::Code;

use crate::story;

/// A runtime whose first pod has come and gone, and what it has then.
async fn settled() -> Result<(Runtime, Marks, Snapshot)> {
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let pod = runtime.run_pod(&runtime.pod("first")).await?;
    runtime.remove_pod(&pod).await?;
    let marks = Marks::of(&runtime)?;
    let before = marks.snapshot()?;
    Ok((runtime, marks, before))
}

fn one_line(status: &tonic::Status, needles: &[&str]) {
    let message = status.message();
    assert_eq!(message.lines().count(), 1, "one line: {message}");
    for needle in needles {
        assert!(message.contains(needle), "{needle} is missing in: {message}");
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named() -> Result<()> {
    story!("a command that does not exist");
    let (runtime, marks, before) = settled().await?;
    let sandbox = runtime.pod("nocommand");
    let pod = runtime.run_pod(&sandbox).await?;
    let mut config = runtime.container("main", &[]);
    config.command = vec!["/no/such/program".to_owned()];
    let id = runtime.create(&pod, &sandbox, config).await?;
    let status = runtime.start_container(&id).await.expect_err("there is no such program");
    one_line(&status, &["/no/such/program"]);
    let status = runtime.status(&id).await?;
    assert_eq!((status.state(), status.exit_code), (ContainerState::ContainerExited, 128));
    assert_eq!(status.reason, "StartError");
    assert!(status.message.contains("/no/such/program"), "{}", status.message);
    runtime.remove_pod(&pod).await?;
    marks.settles_to(&before)
}

#[tokio::test]
async fn a_command_in_a_container_that_ended_is_refused() -> Result<()> {
    story!("exec into a container that ended");
    let (runtime, marks, before) = settled().await?;
    let sandbox = runtime.pod("ended");
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime.run_container(&pod, &sandbox, runtime.container("main", &["exit", "0"])).await?;
    runtime.wait_exit(&id).await?;
    let status = runtime.exec(&id, &["/bin/demo", "id"], 0).await.expect_err("it ended");
    assert_eq!(status.code(), Code::FailedPrecondition);
    one_line(&status, &[]);
    let sleeper = runtime.run_container(&pod, &sandbox, runtime.container("sleeper", &["sleep"])).await?;
    let missing =
        runtime.exec(&sleeper, &["/no/such/program"], 0).await.expect_err("there is no such program");
    one_line(&missing, &["/no/such/program"]);
    runtime.remove_pod(&pod).await?;
    marks.settles_to(&before)
}

#[tokio::test]
async fn a_host_path_that_is_missing_becomes_a_folder_and_one_that_cannot_is_named() -> Result<()> {
    story!("a missing host path");
    let (runtime, marks, before) = settled().await?;
    let sandbox = runtime.pod("nopath");
    let pod = runtime.run_pod(&sandbox).await?;
    let outside = runtime.scratch("outside")?;
    let mounted = |host_path: &std::path::Path, name: &str| {
        let mut config = runtime.container(name, &["ls", "/data"]);
        let host_path = host_path.to_string_lossy().into_owned();
        config.mounts = vec![Mount { container_path: "/data".to_owned(), host_path, ..Mount::default() }];
        config
    };
    // As containerd does, and many manifests rely on it (F-41).
    let missing = outside.join("missing");
    let id = runtime.run_container(&pod, &sandbox, mounted(&missing, "made")).await?;
    assert_eq!(runtime.wait_exit(&id).await?.exit_code, 0);
    assert!(missing.is_dir());

    let file = outside.join("file");
    std::fs::write(&file, "")?;
    let below = file.join("folder");
    let status = match runtime.create(&pod, &sandbox, mounted(&below, "refused")).await {
        Ok(id) => runtime.start_container(&id).await.expect_err("a file has no folders"),
        Err(status) => status,
    };
    one_line(&status, &[&below.to_string_lossy()]);
    runtime.remove_pod(&pod).await?;
    marks.settles_to(&before)
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() -> Result<()> {
    story!("a port that is taken");
    let (runtime, marks, before) = settled().await?;
    let holder = TcpListener::bind(("0.0.0.0", 0)).context("take a port")?;
    let port = holder.local_addr()?.port();
    let mapping = |port: u16| PortMapping {
        protocol: Protocol::Tcp.into(),
        container_port: 8080,
        host_port: i32::from(port),
        host_ip: String::new(),
    };
    let mut sandbox = runtime.pod("ported");
    sandbox.port_mappings = vec![mapping(port)];
    let status = runtime.run_pod(&sandbox).await.expect_err("a host process listens there");
    one_line(&status, &[&port.to_string()]);
    assert!(runtime.pods().await?.is_empty());
    marks.settles_to(&before)?;

    drop(holder);
    let first = runtime.run_pod(&sandbox).await?;
    let mut second = runtime.pod("second");
    second.port_mappings = vec![mapping(port)];
    let status = runtime.run_pod(&second).await.expect_err("another pod has it");
    one_line(&status, &[&port.to_string()]);
    runtime.remove_pod(&first).await?;
    let second = runtime.run_pod(&second).await.context("a port is free again when its pod is gone")?;
    runtime.remove_pod(&second).await?;
    marks.settles_to(&before)
}

#[tokio::test]
async fn when_addresses_run_out_the_pod_is_refused_and_one_that_leaves_makes_room() -> Result<()> {
    story!("addresses exhausted");
    let folder = tempfile::tempdir()?;
    let networks = folder.path().join("cni");
    std::fs::create_dir(&networks)?;
    let bridge = format!("orlx{}", std::process::id());
    // A /29 has six addresses; one is the bridge's.
    let conflist = serde_json::json!({"cniVersion": "1.0.0", "name": bridge, "plugins": [{
        "type": "bridge", "bridge": bridge, "isGateway": true,
        "ipam": {"type": "host-local", "dataDir": folder.path().join("leases"),
                 "ranges": [[{"subnet": "10.63.251.0/29"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]});
    std::fs::write(networks.join("10-small.conflist"), serde_json::to_vec(&conflist)?)?;
    let plugins = folder.path().join("bin");
    std::fs::create_dir(&plugins)?;
    for name in ["bridge", "host-local"] {
        std::os::unix::fs::symlink(host::program("cni-plugins")?, plugins.join(name))?;
    }
    let arguments =
        ["--cni-conf-dir", &networks.to_string_lossy(), "--cni-bin-dir", &plugins.to_string_lossy()];
    let runtime = Runtime::start_with(&arguments).await?;
    let mut pods = Vec::new();
    let refused = loop {
        ensure!(pods.len() < 10, "a /29 gave more than six addresses");
        match runtime.run_pod(&runtime.pod(&format!("p{}", pods.len()))).await {
            Ok(pod) => pods.push(pod),
            Err(status) => break status,
        }
    };
    assert_eq!(pods.len(), 5);
    one_line(&refused, &["no address left", "10.63.251."]);
    let marks = Marks::of(&runtime)?;
    let before = marks.snapshot()?;
    runtime.run_pod(&runtime.pod("again")).await.expect_err("still none");
    marks.settles_to(&before)?;
    runtime.remove_pod(&pods[2]).await?;
    runtime.run_pod(&runtime.pod("lucky")).await.context("the address that became free is given again")?;
    runtime.remove_all_pods().await?;
    Ok(())
}

#[tokio::test]
async fn a_full_disk_while_unpacking_is_said_and_room_makes_it_work() -> Result<()> {
    story!("a full disk while unpacking");
    // Declared first, so that it goes last: the wipe needs what is on it.
    let _small;
    let mut runtime = Runtime::prepare(&[])?;
    // The whole instance on a small filesystem: what is full is the runtime's own root.
    let directory = runtime.directory();
    std::fs::create_dir_all(&directory)?;
    _small = SmallDisk::mount(&directory, "48m")?;
    runtime.registry.write_hosts(&directory.join("certs.d"), tests::runtime::REGISTRY)?;
    runtime.restart().await?;
    runtime.pull(DEMO).await?;
    // Compresses to almost nothing, so that the room ends in the unpacking and not in the transfer.
    let big = Builder::new().layer(Layer::new().file("zeros", 0o644, vec![0u8; 64 << 20])).build()?;
    runtime.registry.push("big:1", &big);
    let marks = Marks::of(&runtime)?;
    let before = marks.snapshot()?;
    let status = runtime.pull("registry.test/big:1").await.expect_err("there is no room");
    assert_eq!(status.code(), Code::ResourceExhausted, "{}", status.message());
    one_line(&status, &[]);
    marks.settles_to(&before)?;

    let sandbox = runtime.pod("small");
    let pod = runtime.run_pod(&sandbox).await.context("what was given up is free again")?;
    let id = runtime.run_container(&pod, &sandbox, runtime.container("main", &["say", "room"])).await?;
    runtime.wait_exit(&id).await?;
    runtime.remove_pod(&pod).await?;
    runtime.wipe()
}

/// A filesystem of a given size, mounted for one story.
struct SmallDisk {
    at: std::path::PathBuf,
}

impl SmallDisk {
    fn mount(at: &std::path::Path, size: &str) -> Result<Self> {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "small"])
            .arg(at)
            .status()?;
        ensure!(status.success(), "mount a filesystem of {size} at {}", at.display());
        Ok(Self { at: at.to_owned() })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mounted = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        if mounted.contains(&format!(" {} ", self.at.display())) {
            let ended = Command::new("umount").arg("-l").arg(&self.at).status();
            assert!(ended.is_ok_and(|status| status.success()), "unmount {}", self.at.display());
        }
    }
}
