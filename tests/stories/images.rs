//! Images arrive whole or not at all, and the error says why.

use anyhow::Result;
use cri_api::v1::{ImageSpec, ImageStatusRequest, ListImagesRequest};
use tests::host;
use tests::image::{self, Builder, Compression, Layer};
use tests::registry::Fault;
use tests::runtime::{DEMO, Runtime};
use tonic::Code;

use crate::story;

async fn names(runtime: &Runtime) -> Result<Vec<String>> {
    let answer = runtime.images()?.list_images(ListImagesRequest::default()).await?.into_inner();
    Ok(answer.images.into_iter().flat_map(|image| image.repo_tags).collect())
}

#[tokio::test]
async fn an_image_is_pulled_named_and_run_whatever_compresses_it() -> Result<()> {
    story!("layers of every compression");
    let runtime = Runtime::start().await?;
    for (tag, compression) in
        [("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)]
    {
        let image = image::demo(&host::program("demo")?)?
            .layer(Layer::new().folder("etc", 0o755).file("etc/flavour", 0o644, format!("{tag}\n")))
            .compression(compression)
            .build()?;
        runtime.registry.push(&format!("flavour:{tag}"), &image);
        let name = format!("registry.test/flavour:{tag}");
        runtime.pull(&name).await?;
        let spec = Some(ImageSpec { image: name.clone(), ..ImageSpec::default() });
        let status = runtime
            .images()?
            .image_status(ImageStatusRequest { image: spec, verbose: false })
            .await?
            .into_inner();
        let found = status.image.ok_or_else(|| anyhow::anyhow!("{name} is not there"))?;
        assert_eq!(found.id, image.config);
        assert!(found.repo_tags.contains(&name), "{:?}", found.repo_tags);
        assert!(
            found.repo_digests.contains(&format!("registry.test/flavour@{}", image.manifest)),
            "{:?}",
            found.repo_digests
        );

        let sandbox = runtime.pod(tag);
        let pod = runtime.run_pod(&sandbox).await?;
        let config = runtime.container_of(&name, "main", &["cat", "/etc/flavour"]);
        let id = runtime.run_container(&pod, &sandbox, config).await?;
        assert_eq!(runtime.wait_exit(&id).await?.exit_code, 0);
        runtime.wait_line(&sandbox, "main", tag).await?;
        runtime.remove_pod(&pod).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_higher_layer_hides_and_replaces_what_is_below() -> Result<()> {
    story!("whiteouts");
    let runtime = Runtime::start().await?;
    let image = image::demo(&host::program("demo")?)?
        .layer(
            Layer::new()
                .folder("d", 0o755)
                .file("d/gone", 0o644, "x")
                .file("d/kept", 0o644, "x")
                .folder("o", 0o755)
                .file("o/old", 0o644, "x"),
        )
        .layer(Layer::new().file("d/.wh.gone", 0o644, "").file("o/new", 0o644, "x").file(
            "o/.wh..wh..opq",
            0o644,
            "",
        ))
        .build()?;
    runtime.registry.push("layers:1", &image);
    runtime.pull("registry.test/layers:1").await?;
    let sandbox = runtime.pod("layers");
    let pod = runtime.run_pod(&sandbox).await?;
    let config = runtime.container_of("registry.test/layers:1", "main", &["sleep"]);
    let id = runtime.run_container(&pod, &sandbox, config).await?;
    assert_eq!(runtime.output(&id, &["/bin/demo", "ls", "/d"]).await?, "kept\n");
    assert_eq!(runtime.output(&id, &["/bin/demo", "ls", "/o"]).await?, "new\n");
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_not_found() -> Result<()> {
    story!("an image that does not exist");
    let runtime = Runtime::start().await?;
    let status = runtime.pull("registry.test/nobody:1").await.expect_err("it does not exist");
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("registry.test/nobody:1"), "{}", status.message());
    assert_eq!(status.message().lines().count(), 1);

    let sandbox = runtime.pod("unpulled");
    let pod = runtime.run_pod(&sandbox).await?;
    let status = runtime
        .create(&pod, &sandbox, runtime.container("main", &["sleep"]))
        .await
        .expect_err("nobody pulled it");
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains(DEMO), "{}", status.message());
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn a_registry_that_is_down_is_named() -> Result<()> {
    story!("a registry that is down");
    let runtime = Runtime::start().await?;
    let other = tests::registry::Registry::start()?;
    other.write_hosts(&runtime.directory().join("certs.d"), "down.test")?;
    let address = other.address().to_string();
    drop(other);
    let status = runtime.pull("down.test/app:1").await.expect_err("nobody listens");
    // The kubelet knows this failure by the first word of the message, whatever the code.
    assert!(status.message().starts_with("RegistryUnavailable: "), "{}", status.message());
    assert!(status.message().contains(&address), "it names the address: {}", status.message());

    runtime.registry.set_fault(Fault::Status(503));
    let status = runtime.pull(DEMO).await.expect_err("it is sick");
    assert!(status.message().starts_with("RegistryUnavailable: "), "{}", status.message());
    runtime.registry.set_fault(Fault::None);
    runtime.pull(DEMO).await?;
    Ok(())
}

#[tokio::test]
async fn a_layer_with_one_flipped_bit_is_refused_and_leaves_nothing() -> Result<()> {
    story!("a corrupt layer");
    let runtime = Runtime::start().await?;
    let good = Builder::new().layer(Layer::new().file("a", 0o644, "x".repeat(100_000))).build()?;
    let mut bad = good.clone();
    bad.corrupt(&good.layers[0])?;
    runtime.registry.push("flipped:1", &bad);
    let status = runtime.pull("registry.test/flipped:1").await.expect_err("its digest is wrong");
    assert!(status.message().contains(&good.layers[0]), "it names the layer: {}", status.message());
    assert!(names(&runtime).await?.is_empty());
    // The right bytes under the same name are taken afterwards: nothing of the bad ones was kept.
    runtime.registry.push("flipped:1", &good);
    runtime.pull("registry.test/flipped:1").await?;
    Ok(())
}

#[tokio::test]
async fn a_transfer_that_breaks_off_is_taken_up_or_begun_again() -> Result<()> {
    story!("a transfer that breaks off");
    let runtime = Runtime::start().await?;
    runtime.registry.set_fault(Fault::CutBlobs);
    runtime.pull(DEMO).await.expect_err("every blob ends in the middle");
    assert!(names(&runtime).await?.is_empty());
    runtime.registry.set_fault(Fault::None);
    runtime.pull(DEMO).await?;
    assert_eq!(names(&runtime).await?, [DEMO]);
    Ok(())
}

#[tokio::test]
async fn pulls_of_one_image_at_once_fetch_it_once() -> Result<()> {
    story!("joined pulls");
    let runtime = Runtime::start().await?;
    let pulls = (0..8).map(|_| runtime.pull(DEMO));
    let mut references = Vec::new();
    for answer in join_all(pulls).await {
        references.push(answer?);
    }
    references.dedup();
    assert_eq!(references.len(), 1);
    let blobs = runtime
        .registry
        .requests()
        .into_iter()
        .filter(|request| request.starts_with("GET") && request.contains("/blobs/"));
    assert_eq!(blobs.count(), 2, "one configuration and one layer");
    Ok(())
}

/// All at once, in order of the calls.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in waiting.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
