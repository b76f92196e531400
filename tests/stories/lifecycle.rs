//! A pod and its containers from birth to removal.

use anyhow::{Context, Result};
use cri_api::v1::{ContainerState, KeyValue, PodSandboxState};
use tests::runtime::{DEMO, Runtime};
use tonic::Code;

use crate::story;

#[tokio::test]
async fn a_pod_runs_and_ends_and_nothing_is_left() -> Result<()> {
    story!("a pod runs and ends");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    // The first pod makes the bridge and its table, which stay for the next one.
    let first = runtime.run_pod(&runtime.pod("first")).await?;
    runtime.remove_pod(&first).await?;
    let marks = tests::audit::Marks::of(&runtime)?;
    let before = marks.snapshot()?;

    let sandbox = runtime.pod("web");
    let pod = runtime.run_pod(&sandbox).await?;
    let status = runtime.pod_status(&pod).await?;
    assert_eq!(status.state(), PodSandboxState::SandboxReady);
    assert_eq!(pod.len(), 64, "an id has 64 hexadecimal digits (G-06): {pod}");
    assert!(status.created_at > 0);

    let container = runtime.create(&pod, &sandbox, runtime.container("web", &["web", "8080"])).await?;
    assert_eq!(runtime.status(&container).await?.state(), ContainerState::ContainerCreated);
    runtime.start_container(&container).await?;
    let status = runtime.status(&container).await?;
    assert_eq!(status.state(), ContainerState::ContainerRunning);
    assert!(status.started_at >= status.created_at);
    runtime.wait_line(&sandbox, "web", "listening on port 8080 as web").await?;

    runtime.stop_container(&container, 10).await?;
    let status = runtime.status(&container).await?;
    assert_eq!((status.state(), status.exit_code), (ContainerState::ContainerExited, 0));
    assert_eq!(status.reason, "Completed");
    assert!(status.finished_at >= status.started_at);

    runtime.remove_container(&container).await?;
    assert_eq!(runtime.status(&container).await.expect_err("it is removed").code(), Code::NotFound);
    runtime.remove_pod(&pod).await?;
    assert!(runtime.pods().await?.is_empty());
    assert!(runtime.log(&sandbox, "web").exists(), "the log belongs to the kubelet and stays");
    marks.settles_to(&before)
}

#[tokio::test]
async fn removing_what_is_gone_is_no_error_and_asking_about_it_is() -> Result<()> {
    story!("removing what is gone");
    let runtime = Runtime::start().await?;
    let unknown = "0".repeat(64);
    runtime.stop_container(&unknown, 0).await?;
    runtime.remove_container(&unknown).await?;
    runtime.remove_pod(&unknown).await?;
    assert_eq!(runtime.status(&unknown).await.expect_err("unknown").code(), Code::NotFound);
    assert_eq!(runtime.pod_status(&unknown).await.expect_err("unknown").code(), Code::NotFound);
    assert_eq!(runtime.start_container(&unknown).await.expect_err("unknown").code(), Code::NotFound);
    assert_eq!(
        runtime.exec(&unknown, &["/bin/demo", "id"], 0).await.expect_err("unknown").code(),
        Code::NotFound
    );
    Ok(())
}

#[tokio::test]
async fn a_container_ends_with_the_code_its_process_gave() -> Result<()> {
    story!("exit codes");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("codes");
    let pod = runtime.run_pod(&sandbox).await?;
    for (name, verb, code, reason) in
        [("good", vec!["say", "done"], 0, "Completed"), ("bad", vec!["exit", "37"], 37, "Error")]
    {
        let id = runtime.run_container(&pod, &sandbox, runtime.container(name, &verb)).await?;
        let status = runtime.wait_exit(&id).await?;
        assert_eq!((status.exit_code, status.reason.as_str()), (code, reason), "{name}");
    }
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn what_a_command_leaves_running_goes_on_and_a_command_that_takes_too_long_does_not() -> Result<()> {
    story!("a command beside the container leaves a process behind");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("beside");
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime.run_container(&pod, &sandbox, runtime.container("main", &["sleep"])).await?;
    let count = |listing: &str, word: &str| listing.lines().filter(|line| line.contains(word)).count();

    runtime.exec(&id, &["/bin/demo", "children", "1", "0", "3601"], 10).await?;
    let listing = runtime.output(&id, &["/bin/demo", "ps"]).await?;
    assert_eq!(count(&listing, "3601"), 1, "it goes on: {listing}");

    let refused = runtime
        .exec(&id, &["/bin/demo", "children", "1", "3602", "3602"], 1)
        .await
        .expect_err("it takes too long");
    assert_eq!(refused.code(), Code::DeadlineExceeded);
    let listing = runtime.output(&id, &["/bin/demo", "ps"]).await?;
    assert_eq!(
        (count(&listing, "3601"), count(&listing, "3602")),
        (1, 0),
        "its whole tree is gone: {listing}"
    );
    Ok(())
}

#[tokio::test]
async fn a_stubborn_container_is_killed_when_its_grace_is_over() -> Result<()> {
    story!("stop with grace");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("stubborn");
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime
        .run_container(&pod, &sandbox, runtime.container("mule", &["then", "say", "ready", "--", "stubborn"]))
        .await?;
    runtime.wait_line(&sandbox, "mule", "ready").await?;
    // The line comes before the signal handler does; a first refused signal proves that it is there.
    tests::patience::until("the container refuses a signal", || async {
        runtime.exec(&id, &["/bin/demo", "ps"], 0).await?;
        Ok(Some(()))
    })
    .await?;
    runtime.stop_container(&id, 2).await?;
    let status = runtime.status(&id).await?;
    assert_eq!((status.state(), status.exit_code), (ContainerState::ContainerExited, 137));
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn a_container_that_is_started_twice_is_in_the_wrong_state() -> Result<()> {
    story!("started twice");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("twice");
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime.run_container(&pod, &sandbox, runtime.container("once", &["sleep"])).await?;
    assert_eq!(runtime.start_container(&id).await.expect_err("it runs").code(), Code::FailedPrecondition);
    runtime.stop_pod(&pod).await?;
    assert_eq!(runtime.start_container(&id).await.expect_err("it ended").code(), Code::FailedPrecondition);
    let late = runtime.create(&pod, &sandbox, runtime.container("late", &["sleep"])).await;
    assert_eq!(late.expect_err("the pod has stopped").code(), Code::FailedPrecondition);
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn a_command_runs_beside_the_container_with_its_environment_and_its_exit_code() -> Result<()> {
    story!("exec");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("exec");
    let pod = runtime.run_pod(&sandbox).await?;
    let mut config = runtime.container("main", &["sleep"]);
    config.envs = vec![KeyValue { key: "GREETING".to_owned(), value: "ahoy".into() }];
    config.working_dir = "/tmp".to_owned();
    let id = runtime.run_container(&pod, &sandbox, config).await?;

    let environment = runtime.output(&id, &["/bin/demo", "env"]).await?;
    assert!(
        environment.contains("GREETING=ahoy\n") && environment.contains("PATH=/usr/local/sbin:"),
        "{environment}"
    );
    assert!(environment.contains("HOSTNAME=exec\n"), "{environment}");
    assert_eq!(runtime.output(&id, &["/bin/demo", "pwd"]).await?, "/tmp\n");
    let processes = runtime.output(&id, &["/bin/demo", "ps"]).await?;
    assert!(processes.starts_with("1 0 "), "the container's process is number 1: {processes}");
    assert_eq!(processes.lines().count(), 2, "nothing else is there: {processes}");

    let failed = runtime.exec(&id, &["/bin/demo", "exit", "5"], 0).await?;
    assert_eq!(failed.exit_code, 5);
    let both = runtime.exec(&id, &["/bin/demo", "then", "say", "out", "--", "warn", "err"], 0).await?;
    assert_eq!((both.stdout.as_slice(), both.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));

    let late = runtime.exec(&id, &["/bin/demo", "sleep"], 1).await.expect_err("it takes for ever");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let processes = runtime.output(&id, &["/bin/demo", "ps"]).await?;
    assert_eq!(processes.lines().count(), 2, "a command that was too slow is gone: {processes}");
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_of_the_daemon_leaks_into_a_container() -> Result<()> {
    story!("no leaks into a container");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("clean");
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime
        .run_container(
            &pod,
            &sandbox,
            runtime.container("look", &["then", "fds", "--", "env", "--", "id", "--", "say", "end"]),
        )
        .await?;
    runtime.wait_exit(&id).await?;
    let lines = runtime.wait_line(&sandbox, "look", "end").await?;
    let descriptors: Vec<_> =
        lines.iter().take_while(|line| line.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert_eq!(descriptors.len(), 3, "standard streams only: {descriptors:?}");
    assert!(
        !lines.iter().any(|line| line.starts_with("LISTEN_FDS") || line.starts_with("NOTIFY_SOCKET")),
        "{lines:?}"
    );
    let field = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1))
            .context("a field of the status is missing")
            .map(str::to_owned)
    };
    assert_eq!(field("CapInh:")?, "0000000000000000");
    assert_eq!(field("CapAmb:")?, "0000000000000000");
    // chown dac_override fsetid fowner mknod net_raw setgid setuid setfcap setpcap net_bind_service sys_chroot kill audit_write
    assert_eq!(field("CapEff:")?, "00000000a80425fb");
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn a_retry_with_the_same_key_finds_the_same_pod() -> Result<()> {
    story!("joining retries");
    let runtime = Runtime::start().await?;
    let sandbox = runtime.pod("again");
    let (one, two) = tokio::join!(runtime.run_pod(&sandbox), runtime.run_pod(&sandbox));
    assert_eq!(one?, two?, "G-10: both callers get the one pod");
    assert_eq!(runtime.pods().await?.len(), 1);
    runtime.remove_all_pods().await?;
    Ok(())
}
