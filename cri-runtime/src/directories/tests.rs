use std::path::PathBuf;

use super::*;
use crate::config::BuiltinNetwork;

fn config(base: &Path) -> Config {
    Config {
        root: base.join("root"),
        state: base.join("state"),
        socket: base.join("state/orlop.sock"),
        cgroup_root: PathBuf::from("/sys/fs/cgroup"),
        cgroup_parent: "/none".to_owned(),
        certs_d: Vec::new(),
        cni_conf_dir: base.join("net.d"),
        cni_bin_dirs: Vec::new(),
        network: BuiltinNetwork::default(),
        libexec: base.to_owned(),
        ephemeral: true,
        max_log_line: 1024,
    }
}

fn make(base: &Path, directories: &[&str], files: &[&str]) {
    for directory in directories {
        fs::create_dir_all(base.join(directory)).unwrap();
    }
    for file in files {
        fs::write(base.join(file), "kept").unwrap();
    }
}

#[test]
fn an_unused_daemon_leaves_no_directory() {
    let base = tempfile::tempdir().unwrap();
    let config = config(base.path());
    let locks = prepare(&config).unwrap();
    assert!(prepare(&config).unwrap_err().to_string().contains("runs there already"));
    make(
        base.path(),
        &["state/network/networks/orlop", "state/pods", "root/images/layers", "root/images/records/removed"],
        &["state/orlop.sock", "state/supervisor.sock", "root/images/lock"],
    );
    fs::write(config.supervisor_log(), "ended").unwrap();
    remove_empty(&config, true).unwrap();
    assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    remove_empty(&config, true).unwrap();
    drop(locks);
}

#[test]
fn what_somebody_may_still_want_stays() {
    let base = tempfile::tempdir().unwrap();
    let config = config(base.path());
    let _locks = prepare(&config).unwrap();
    let kept = ["state/records/quarantine/a", "root/timelines/a.jsonl"];
    make(base.path(), &["state/records/quarantine", "root/images/layers/a/tmp", "root/images/ingest"], &kept);
    remove_empty(&config, false).unwrap();
    for file in kept {
        assert!(base.path().join(file).exists(), "{file}");
    }
    assert!(base.path().join("root/images/layers/a/tmp").is_dir(), "part of an image");
    assert!(base.path().join("root/images/ingest").is_dir(), "the store stays whole");
    assert!(!config.exits().exists() && !base.path().join("root/containers").exists());
    // Without images a layer nobody could remove is still not taken apart.
    remove_empty(&config, true).unwrap();
    assert!(base.path().join("root/images/layers/a/tmp").is_dir());
    assert!(!base.path().join("root/images/ingest").exists());
}
