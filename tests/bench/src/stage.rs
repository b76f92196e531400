//! Everything that is set up for a run, and taken down again: folders, images, networks, registry, both runtimes, the floor.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;
use tests::host;
use tests::image::{self, Builder, Layer, Process};

use crate::Runtime;
use crate::floor::Floor;
use crate::registry::Registry;
use crate::subject::{IMAGE, Subject, ours, peer};

/// The image the peer takes sandboxes from; ours has its pause built in.
pub const PAUSE_IMAGE: &str = "bench.local/pause:1";
/// Name of the image that is pulled, below the registry's address.
const SMALL: &str = "bench/small";
/// What a small image weighs, bytes; its content cannot be compressed.
const SMALL_BYTES: usize = 1_200_000;

/// Where things are.
pub struct Places {
    /// Everything is below.
    pub dir: PathBuf,
    /// Pods' logs.
    pub logs: PathBuf,
    /// Registry configuration for both.
    pub certificates: PathBuf,
}

/// A run's set-up.
pub struct Stage {
    places: Places,
    cgroup: String,
    programs: Option<peer::Programs>,
    registry: Option<Registry>,
    /// What is measured, ours first.
    pub subjects: Vec<Subject>,
    floor: Option<Floor>,
}

impl Stage {
    /// Finds the programs; nothing is started yet.
    pub fn open(options: &Runtime) -> Result<Self> {
        let dir = options.dir.canonicalize().with_context(|| format!("find {}", options.dir.display()))?;
        let programs = if options.without_peer {
            None
        } else {
            peer::Programs::find().inspect_err(|error| println!("SKIPPED the peer: {error:#}")).ok()
        };
        let places = Places { logs: dir.join("logs"), certificates: dir.join("certs.d"), dir };
        Ok(Self {
            places,
            cgroup: options.cgroup.clone(),
            programs,
            registry: None,
            subjects: Vec::new(),
            floor: None,
        })
    }

    /// Starts everything; what was started before a failure is ended by [`Self::close`].
    pub async fn start(&mut self) -> Result<()> {
        let demo = host::program("demo")?;
        let places = &self.places;
        std::fs::create_dir_all(&places.certificates).context("make the registry configuration")?;
        let archive = places.dir.join("demo.tar");
        image::demo(&demo)?.build()?.write_layout(&archive, IMAGE)?;
        self.floor = Some(Floor::start(&places.dir, &self.cgroup, &demo, &host::program("pause")?)?);
        self.registry = match Registry::start(&places.dir, &places.certificates) {
            Ok(registry) => Some(registry),
            Err(error) => {
                println!("SKIPPED pulling: {error:#}");
                None
            }
        };
        if let Some(registry) = &self.registry {
            registry.push(SMALL, "1", &small()?)?;
        }
        self.subjects.push(ours::start(places, &self.cgroup).await?);
        ours::import(places, &archive).await?;
        if let Some(programs) = &self.programs {
            self.subjects.push(programs.start(places, &self.cgroup).await?);
            let pause = places.dir.join("pause.tar");
            pause_image()?.write_layout(&pause, PAUSE_IMAGE)?;
            for (file, name) in [(&archive, IMAGE), (&pause, PAUSE_IMAGE)] {
                programs.import(places, file)?;
                peer::knows(&self.subjects[1], name).await?;
            }
        }
        Ok(())
    }

    /// What is compared, and what differs between the sides.
    pub fn description(&self) -> String {
        let versions: Vec<String> =
            self.subjects.iter().map(|subject| format!("{}: {}", subject.name, subject.version)).collect();
        let runc =
            self.programs.as_ref().and_then(|programs| programs.runc_version().ok()).unwrap_or_default();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        format!(
            "{}, {runc}; kernel {}, {cpus} CPUs\n\
             same: image, conflist (bridge, host-local, portmap), RuntimeDefault seccomp, limits, cgroup parent, logs and state folders on tmpfs\n\
             not the same: seccomp profile of each runtime's own making; plugins in process (ours), reference executables with \
             iptables (peer); pause built in (ours), as an image (peer); layers are durable before they are visible only in ours",
            versions.join(", "),
            kernel.trim()
        )
    }

    /// Reference of the image to pull, if there is a registry.
    pub fn small_image(&self) -> Option<String> {
        self.registry.as_ref().map(|registry| format!("{}/{SMALL}:1", registry.address()))
    }

    /// Both sides and the floor, to take turns.
    pub fn players(&mut self) -> Result<(&mut Vec<Subject>, &mut Floor)> {
        Ok((&mut self.subjects, self.floor.as_mut().context("the floor program was not started")?))
    }

    /// Ends everything. Every step is tried; failures are told together.
    pub async fn close(&mut self) -> Result<()> {
        let mut failures = Vec::new();
        for subject in self.subjects.drain(..) {
            failures.extend(subject.close().await.err());
        }
        failures.extend(self.floor.take().and_then(|mut floor| floor.stop().err()));
        failures.extend(self.registry.take().and_then(|mut registry| registry.stop().err()));
        let texts: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
        if texts.is_empty() { Ok(()) } else { Err(anyhow::anyhow!("clear up: {}", texts.join("; "))) }
    }
}

impl Places {
    /// The network configuration of a side: the same chain, each with a bridge and a subnet of its own.
    pub fn network(&self, side: &str) -> Result<PathBuf> {
        let (bridge, subnet) = match side {
            "ours" => ("bench-ours", "10.253.0.0/16"),
            _ => ("bench-peer", "10.252.0.0/16"),
        };
        let folder = self.dir.join(format!("net-{side}"));
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let conflist = json!({
            "cniVersion": "1.0.0", "name": bridge,
            "plugins": [
                {"type": "bridge", "bridge": bridge, "isGateway": true, "ipMasq": true, "hairpinMode": true,
                 "ipam": {"type": "host-local", "dataDir": self.dir.join(format!("leases-{side}")),
                          "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}]}},
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        });
        std::fs::write(folder.join("10-bench.conflist"), conflist.to_string())
            .context("write the network configuration")?;
        Ok(folder)
    }
}

fn pause_image() -> Result<image::Image> {
    let layer = Layer::new().copied(Path::new(&host::program("pause")?), "pause")?;
    let process = Process { entrypoint: vec!["/pause".to_owned()], ..Process::default() };
    Builder::new().layer(layer).process(process).build()
}

/// One layer of bytes without a pattern.
fn small() -> Result<image::Image> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(SMALL_BYTES);
    while bytes.len() < SMALL_BYTES {
        // xorshift: the same image in every run
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    Builder::new().layer(Layer::new().file("content", 0o644, bytes)).build()
}
