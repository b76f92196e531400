//! Names, identity, removal, holds.

use super::content::{archive, image, index, simple};
use super::*;

#[tokio::test]
async fn an_image_answers_to_every_form_of_its_name() {
    if !is_root() {
        return;
    }
    let mut node = Node::new();
    let content = image(vec![archive(&[("etc/", ""), ("etc/release", "one")])], "1000:50");
    node.registry.push("app/web:v1", &content);
    let pulled = node.pull("app/web:v1").await.unwrap();
    assert_eq!(pulled.id, content.config.digest.as_str());
    assert_eq!(pulled.repo_tags, [node.name("app/web:v1")]);
    let by_digest = node.name(&format!("app/web@{}", content.manifest.digest));
    assert_eq!(pulled.repo_digests, std::slice::from_ref(&by_digest));
    assert_eq!(pulled.user, ImageUser { uid: Some(1000), username: String::new() });
    assert!(pulled.size > 0);
    assert_eq!(visible(&pulled, "etc/release").as_deref(), Some("one"));
    for round in 0..2 {
        let hex = content.config.digest.hex().to_owned();
        let tag = node.name("app/web:v1");
        for name in [tag.as_str(), &by_digest, &pulled.id, &hex, &hex[..12], &format!("sha256:{}", &hex[..7])]
        {
            let found = node.images.status(name).unwrap_or_else(|| panic!("{name} in round {round}"));
            assert_eq!(
                (&found.id, &found.repo_tags, found.size),
                (&pulled.id, &pulled.repo_tags, pulled.size)
            );
        }
        assert!(node.images.status(&node.name("app/web:v2")).is_none());
        assert!(node.images.status("").is_none());
        node.reopen().await;
    }
    assert_eq!(node.images.fs_info().used_bytes, pulled.size);
    node.images.remove(&pulled.id).await.unwrap();
    node.images.remove(&pulled.id).await.unwrap();
    node.assert_empty();
    assert_eq!(node.images.fs_info().used_bytes, 0);
}

#[tokio::test]
async fn two_tags_are_one_image_and_removing_one_removes_all() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let content = simple("one");
    node.registry.push("a:1", &content);
    node.registry.push("b/c:2", &content);
    let first = node.pull("a:1").await.unwrap();
    let second = node.pull("b/c:2").await.unwrap();
    assert_eq!(first.id, second.id);
    assert_eq!(node.images.list(None).len(), 1);
    assert_eq!(second.repo_tags, [node.name("a:1"), node.name("b/c:2")]);
    assert_eq!(second.repo_digests.len(), 2);
    assert_eq!(node.registry.count(content.layers[0].digest.as_str()), 1, "the layer was fetched twice");
    let removals: Vec<_> = (0..5).map(|_| node.images.remove(&node.name("a:1"))).collect();
    for removal in removals {
        removal.await.unwrap();
        assert!(node.images.status(&first.id).is_none());
    }
    node.assert_empty();
}

#[tokio::test]
async fn by_digest_there_is_no_tag() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let content = simple("one");
    node.registry.push("a:1", &content);
    let digest = &content.manifest.digest;
    let pulled = node.pull(&format!("a:ignored@{digest}")).await.unwrap();
    assert!(pulled.repo_tags.is_empty());
    assert_eq!(pulled.repo_digests, [node.name(&format!("a@{digest}"))]);
}

#[tokio::test]
async fn a_tag_that_moves_takes_only_itself_along() {
    if !is_root() {
        return;
    }
    let mut node = Node::new();
    let (old, new) = (simple("old"), simple("new"));
    node.registry.push("a:1", &old);
    let first = node.pull("a:1").await.unwrap();
    node.registry.push("a:1", &new);
    let second = node.pull("a:1").await.unwrap();
    for _ in 0..2 {
        assert_ne!(first.id, second.id);
        assert_eq!(node.images.status(&node.name("a:1")).unwrap().id, second.id);
        let left = node.images.status(&first.id).expect("an image without tags stays until it is removed");
        assert!(left.repo_tags.is_empty() && left.repo_digests.len() == 1);
        node.reopen().await;
    }
}

#[tokio::test]
async fn indexes_of_both_families_lead_to_this_machines_image() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let content = simple("one");
    node.registry.push("a:plain", &content);
    for (tag, kind) in [
        ("oci", "application/vnd.oci.image.index.v1+json"),
        ("docker", "application/vnd.docker.distribution.manifest.list.v2+json"),
    ] {
        let index = index(kind, &content);
        node.registry.push_manifest(&format!("a:{tag}"), &index);
        let pulled = node.pull(&format!("a:{tag}")).await.unwrap();
        assert_eq!(pulled.id, content.config.digest.as_str());
        let digest = node.name(&format!("a@{}", index.digest));
        assert!(pulled.repo_digests.contains(&digest), "the digest is that of the index");
    }
    let arm = Platform { os: "linux".into(), architecture: "s390x".into(), variant: None };
    let base = tempfile::tempdir().unwrap();
    let other = Images::open(ImagesConfig { platform: arm, ..config(base.path()) }).unwrap();
    let request = PullRequest { reference: node.name("a:oci"), credentials: None };
    let error = other.pull(request).await.unwrap_err().message();
    assert!(error.contains("linux/s390x") && error.contains("linux/arm64, linux/amd64"), "{error}");
}

#[tokio::test]
async fn what_a_container_holds_stays_until_it_lets_go() {
    if !is_root() {
        return;
    }
    let mut node = Node::new();
    node.registry.push("a:1", &simple("held"));
    let pulled = node.pull("a:1").await.unwrap();
    node.images.hold(&pulled.id, "container").unwrap();
    assert!(node.images.hold("sha256:unknown", "container").is_err());
    node.images.remove(&pulled.id).await.unwrap();
    assert!(node.images.status(&pulled.id).is_none());
    node.reopen().await;
    assert_eq!(visible(&pulled, "etc/release").as_deref(), Some("held"), "gone before the holds were known");
    node.images.rebuild_holds([("container".to_owned(), pulled.id.clone())]).unwrap();
    assert_eq!(visible(&pulled, "etc/release").as_deref(), Some("held"));
    node.images.release("container").unwrap();
    node.assert_empty();
}

#[tokio::test]
async fn an_image_removed_while_held_can_be_pulled_again() {
    if !is_root() {
        return;
    }
    let mut node = Node::new();
    let content = simple("held");
    node.registry.push("a:1", &content);
    let pulled = node.pull("a:1").await.unwrap();
    node.images.hold(&pulled.id, "container").unwrap();
    node.images.remove(&pulled.id).await.unwrap();
    node.pull("a:1").await.unwrap();
    assert_eq!(node.registry.count(content.layers[0].digest.as_str()), 1, "its layers were still there");
    node.images.release("container").unwrap();
    node.reopen().await;
    node.images.rebuild_holds([]).unwrap();
    let image = node.images.status(&node.name("a:1")).unwrap();
    assert_eq!(visible(&image, "etc/release").as_deref(), Some("held"));
}

#[tokio::test]
async fn prune_spares_what_is_held_or_pinned() {
    if !is_root() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let registry = FakeRegistry::start();
    let pinned = vec![format!("{}/pause*", registry.address)];
    let images = Images::open(ImagesConfig { pinned, ..config(base.path()) }).unwrap();
    let mut ids = Vec::new();
    for name in ["pause:3", "used:1", "unused:1"] {
        registry.push(name, &simple(name));
        let reference = format!("{}/{name}", registry.address);
        ids.push(images.pull(PullRequest { reference, credentials: None }).await.unwrap().id.clone());
    }
    assert!(images.status(&ids[0]).unwrap().pinned && !images.status(&ids[1]).unwrap().pinned);
    images.hold(&ids[1], "container").unwrap();
    let pruned = images.prune().await.unwrap();
    assert_eq!(pruned.image_ids, [ids[2].clone()]);
    assert!(pruned.bytes > 0);
    assert_eq!(images.list(None).len(), 2);
}

#[tokio::test]
async fn attributes_of_a_directory_come_from_the_layer_that_describes_it() {
    if !is_root() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let node = Node::new();
    let content = image(vec![archive(&[("tmp/", ""), ("a", "1")]), archive(&[("tmp/x", "2")])], "");
    node.registry.push("a:1", &content);
    let pulled = node.pull("a:1").await.unwrap();
    assert_eq!(pulled.layers.len(), 3);
    let topmost = pulled.layers.iter().find(|layer| layer.join("tmp").exists()).unwrap();
    assert_eq!(std::fs::metadata(topmost.join("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
    assert_eq!(visible(&pulled, "tmp/x").as_deref(), Some("2"));
    node.images.remove(&pulled.id).await.unwrap();
    node.assert_empty();
}
