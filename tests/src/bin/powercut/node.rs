//! One boot of the machine: a runtime on the disk that survived, and what must hold of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use cri_api::v1::{Image, ImageSpec, ListImagesRequest, NamespaceMode, PodSandboxConfig, RemoveImageRequest};
use tests::runtime::{Answer, REGISTRY, Runtime};
use tests::{log, patience};

use crate::gallery::{self, Gallery};

/// A tag that is moved from one image to another and back: it must always name one of them, whole.
const MOVING: &str = "cut/moving:1";

/// A runtime whose images outlive the machine.
pub struct Node {
    runtime: Runtime,
}

fn full_name(name: &str) -> String {
    format!("{REGISTRY}/{name}")
}

/// Tells `scripts/powercut` how far this boot has come.
fn tell(stage: &str) {
    println!("powercut: {stage}");
}

impl Node {
    /// Starts the runtime on what the disk holds.
    ///
    /// # Errors
    /// It does not start.
    pub async fn boot(disk: &Path) -> Result<Self> {
        let folder = disk.join("node");
        let directory = folder.join("rt");
        // What scripts/dev-runtime writes for itself is no part of the promise, and may be half there.
        for name in ["instance.json", "instance.new", "options.json"] {
            match std::fs::remove_file(directory.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {name}"));
                }
                _ => {}
            }
        }
        // The state folder is below /run on a real node: it goes with the power.
        let state = directory.join("state");
        std::fs::create_dir_all(&state).with_context(|| format!("make {}", state.display()))?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "state"]).arg(&state).status();
        ensure!(mounted.context("run mount")?.success(), "mount a tmpfs at {}", state.display());
        let mut runtime = Runtime::prepare_in(&folder, &[])?;
        tell("recovering");
        runtime.restart().await?;
        Ok(Self { runtime })
    }

    /// The end of the daemon's log.
    pub fn log_end(&self) -> String {
        self.runtime.log_end()
    }

    async fn listed(&self) -> Result<Vec<Image>> {
        Ok(self.runtime.images()?.list_images(ListImagesRequest::default()).await?.into_inner().images)
    }

    /// Every listed image is the right one and runs; what is missing is pulled and runs; nothing unfinished is left.
    ///
    /// # Errors
    /// Any of it does not hold.
    pub async fn check(&self, gallery: &Gallery) -> Result<()> {
        for (place, image) in gallery.images.iter().enumerate() {
            self.runtime.registry.push(&Gallery::name(place), image);
        }
        let listed = self.listed().await?;
        self.no_leftovers(gallery, &listed)?;
        let mut names = BTreeSet::new();
        for image in &listed {
            for name in &image.repo_tags {
                ensure!(names.insert(name.clone()), "{name} is listed twice");
                let right = expected(gallery, name).context("an image is listed that nobody offered")?;
                ensure!(right.contains(&image.id.as_str()), "{name} is {}, not one of {right:?}", image.id);
            }
        }
        tell(&format!("survived: {} images with {} names", listed.len(), names.len()));
        for name in &names {
            self.run(name).await.with_context(|| format!("run {name}, which was listed after the cut"))?;
        }
        for name in (0..gallery.images.len()).map(|place| full_name(&Gallery::name(place))) {
            if !names.contains(&name) {
                self.runtime.pull(&name).await.with_context(|| format!("pull {name} anew"))?;
                self.run(&name).await.with_context(|| format!("run {name}, which was pulled anew"))?;
            }
        }
        Ok(())
    }

    /// Nothing in the folder of unfinished work, and no layer that no image has.
    fn no_leftovers(&self, gallery: &Gallery, listed: &[Image]) -> Result<()> {
        let images = self.runtime.directory().join("root/images");
        patience::until_now("unfinished work is removed", || {
            Ok(entries(&images.join("ingest"))?.is_empty().then_some(()))
        })?;
        // The record of a layer that no image had yet was never flushed and may be unreadable; an image's was.
        let lost = entries(&images.join("quarantine"))?.into_iter().find(|path| {
            let name = path.to_string_lossy();
            gallery.images.iter().any(|image| name.contains(image.config.trim_start_matches("sha256:")))
        });
        ensure!(lost.is_none(), "the record of an image was lost: {lost:?}");
        let mut layers = BTreeSet::new();
        for image in gallery.images.iter().filter(|known| listed.iter().any(|image| image.id == known.config))
        {
            layers.extend(gallery::diff_ids(image)?);
        }
        patience::until_now("layers of no image are removed", || {
            Ok((entries(&images.join("layers"))?.len() == layers.len()).then_some(()))
        })
        .with_context(|| format!("the images that are listed have {} layers", layers.len()))
    }

    /// A container of the image reads and compares every file of it.
    async fn run(&self, name: &str) -> Result<()> {
        let sandbox = on_host(self.runtime.pod("check"))?;
        let pod = self.runtime.run_pod(&sandbox).await?;
        let config = self.runtime.container_of(name, "check", &[]);
        let id = self.runtime.run_container(&pod, &sandbox, config).await?;
        let status = self.runtime.wait_exit(&id).await?;
        if status.exit_code != 0 {
            let said = log::lines(&self.runtime.log(&sandbox, "check")).unwrap_or_default();
            bail!("its check ended with {} ({}):\n{}", status.exit_code, status.reason, said.join("\n"));
        }
        self.runtime.remove_pod(&pod).await?;
        // The log stays for the kubelet, which would be us.
        let path = self.runtime.log(&sandbox, "check");
        std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))
    }

    /// Pulls and removes images, two at a time, until the power goes.
    ///
    /// # Errors
    /// A pull or a removal failed.
    pub async fn churn(&self, gallery: &Gallery, seed: u64) -> Result<()> {
        tell("pulling");
        let mut dice = Dice(seed);
        loop {
            let (one, two) = (dice.throw(gallery.images.len() + 1), dice.throw(gallery.images.len() + 1));
            let target = dice.throw(gallery.images.len());
            self.runtime.registry.push(MOVING, &gallery.images[target]);
            let (first, second) = tokio::join!(self.turn(gallery, one), self.turn(gallery, two));
            first.with_context(|| format!("turn of place {one}"))?;
            second.with_context(|| format!("turn of place {two}"))?;
        }
    }

    /// Pulls the image at a place, or removes it when more than half of them are there; the place behind the last is the
    /// moving tag.
    async fn turn(&self, gallery: &Gallery, place: usize) -> Answer<()> {
        if place == gallery.images.len() {
            return self.runtime.pull(&full_name(MOVING)).await.map(drop);
        }
        let name = full_name(&Gallery::name(place));
        let listed = self.listed().await.map_err(|error| tonic::Status::unavailable(format!("{error:#}")))?;
        let enough = listed.len() > gallery.images.len() / 2;
        if enough && listed.iter().any(|image| image.repo_tags.contains(&name)) {
            let mut client =
                self.runtime.images().map_err(|error| tonic::Status::unavailable(format!("{error:#}")))?;
            let image = Some(ImageSpec { image: name, ..ImageSpec::default() });
            client.remove_image(RemoveImageRequest { image }).await.map(drop)
        } else {
            self.runtime.pull(&name).await.map(drop)
        }
    }

    /// Removes the runtime.
    ///
    /// # Errors
    /// Something stays.
    pub async fn end(&mut self) -> Result<()> {
        let state = self.runtime.directory().join("state");
        self.runtime.terminate_daemon().await?;
        let ended = Command::new("umount").arg("-l").arg(&state).status().context("run umount")?;
        ensure!(ended.success(), "unmount {}", state.display());
        self.runtime.wipe()
    }
}

/// Ids that an image may have under this name.
fn expected<'a>(gallery: &'a Gallery, name: &str) -> Option<Vec<&'a str>> {
    if name == full_name(MOVING) {
        return Some(gallery.images.iter().map(|image| image.config.as_str()).collect());
    }
    let place = (0..gallery.images.len()).find(|place| name == full_name(&Gallery::name(*place)))?;
    Some(vec![gallery.images[place].config.as_str()])
}

/// The network is no part of this: a pod on the host's is made sooner.
fn on_host(mut sandbox: PodSandboxConfig) -> Result<PodSandboxConfig> {
    let options = sandbox
        .linux
        .as_mut()
        .and_then(|linux| linux.security_context.as_mut())
        .and_then(|context| context.namespace_options.as_mut())
        .context("the pod has no namespace options")?;
    options.network = NamespaceMode::Node.into();
    Ok(sandbox)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("open {}", folder.display())),
    }
}

/// The same throws for the same seed (a linear congruential generator; its high bits are good enough for a game).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % sides.max(1)
    }
}
