//! An instance can be removed whatever state it is in, and then nothing of it is left.

use anyhow::{Result, ensure};
use tests::audit::{Marks, Snapshot};
use tests::runtime::{DEMO, Runtime};

use crate::story;

#[tokio::test]
async fn wiping_ends_running_containers_and_leaves_nothing() -> Result<()> {
    story!("wiping a running instance");
    let mut runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("doomed");
    let pod = runtime.run_pod(&sandbox).await?;
    runtime.run_container(&pod, &sandbox, runtime.container("main", &["sleep"])).await?;
    let marks = Marks::of(&runtime)?;
    runtime.wipe()?;
    marks.settles_to(&Snapshot::empty())
}

#[tokio::test]
async fn wiping_after_a_crash_leaves_nothing() -> Result<()> {
    story!("wiping after a crash");
    let mut runtime = Runtime::start().await?;
    runtime.pull(DEMO).await?;
    let sandbox = runtime.pod("doomed");
    let pod = runtime.run_pod(&sandbox).await?;
    let id = runtime.run_container(&pod, &sandbox, runtime.container("main", &["sleep"])).await?;
    let pid = runtime.container_pid(&id).await?;
    let marks = Marks::of(&runtime)?;
    runtime.kill_daemon()?;
    // Nor does it need records: they are the first thing a person deletes.
    std::fs::remove_dir_all(runtime.directory().join("state/records"))?;
    runtime.wipe()?;
    ensure!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "the container still runs");
    marks.settles_to(&Snapshot::empty())
}
