//! The daemon is killed at any moment, and the containers do not notice.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cri_api::v1::{ContainerState, PodSandboxState, RemoveImageRequest};
use tests::audit::Marks;
use tests::runtime::{Answer, DEMO, Runtime};
use tests::{host, log};

use crate::story;

#[tokio::test]
async fn killing_the_daemon_leaves_containers_running_and_their_logs_whole() -> Result<()> {
    story!("the daemon is killed under running containers");
    let mut runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("survivor");
    let pod = runtime.run_pod(&sandbox).await?;
    let writer = runtime.run_container(&pod, &sandbox, runtime.container("writer", &["write", "1"])).await?;
    let pid = runtime.container_pid(&writer).await?;
    runtime.wait_line(&sandbox, "writer", "line 100").await?;
    for round in 1..=5 {
        runtime.kill_daemon()?;
        runtime.restart().await?;
        let status = runtime.status(&writer).await?;
        assert_eq!(status.state(), ContainerState::ContainerRunning, "round {round}");
        assert_eq!(runtime.container_pid(&writer).await?, pid, "round {round}: the same process");
        assert_eq!(runtime.pod_status(&pod).await?.state(), PodSandboxState::SandboxReady, "round {round}");
        let said = runtime.output(&writer, &["/bin/demo", "say", "here"]).await?;
        assert_eq!(said, "here\n", "round {round}: commands run in adopted containers");
    }
    runtime.stop_container(&writer, 0).await?;
    let numbers = log::numbers(&log::lines(&runtime.log(&sandbox, "writer"))?);
    assert_eq!(log::first_gap(&numbers), None, "among {} lines", numbers.len());
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_is_asked_to_end_does_so_and_containers_go_on() -> Result<()> {
    story!("SIGTERM to the daemon");
    let mut runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("polite");
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime.run_container(&pod, &sandbox, runtime.container("sleeper", &["sleep"])).await?;
    let pid = runtime.container_pid(&id).await?;
    assert!(runtime.terminate_daemon().await?.success());
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    runtime.restart().await?;
    assert_eq!(runtime.container_pid(&id).await?, pid);
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn an_exit_during_the_downtime_is_reported_with_its_code_and_its_time() -> Result<()> {
    story!("exit 37 while the daemon is down");
    let mut runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("downtime");
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime.run_container(&pod, &sandbox, runtime.container("ends", &["exit", "37", "2"])).await?;
    runtime.kill_daemon()?;
    let record = runtime.directory().join("state/exits").join(&id);
    tests::patience::until_now("the supervisor records the exit", || Ok(record.exists().then_some(())))?;
    let ended = now_nanos()?;
    runtime.restart().await?;
    let status = runtime.wait_exit(&id).await?;
    assert_eq!((status.exit_code, status.reason.as_str()), (37, "Error"));
    assert!(status.finished_at <= ended, "the time of the exit, not of the restart");
    assert!(status.finished_at >= status.started_at + 1_900_000_000, "two seconds after its start");
    runtime.remove_pod(&pod).await?;
    Ok(())
}

fn now_nanos() -> Result<i64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_nanos())?)
}

/// Every point at which the daemon's sources can be stopped.
fn failpoints() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for room in ["kernel/src", "cri-runtime/src", "cni-plugins/src", "cri-runtime/launch/src"] {
        collect(&host::repository().join(room), &mut names)?;
    }
    Ok(names)
}

fn collect(folder: &Path, names: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("open {}", folder.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, names)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let named = text
                .split("hit(\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next())
                .filter(|name| name.contains('.'));
            names.extend(named.map(str::to_owned));
        }
    }
    Ok(())
}

/// Port of the host that the pod asks for; nothing needs to reach it.
const PUBLISHED: i32 = 34_571;

/// Everything that has durable steps, from the pull to the removal of the image.
async fn whole_life(runtime: &Runtime) -> Answer<()> {
    runtime.pull(DEMO).await?;
    let mut sandbox = runtime.pod("victim");
    sandbox.port_mappings = vec![cri_api::v1::PortMapping {
        container_port: 80,
        host_port: PUBLISHED,
        ..cri_api::v1::PortMapping::default()
    }];
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime.run_container(&pod, &sandbox, runtime.container("main", &["sleep"])).await?;
    runtime.stop_container(&id, 0).await?;
    runtime.remove_container(&id).await?;
    runtime.remove_pod(&pod).await?;
    remove_image(runtime).await
}

async fn remove_image(runtime: &Runtime) -> Answer<()> {
    let image = cri_api::v1::ImageSpec { image: DEMO.to_owned(), ..cri_api::v1::ImageSpec::default() };
    let mut client = runtime.images().map_err(|error| tonic::Status::unavailable(error.to_string()))?;
    client.remove_image(RemoveImageRequest { image: Some(image) }).await.map(drop)
}

#[tokio::test]
async fn killed_at_every_durable_step_everything_is_whole_or_gone() -> Result<()> {
    story!("killed at every durable step");
    let points = failpoints()?;
    ensure!(!points.is_empty(), "no failpoint in the sources: the story has nothing to tell");
    let mut runtime = Runtime::start().await?;
    whole_life(&runtime).await?;
    let marks = Marks::of(&runtime)?;
    let before = marks.snapshot()?;
    let mut unreached = Vec::new();
    for point in &points {
        eprintln!("killed at {point}");
        told(&mut runtime, point, &mut unreached).await.with_context(|| format!("killed at {point}"))?;
        marks.settles_to(&before).with_context(|| format!("killed at {point}"))?;
    }
    ensure!(unreached.is_empty(), "never reached, so never tested: {unreached:?}");
    Ok(())
}

/// One death: at the point, then a restart, a look at what is there, a retry, and a clean end.
async fn told(runtime: &mut Runtime, point: &str, unreached: &mut Vec<String>) -> Result<()> {
    runtime.terminate_daemon().await?;
    if point == "cni.bridge.created" {
        // Made once and kept for all pods: only the first pod of a node passes here.
        let bridge = runtime.bridge()?;
        let gone = std::process::Command::new("ip").args(["link", "delete", &bridge]).status()?;
        ensure!(gone.success(), "the bridge {bridge} is deleted, to be made again");
    }
    // A point on the way up kills the daemon before it can be asked anything.
    if runtime.restart_with_failpoint(point).await.is_ok() {
        let outcome = whole_life(runtime).await;
        let died = tests::patience::until_now("the daemon dies or lives on", || {
            Ok(if runtime.died_at_failpoint()? { Some(true) } else { outcome.is_ok().then_some(false) })
        })
        .with_context(|| format!("{outcome:?}"))?;
        if !died {
            unreached.push(point.to_owned());
            return Ok(());
        }
    }
    runtime.restart().await?;
    for pod in runtime.pods().await? {
        // Whole: what is listed can be asked about.
        runtime.pod_status(&pod).await.context("a listed pod has a status")?;
    }
    for container in runtime.containers().await? {
        runtime.status(&container).await.context("a listed container has a status")?;
    }
    runtime.remove_all_pods().await.context("remove what was found")?;
    whole_life(runtime).await.context("a retry succeeds")?;
    Ok(())
}

#[tokio::test]
async fn two_daemons_do_not_share_a_directory() -> Result<()> {
    story!("a second daemon on the same directory");
    let runtime = Runtime::start().await?;
    let second = std::process::Command::new(host::repository().join("scripts/dev-runtime"))
        .arg(runtime.directory())
        .stdin(std::process::Stdio::null())
        .output()?;
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&runtime.pid()?.to_string()), "RC-16: it names the holder: {said}");
    assert!(runtime.pods().await?.is_empty(), "and the first one goes on");
    Ok(())
}
