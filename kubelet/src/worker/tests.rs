//! The worker against a runtime in memory, on a clock that the test turns (tokio's paused time).

mod fake;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, Pod, PodSpec, Volume};
use tokio::time::Instant;

use super::{Config, Handle, Snapshot, spawn};
use crate::host::Host;
use crate::layout::Layout;
use crate::plan::{Moment, Phase, Stage};
use crate::runtime::Runtime;
use crate::worker::ContainerState;
use fake::Fake;

struct Setting {
    runtime: Arc<Fake>,
    handle: Handle,
    directory: tempfile::TempDir,
}

fn pod(policy: &str, names: &[&str]) -> Pod {
    let container = |name: &&str| Container {
        name: (*name).to_owned(),
        image: Some("demo:1".to_owned()),
        ..Container::default()
    };
    let volume = Volume {
        name: "data".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let spec = PodSpec {
        containers: names.iter().map(container).collect(),
        restart_policy: Some(policy.to_owned()),
        volumes: Some(vec![volume]),
        ..PodSpec::default()
    };
    let mut pod = Pod { spec: Some(spec), ..Pod::default() };
    pod.metadata.name = Some("web".to_owned());
    pod.metadata.uid = Some("u1".to_owned());
    pod
}

fn start(runtime: Fake, pod: Pod) -> Setting {
    let directory = tempfile::tempdir().unwrap();
    let runtime = Arc::new(runtime);
    let clock = runtime.clock();
    let layout = Layout { root: directory.path().join("root"), logs: directory.path().join("logs") };
    let config =
        Config { runtime: Arc::clone(&runtime), pod, host: Host::default(), layout, remove: true, clock };
    Setting { runtime, handle: spawn(config), directory }
}

impl Setting {
    async fn until(&self, what: &str, reached: impl FnMut(&Snapshot) -> bool) -> Snapshot {
        let mut snapshots = self.handle.snapshots();
        let found = tokio::time::timeout(Duration::from_secs(3600), snapshots.wait_for(reached)).await;
        found.unwrap_or_else(|_| panic!("never: {what}")).expect("the worker lives").clone()
    }

    async fn ended(&self) -> Snapshot {
        self.until("the end", |snapshot| snapshot.stage == Stage::Terminated).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_to_its_end_and_leaves_nothing() {
    let setting =
        start(Fake::default().with_exits("a", &[0]).with_exits("b", &[3]), pod("Never", &["a", "b"]));
    let snapshot = setting.ended().await;
    assert_eq!(snapshot.phase, Phase::Failed);
    let failures: Vec<(&str, i32)> =
        snapshot.failures().iter().map(|(name, exit)| (*name, exit.code)).collect();
    assert_eq!(failures, [("b", 3)], "how containers ended is known after they were removed");
    assert!(setting.runtime.is_empty());
    assert!(!setting.directory.path().join("root/pods/u1").exists());
}

#[tokio::test(start_paused = true)]
async fn restarts_come_at_0_0_10_30_70_150_310() {
    let setting = start(Fake::default().with_exits("a", &[1; 8]), pod("Always", &["a"]));
    let begin = Instant::now();
    setting.until("the seventh start", |snapshot| snapshot.containers[0].restarts >= 6).await;
    let starts: Vec<u64> =
        setting.runtime.starts().iter().map(|at| at.duration_since(begin).as_secs()).collect();
    assert_eq!(starts, [0, 0, 10, 30, 70, 150, 310]);
    setting.handle.kill().await;
    setting.ended().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_pulled_is_told_and_tried_again_with_growing_pauses() {
    let setting = start(Fake::default().with_failing_pulls(3), pod("Always", &["a"]));
    let begin = Instant::now();
    let waiting = |snapshot: &Snapshot| matches!(&snapshot.containers[0].state, ContainerState::Waiting(trouble) if trouble.reason == "ErrImagePull");
    let snapshot = setting.until("the trouble", waiting).await;
    let ContainerState::Waiting(trouble) = &snapshot.containers[0].state else { panic!("{snapshot:?}") };
    assert_eq!(trouble.message, "pull image demo:1: no such image");
    let running =
        |snapshot: &Snapshot| matches!(snapshot.containers[0].state, ContainerState::Running { .. });
    setting.until("the container", running).await;
    assert_eq!(begin.elapsed().as_secs(), 10 + 20 + 40);
    setting.handle.stop(None).await;
    setting.ended().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_asked_for_gives_the_grace_and_a_second_request_takes_it_back() {
    let setting = start(Fake::default().deaf(), pod("Always", &["a"]));
    let running =
        |snapshot: &Snapshot| matches!(snapshot.containers[0].state, ContainerState::Running { .. });
    setting.until("the container", running).await;
    let begin = Instant::now();
    setting.handle.stop(None).await;
    setting.ended().await;
    assert_eq!(begin.elapsed().as_secs(), 30);

    let setting = start(Fake::default().deaf(), pod("Always", &["a"]));
    setting.until("the container", running).await;
    let begin = Instant::now();
    setting.handle.stop(None).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    setting.handle.kill().await;
    setting.ended().await;
    assert_eq!(begin.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_never_ends_does_not_keep_a_pod_from_ending() {
    let setting = start(Fake::default().with_hanging_pull(), pod("Always", &["a"]));
    setting.until("the sandbox", |snapshot| snapshot.sandbox.is_some()).await;
    setting.handle.stop(None).await;
    let snapshot = setting.ended().await;
    assert_eq!(snapshot.phase, Phase::Failed);
    assert!(setting.runtime.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_nobody_holds_any_more_ends_its_pod() {
    let Setting { runtime, handle, directory: _directory } = start(Fake::default(), pod("Always", &["a"]));
    let mut snapshots = handle.snapshots();
    let running =
        |snapshot: &Snapshot| matches!(snapshot.containers[0].state, ContainerState::Running { .. });
    snapshots.wait_for(running).await.unwrap();
    drop(handle);
    snapshots.wait_for(|snapshot| snapshot.stage == Stage::Terminated).await.unwrap();
    assert!(runtime.is_empty());
    assert_eq!(runtime.observe("u1").await.unwrap().instances, []);
    assert!(runtime.clock()() > Moment(0));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_failure_is_not_told_again_while_instances_are_removed() {
    let setting = start(Fake::default().with_exits("a", &[1, 0]), pod("OnFailure", &["a"]));
    let mut snapshots = setting.handle.snapshots();
    let mut codes = Vec::new();
    while snapshots.changed().await.is_ok() {
        let snapshot = snapshots.borrow_and_update().clone();
        if let ContainerState::Terminated(exit) = &snapshot.containers[0].state {
            codes.push(exit.code);
        }
    }
    assert!(!codes.is_empty() && codes.iter().all(|code| *code == 0), "{codes:?}");
    assert_eq!(snapshots.borrow().phase, Phase::Succeeded);
}
