//! The life of the daemon: open everything, recover, serve, stop serving. Containers outlive it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cni_plugins::invoke::{Builtin, Network, NetworkConfig};
use kernel::cgroup::Hierarchies;
use launch::protocol::Exit;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Config;
use crate::creation::Creations;
use crate::image::{Images, ImagesConfig};
use crate::index::{Inbox, Index};
use crate::oci::Defaults;
use crate::record::Records;
use crate::runtime::{NETWORK_SLOTS, Runtime};
use crate::sandbox::Command;
use crate::sandbox::pool::Namespaces;
use crate::seccomp::Filters;
use crate::supervisor::{Event, Programs};
use crate::trash::Trash;
use crate::{directories, recovery, server, supervisor};

/// How long RPCs that are under way may take after the daemon was asked to end.
const DRAIN: Duration = Duration::from_secs(10);
/// How often a daemon that ends with its last pod looks for one.
const UNUSED: Duration = Duration::from_millis(100);
/// How long whoever stopped a pod may take to remove it.
const REMOVAL: Duration = Duration::from_secs(10);
/// How long one executed CNI plugin may take; a kubelet waits for a sandbox twice as long.
const NETWORK_DEADLINE: Duration = Duration::from_secs(120);

/// Runs until SIGTERM or SIGINT. Containers go on.
///
/// # Errors
/// What keeps the daemon from starting, or the transport that failed.
pub async fn run(config: Config) -> Result<()> {
    let _locks = directories::prepare(&config)?;
    let (runtime, known, events) = open(config).await?;
    let at = Instant::now();
    {
        let runtime = runtime.clone();
        tokio::task::spawn_blocking(move || recovery::recover(&runtime, known)).await??;
    }
    let pods = runtime.index.pods().len();
    tracing::info!(pods, containers = runtime.index.containers().len(), took = ?at.elapsed(), "recovered");
    tokio::spawn(route(runtime.clone(), events));

    let socket = runtime.config.socket.clone();
    let whole = runtime.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = server::serve(&socket, runtime, async {
        // A sender that is dropped ends the service too.
        let _ = stopped.await;
    });
    tokio::pin!(serving);
    let mut term = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    tracing::info!(socket = %socket.display(), version = env!("CARGO_PKG_VERSION"), "serving");
    tokio::select! {
        result = &mut serving => return result,
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    if whole.config.ephemeral {
        // Whoever started it is done; others may have found it meanwhile and run pods in it.
        tokio::select! {
            result = &mut serving => return result,
            () = unused(&whole) => {}
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
    tracing::info!("ending; containers go on");
    drop(stop);
    match tokio::time::timeout(DRAIN, serving).await {
        Ok(result) => result?,
        Err(_) => {
            tracing::warn!("requests under way are left behind; a retry joins them after the next start")
        }
    }
    if whole.config.ephemeral {
        retire(&whole).await?;
    }
    Ok(())
}

/// Until the pods are gone. A pod that was stopped is about to be removed, unless it is kept to be looked at: those
/// hold nobody up for long.
async fn unused(runtime: &Runtime) {
    let mut last_ready = None;
    loop {
        if runtime.index.ready_pods() > 0 {
            last_ready = Some(Instant::now());
        }
        if runtime.index.pods().is_empty() || last_ready.is_none_or(|at: Instant| at.elapsed() > REMOVAL) {
            return;
        }
        tokio::time::sleep(UNUSED).await;
    }
}

/// Leaves nothing behind of a daemon that was there for a while only. With a pod left everything stays as it is.
async fn retire(runtime: &Arc<Runtime>) -> Result<()> {
    let pods = runtime.index.pods().len();
    if pods > 0 {
        tracing::info!(pods, "pods are left: the supervisor goes on");
        return Ok(());
    }
    runtime.supervisor.shutdown().await.context("end the supervisor")?;
    let runtime = runtime.clone();
    tokio::task::spawn_blocking(move || {
        runtime.network.take_down_builtin().context("take the built-in network down")?;
        let group = runtime.cgroups.group(Path::new(&runtime.config.cgroup_parent))?;
        group.remove(DRAIN).context("remove the cgroup of all pods")?;
        directories::remove_empty(&runtime.config, runtime.images.list(None).is_empty())
    })
    .await?
}

async fn open(config: Config) -> Result<(Arc<Runtime>, Vec<supervisor::Known>, mpsc::Receiver<Event>)> {
    let cgroups = Hierarchies::of_host(&config.cgroup_root).context("find cgroup hierarchies")?;
    let programs = Programs {
        supervisor: config.program("orlop-supervisor"),
        socket: config.supervisor_socket(),
        exits: config.exits(),
        log: config.supervisor_log(),
        cgroup: Path::new(&config.cgroup_parent).join("supervisor"),
        hierarchies: cgroups.clone(),
    };
    let records = Records::open(config.records())?;
    let images = Images::open(ImagesConfig {
        registry_directories: config.certs_d.clone(),
        ..ImagesConfig::new(config.root.join("images"))
    })
    .context("open image store")?;
    let network = Network::new(NetworkConfig {
        conf_dir: config.cni_conf_dir.clone(),
        bin_dirs: config.cni_bin_dirs.clone(),
        cache_dir: config.state.join("cni"),
        state_dir: config.state.join("network"),
        builtin: Some(Builtin {
            name: config.network.name.clone(),
            bridge: config.network.bridge.clone(),
            subnets: vec![config.network.subnet.parse().with_context(|| {
                format!("use subnet {:?}: it is not of the form 10.85.0.0/16", config.network.subnet)
            })?],
            mtu: None,
        }),
        own_binary: Some(config.program("cni-plugins")),
        deadline: NETWORK_DEADLINE,
    });
    let (supervisor, known, events) = supervisor::start(programs).await?;
    let runtime = Runtime {
        records,
        trash: Trash::open(config.root.join("trash")).context("open trash")?,
        index: Index::default(),
        creations: Creations::default(),
        supervisor,
        images,
        network: Arc::new(network),
        namespaces: Namespaces::start().context("start thread for network namespaces")?,
        network_slots: Semaphore::new(NETWORK_SLOTS),
        cgroups,
        filters: Filters::default(),
        defaults: Defaults::of_host().context("look at the host")?,
        config,
    };
    Ok((Arc::new(runtime), known, events))
}

/// Hands what the supervisor tells to the owners of the pods it concerns.
async fn route(runtime: Arc<Runtime>, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Exited(exit) => {
                let sandbox = match runtime.index.container(&exit.id) {
                    Ok(container) => container.sandbox.clone(),
                    Err(_) => exit.id.clone(),
                };
                let inbox = runtime.index.inbox(&sandbox).ok();
                tokio::spawn(deliver(runtime.clone(), inbox, exit));
            }
            Event::Replaced => {
                for pod in runtime.index.pods() {
                    if let Ok(inbox) = runtime.index.inbox(&pod.id) {
                        // An owner that ends meanwhile has nothing left to lose.
                        tokio::spawn(async move { inbox.send(Command::SupervisorReplaced).await });
                    }
                }
            }
        }
    }
}

/// Tells the owner of a pod of an exit, in a task of its own: an owner that is busy must not hold up the exits of other
/// pods. A pod that was undone or is gone, and a process that recovery killed, have nobody who asks for the exit.
async fn deliver(runtime: Arc<Runtime>, inbox: Option<Inbox>, exit: Exit) {
    let id = exit.id.clone();
    let told = match inbox {
        Some(inbox) => inbox.send(Command::Exited(exit)).await.is_ok(),
        None => false,
    };
    if !told {
        runtime.forget(&id).await;
    }
}

/// Where log lines go: standard error, with colour on a terminal that wants it.
///
/// # Errors
/// The filter cannot be read.
pub fn start_logging(filter: &str) -> Result<()> {
    let colour = io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    // Not the filter with patterns: its regular expressions are a tenth of the daemon's memory.
    let filter: Targets = filter.parse().with_context(|| {
        format!("use log level {filter:?}: not error, warn, info, debug, trace or a filter")
    })?;
    let lines = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    Ok(())
}
