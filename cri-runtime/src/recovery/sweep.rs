//! Leftovers that no record names.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use crate::container::signal::SIGKILL;
use crate::error::chain;
use crate::id::is_id;
use crate::runtime::Runtime;
use crate::sandbox;
use crate::supervisor::Known;
use crate::timeline;

/// Ends processes and removes directories, groups and network attachments that belong to nothing. Each failure is a
/// line in the log: the next start tries again.
pub(super) fn sweep(runtime: &Runtime, strangers: impl Iterator<Item = Known>) {
    for known in strangers {
        tracing::warn!(id = %known.process.id, pid = known.process.pid, "process without a record is killed");
        if let Some(pidfd) = &known.pidfd {
            // It may have ended by itself.
            let _ = pidfd.send_signal(SIGKILL);
        }
    }
    let pods: HashSet<String> = runtime.index.pods().iter().map(|pod| pod.id.clone()).collect();
    let containers = runtime.index.containers();
    let ids: HashSet<&str> = containers.iter().map(|c| c.id.as_str()).collect();

    directories(&runtime.config.root.join("containers"), |id| ids.contains(id));
    runtime.trash.empty();
    pod_files(runtime, &pods);
    groups(runtime, &pods);
    if let Err(error) = runtime.records.sweep_specs(|id| ids.contains(id)) {
        tracing::warn!(error = %chain(&error), "specs of containers that are gone stay");
    }
    if let Err(error) =
        runtime.images.rebuild_holds(containers.iter().map(|c| (c.id.clone(), c.image.id.clone())))
    {
        tracing::warn!(error = %chain(&error), "layers of images that are gone stay");
    }
    let valid: Vec<&str> = pods.iter().map(String::as_str).collect();
    if let Err(error) = runtime.network.gc(&valid) {
        tracing::warn!(error = %chain(&error), "network attachments of pods that are gone stay");
    }
    if let Err(error) = timeline::expire(&runtime.config.timelines(), |id| pods.contains(id)) {
        tracing::warn!(error = %chain(&error), "old timelines stay");
    }
}

/// Entries of `dir` that have the form of an id.
fn entries(dir: &Path) -> Vec<String> {
    let read = fs::read_dir(dir).map(|entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| is_id(name)).collect()
    });
    match read {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "directory cannot be looked through for leftovers");
            Vec::new()
        }
    }
}

fn directories(dir: &Path, known: impl Fn(&str) -> bool) {
    for id in entries(dir).into_iter().filter(|id| !known(id)) {
        let path = dir.join(&id);
        tracing::info!(path = %path.display(), "directory of nothing is removed");
        if let Err(error) = kernel::tree::remove_all(&path) {
            tracing::warn!(path = %path.display(), %error, "directory of nothing stays");
        }
    }
}

/// Files of pods, with the shared memory that is mounted among them.
fn pod_files(runtime: &Runtime, pods: &HashSet<String>) {
    let dir = runtime.config.state.join("pods");
    for id in entries(&dir).into_iter().filter(|id| !pods.contains(id)) {
        if let Err(failure) = sandbox::unmount_shm(&dir.join(&id)) {
            tracing::warn!(pod = %id, error = %failure, "shared memory of nothing stays");
        }
    }
    directories(&dir, |id| pods.contains(id));
}

/// Groups of pods below our own parent. What the kubelet made is the kubelet's.
fn groups(runtime: &Runtime, pods: &HashSet<String>) {
    let parent = runtime.config.cgroup_parent.trim_start_matches('/');
    let mounts = ["pids", "freezer", "memory"].iter().filter_map(|c| runtime.cgroups.mount_of(c));
    let mut ids: HashSet<String> = HashSet::new();
    for mount in mounts.chain(runtime.cgroups.unified()) {
        ids.extend(entries(&mount.join(parent)));
    }
    for id in ids.into_iter().filter(|id| !pods.contains(id)) {
        let group = format!("/{parent}/{id}");
        tracing::info!(%group, "group of nothing is removed");
        if let Err(failure) = sandbox::remove_group(runtime, &group) {
            tracing::warn!(%group, error = %failure, "group of nothing stays");
        }
    }
}
