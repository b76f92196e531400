//! Images out of a file: an OCI layout or a docker archive, as a tar stream, compressed or not.
//!
//! The archive is unpacked into `ingest/` by the same code as a layer, so it can neither leave that directory nor be a
//! bomb; its blobs are opened by descriptor inside it and then take the same way as those of a pull.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use oci_spec::image::{Descriptor, ImageIndex};
use serde::Deserialize;
use tokio::sync::watch;

use super::digest::Digest;
use super::layers::{LayerError, Origin, Wanted};
use super::manifest::{
    CONFIG_MAX, Content, Document, MANIFEST_MAX, ManifestError, NESTING_MAX, layers, parse_config,
};
use super::platform::{Platform, select};
use super::progress::Progress;
use super::pull::get_all;
use super::reference::{Reference, ReferenceError};
use super::store::{Ingest, NewImage, StoreError};
use super::unpack::{Expected, UnpackError, unpack};
use super::{Image, Images};

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The stream.
    #[error("read image archive")]
    Archive(#[source] UnpackError),
    /// Neither of the known forms.
    #[error("read image archive: it has neither index.json (OCI layout) nor manifest.json (docker archive)")]
    Form,
    /// A file inside.
    #[error("read {path:?} of the image archive")]
    File {
        /// Path inside the archive.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A document inside.
    #[error("read {path:?} of the image archive")]
    Document {
        /// Path inside the archive.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// A blob is not what its name says.
    #[error("verify {path:?} of the image archive: digest is {actual}")]
    Digest {
        /// Path inside the archive.
        path: PathBuf,
        /// What is there.
        actual: Digest,
    },
    /// No image for this machine.
    #[error("import image: none for {wanted}; there are {}", available.join(", "))]
    Platform {
        /// This machine.
        wanted: String,
        /// What there is.
        available: Vec<String>,
    },
    /// A name that is none.
    #[error("import image")]
    Name(#[from] ReferenceError),
    /// One name for several images.
    #[error("import image: the archive has {0} images, and one name cannot be given to all")]
    SeveralImages(usize),
    /// One of the layers.
    #[error("import image")]
    Layer(#[source] Arc<LayerError>),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon ends, or the work panicked.
    #[error("import image: the work was interrupted")]
    Interrupted,
}

impl ImportError {
    /// One line with every cause.
    pub fn message(&self) -> String {
        crate::error::chain(self)
    }
}

/// An image found in an archive.
struct Found {
    id: Digest,
    config: Bytes,
    manifests: Vec<(Digest, Bytes)>,
    layers: Vec<Wanted>,
    names: Vec<Reference>,
    /// Digest of the outermost document, for a name by digest.
    digest: Option<Digest>,
}

impl Images {
    /// Imports every image of an archive for this machine; `name` overrides what the archive calls it.
    ///
    /// `reader` is read on a blocking thread; see [`super::ByteStream`] for one that is fed by a task.
    pub async fn import(
        self: &Arc<Self>,
        reader: impl Read + Send + 'static,
        name: Option<String>,
        progress: &watch::Sender<Progress>,
    ) -> Result<Vec<Arc<Image>>, ImportError> {
        let name = name.map(|name| name.parse::<Reference>()).transpose()?;
        let images = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || images.read_archive(reader));
        let (ingest, mut found) = read.await.map_err(|_| ImportError::Interrupted)??;
        if let Some(name) = name {
            let [only] = found.as_mut_slice() else { return Err(ImportError::SeveralImages(found.len())) };
            only.names = vec![name];
        }
        let mut imported = Vec::new();
        for found in found {
            imported.push(self.commit_found(found, progress).await?);
        }
        // The spooled archive may be large: it is removed where that may take its time.
        tokio::task::spawn_blocking(move || drop(ingest)).await.map_err(|_| ImportError::Interrupted)?;
        Ok(imported)
    }

    fn read_archive(&self, reader: impl Read) -> Result<(Ingest, Vec<Found>), ImportError> {
        let ingest = self.store.ingest()?;
        unpack(reader, &Expected::default(), ingest.path(), &self.config.limits)
            .map_err(ImportError::Archive)?;
        let fail = |source| ImportError::File { path: PathBuf::from("."), source };
        let archive =
            Archive { root: kernel::path::open_dir(ingest.path()).map_err(fail)?, platform: &self.platform };
        let found =
            match (archive.read("index.json", MANIFEST_MAX), archive.read("manifest.json", MANIFEST_MAX)) {
                (Ok(index), _) => archive.layout(&index)?,
                (_, Ok(manifest)) => archive.docker(&manifest)?,
                _ => return Err(ImportError::Form),
            };
        Ok((ingest, found))
    }

    async fn commit_found(
        self: &Arc<Self>,
        found: Found,
        progress: &watch::Sender<Progress>,
    ) -> Result<Arc<Image>, ImportError> {
        let diff_ids: Vec<_> = found.layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let lease = self.store.lease(diff_ids.iter().cloned());
        get_all(&self.layers, found.layers.into_iter(), progress).await.map_err(ImportError::Layer)?;
        let mut names = found.names;
        if let Some(digest) = found.digest {
            let by_digest: Vec<_> = names.iter().map(|name| name.with_digest(digest.clone())).collect();
            names.extend(by_digest);
        }
        let image = NewImage {
            id: found.id,
            config: found.config,
            manifests: found.manifests,
            layers: diff_ids,
            names,
        };
        let store = Arc::clone(&self.store);
        let commit = tokio::task::spawn_blocking(move || {
            let committed = store.commit_image(image);
            drop(lease);
            committed
        });
        Ok(commit.await.map_err(|_| ImportError::Interrupted)??)
    }
}

/// An unpacked archive.
struct Archive<'a> {
    root: OwnedFd,
    platform: &'a Platform,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Archive<'_> {
    fn open(&self, path: &str) -> Result<File, ImportError> {
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let opened = kernel::path::open_in_root(self.root.as_fd(), Path::new(path), flags, 0);
        let file = opened.map(File::from).and_then(|file| match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        });
        file.map_err(|source| ImportError::File { path: path.into(), source })
    }

    fn read(&self, path: &str, max: u64) -> Result<Bytes, ImportError> {
        let content = kernel::file::read_open_bounded(&self.open(path)?, max);
        content.map(Bytes::from).map_err(|source| ImportError::File { path: path.into(), source })
    }

    fn blob(&self, digest: &Digest, max: u64) -> Result<Bytes, ImportError> {
        let path = blob_path(digest);
        let content = self.read(&path, max)?;
        match Digest::of(&content) {
            actual if actual == *digest => Ok(content),
            actual => Err(ImportError::Digest { path: path.into(), actual }),
        }
    }

    /// Every image of an OCI layout: each entry of its index that has a name of its own, or else the one that fits.
    fn layout(&self, index: &Bytes) -> Result<Vec<Found>, ImportError> {
        let broken = |source| ImportError::Document { path: "index.json".into(), source };
        let Document::Index(index) = Document::parse(index).map_err(broken)? else {
            return Err(broken(ManifestError::Kind("an image manifest".to_owned())));
        };
        let named: Vec<_> = index.manifests().iter().filter(|entry| !names_of(entry).is_empty()).collect();
        if named.is_empty() {
            return Ok(vec![self.image(self.choose(&index)?, Vec::new())?]);
        }
        // Several names of one image are several entries.
        let mut images: BTreeMap<Digest, (&Descriptor, Vec<Reference>)> = BTreeMap::new();
        for entry in named {
            let content = Content::try_from(entry).map_err(broken)?;
            images.entry(content.digest).or_insert((entry, Vec::new())).1.extend(names_of(entry));
        }
        images.into_values().map(|(entry, names)| self.image(entry, names)).collect()
    }

    fn choose<'i>(&self, index: &'i ImageIndex) -> Result<&'i Descriptor, ImportError> {
        select(index, self.platform).map_err(|available| ImportError::Platform {
            wanted: format!("{}/{}", self.platform.os, self.platform.architecture),
            available,
        })
    }

    fn image(&self, entry: &Descriptor, names: Vec<Reference>) -> Result<Found, ImportError> {
        let mut manifests: Vec<(Digest, Bytes)> = Vec::new();
        let mut entry = entry.clone();
        loop {
            let path = PathBuf::from(blob_path(&digest_of(&entry)?));
            let broken = |source| ImportError::Document { path: path.clone(), source };
            let digest = digest_of(&entry)?;
            let content = self.blob(&digest, MANIFEST_MAX)?;
            manifests.push((digest, content.clone()));
            let manifest = match Document::parse(&content).map_err(broken)? {
                Document::Index(_) if manifests.len() > NESTING_MAX => {
                    return Err(broken(ManifestError::Kind("an index nested too deeply".to_owned())));
                }
                Document::Index(index) => {
                    entry = self.choose(&index)?.clone();
                    continue;
                }
                Document::Manifest(manifest) => manifest,
            };
            let id = digest_of(manifest.config())?;
            let config = self.blob(&id, CONFIG_MAX)?;
            let parsed = parse_config(&config).map_err(broken)?;
            let wanted = layers(&manifest, &parsed).map_err(broken)?.into_iter().map(|layer| {
                Ok(Wanted {
                    diff_id: layer.diff_id,
                    origin: Origin::File(Arc::new(self.open(&blob_path(&layer.content.digest))?)),
                    content: Some(layer.content),
                })
            });
            let layers = wanted.collect::<Result<_, ImportError>>()?;
            let digest = manifests.first().map(|(digest, _)| digest.clone());
            return Ok(Found { id, config, manifests, layers, names, digest });
        }
    }

    /// Every image of a docker archive.
    fn docker(&self, manifest: &Bytes) -> Result<Vec<Found>, ImportError> {
        let broken = |path: &str| {
            let path = PathBuf::from(path);
            move |source| ImportError::Document { path, source }
        };
        let images: Vec<DockerImage> = serde_json::from_slice(manifest)
            .map_err(|source| ManifestError::Parse { what: "docker archive", source })
            .map_err(broken("manifest.json"))?;
        let images = images.into_iter().map(|image| {
            let config = self.read(&image.config, CONFIG_MAX)?;
            let parsed = parse_config(&config).map_err(broken(&image.config))?;
            let diff_ids = parsed.rootfs().diff_ids();
            if diff_ids.len() != image.layers.len() {
                let (layers, diff_ids) = (image.layers.len(), diff_ids.len());
                return Err(broken(&image.config)(ManifestError::LayerCount { layers, diff_ids }));
            }
            let wanted = image.layers.iter().zip(diff_ids).map(|(path, diff_id)| {
                let diff_id = diff_id.parse::<Digest>().map_err(ManifestError::from);
                Ok(Wanted {
                    diff_id: diff_id.map_err(broken(&image.config))?,
                    content: None,
                    origin: Origin::File(Arc::new(self.open(path)?)),
                })
            });
            let names = image.repo_tags.iter().flatten().map(|tag| tag.parse());
            Ok(Found {
                id: Digest::of(&config),
                manifests: Vec::new(),
                layers: wanted.collect::<Result<_, ImportError>>()?,
                names: names.collect::<Result<_, ReferenceError>>()?,
                digest: None,
                config,
            })
        });
        images.collect()
    }
}

fn digest_of(descriptor: &Descriptor) -> Result<Digest, ImportError> {
    let digest = descriptor.digest().to_string();
    digest.parse::<Digest>().map_err(|error| ImportError::Document {
        path: "index.json".into(),
        source: ManifestError::from(error),
    })
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// What an entry of a layout's index calls its image. A bare tag is no name: it says nothing of the repository.
fn names_of(entry: &Descriptor) -> Vec<Reference> {
    let annotations = entry.annotations().as_ref();
    let annotation = |key: &str| annotations.and_then(|annotations| annotations.get(key));
    let full = annotation("io.containerd.image.name");
    let short = annotation("org.opencontainers.image.ref.name").filter(|name| name.contains([':', '/']));
    full.or(short).and_then(|name| name.parse().ok()).into_iter().collect()
}
