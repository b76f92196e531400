//! Our runtime, started as people start one: by `scripts/dev-runtime`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use cri_api::admin::ImportImageRequest;
use tokio_stream::iter;

use super::{DAEMON_DEADLINE, Daemon, Subject};
use crate::account::Account;
use crate::stage::Places;

/// How much of an archive one message carries.
const CHUNK: usize = 1 << 20;
/// As the kernel shortens `orlop-supervisor`.
const SUPERVISOR: &str = "orlop-superviso";

/// Starts it.
pub async fn start(places: &Places, cgroup: &str) -> Result<Subject> {
    let script = tests::host::repository().join("scripts/dev-runtime");
    let folder = places.dir.join("ours");
    let account = Account::open(cgroup, "ours")?;
    let plugins = plugins(&places.dir)?;
    let mut command = super::counted(&account, &script);
    command.arg(&folder).arg("--certs-d").arg(&places.certificates).arg("--log-level").arg("warn");
    command.arg("--cni-conf-dir").arg(places.network("ours")?).arg("--cni-bin-dir").arg(&plugins);
    let log = File::create(places.dir.join("ours.log")).context("make the daemon's log")?;
    // It tells its endpoint when it listens; that is where it is looked for anyway.
    command.stdin(Stdio::null()).stdout(log.try_clone().context("share the daemon's log")?).stderr(log);
    let child = command.spawn().with_context(|| format!("start {}", script.display()))?;
    let wiped = folder.clone();
    let daemon = Daemon { child, after: Box::new(move || wipe(&script, &wiped)) };
    let endpoint = format!("unix://{}/orlop.sock", folder.display());
    let subject = Subject::connect("ours", &endpoint, account, places.logs.join("ours"), daemon).await?;
    Ok(subject)
}

/// Imports an archive by the admin service.
pub async fn import(places: &Places, archive: &Path) -> Result<()> {
    let endpoint = format!("unix://{}/ours/orlop.sock", places.dir.display());
    let bytes = std::fs::read(archive).with_context(|| format!("read {}", archive.display()))?;
    let chunks: Vec<ImportImageRequest> = bytes
        .chunks(CHUNK)
        .map(|chunk| ImportImageRequest { name: String::new(), chunk: chunk.to_vec() })
        .collect();
    let mut client = cri_api::client::admin(cri_api::client::connect(&endpoint, DAEMON_DEADLINE).await?);
    let import = async {
        let mut progress = client.import_image(iter(chunks)).await?.into_inner();
        while progress.message().await?.is_some() {}
        anyhow::Ok(())
    };
    let late = || format!("import of {} took too long", archive.display());
    tokio::time::timeout(DAEMON_DEADLINE, import).await.with_context(late)?.context("import image")
}

/// The supervisor has a group of its own, outside of the daemon's; here it is counted with the daemon.
pub fn adopt_supervisor(subject: &Subject) -> Result<()> {
    subject.account.adopt(SUPERVISOR)
}

/// Process id of the supervisor.
pub fn supervisor() -> Result<u32> {
    crate::account::named(SUPERVISOR)?.first().copied().context("there is no supervisor")
}

/// Our plugins under the names that configurations use.
fn plugins(dir: &Path) -> Result<PathBuf> {
    let folder = dir.join("plugins");
    std::fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
    let program = tests::host::program("cni-plugins")?;
    for name in ["bridge", "host-local", "portmap", "loopback"] {
        std::os::unix::fs::symlink(&program, folder.join(name)).with_context(|| format!("link {name}"))?;
    }
    Ok(folder)
}

fn wipe(script: &Path, folder: &Path) -> Result<()> {
    let output = Command::new(script)
        .arg("--wipe")
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .context("run dev-runtime --wipe")?;
    if output.status.success() {
        return Ok(());
    }
    bail!("wipe {}: {}", folder.display(), String::from_utf8_lossy(&output.stderr).trim())
}
