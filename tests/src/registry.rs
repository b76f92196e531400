//! A registry on loopback: the reading half of the distribution specification over plain HTTP, and ways to misbehave.
//!
//! One thread accepts, one thread answers each connection. Dropping the registry closes its port: what follows is a
//! registry that is down.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::image::{Image, MANIFEST};

/// What the registry does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Every request is answered with this status.
    Status(u16),
    /// Blobs end in the middle, and the connection with them.
    CutBlobs,
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    /// `name:tag` to manifest digest.
    tags: BTreeMap<String, String>,
    fault: Fault,
    requests: Vec<String>,
    closing: bool,
}

/// A running registry.
pub struct Registry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    acceptor: Option<JoinHandle<()>>,
}

/// No thread leaves the state half changed, so a panic of another one does not spoil it.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// Starts a registry without images on a free port of loopback.
    ///
    /// # Errors
    /// No port can be opened.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("open a port for the registry")?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if lock(&shared).closing {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    // A client that goes away in the middle is part of the stories, not a failure of the registry.
                    let _gone = serve(&stream, &shared);
                });
            }
        });
        Ok(Self { address, state, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Offers an image as `name:tag` (the name without a host).
    pub fn push(&self, name_and_tag: &str, image: &Image) {
        let mut state = lock(&self.state);
        state.tags.insert(name_and_tag.to_owned(), image.manifest.clone());
        state.blobs.extend(image.blobs.clone());
    }

    /// Starts or ends misbehaving.
    pub fn set_fault(&self, fault: Fault) {
        lock(&self.state).fault = fault;
    }

    /// Request lines so far, oldest first.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.state).requests.clone()
    }

    /// Writes the host configuration that sends pulls from `host` here.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write_hosts(&self, certs_d: &Path, host: &str) -> Result<()> {
        let folder = certs_d.join(host);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let url = format!("http://{}", self.address);
        let text =
            format!("server = \"{url}\"\n\n[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
        std::fs::write(folder.join("hosts.toml"), text)
            .with_context(|| format!("write {}/hosts.toml", folder.display()))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        lock(&self.state).closing = true;
        // The acceptor looks at the flag when it wakes; if it cannot be woken it has ended already.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

struct Answer {
    status: u16,
    kind: &'static str,
    digest: String,
    body: Vec<u8>,
    /// Send only this much of the body, then close.
    cut: Option<usize>,
}

impl Answer {
    fn empty(status: u16) -> Self {
        Self { status, kind: "application/json", digest: String::new(), body: b"{}".to_vec(), cut: None }
    }
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut range_from = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range_from = range.trim().trim_end_matches('-').parse().unwrap_or(0);
        }
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let answer = answer(&mut lock(state), path, &request);
    send(stream, &answer, method == "HEAD", range_from)
}

fn answer(state: &mut State, path: &str, request: &str) -> Answer {
    state.requests.push(request.trim().to_owned());
    if let Fault::Status(status) = state.fault {
        return Answer::empty(status);
    }
    // A mirror is told with ?ns= which registry it stands for.
    let path = path.split('?').next().unwrap_or_default();
    let Some(rest) = path.strip_prefix("/v2/") else { return Answer::empty(404) };
    if rest.is_empty() {
        return Answer::empty(200);
    }
    let found = if let Some((name, reference)) = rest.split_once("/manifests/") {
        let name = if reference.starts_with("sha256:") {
            Some(reference.to_owned())
        } else {
            state.tags.get(&format!("{name}:{reference}")).cloned()
        };
        name.map(|name| (name, MANIFEST))
    } else {
        rest.split_once("/blobs/").map(|(_, digest)| (digest.to_owned(), "application/octet-stream"))
    };
    let Some((name, kind)) = found else { return Answer::empty(404) };
    let Some(body) = state.blobs.get(&name).cloned() else { return Answer::empty(404) };
    let cut = (state.fault == Fault::CutBlobs && kind != MANIFEST).then_some(body.len() / 2);
    Answer { status: 200, kind, digest: name, body, cut }
}

fn send(mut stream: &TcpStream, answer: &Answer, head_only: bool, range_from: usize) -> std::io::Result<()> {
    let total = answer.body.len();
    let partial = answer.status == 200 && range_from > 0 && range_from < total;
    let (status, from) = if partial { (206, range_from) } else { (answer.status, 0) };
    let mut head = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n",
        answer.kind,
        total - from
    );
    if partial {
        head.push_str(&format!("content-range: bytes {from}-{}/{total}\r\n", total - 1));
    }
    if !answer.digest.is_empty() {
        head.push_str(&format!("docker-content-digest: {}\r\n", answer.digest));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    if !head_only {
        let end = answer.cut.unwrap_or(total).max(from);
        stream.write_all(&answer.body[from..end])?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests;
