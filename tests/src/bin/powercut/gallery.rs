//! Images that can check themselves: each holds the sums of all its files and, as its entrypoint, a check of them.
//!
//! They are made once, outside of the emulated machine, and written to a folder: blobs by digest and one index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::host;
use tests::image::{self, Builder, Compression, Image, Layer, Process};

const INDEX: &str = "index.json";
/// How many images; each is bigger than the one before.
const COUNT: u64 = 6;
/// Bytes of the big files of the first image; the last one has [`COUNT`] times as many.
const STEP: u64 = 768 << 10;
/// Small files of each image: unpacking them takes longer than their bytes do.
const SMALL: u64 = 150;

/// The images, by their place in the order of size.
pub struct Gallery {
    /// At least one.
    pub images: Vec<Image>,
}

/// A stream of bytes that no compressor makes smaller and that is the same every time (xorshift64*).
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, count: u64) -> Vec<u8> {
        let mut made = Vec::new();
        while (made.len() as u64) < count {
            made.extend_from_slice(&self.next().to_le_bytes());
        }
        made.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        made
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// A layer and the sums of what it shows.
#[derive(Default)]
struct Summed {
    layer: Layer,
    sums: BTreeMap<String, String>,
}

impl Summed {
    fn folder(mut self, name: &str) -> Self {
        self.layer = self.layer.folder(name, 0o755);
        self
    }

    fn file(mut self, name: &str, mode: u32, content: Vec<u8>) -> Self {
        let sum = image::digest(&content).trim_start_matches("sha256:").to_owned();
        self.sums.insert(name.to_owned(), sum);
        self.layer = self.layer.file(name, mode, content);
        self
    }
}

impl Gallery {
    /// Makes the images out of this host's busybox and noise.
    ///
    /// # Errors
    /// There is no busybox, or it needs libraries.
    pub fn make() -> Result<Self> {
        let program = host::peer("busybox").context("find busybox: apt-get install -y busybox-static")?;
        anyhow::ensure!(
            image::libraries(&program)?.is_empty(),
            "{} is not static: apt-get install -y busybox-static",
            program.display()
        );
        let program = std::fs::read(&program).with_context(|| format!("read {}", program.display()))?;
        Ok(Self { images: (0..COUNT).map(|number| one(number, &program)).collect::<Result<_>>()? })
    }

    /// Name of the image at a place, as the registry has it.
    pub fn name(place: usize) -> String {
        format!("cut/{place}:1")
    }

    /// Writes blobs and index.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let mut index = Vec::new();
        for image in &self.images {
            for (digest, blob) in &image.blobs {
                let path = blob_path(folder, digest);
                std::fs::write(&path, blob).with_context(|| format!("write {}", path.display()))?;
            }
            let blobs: Vec<&String> = image.blobs.keys().collect();
            index.push(json!({
                "manifest": image.manifest, "config": image.config, "layers": image.layers, "blobs": blobs,
            }));
        }
        let path = folder.join(INDEX);
        std::fs::write(&path, serde_json::to_vec(&index)?)
            .with_context(|| format!("write {}", path.display()))
    }

    /// Reads what [`Gallery::write`] wrote.
    ///
    /// # Errors
    /// It is not there, or not whole.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(INDEX);
        let text = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let index: Vec<Value> = serde_json::from_slice(&text)?;
        Ok(Self { images: index.iter().map(|entry| read_one(folder, entry)).collect::<Result<_>>()? })
    }
}

/// What an image's configuration says its layers are.
///
/// # Errors
/// It has no configuration that can be read.
pub fn diff_ids(image: &Image) -> Result<Vec<String>> {
    let config = image.blobs.get(&image.config).context("the image has no configuration")?;
    let config: Value = serde_json::from_slice(config).context("read the image's configuration")?;
    Ok(serde_json::from_value(config["rootfs"]["diff_ids"].clone())?)
}

fn blob_path(folder: &Path, digest: &str) -> PathBuf {
    folder.join(digest.trim_start_matches("sha256:"))
}

fn read_one(folder: &Path, entry: &Value) -> Result<Image> {
    let words = |key: &str| -> Vec<String> {
        let listed = entry[key].as_array().into_iter().flatten();
        listed.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let word =
        |key: &str| entry[key].as_str().map(str::to_owned).with_context(|| format!("{INDEX} has no {key}"));
    let mut blobs = BTreeMap::new();
    for digest in words("blobs") {
        let path = blob_path(folder, &digest);
        let blob = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        blobs.insert(digest, blob);
    }
    Ok(Image { manifest: word("manifest")?, config: word("config")?, layers: words("layers"), blobs })
}

/// Four layers: the program (shared by all), noise (shared by two neighbours), the image's own files, and the sums.
fn one(number: u64, program: &[u8]) -> Result<Image> {
    let base = Summed::default().folder("bin").file("bin/busybox", 0o755, program.to_vec());
    let mut noise = Noise(1 + number / 2);
    let shared = Summed::default().folder("shared").file("shared/noise", 0o644, noise.bytes(400_000));
    let mut noise = Noise(1000 + number);
    let mut own = Summed::default().folder("own");
    for file in 0..SMALL {
        let length = noise.next() % 5000;
        own = own.file(&format!("own/{file}"), 0o644, noise.bytes(length));
    }
    for file in 0..3 {
        own = own.file(&format!("own/big{file}"), 0o644, noise.bytes(STEP * (number + 1) / 3));
    }
    // Hidden by the layer above, so it has no sum: whether it stays hidden is seen by the count.
    own.layer = own.layer.file("own/hidden", 0o644, "x");
    let sums: String = [&base, &shared, &own]
        .into_iter()
        .flat_map(|summed| &summed.sums)
        .map(|(name, sum)| format!("{sum}  /{name}\n"))
        .collect();
    let count = sums.lines().count();
    let top = Layer::new().file("own/.wh.hidden", 0o644, "").file("sums", 0o644, sums);
    let script = format!(
        "b=/bin/busybox; $b sha256sum -c /sums > /result || {{ $b grep -v ': OK$' /result; exit 1; }}; \
         n=$($b find /bin /shared /own -type f | $b wc -l); [ $n = {count} ] || {{ echo $n files, not {count}; exit 1; }}"
    );
    let process = Process {
        entrypoint: ["/bin/busybox", "sh", "-c", &script].map(str::to_owned).to_vec(),
        ..Process::default()
    };
    let compression = match number % 3 {
        0 => Compression::Gzip,
        1 => Compression::Zstd,
        _ => Compression::None,
    };
    let builder = [base.layer, shared.layer, own.layer, top].into_iter().fold(Builder::new(), Builder::layer);
    builder.process(process).compression(compression).build()
}
