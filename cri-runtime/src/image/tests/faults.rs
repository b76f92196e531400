//! What is damaged, missing, or full.

use std::process::Command;

use super::content::{Blob, archive, image, manifest, simple};
use super::*;

#[tokio::test]
async fn one_flipped_bit_makes_nothing_visible() {
    if !is_root() {
        return;
    }
    let content = simple("one");
    let layer = content.layers[0].clone();
    for (what, digest) in [("layer", &layer.digest), ("configuration", &content.config.digest)] {
        let node = Node::new();
        node.registry.push("a:1", &content);
        node.registry.with(|state| {
            let bytes = state.blobs.get_mut(digest.as_str()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
        let error = node.pull_error("a:1").await;
        assert!(error.contains("digest is") || error.contains("read layer"), "{what}: {error}");
        node.assert_empty();
    }
    let node = Node::new();
    let mut damaged = content.manifest.clone();
    damaged.bytes[20] ^= 1;
    node.registry.push("a:1", &content);
    node.registry.push_manifest("a:1", &damaged);
    let error = node.pull_error(&format!("a@{}", content.manifest.digest)).await;
    assert!(error.contains("digest is"), "{error}");
    node.assert_empty();
}

#[tokio::test]
async fn a_layer_that_is_not_what_the_configuration_says_is_refused() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let honest = image(vec![archive(&[("a", "1")])], "");
    let swapped = Blob::new(super::content::gzip(&archive(&[("a", "evil")])));
    let lying = super::content::TestImage {
        manifest: manifest(&honest.config, std::slice::from_ref(&swapped)),
        layers: vec![swapped],
        ..honest.clone()
    };
    node.registry.push("a:1", &lying);
    let error = node.pull_error("a:1").await;
    assert!(error.contains("diff id"), "{error}");
    let short = super::content::TestImage { manifest: manifest(&honest.config, &[]), ..honest };
    node.registry.push("a:2", &short);
    assert!(node.pull_error("a:2").await.contains("1 diff ids for 0 layers"));
    node.assert_empty();
}

#[tokio::test]
async fn hostile_documents_are_refused_by_name() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let schema_one = Blob::new(br#"{"schemaVersion": 1, "fsLayers": [], "history": []}"#.to_vec());
    node.registry.push_manifest("a:old", &schema_one);
    assert!(node.pull_error("a:old").await.contains("schema 1"));
    let huge = Blob::new(vec![b' '; 5 << 20]);
    node.registry.push_manifest("a:huge", &huge);
    assert!(node.pull_error("a:huge").await.contains("larger than"));
    let own = "application/vnd.oci.image.index.v1+json";
    let mut inner = simple("x");
    for _ in 0..6 {
        inner.manifest = super::content::index(own, &inner);
        node.registry.push_manifest("a:deep", &inner.manifest);
    }
    assert!(node.pull_error("a:deep").await.contains("nested too deeply"));
    let request = PullRequest { reference: "UPPER/case".into(), credentials: None };
    assert!(matches!(&*node.images.pull(request).await.unwrap_err(), PullError::Reference(_)));
}

/// A small file system, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let option = format!("size={size}");
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", &option, "orlop-test"]).arg(directory.path()).status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        if !is_mounted {
            eprintln!("skipped: a small tmpfs cannot be mounted");
        }
        is_mounted.then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "unmount {:?}", self.0.path());
    }
}

/// An image of one layer that compresses well.
fn compressed(layer: Vec<u8>) -> super::content::TestImage {
    let blob = Blob::new(zstd::encode_all(&layer[..], 3).unwrap());
    let config = image(vec![layer], "").config;
    let manifest = manifest(&config, std::slice::from_ref(&blob));
    super::content::TestImage { manifest, layers: vec![blob], archives: Vec::new(), config }
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let Some(disk) = SmallDisk::new("2m") else { return };
    let registry = FakeRegistry::start();
    // Compressed both fit, unpacked they do not: many small files need a page each, which the disk itself notices; a
    // large file is noticed by what the archive says.
    let names: Vec<_> = (0..900).map(|number| format!("file{number}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    registry.push("files:1", &compressed(archive(&files)));
    registry.push("large:1", &compressed(archive(&[("large", &"x".repeat(8 << 20))])));
    registry.push("small:1", &simple("fits"));
    let images = Images::open(super::config(disk.0.path())).unwrap();
    let pull = |name: &str| {
        images.pull(PullRequest { reference: format!("{}/{name}", registry.address), credentials: None })
    };
    for name in ["files:1", "large:1"] {
        let error = pull(name).await.unwrap_err();
        assert!(error.is_out_of_space(), "{name}: {}", error.message());
        assert!(error.message().to_lowercase().contains("no space left"), "{name}: {}", error.message());
        assert_eq!(std::fs::read_dir(disk.0.path().join("images/ingest")).unwrap().count(), 0);
        assert!(images.list(None).is_empty());
    }
    let small = pull("small:1").await.expect("after a full disk everything goes on");
    std::fs::write(disk.0.path().join("filler"), vec![0; 4 << 20]).unwrap_err();
    images.remove(&small.id).await.expect("removal needs no space");
    images.drain_removals();
    drop((images, small));
}

#[tokio::test]
async fn a_damaged_record_costs_its_image_and_nothing_else() {
    if !is_root() {
        return;
    }
    let mut node = Node::new();
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("truncated", |bytes| bytes.truncate(bytes.len() / 2)),
        ("empty", Vec::clear),
        ("zeroed", |bytes| bytes.fill(0)),
        ("another version", |bytes| {
            *bytes = String::from_utf8_lossy(bytes).replace("\"version\":1", "\"version\":9").into()
        }),
    ];
    for directory in ["records/images", "records/layers", "blobs"] {
        for (damage, change) in damages {
            if directory == "blobs" && damage == "another version" {
                continue;
            }
            let (kept, damaged) = (simple("kept"), simple(damage));
            node.registry.push("kept:1", &kept);
            node.registry.push("damaged:1", &damaged);
            node.pull("kept:1").await.unwrap();
            let image = node.pull("damaged:1").await.unwrap();
            let digest = match directory {
                "records/layers" => Digest::of(&damaged.archives[0]),
                _ => damaged.config.digest.clone(),
            };
            let suffix = if directory == "blobs" { "" } else { ".json" };
            let path = node.path(&format!("{directory}/{}{suffix}", digest.hex()));
            let mut bytes = std::fs::read(&path).unwrap();
            change(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
            node.reopen().await;
            assert!(node.images.status(&image.id).is_none(), "{damage} {directory}");
            assert!(node.images.status(&node.name("kept:1")).is_some(), "{damage} {directory}");
            assert!(node.count("quarantine") > 0);
            let again = node.pull("damaged:1").await.unwrap();
            assert_eq!(visible(&again, "etc/release").as_deref(), Some(damage));
        }
    }
}

#[tokio::test]
async fn two_daemons_do_not_share_a_directory() {
    let node = Node::new();
    let error = Images::open(config(node.base.path())).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
}
