//! A registry on a thread of this process: it counts, and misbehaves on request.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use super::content::{Blob, TestImage};

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// How requests have to prove themselves.
#[derive(Debug, Clone)]
pub enum Auth {
    Basic(String),
    /// A bearer token from `/token`, which wants this `Authorization`, or (POST) this refresh token.
    Token {
        secret: Option<String>,
    },
    /// Exactly this bearer token.
    Bearer(String),
}

#[derive(Default)]
pub struct Behaviour {
    pub manifests: HashMap<String, Blob>,
    pub blobs: HashMap<String, Vec<u8>>,
    /// Cut the body of this blob after so many bytes, once per entry.
    pub cuts: HashMap<String, VecDeque<usize>>,
    /// Answer requests whose target contains the text with these statuses first.
    pub statuses: Vec<(String, VecDeque<u16>)>,
    pub auth: Option<Auth>,
    pub ignores_ranges: bool,
    /// Redirect blobs to this base.
    pub redirect: Option<String>,
    /// Blobs wait while this is set.
    pub closed: bool,
    pub seen: Vec<Seen>,
    pub blob_bytes: u64,
}

pub struct FakeRegistry {
    pub address: String,
    shared: Arc<(Mutex<Behaviour>, Condvar)>,
}

impl FakeRegistry {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared: Arc<(Mutex<Behaviour>, Condvar)> = Arc::default();
        let (serving, own_address) = (Arc::clone(&shared), address.clone());
        // Ends with the test process.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (shared, address) = (Arc::clone(&serving), own_address.clone());
                std::thread::spawn(move || {
                    // A client that goes away is its own business.
                    let _ = serve(connection, &shared, &address);
                });
            }
        });
        Self { address, shared }
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut Behaviour) -> T) -> T {
        let answer = change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
        answer
    }

    pub fn push(&self, name: &str, image: &TestImage) {
        self.with(|state| {
            for blob in image.layers.iter().chain([&image.config]) {
                state.blobs.insert(blob.digest.to_string(), blob.bytes.clone());
            }
        });
        self.push_manifest(name, &image.manifest);
    }

    /// A document under a tag (`repository:tag`), and under its digest.
    pub fn push_manifest(&self, name: &str, manifest: &Blob) {
        let (repository, tag) = name.split_once(':').unwrap();
        self.with(|state| {
            state.manifests.insert(format!("{repository}/{tag}"), manifest.clone());
            state.manifests.insert(format!("{repository}/{}", manifest.digest), manifest.clone());
        });
    }

    pub fn count(&self, part: &str) -> usize {
        self.with(|state| state.seen.iter().filter(|seen| seen.target.contains(part)).count())
    }

    /// Waits until a request for something was seen.
    pub fn await_request(&self, part: &str) {
        let state = self.shared.0.lock().unwrap();
        let missing = |state: &mut Behaviour| !state.seen.iter().any(|seen| seen.target.contains(part));
        let limit = std::time::Duration::from_secs(20);
        let (_guard, waited) = self.shared.1.wait_timeout_while(state, limit, missing).unwrap();
        assert!(!waited.timed_out(), "no request for {part}");
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { method, target, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn serve(stream: TcpStream, shared: &(Mutex<Behaviour>, Condvar), address: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(seen) = read(&mut reader) {
        let mut state = shared.0.lock().unwrap();
        state.seen.push(seen.clone());
        shared.1.notify_all();
        if seen.target.contains("/blobs/") {
            state = shared.1.wait_while(state, |state| state.closed).unwrap();
        }
        let answer = answer(&mut state, &seen, address);
        drop(state);
        let mut head = format!("HTTP/1.1 {} x\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
        for (name, value) in answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(&answer.body[..answer.cut.unwrap_or(answer.body.len()).min(answer.body.len())])?;
        if answer.cut.is_some() {
            return stream.shutdown(std::net::Shutdown::Both);
        }
    }
    Ok(())
}

#[derive(Default)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    cut: Option<usize>,
}

fn status(status: u16) -> Answer {
    Answer { status, ..Answer::default() }
}

fn answer(state: &mut Behaviour, seen: &Seen, address: &str) -> Answer {
    let path = seen.target.split('?').next().unwrap_or_default();
    let authorization = seen.headers.get("authorization").cloned();
    if path == "/token" {
        let Some(Auth::Token { secret }) = &state.auth else { return status(404) };
        let proof = if seen.method == "POST" { Some(seen.body.clone()) } else { authorization };
        let is_proven =
            secret.as_ref().is_none_or(|secret| proof.is_some_and(|proof| proof.contains(secret)));
        let token = br#"{"token": "t0ken", "expires_in": 300}"#;
        return if is_proven {
            Answer { status: 200, body: token.to_vec(), ..Answer::default() }
        } else {
            status(401)
        };
    }
    for (part, statuses) in &mut state.statuses {
        if seen.target.contains(part.as_str())
            && let Some(code) = statuses.pop_front()
        {
            return status(code);
        }
    }
    let wanted = match &state.auth {
        None => None,
        Some(Auth::Basic(secret)) => Some((format!("Basic {secret}"), "Basic realm=\"x\"".to_owned())),
        Some(Auth::Token { .. }) => {
            let challenge = format!(
                r#"Bearer realm="http://{address}/token",service="fake",scope="repository:a,b:pull""#
            );
            Some(("Bearer t0ken".to_owned(), challenge))
        }
        Some(Auth::Bearer(token)) => {
            Some((format!("Bearer {token}"), format!(r#"Bearer realm="http://{address}/token""#)))
        }
    };
    if let Some((wanted, challenge)) = wanted
        && authorization != Some(wanted)
    {
        return Answer { status: 401, headers: vec![("www-authenticate", challenge)], ..Answer::default() };
    }
    let Some(path) = path.strip_prefix("/v2/") else { return status(404) };
    if let Some((repository, version)) = path.split_once("/manifests/") {
        return match state.manifests.get(&format!("{repository}/{version}")) {
            Some(blob) => Answer { status: 200, body: blob.bytes.clone(), ..Answer::default() },
            None => status(404),
        };
    }
    let Some((_, digest)) = path.split_once("/blobs/") else { return status(404) };
    if let Some(base) = &state.redirect {
        let location = format!("{base}{}", seen.target);
        return Answer { status: 307, headers: vec![("location", location)], ..Answer::default() };
    }
    let Some(content) = state.blobs.get(digest).cloned() else { return status(404) };
    let start = seen
        .headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let mut answer = match start.filter(|_| !state.ignores_ranges) {
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
            let headers = vec![("content-range", range)];
            Answer { status: 206, headers, body: content[start..].to_vec(), cut: None }
        }
        None => Answer { status: 200, body: content, ..Answer::default() },
    };
    answer.cut = state.cuts.get_mut(digest).and_then(VecDeque::pop_front);
    state.blob_bytes += answer.cut.unwrap_or(answer.body.len()) as u64;
    answer
}
