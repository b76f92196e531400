//! Limits and devices: what a container may use, enforced by the cgroups of this host, whichever version they have.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use cri_api::v1::{ContainerState, LinuxContainerResources};
use tests::host;
use tests::image::{Builder, Layer, Process};
use tests::runtime::{DEMO, Runtime};

use crate::story;

const MEBIBYTE: i64 = 1 << 20;

fn limited(
    mut config: cri_api::v1::ContainerConfig,
    resources: LinuxContainerResources,
) -> cri_api::v1::ContainerConfig {
    config.linux.get_or_insert_default().resources = Some(resources);
    config
}

/// A process's file in the cgroup of one controller: the one tree of version 2, or the controller's own of version 1.
fn cgroup_file(pid: u32, controller: &str, v2: &str, v1: &str) -> Result<PathBuf> {
    let groups =
        std::fs::read_to_string(format!("/proc/{pid}/cgroup")).context("read the container's cgroups")?;
    let is_v2 = host::is_cgroup_v2();
    let wanted = |line: &&str| {
        let controllers = line.split(':').nth(1).unwrap_or_default();
        if is_v2 { controllers.is_empty() } else { controllers.split(',').any(|name| name == controller) }
    };
    let line = groups.lines().find(wanted).with_context(|| format!("no {controller} in {groups}"))?;
    let group = line.splitn(3, ':').nth(2).unwrap_or_default();
    let top = if is_v2 { "/sys/fs/cgroup".to_owned() } else { format!("/sys/fs/cgroup/{controller}") };
    Ok(PathBuf::from(format!("{top}{group}")).join(if is_v2 { v2 } else { v1 }))
}

fn setting(pid: u32, controller: &str, v2: &str, v1: &str) -> Result<String> {
    let path = cgroup_file(pid, controller, v2, v1)?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

#[tokio::test]
async fn a_container_that_takes_more_memory_than_it_may_is_killed_and_the_reason_says_so() -> Result<()> {
    story!("out of memory");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("greedy");
    let pod = runtime.run_pod(&sandbox).await?;
    let limit = LinuxContainerResources {
        memory_limit_in_bytes: 24 * MEBIBYTE,
        memory_swap_limit_in_bytes: 24 * MEBIBYTE,
        ..LinuxContainerResources::default()
    };
    let modest = limited(runtime.container("modest", &["hold", "8"]), limit.clone());
    let modest = runtime.run_container(&pod, &sandbox, modest).await?;
    runtime.wait_line(&sandbox, "modest", "holding 8 MiB").await?;
    let greedy = limited(runtime.container("greedy", &["hold", "64"]), limit);
    let greedy = runtime.run_container(&pod, &sandbox, greedy).await?;
    let status = runtime.wait_exit(&greedy).await?;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
    let neighbour = runtime.status(&modest).await?;
    assert_eq!(neighbour.state(), ContainerState::ContainerRunning, "only the one that took too much");
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn limits_of_processor_and_memory_reach_the_container_s_cgroup() -> Result<()> {
    story!("limits");
    let runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("limited");
    let pod = runtime.run_pod(&sandbox).await?;
    let limits = LinuxContainerResources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 512,
        memory_limit_in_bytes: 64 * MEBIBYTE,
        ..LinuxContainerResources::default()
    };
    let id =
        runtime.run_container(&pod, &sandbox, limited(runtime.container("main", &["sleep"]), limits)).await?;
    let pid = runtime.container_pid(&id).await?;
    let memory = setting(pid, "memory", "memory.max", "memory.limit_in_bytes")?;
    assert_eq!(memory, (64 * MEBIBYTE).to_string());
    let quota = setting(pid, "cpu", "cpu.max", "cpu.cfs_quota_us")?;
    assert_eq!(quota, if host::is_cgroup_v2() { "50000 100000" } else { "50000" });
    let weight: u64 = setting(pid, "cpu", "cpu.weight", "cpu.shares")?.parse()?;
    if host::is_cgroup_v2() {
        // Formulas differ between runtimes of the last years; each gives less than the default weight for half the shares.
        assert!((1..100).contains(&weight), "half the default of 1024 shares: {weight}");
    } else {
        assert_eq!(weight, 512);
    }
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn a_device_that_nobody_gave_cannot_be_opened_though_it_can_be_made() -> Result<()> {
    story!("devices");
    let Some(busybox) = host::peer("busybox") else {
        eprintln!("SKIPPED devices: no busybox (apt-get install -y busybox-static)");
        return Ok(());
    };
    let runtime = Runtime::start().await?;
    let layer = Layer::new().folder("bin", 0o755).host_program(&busybox)?.folder("work", 0o755);
    let shell = busybox.to_string_lossy().into_owned();
    let process =
        Process { entrypoint: vec![shell.clone(), "sh".to_owned(), "-c".to_owned()], ..Process::default() };
    runtime.registry.push("shell:1", &Builder::new().layer(layer).process(process).build()?);
    runtime.pull("registry.test/shell:1").await?;
    let sandbox = runtime.pod("devices");
    let pod = runtime.run_pod(&sandbox).await?;
    // 1:1 is /dev/mem, 1:3 is /dev/null, 5:2 is /dev/ptmx. The made files are not in /dev, which a container has of its own.
    let script = format!(
        "b={shell}; $b mknod /work/mem c 1 1 && $b mknod /work/null c 1 3 || exit 10; \
         echo x > /work/null || exit 11; echo x > /dev/null || exit 12; \
         $b head -c 1 /dev/urandom | $b wc -c | $b grep -qx 1 || exit 13; \
         $b head -c 1 /work/mem 2> /work/error && exit 14; \
         $b grep -q 'not permitted' /work/error || exit 15"
    );
    let config = runtime.container_of("registry.test/shell:1", "main", &[&script]);
    let id = runtime.run_container(&pod, &sandbox, config).await?;
    let status = runtime.wait_exit(&id).await?;
    ensure!(
        status.exit_code == 0,
        "step {} of the script failed (10 mknod, 14 the device opened)",
        status.exit_code
    );
    runtime.remove_pod(&pod).await?;
    Ok(())
}
