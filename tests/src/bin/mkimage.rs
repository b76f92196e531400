//! Makes an image archive out of files, for demonstrations and tests.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use tests::image::{self, Builder, Compression, Layer, Process};

/// Make an image archive out of files: no registry, no builder, no distribution.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  mkimage --tag demo.local/demo:1 --demo target/orlop/demo --output demo.tar
  mkimage --tag demo.local/shell:1 --host-program /bin/sh --cmd /bin/sh --output shell.tar
  mkimage --tag demo.local/site:1 --demo target/orlop/demo --file index.html:/www/index.html --output site.tar"
)]
struct Options {
    /// Full name of the image.
    #[arg(long)]
    tag: String,
    /// File to write.
    #[arg(long)]
    output: PathBuf,
    /// Kind of archive.
    #[arg(long, value_enum, default_value = "oci")]
    format: Format,
    /// Start from the image of this demo program: its entrypoint is the program.
    #[arg(long)]
    demo: Option<PathBuf>,
    /// Copy a host file or folder into the image.
    #[arg(long, value_name = "HOST:IMAGE")]
    file: Vec<String>,
    /// Copy a host program with its shared libraries to the same paths.
    #[arg(long, value_name = "PATH")]
    host_program: Vec<PathBuf>,
    /// A line of /etc/passwd.
    #[arg(long, value_name = "LINE")]
    passwd: Vec<String>,
    /// A word of the entrypoint; repeat for each.
    #[arg(long, allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// A word of the command; repeat for each.
    #[arg(long, allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// An environment variable.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// User the process runs as.
    #[arg(long, default_value = "")]
    user: String,
    /// Working directory.
    #[arg(long, default_value = "")]
    working_dir: String,
    /// How layers are compressed.
    #[arg(long, value_enum, default_value = "gzip")]
    compression: CompressionName,
    /// Flip one bit of the last layer, to see what an importer makes of it.
    #[arg(long)]
    corrupt: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Oci,
    Docker,
}

#[derive(Clone, Copy, ValueEnum)]
enum CompressionName {
    None,
    Gzip,
    Zstd,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut builder = match &options.demo {
        Some(program) => image::demo(program)?,
        None => Builder::new(),
    };
    if let Some(layer) = files(&options)? {
        builder = builder.layer(layer);
    }
    if options.demo.is_none() || !options.entrypoint.is_empty() || !options.cmd.is_empty() {
        builder = builder.process(Process {
            entrypoint: options.entrypoint.clone(),
            cmd: options.cmd.clone(),
            env: options.env.clone(),
            user: options.user.clone(),
            working_dir: options.working_dir.clone(),
            ..Process::default()
        });
    }
    let compression = match options.compression {
        CompressionName::None => Compression::None,
        CompressionName::Gzip => Compression::Gzip,
        CompressionName::Zstd => Compression::Zstd,
    };
    let mut image = builder.compression(compression).build()?;
    if options.corrupt {
        let last = image.layers.last().context("corrupt the last layer: the image has none")?.clone();
        image.corrupt(&last)?;
    }
    match options.format {
        Format::Oci => image.write_layout(&options.output, &options.tag)?,
        Format::Docker => image.write_docker_archive(&options.output, &options.tag)?,
    }
    println!("{} {}", options.tag, image.manifest);
    Ok(())
}

/// The layer of everything the command line adds, or `None` if it adds nothing.
fn files(options: &Options) -> Result<Option<Layer>> {
    if options.file.is_empty() && options.host_program.is_empty() && options.passwd.is_empty() {
        return Ok(None);
    }
    let mut layer = Layer::new();
    for pair in &options.file {
        let (from, to) =
            pair.split_once(':').with_context(|| format!("read --file {pair}: not HOST:IMAGE"))?;
        layer = add(layer, Path::new(from), to.trim_start_matches('/'))?;
    }
    for program in &options.host_program {
        layer = layer.host_program(program)?;
    }
    if !options.passwd.is_empty() {
        layer = layer.file("etc/passwd", 0o644, options.passwd.join("\n") + "\n");
    }
    Ok(Some(layer))
}

/// A file, or a folder with everything in it.
fn add(layer: Layer, from: &Path, name: &str) -> Result<Layer> {
    if !from.is_dir() {
        return layer.copied(from, name);
    }
    let mut layer = layer.folder(name, 0o755);
    let mut children = std::fs::read_dir(from)
        .with_context(|| format!("open {}", from.display()))?
        .collect::<std::io::Result<Vec<_>>>()?;
    children.sort_by_key(std::fs::DirEntry::file_name);
    for child in children {
        layer = add(layer, &child.path(), &format!("{name}/{}", child.file_name().to_string_lossy()))?;
    }
    Ok(layer)
}
