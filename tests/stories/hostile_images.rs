//! Images made to reach the host, or to hurt the daemon that reads them.

use anyhow::Result;
use cri_api::v1::{LinuxContainerConfig, LinuxContainerSecurityContext};
use tests::host;
use tests::image::{self, Builder, Layer};
use tests::runtime::Runtime;
use tonic::Code;

use crate::story;

#[tokio::test]
async fn a_layer_that_climbs_out_of_its_root_reaches_nothing() -> Result<()> {
    story!("a layer that climbs");
    let runtime = Runtime::start().await?;
    let mark = runtime.scratch("outside")?.join("reached");
    let absolute = mark.to_string_lossy().into_owned();
    let climbing = format!("../../../../../../../../../../../..{absolute}");
    let below = absolute.trim_start_matches('/');
    let layers = [
        ("climbs", Layer::new().file(&climbing, 0o644, "x")),
        ("absolute", Layer::new().file(&absolute, 0o644, "x")),
        ("through-link", Layer::new().symlink("link", "/").file(&format!("link/{below}"), 0o644, "x")),
        (
            "through-climbing-link",
            Layer::new().symlink("link", "../../../../../../../..").file(
                &format!("link/{below}"),
                0o644,
                "x",
            ),
        ),
        ("over-link", Layer::new().symlink("file", &absolute).file("file", 0o644, "x")),
        ("hard-link", Layer::new().hardlink("stolen", &climbing).file("stolen", 0o644, "x")),
        ("whiteout", Layer::new().file("../.wh.outside", 0o644, "")),
        ("dots", Layer::new().file("a/../../../../b", 0o644, "x")),
    ];
    for (name, layer) in layers {
        let image = Builder::new().layer(layer).build()?;
        runtime.registry.push(&format!("{name}:1"), &image);
        // Refused, or confined to the image's own root: both are right, and which one is for the runtime to say.
        match runtime.pull(&format!("registry.test/{name}:1")).await {
            Ok(_) => {}
            Err(status) => {
                assert!(
                    status.message().contains(&image.layers[0]),
                    "{name}: the layer is named: {status:?}"
                );
                assert_eq!(status.message().lines().count(), 1, "{name}: {status:?}");
            }
        }
        assert!(!mark.exists(), "{name} wrote outside of its root");
        assert!(
            mark.parent().is_some_and(std::path::Path::exists),
            "{name} removed a folder outside of its root"
        );
    }
    Ok(())
}

async fn created_with_passwd(runtime: &Runtime, name: &str, etc: Layer) -> Result<()> {
    let program = std::fs::read(host::program("demo")?)?;
    let image = Builder::new()
        .layer(Layer::new().folder("bin", 0o755).file("bin/demo", 0o755, program))
        .layer(etc)
        .process(image::Process { entrypoint: vec!["/bin/demo".to_owned()], ..image::Process::default() })
        .build()?;
    runtime.registry.push(&format!("{name}:1"), &image);
    let reference = format!("registry.test/{name}:1");
    runtime.pull(&reference).await?;
    let sandbox = runtime.pod(name);
    let pod = runtime.run_pod(&sandbox).await?;
    let mut config = runtime.container_of(&reference, "main", &["sleep"]);
    let context = LinuxContainerSecurityContext {
        run_as_username: "web".to_owned(),
        ..LinuxContainerSecurityContext::default()
    };
    config.linux =
        Some(LinuxContainerConfig { security_context: Some(context), ..LinuxContainerConfig::default() });
    let status = runtime.create(&pod, &sandbox, config).await.expect_err("the user cannot be found");
    assert_eq!(status.code(), Code::InvalidArgument, "{name}: {}", status.message());
    assert!(
        status.message().contains("web") || status.message().contains("passwd"),
        "{name}: {}",
        status.message()
    );

    assert!(runtime.containers().await?.is_empty(), "{name}: nothing is left of it");
    runtime.remove_pod(&pod).await?;
    Ok(())
}

#[tokio::test]
async fn a_passwd_that_never_ends_does_not_hold_the_daemon() -> Result<()> {
    story!("a passwd that is a FIFO, or 10 GB");
    let runtime = Runtime::start().await?;
    created_with_passwd(
        &runtime,
        "fifo",
        Layer::new().folder("etc", 0o755).fifo("etc/passwd").fifo("etc/group"),
    )
    .await?;
    created_with_passwd(&runtime, "huge", Layer::new().folder("etc", 0o755).hole("etc/passwd", 10 << 30))
        .await?;
    created_with_passwd(
        &runtime,
        "link",
        Layer::new().folder("etc", 0o755).symlink("etc/passwd", "/proc/kmsg"),
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_passwd_that_points_at_the_host_is_read_inside_the_image() -> Result<()> {
    story!("a passwd that points at the host");
    let runtime = Runtime::start().await?;
    let outside = runtime.scratch("outside")?.join("passwd");
    std::fs::write(&outside, "web:x:4242:4242::/:/bin/sh\n")?;
    let layer = Layer::new().folder("etc", 0o755).symlink("etc/passwd", &outside.to_string_lossy());
    created_with_passwd(&runtime, "pointing", layer).await
}
