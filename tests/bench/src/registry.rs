//! A private registry on loopback: Debian's docker-registry, filled through its own interface.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tests::host;
use tests::image::{Image, MANIFEST};

const DEADLINE: Duration = Duration::from_secs(20);

/// A running registry.
pub struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    /// Starts it on a free port, and writes the configuration by which runtimes reach it without TLS.
    pub fn start(dir: &Path, certificates: &Path) -> Result<Self> {
        let program = host::peer("docker-registry")
            .context("docker-registry is missing: apt-get install -y docker-registry")?;
        // Freed for the registry: nobody else opens ports in this network namespace.
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .context("find a free port")?
            .to_string();
        let config = dir.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n",
            dir.join("registry").display()
        );
        std::fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        let hosts = certificates.join(&address);
        std::fs::create_dir_all(&hosts).with_context(|| format!("make {}", hosts.display()))?;
        let text = format!(
            "server = \"http://{address}\"\n[host.\"http://{address}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
        );
        std::fs::write(hosts.join("hosts.toml"), text).context("write hosts.toml")?;
        let log = File::create(dir.join("registry.log")).context("make the registry's log")?;
        let mut command = Command::new(&program);
        command.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let mut registry = Self { child, address };
        match registry.ready() {
            Ok(()) => Ok(registry),
            Err(error) => {
                registry.stop()?;
                Err(error)
            }
        }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(&self.address).is_err() {
            if let Some(status) = self.child.try_wait().context("look after the registry")? {
                bail!("docker-registry ended with {status}");
            }
            if begun.elapsed() > DEADLINE {
                bail!("docker-registry does not listen after {} s", DEADLINE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Uploads an image.
    pub fn push(&self, name: &str, tag: &str, image: &Image) -> Result<()> {
        for (digest, blob) in image.blobs.iter().filter(|(digest, _)| **digest != image.manifest) {
            let place = self
                .ask("POST", &format!("/v2/{name}/blobs/uploads/"), "", &[], 202)?
                .context("an upload has no place")?;
            // An absolute address, or a path: only the path matters, since there is one server.
            let path = place.strip_prefix(&format!("http://{}", self.address)).unwrap_or(&place);
            let joint = if path.contains('?') { '&' } else { '?' };
            self.ask("PUT", &format!("{path}{joint}digest={digest}"), "application/octet-stream", blob, 201)?;
        }
        let manifest = image.blobs.get(&image.manifest).context("the image has no manifest")?;
        self.ask("PUT", &format!("/v2/{name}/manifests/{tag}"), MANIFEST, manifest, 201).map(drop)
    }

    /// One request on a connection of its own; gives the `Location` of the answer.
    fn ask(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
        expected: u16,
    ) -> Result<Option<String>> {
        let what = || format!("{method} http://{}{path}", self.address);
        let mut stream = TcpStream::connect(&self.address).with_context(what)?;
        stream.set_read_timeout(Some(DEADLINE)).with_context(what)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).with_context(what)?;
        let mut reader = BufReader::new(stream);
        let mut status = String::new();
        reader.read_line(&mut status).with_context(what)?;
        let mut location = None;
        for line in reader.by_ref().lines() {
            let line = line.with_context(what)?;
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("location") => {
                    location = Some(value.trim().to_owned())
                }
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        if status.split(' ').nth(1) == Some(expected.to_string().as_str()) {
            return Ok(location);
        }
        let mut text = String::new();
        reader.take(4096).read_to_string(&mut text).with_context(what)?;
        bail!("{}: {} {}", what(), status.trim(), text.trim())
    }

    /// Ends it.
    pub fn stop(&mut self) -> Result<()> {
        self.child.kill().context("end the registry")?;
        self.child.wait().context("wait for the registry").map(drop)
    }
}
