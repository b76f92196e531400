//! Getting content: joining, resuming, authentication, mirrors, imports.

use super::content::{TestImage, archive, image, index, simple};
use super::registry::Auth;
use super::*;

fn large() -> TestImage {
    let content = "0123456789abcdef".repeat(20_000);
    image(vec![archive(&[("big", &content)])], "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_at_the_same_time_share_one_download_and_one_may_leave() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let content = large();
    for tag in ["a:1", "a:2", "b:1"] {
        node.registry.push(tag, &content);
    }
    node.registry.with(|state| state.closed = true);
    let request = |name: &str| PullRequest { reference: node.name(name), credentials: None };
    let abandoned = node.images.pull(request("a:1"));
    let pulls: Vec<_> = ["a:1", "a:1", "a:2", "b:1"].map(|name| node.images.pull(request(name))).into();
    drop(abandoned);
    node.registry.await_request(content.config.digest.as_str());
    node.registry.with(|state| state.closed = false);
    for pull in pulls {
        assert_eq!(pull.await.unwrap().id, content.config.digest.as_str());
    }
    assert_eq!(node.registry.count(content.layers[0].digest.as_str()), 1);
    assert_eq!(node.registry.count("/v2/a/manifests/1"), 1, "equal pulls are one");
    assert_eq!(node.registry.count("/manifests/"), 3, "every other pull asks the registry itself");
}

#[tokio::test]
async fn a_broken_connection_is_resumed_where_it_broke() {
    if !is_root() {
        return;
    }
    for ignores_ranges in [false, true] {
        let node = Node::new();
        let content = large();
        let layer = &content.layers[0];
        node.registry.push("a:1", &content);
        node.registry.with(|state| {
            state.ignores_ranges = ignores_ranges;
            state.cuts.insert(layer.digest.to_string(), [100_000, 150_000].into());
        });
        let (progress, pull) =
            node.images.pull_with_progress(PullRequest { reference: node.name("a:1"), credentials: None });
        pull.await.unwrap();
        assert_eq!(node.registry.count(layer.digest.as_str()), 3);
        let sent = node.registry.with(|state| state.blob_bytes) as usize;
        if !ignores_ranges {
            assert!(
                sent <= layer.bytes.len() + content.config.bytes.len() + 250_000,
                "{sent} bytes were sent"
            );
        }
        let layers = progress.borrow().snapshot();
        assert_eq!((layers[0].phase, layers[0].bytes_done), (Phase::Done, layer.bytes.len() as u64));
    }
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_and_a_missing_one_is_named() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let content = simple("one");
    node.registry.push("a:1", &content);
    node.registry.with(|state| {
        state.statuses.push(("/manifests/".into(), [503, 429].into()));
        state.statuses.push(("/blobs/".into(), [500].into()));
    });
    node.pull("a:1").await.unwrap();
    let error = node.pull_error("a:2").await;
    assert!(
        error.contains("404") && error.contains("a:2") && error.contains(&node.registry.address),
        "{error}"
    );
    node.registry.with(|state| state.statuses.push(("/manifests/3".into(), [503; 20].into())));
    let error = node.pull_error("a:3").await;
    assert!(error.starts_with("RegistryUnavailable: ") && error.contains("503"), "{error}");
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let request = PullRequest { reference: format!("127.0.0.1:{port}/a:1"), credentials: None };
    let error = node.images.pull(request).await.unwrap_err().message();
    assert!(error.starts_with("RegistryUnavailable: ") && error.contains(&port.to_string()), "{error}");
}

fn credentials(change: impl FnOnce(&mut AuthFields<'_>)) -> Option<Credentials> {
    let mut fields = AuthFields::default();
    change(&mut fields);
    Credentials::from_fields(fields).unwrap()
}

#[tokio::test]
async fn every_kind_of_credentials_opens_its_door_and_no_other() {
    if !is_root() {
        return;
    }
    let password = || credentials(|fields| (fields.username, fields.password) = ("u", "p"));
    let basic = "dTpw".to_owned();
    let cases = [
        (Auth::Basic(basic.clone()), password()),
        (Auth::Token { secret: Some(basic) }, password()),
        (Auth::Token { secret: None }, None),
        (
            Auth::Token { secret: Some("refresh_token=r3fresh".into()) },
            credentials(|fields| fields.identity_token = "r3fresh"),
        ),
        (Auth::Bearer("r4w".into()), credentials(|fields| fields.registry_token = "r4w")),
    ];
    for (auth, good) in cases {
        let node = Node::new();
        node.registry.push("a:1", &simple("secret"));
        let is_open = matches!(auth, Auth::Token { secret: None });
        node.registry.with(|state| state.auth = Some(auth.clone()));
        let reference = node.name("a:1");
        let pull = |credentials| node.images.pull(PullRequest { reference: reference.clone(), credentials });
        let bad = credentials(|fields| (fields.username, fields.password) = ("u", "wr0ng"));
        for refused in [None, bad].into_iter().filter(|_| !is_open) {
            let error = pull(refused).await.unwrap_err().message();
            // A registry that takes only its own tokens has no token server to say no.
            let has_server = !matches!(auth, Auth::Bearer(_));
            assert!(!has_server || error.contains("access denied (HTTP 401)"), "{auth:?}: {error}");
            assert!(!error.contains("wr0ng"), "{error}");
        }
        pull(good).await.unwrap();
        assert!(is_open || pull(None).await.is_err(), "what is stored is not given without access");
    }
}

#[tokio::test]
async fn credentials_stay_with_the_registry_they_are_for() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let content = simple("one");
    let elsewhere = FakeRegistry::start();
    elsewhere.push("a:1", &content);
    node.registry.push("a:1", &content);
    node.registry.with(|state| {
        state.auth = Some(Auth::Basic("dTpw".into()));
        state.redirect = Some(format!("http://{}", elsewhere.address));
    });
    let for_server = |server: &str| {
        credentials(|fields| {
            (fields.username, fields.password, fields.server_address) =
                ("u", "p", &server.to_owned().leak()[..])
        })
    };
    let pull = |credentials| node.images.pull(PullRequest { reference: node.name("a:1"), credentials });
    assert!(pull(for_server("other.example")).await.is_err());
    pull(for_server(&node.registry.address)).await.unwrap();
    assert!(elsewhere.count("/blobs/") > 0);
    let leaked =
        elsewhere.with(|state| state.seen.iter().any(|seen| seen.headers.contains_key("authorization")));
    assert!(!leaked, "credentials went along with a redirect");
}

#[tokio::test]
async fn mirrors_are_asked_first_without_credentials_and_the_next_one_helps() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let content = simple("one");
    node.registry.push("pause:3", &content);
    let empty = FakeRegistry::start();
    let directory = node.base.path().join("certs.d/registry.k8s.io");
    std::fs::create_dir_all(&directory).unwrap();
    let hosts = format!(
        "server = \"http://{mirror}\"\n[host.\"http://{empty}\"]\ncapabilities = [\"pull\", \"resolve\"]\n\
         [host.\"http://{mirror}\"]\ncapabilities = [\"pull\", \"resolve\"]\n",
        mirror = node.registry.address,
        empty = empty.address
    );
    std::fs::write(directory.join("hosts.toml"), hosts).unwrap();
    let credentials = credentials(|fields| (fields.username, fields.password) = ("u", "p"));
    let request = PullRequest { reference: "registry.k8s.io/pause:3".into(), credentials };
    let pulled = node.images.pull(request).await.unwrap();
    assert_eq!(pulled.repo_tags, ["registry.k8s.io/pause:3"]);
    assert!(empty.count("/manifests/3?ns=registry.k8s.io") > 0);
    for registry in [&empty, &node.registry] {
        let leaked =
            registry.with(|state| state.seen.iter().any(|seen| seen.headers.contains_key("authorization")));
        assert!(!leaked);
    }
}

fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

async fn import(node: &Node, archive: Vec<u8>, name: Option<&str>) -> Result<Vec<Arc<Image>>, ImportError> {
    let progress = tokio::sync::watch::Sender::new(Progress::default());
    node.images.import(std::io::Cursor::new(archive), name.map(str::to_owned), &progress).await
}

#[tokio::test]
async fn an_oci_layout_is_imported() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let content = simple("imported");
    let nested = index("application/vnd.oci.image.index.v1+json", &content);
    let top = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": nested.digest, "size": nested.bytes.len(),
        "annotations": {"org.opencontainers.image.ref.name": "example.com/app:1"},
    }]});
    let mut files = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), top.to_string().into_bytes()),
    ];
    for blob in [&nested, &content.manifest, &content.config, &content.layers[0]] {
        files.push((blob_path(&blob.digest), blob.bytes.clone()));
    }
    let imported = import(&node, super::content::gzip(&tar_of(&files)), None).await.unwrap();
    assert_eq!(imported[0].repo_tags, ["example.com/app:1"]);
    assert_eq!(imported[0].repo_digests, [format!("example.com/app@{}", nested.digest)]);
    assert_eq!(visible(&imported[0], "etc/release").as_deref(), Some("imported"));
    let renamed = import(&node, tar_of(&files), Some("other:2")).await.unwrap();
    assert_eq!((&renamed[0].id, renamed[0].repo_tags.len()), (&imported[0].id, 2));
    // One bit of the layer.
    node.images.remove(&imported[0].id).await.unwrap();
    files[5].1[200] ^= 1;
    let error = import(&node, tar_of(&files), None).await.unwrap_err().message();
    assert!(error.contains("verify layer") || error.contains("read layer"), "{error}");
    node.assert_empty();
}

#[tokio::test]
async fn a_docker_archive_is_imported() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let content = image(vec![archive(&[("a", "1")]), archive(&[("b", "2")])], "www");
    let manifest = serde_json::json!([{
        "Config": "config.json", "RepoTags": ["app:1", "app:2"], "Layers": ["one/layer.tar", "two/layer.tar"],
    }]);
    let files = [
        ("one/layer.tar".to_owned(), content.archives[0].clone()),
        ("two/layer.tar".to_owned(), content.archives[1].clone()),
        ("config.json".to_owned(), content.config.bytes.clone()),
        ("manifest.json".to_owned(), manifest.to_string().into_bytes()),
    ];
    let imported = import(&node, tar_of(&files), None).await.unwrap();
    assert_eq!(imported[0].repo_tags, ["docker.io/library/app:1", "docker.io/library/app:2"]);
    assert_eq!(imported[0].id, content.config.digest.as_str());
    assert_eq!(imported[0].user.username, "www");
    assert_eq!(visible(&imported[0], "b").as_deref(), Some("2"));
    let error = import(&node, tar_of(&files[..2]), None).await.unwrap_err().message();
    assert!(error.contains("neither index.json"), "{error}");
}
